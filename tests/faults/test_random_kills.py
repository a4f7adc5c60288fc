"""Kills at random steps and moments. To repeat one: SERASER_FAULT_SEED=<seed> pytest -k <test>.

The long version is run with ``pytest -m soak``: SERASER_FAULT_KILLS kills, 1000 by default, whose
figures are kept in the file that SERASER_FAULT_REPORT names.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest
from soak import Soak


@pytest.fixture
def seed():
    """That of the environment, or a new one; pytest shows it with a failure."""
    seed = int(os.environ.get("SERASER_FAULT_SEED") or secrets.randbits(32))
    print(f"SERASER_FAULT_SEED={seed}")
    return seed


@pytest.mark.slow
def test_kills_at_random_on_a_local_disk(workers, tree, undisturbed, tmp_path, seed):
    Soak(workers, tree, undisturbed, [str(tmp_path / "soak")], seed).kill(6)


@pytest.mark.slow
def test_kills_at_random_in_object_storage(workers, tree, undisturbed, bucket, seed):
    Soak(workers, tree, undisturbed, [f"{bucket}/soak"], seed).kill(4)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_a_thousand_kills(workers, tree, undisturbed, tmp_path, bucket, seed):
    wanted = int(os.environ.get("SERASER_FAULT_KILLS", "1000"))
    outputs = [str(tmp_path / "soak")] * 3 + [f"{bucket}/soak"]
    soak = Soak(workers, tree, undisturbed, outputs, seed)
    while soak.kills < wanted:
        soak.kill(min(wanted, soak.kills + 20))
        text = json.dumps(soak.figures(), indent=2)
        if path := os.environ.get("SERASER_FAULT_REPORT"):
            Path(path).write_text(text + "\n")
    print(text)
