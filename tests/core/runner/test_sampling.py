"""The sample of images that a run keeps for the shortcut finder and for the report."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from seraser_core.config import load_config
from seraser_core.results.counted import CountedRun
from seraser_core.results.samples import PICTURES, highest_key, keys_of, read_samples, sample_of
from seraser_core.results.shards import RunDirectory
from seraser_core.results.shortcuts import find_in
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.retry import Retry
from seraser_core.runner.shard import run_shard


def read(url: str) -> pl.DataFrame:
    directory = RunDirectory(url)
    return pl.DataFrame(read_samples([CountedRun(directory, directory.states())]))


def logits_of(rows: pl.DataFrame, method: str) -> np.ndarray:
    return np.array(rows.filter(pl.col("method") == method)["logits"].to_list())


def test_the_sample_has_the_logits_of_the_image_and_of_both_its_sides(run, tree):
    url, rows = run(tree)
    sample = read(url)
    assert sample["key"].is_sorted()
    sample = sample.sort("item_id")
    assert sample["item_id"].to_list() == rows["item_id"].unique().sort().to_list()
    known = rows.filter(pl.col("method") == "zero_shot")
    for name in ("label", "attribute", "item_index"):
        assert sample[name].to_list() == known[name].to_list()
    for name, method in {
        "whole": "zero_shot",
        "erased": "seraser",
        "foreground": "foreground",  # zero-shot of the foreground alone
    }.items():
        found = np.array(sample[name].to_list())
        np.testing.assert_allclose(found, logits_of(rows, method), rtol=1e-4, atol=1e-4)
    features = np.array(sample["feature"].to_list())
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


def test_sides_that_no_method_needs_of_all_images_are_the_same(run, tree):
    """With `foreground` alone, the backgrounds of the sample are views of its own."""
    whole = read(run(tree)[0])
    tree |= {"name": "sides", "methods": ["zero_shot", "foreground"]}
    url, rows = run(tree)
    sample = read(url)
    for name in ("item_id", "key", "area"):
        assert sample[name].to_list() == whole[name].to_list()
    for name in ("whole", "background", "foreground", "feature"):
        pair = [np.array(one[name].to_list()) for one in (sample, whole)]
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-4)
    assert rows.height == 28


def test_zero_shot_on_the_background_is_no_remedy(run, tree):
    tree |= {"name": "probed", "methods": ["zero_shot", "background"]}
    url, rows = run(tree)
    sample = read(url).sort("item_id")
    assert sample["erased"].null_count() == sample.height == 14
    found = np.array(sample["background"].to_list())
    np.testing.assert_allclose(found, logits_of(rows, "background"), rtol=1e-4, atol=1e-4)


def test_a_sample_changes_no_row(run, tree):
    url, rows = run(tree)
    shutil.rmtree(url)
    again, without = run(tree, "shortcuts.sample=0")
    assert (again, RunDirectory(url).files("samples")) == (url, {})
    assert without.equals(rows)


def test_without_a_foreground_there_is_no_sample(run, tree):
    tree["methods"] = ["zero_shot", {"name": "seraser", "auxiliary": "augment", "steps": 1}]
    assert RunDirectory(run(tree)[0]).files("samples") == {}


def test_relevance_gives_sides_too(run, tree):
    tree["methods"] = ["zero_shot", {"name": "seraser", "auxiliary": "relevance", "steps": 1}]
    sample = read(run(tree)[0])
    assert sample.height == 14
    assert sample["area"].is_between(0, 1).all()
    assert (sample["background"] != sample["foreground"]).any()


def test_pictures_are_those_of_the_three_sides(run, tree, pictures):
    shown = read(run(tree)[0]).drop_nulls(list(PICTURES))
    assert shown.height
    for row in shown.iter_rows(named=True):
        image, background, foreground = (
            np.asarray(Image.open(io.BytesIO(row[name])).convert("RGB"), int) for name in PICTURES
        )
        assert max(image.shape) <= 128
        # Each place is black in one of the sides, and as in the image in the other.
        assert np.abs(background + foreground - image).mean() < 12
        assert image.shape[:2] == foreground.shape[:2]


def test_smallest_keys_of_all_are_kept_by_every_shard():
    names = [f"picture {i}" for i in range(20_000)]
    keys = keys_of(3, names)
    kept = keys <= np.uint64(highest_key(500, len(names)))
    smallest = np.sort(keys)[:500]
    assert np.isin(smallest, keys[kept]).all()
    assert kept.sum() < 700
    assert highest_key(500, 550) == 2**64 - 1, "all"
    assert (keys_of(4, names) != keys).any()
    assert abs(np.mean(keys.astype(float)) / 2**64 - 0.5) < 0.01


def test_a_sample_is_smaller_than_the_run(run, tree):
    tree["shortcuts"] = {"sample": 2}
    url, rows = run(tree)
    few = read(url)
    everything = keys_of(0, names := rows["item_id"].unique().sort().to_list())
    assert few["item_id"].to_list()[:2] == [names[i] for i in np.argsort(everything)[:2]]


def test_an_image_that_is_retried_joins_the_sample(tree, pictures, tmp_path):
    shutil.copytree(pictures.parent, tmp_path / "data")
    tree["dataset"]["path"] = str(tmp_path / "data" / "metadata.csv")
    (missing,) = (tmp_path / "data").glob("picture 03*.png")
    aside = missing.rename(tmp_path / "aside.png")
    url = plan_run(load_config(tree))
    run_local(url)
    before = read(url)
    assert before.height == 13
    aside.rename(missing)
    again = Retry()
    run_local(url, shards=list(again.shards(url)), compute=again)
    after = read(url)
    assert after.height == 14
    assert after.filter(pl.col("item_id").is_in(before["item_id"].implode())).equals(before)


def test_the_finder_gets_the_sample_as_arrays(run, tree):
    url, _ = run(tree, "shortcuts.sample=5")
    directory = RunDirectory(url)
    runs = [CountedRun(directory, directory.states())]
    kept, rows = sample_of(read_samples(runs), directory.run), read(url)
    assert kept is not None
    sample = kept.sample
    assert sample.item_ids == rows["item_id"].to_list()[:5]
    assert sample.labels.tolist() == rows["label"].fill_null(-1).to_list()[:5]
    for name, field in {"features": "feature", "erased": "erased", "whole": "whole"}.items():
        np.testing.assert_array_equal(getattr(sample, name), np.array(rows[field].to_list()[:5]))
    assert (kept.region, kept.eraser) == ("mask", "seraser")


def test_without_seraser_the_first_other_method_is_the_eraser(run, tree):
    tree["methods"] = [{"name": "zero_shot"}, {"name": "foreground", "id": "alone"}]
    url, _ = run(tree)
    assert read(url)["erased"].to_list() == read(url)["foreground"].to_list()


def test_a_lost_part_of_the_sample_does_not_look_whole_after_a_retry(tree, pictures, tmp_path):
    shutil.copytree(pictures.parent, tmp_path / "data")
    tree["dataset"]["path"] = str(tmp_path / "data" / "metadata.csv")
    (missing,) = (tmp_path / "data").glob("picture 03*.png")
    aside = missing.rename(tmp_path / "aside.png")
    url = plan_run(load_config(tree))
    run_local(url)
    Path(url, "samples", "00000.parquet").unlink()
    aside.rename(missing)
    again = Retry()
    run_local(url, shards=list(again.shards(url)), compute=again)
    assert not Path(url, "samples", "00000.parquet").exists()


@pytest.mark.parametrize("content", [None, b"no Parquet"])
def test_what_is_lost_of_a_sample_is_left_out_and_said(run, tree, content):
    url, _ = run(tree)
    file = Path(url, "samples", "00001.parquet")
    file.unlink() if content is None else file.write_bytes(content)
    assert read(url).height == 9
    directory = RunDirectory(url)
    runs = [CountedRun(directory, directory.states())]
    notes = find_in(runs, read_samples(runs)).notes
    (note,) = (note for note in notes if "sample" in note)
    assert note.startswith("The sample of 1 shard is missing or damaged")


def test_files_that_are_not_of_the_run_are_not_its_sample(run, tree):
    url, _ = run(tree)
    expected = read(url)
    other, _ = run(tree | {"name": "other", "seed": 1})
    shutil.copy(Path(url, "samples", "00001.parquet"), Path(url, "samples", "00001 (1).parquet"))
    assert read(url).equals(expected)
    shutil.copy(Path(other, "samples", "00001.parquet"), Path(url, "samples"))
    assert read(url).height == 9


def test_a_larger_sample_of_a_resumed_run_is_no_larger_in_some_shards(tree):
    """Else images of shards that are computed later would count more."""
    tree["shortcuts"] = {"sample": 2}
    url = plan_run(load_config(tree))
    run_shard(url, "00000")
    few = highest_key(2, 14)
    tree["shortcuts"] = {"sample": 14}
    assert plan_run(load_config(tree)) == url
    run_local(url)
    keys = read(url)["key"].to_numpy()
    assert (keys <= np.uint64(few)).all()
    everything = keys_of(0, RunDirectory(url).items()["item_id"].to_pylist())
    assert len(keys) == (everything <= np.uint64(few)).sum()
