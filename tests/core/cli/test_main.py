"""Logging of the command line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_RETRY = """
import sys
from seraser_core.cli.main import main
main(verbose="--verbose" in sys.argv)
from huggingface_hub.utils import logging
logging.get_logger("huggingface_hub.utils._http").warning("Retrying in 1s")
"""


@pytest.mark.parametrize("option", ["--verbose", ""])
def test_retries_of_the_hub_are_told_when_asked_for(option):
    done = subprocess.run(
        [sys.executable, "-c", _RETRY, option],
        env={k: v for k, v in os.environ.items() if k != "HF_HUB_VERBOSITY"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("Retrying" in done.stderr) == bool(option)
