"""`seraser masks`."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import yaml


def test_masks_of_a_data_set_are_used_by_another_run(seraser, config, tmp_path):
    done = seraser("masks", config, "--no-prefect", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["images"], found["masks"]) == (14, 14)
    assert Path(found["run"]).name.startswith("small-masks-")
    folder = Path(found["url"]).parent
    masks = [folder / name for name in pl.read_parquet(found["url"])["mask"]]
    times = {path: path.stat().st_mtime_ns for path in masks}
    again = seraser("masks", config, "--no-prefect")
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in masks} == times
    assert "14 masks of 14 images" in again.stderr
    tree = yaml.safe_load(Path(config).read_text())
    tree |= yaml.safe_load(again.stdout)
    path = tmp_path / "with-masks.yaml"
    path.write_text(yaml.safe_dump(tree))
    done = seraser("run", str(path), "--no-prefect", "--json")
    assert done.exit_code == 0, done.output
    assert all(row["errors"] == 0 for row in json.loads(done.stdout)["summary"])


def test_an_unknown_kind(seraser, config):
    done = seraser("masks", config, "--kind", "magic")
    assert done.exit_code == 2
    assert "relevance" in done.stderr
