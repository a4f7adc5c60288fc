"""Zero-shot over files against the plain loop, see `zero_shot`."""

from __future__ import annotations

import pytest
from floors import FLOORS
from zero_shot import compare

pytestmark = pytest.mark.benchmark


def test_a_run_costs_less_than_the_plain_loop(tmp_path):
    found = compare(tmp_path, "ViT-B-32-quickgelu", images=192, classes=10, turns=1)
    print(found)
    assert min(found["same"].values()) >= FLOORS["zero_shot"]["same"]
    assert min(found["processors"].values()) >= FLOORS["zero_shot"]["over_plain_loop"]
