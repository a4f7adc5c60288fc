"""`seraser options`."""

from __future__ import annotations

import json

from seraser_core.config.described import all_options, options_schema


def test_all_options_are_listed(seraser):
    shown = seraser("options")
    assert shown.exit_code == 0, shown.output
    assert [one.name for one in all_options() if one.name not in shown.stdout] == []
    listed = json.loads(seraser("options", "--json").stdout)
    assert [one["name"] for one in listed] == [one.name for one in all_options()]


def test_one_option_is_told_with_its_default(seraser):
    assert seraser("options", "seed").stdout == (
        "seed: 0\nSeed of all random numbers, with the item id.\n"
    )
    wrong = seraser("options", "seeed")
    assert (wrong.exit_code, "did you mean `seed`?" in wrong.stderr) == (2, True)


def test_the_schema_is_printed(seraser):
    assert json.loads(seraser("options", "--schema").stdout) == options_schema()
