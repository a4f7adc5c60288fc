"""Ways to run a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from seraser_core.config import load_config
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run


@pytest.fixture
def run() -> Callable[..., tuple[str, pl.DataFrame]]:
    """Plans and runs a tree with overrides; returns the run's URL and its rows in order.

    Without a report, whose figure takes as long as all the rest.
    """

    def plan_and_run(tree: dict[str, Any], *overrides: str) -> tuple[str, pl.DataFrame]:
        url = plan_run(load_config(tree, overrides))
        run_local(url)
        rows = pl.read_parquet(f"{url}/predictions/*.parquet")
        return url, rows.sort("item_id", "method")

    return plan_and_run
