"""The garbage collector is spared what is imported, and nothing else."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from seraser_core.waiting import importing


def test_the_collector_rests_while_something_is_imported():
    with pytest.raises(ImportError), importing("PyTorch", "torch"):
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    try:
        with importing("PyTorch", "torch"):
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_only_what_is_imported_is_never_looked_at_again(monkeypatch):
    gc.unfreeze()
    with importing("This", "sys"):
        monkeypatch.setitem(sys.modules, "part", object())
    assert gc.get_freeze_count() == 0
    with importing("Another", "another"):
        monkeypatch.setitem(sys.modules, "another", object())
    assert gc.get_freeze_count() > 10_000


def test_what_is_imported_is_taken_down_in_the_end():
    """Triton, for one, writes pages about what is not."""
    script = """
import sys
from seraser_core.waiting import importing

class Kept:
    def __del__(self):
        print("taken down")

with importing("Another", "another"):
    sys.modules["another"] = kept = Kept()
    kept.itself = kept
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("taken down\n", "")
