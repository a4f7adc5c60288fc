"""Errors on their way from one process to another."""

from __future__ import annotations

import pickle

import pytest

from seraser_core.errors import (
    ConfigError,
    ItemError,
    SeraserError,
    SeveralMistakesError,
    TransientError,
)

MISTAKES = [ConfigError("model.name", 7, "use a name"), ConfigError("output", "x", "use a folder")]
ERRORS = [
    SeraserError("it broke", hint="mend it"),
    TransientError("for now"),
    MISTAKES[0],
    SeveralMistakesError(MISTAKES),
    ItemError("decode", "undecodable", "no picture"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    for name in ("field", "value", "remedy", "stage", "code", "message"):
        assert getattr(again, name, None) == getattr(error, name, None)
    mistakes = getattr(error, "mistakes", ())
    assert list(map(str, getattr(again, "mistakes", ()))) == list(map(str, mistakes))


@pytest.mark.parametrize("kind", [TransientError, lambda text: ConfigError("path", text, "x")])
def test_no_key_is_in_what_another_process_is_sent(kind):
    sent = pickle.dumps(kind("s3://me:hidden@host/bucket is not there"))
    assert b"me:***@host" in sent
    assert b"hidden" not in sent
