"""Small models that the tests make themselves, and ways to run a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from seraser_core.config import load_config
from seraser_core.config.options import ModelOptions
from seraser_core.models.clip_model import ClipModel, get_model
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run


@pytest.fixture
def tiny_model(tiny_json: str) -> ClipModel:
    """A tiny CLIP with random weights, fp32 on the CPU."""
    return get_model(ModelOptions(name=tiny_json, pretrained=None, device="cpu"))


@pytest.fixture(scope="session")
def segment_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a tiny detector and a tiny segmenter, as options."""
    from tiny_segment import write_models  # takes seconds to import

    return write_models(tmp_path_factory.mktemp("segment"))


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
