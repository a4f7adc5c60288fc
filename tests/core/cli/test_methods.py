"""`seraser methods`."""

from __future__ import annotations

import json

from seraser_core.config import method_options


def test_all_methods_are_listed(seraser):
    shown = seraser("methods")
    assert shown.exit_code == 0
    for name in method_options():
        assert f" {name} " in shown.stdout
    listed = json.loads(seraser("methods", "--json").stdout)
    assert list(listed) == list(method_options())


def test_options_of_one(seraser):
    shown = seraser("methods", "tda")
    assert shown.exit_code == 0
    assert "negative_alpha" in shown.stdout
    (options,) = json.loads(seraser("methods", "tda", "--json").stdout).values()
    defaults = {option["option"]: option["default"] for option in options["options"]}
    assert defaults["positive_shots"] == "3"


def test_an_unknown_one(seraser):
    done = seraser("methods", "ttp")
    assert done.exit_code == 2
    assert "hint: did you mean `tpt`?" in done.stderr
