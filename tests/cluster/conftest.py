"""A Slurm for all tests here, where its programs are installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from slurm import PROGRAMS, Slurm, found


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A running Slurm."""
    missing = [program for program in PROGRAMS if found(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)}: not installed; Debian has slurm-wlm and munge")
    with Slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm
