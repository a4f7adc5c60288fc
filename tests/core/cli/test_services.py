"""The end of `seraser up`, whatever it was doing."""

from __future__ import annotations

import os
import signal

import pytest

from seraser_core.cli.services import Services, Stopped
from seraser_core.errors import SeraserError


@pytest.mark.parametrize("caught", [Exception, Stopped])
def test_whoever_asks_for_the_end_gets_it_whatever_a_library_makes_of_it(tmp_path, caught):
    reached = []
    with Services(0, tmp_path):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("after the signal")
        except caught as error:
            reached.append("in the library")
            raise SeraserError("no answer") from error
    assert reached == (["in the library"] if caught is Stopped else [])


def test_an_error_without_a_signal_is_an_error(tmp_path):
    with pytest.raises(SeraserError, match="no answer"), Services(0, tmp_path):
        raise SeraserError("no answer")
