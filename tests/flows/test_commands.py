"""Flows of the commands `compare`, `masks` and `retry-errors`, on a server."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from flows.compare import compare
from flows.masks import masks
from flows.retry_errors import retry_errors
from flows.seraser import planned, seraser
from seraser_core.cli.main import app
from seraser_core.config import load_config
from seraser_core.errors import ConfigError
from seraser_core.results import scan
from seraser_core.results.verify import verify
from seraser_core.runner.plan import plan_run

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.mark.slow
def test_a_comparison_is_that_of_the_command(tree, tmp_path):
    tree["methods"] = ["zero_shot"]
    other = tree | {"name": "other", "seed": 1}
    url = compare([tree, other], [])
    rows = pl.read_parquet(f"{url}/report/comparison.parquet")
    assert rows["dataset"].to_list() == ["small", "other"]
    before = {path: path.stat().st_mtime_ns for path in Path(tree["output"]).glob("*/commits/*")}
    assert len(before) == 6
    assert compare([tree, other], []) == url
    assert {path: path.stat().st_mtime_ns for path in before} == before
    shown = CliRunner().invoke(app, ["summary", url])
    assert shown.exit_code == 0, shown.output


@pytest.mark.slow
def test_masks_are_a_table_for_another_run(tree):
    tree["methods"] = ["zero_shot"]
    table = masks(tree, "relevance", [])
    made = pl.read_parquet(table)
    assert made["id"].to_list() == [f"item-{i:02}" for i in range(14)]
    assert all(Path(table).parent.joinpath(name).is_file() for name in made["mask"])
    tree["dataset"] |= {"mask": None, "masks": table}
    url = seraser(tree | {"methods": ["foreground"]}, [])
    assert set(scan(url).collect()["status"]) == {"ok"}
    with pytest.raises(ConfigError, match="kind: none"):
        masks(tree, "none", [])


@pytest.mark.slow
def test_images_that_were_missing_are_computed_again(tree, tmp_path):
    tree["methods"] = ["zero_shot"]
    data = Path(shutil.copytree(Path(tree["dataset"]["path"]).parent, tmp_path / "data"))
    tree["dataset"]["path"] = str(data / "metadata.csv")
    away = data / "picture 03é.png"
    url = plan_run(load_config(tree))
    away.rename(tmp_path / "away.png")
    planned(url)
    assert verify(url).problems == []
    assert scan(url).filter(pl.col("status") == "error").collect().height == 1
    (tmp_path / "away.png").rename(away)
    assert retry_errors(url) == 1
    assert scan(url).filter(pl.col("status") == "error").collect().height == 0
    assert verify(url).problems == []
    assert retry_errors(url) == 0
