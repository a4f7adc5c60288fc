"""How much of a run's wall time goes to neither model nor decoding."""

from __future__ import annotations

import pytest
from floors import FLOORS

from seraser_core.config import load_config
from seraser_core.demo.config import demo_config
from seraser_core.demo.dataset import write_dataset
from seraser_core.results.status import status

pytestmark = pytest.mark.benchmark


def test_overhead_of_the_demo_under_prefect(tmp_path):
    from flows.seraser import seraser

    table = write_dataset(tmp_path / "data")
    config = demo_config(str(table), str(tmp_path / "runs"))
    load_config(config)
    found = status(seraser(config=config))
    print(f"overhead {found['overhead']:.3f} of {found['seconds']['wall']:.1f} s")
    assert found["overhead"] < FLOORS["overhead"]["demo"]
