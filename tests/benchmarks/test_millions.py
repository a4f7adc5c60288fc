"""Ten million images take minutes and little memory, whatever the model takes."""

from __future__ import annotations

import pytest
from floors import FLOORS
from millions import measure

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]


def test_ten_million_images(tmp_path):
    floor = FLOORS["millions"]
    found = measure(floor["images"], tmp_path, methods=2)
    assert f" {2 * floor['images']:,} rows" in found["polars"].output
    assert sum(step.wall_s for step in found.values()) < floor["seconds"]
    assert max(step.gib for step in found.values()) < floor["gib"]
    assert found["polars"].wall_s < floor["query_s"]
