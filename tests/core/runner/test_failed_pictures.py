"""Small pictures of images that failed although they could be decoded, for the report."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from seraser_core.results.counted import CountedRun
from seraser_core.results.failed_pictures import METADATA, FailedPicture, of_a_run, of_a_shard
from seraser_core.results.samples import failed_pictures_of, keys_of, read_samples
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import aggregate
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.retry import Retry

FAILING = (0, 1, 2, 3)
"""Images of the first shard without their masks."""
SHARD = "samples/00000.parquet"


@pytest.fixture
def folder(tree, pictures, tmp_path) -> Path:
    """The pictures; some masks are away, one is of another size, and one image is none."""
    data = tmp_path / "data"
    shutil.copytree(pictures.parent, data)
    tree["dataset"]["path"] = str(data / pictures.name)
    for i in FAILING:
        mask_of(data, i).rename(mask_of(data, i).with_suffix(".away"))
    Image.new("L", (3, 4)).save(mask_of(data, 6))
    (data / "picture 00é.png").write_bytes(b"no picture")
    return data


def mask_of(folder: Path, i: int) -> Path:
    return folder / f"mask{i}.png"


def bring_back(folder: Path, i: int) -> None:
    mask_of(folder, i).with_suffix(".away").rename(mask_of(folder, i))


def shown(url: str) -> list[FailedPicture]:
    directory = RunDirectory(url)
    return failed_pictures_of(read_samples([CountedRun(directory, directory.states())]))


def retry(url: str) -> None:
    again = Retry()
    run_local(url, shards=list(again.shards(url)), compute=again)


def smallest(url: str, *items: int) -> list[int]:
    """The two of these images with the smallest keys, the smaller one first."""
    ids = RunDirectory(url).items()["item_id"].to_pylist()
    keys = keys_of(0, ids)
    return sorted(items, key=lambda i: keys[i])[:2]


def test_a_shard_keeps_two_of_each_code_by_their_keys(run, tree, folder):
    url, _ = run(tree)
    found = shown(url)
    of_masks = [one.item_index for one in found if one.code == "missing_mask"]
    assert of_masks == smallest(url, 1, 2, 3), "the first image is undecodable, so not shown"
    (other,) = (one for one in found if one.code != "missing_mask")
    assert (other.item_index, other.code) == (6, "mask_size")
    expected = Image.open(folder / "picture 06é.png").convert("L")
    kept = Image.open(io.BytesIO(base64.b64decode(other.webp)))
    assert kept.size == expected.size
    alike = np.corrcoef(np.asarray(kept.convert("L")).ravel(), np.asarray(expected).ravel())
    assert alike[0, 1] > 0.8, "its noise, as far as WebP keeps it"


def test_an_image_that_a_retry_made_good_is_shown_no_more(run, tree, folder):
    url, _ = run(tree)
    before = Path(url, SHARD).read_bytes()
    first, second = smallest(url, 1, 2, 3)
    bring_back(folder, first)
    retry(url)
    (third,) = {1, 2, 3} - {first, second}
    assert [one.item_index for one in shown(url)] == [6, *smallest(url, second, third)]
    Path(url, SHARD).write_bytes(before)  # as an attempt before left it
    assert [one.item_index for one in shown(url)] == [6, second]


def test_samples_of_an_earlier_version_are_read_without_them(run, tree, folder):
    url, _ = run(tree)
    table = pq.read_table(Path(url, SHARD))
    metadata = {k: v for k, v in table.schema.metadata.items() if k != METADATA}
    pq.write_table(table.replace_schema_metadata(metadata), Path(url, SHARD))
    directory = RunDirectory(url)
    sample = read_samples([CountedRun(directory, directory.states())])
    assert sample.num_rows == 9
    assert [one.item_index for one in failed_pictures_of(sample)] == [6]
    retry(url)
    assert sorted(one.item_index for one in shown(url)) == sorted([6, *smallest(url, 1, 2, 3)])


def test_the_report_shows_them_and_is_the_same_twice(run, tree, folder):
    url, _ = run(tree)
    aggregate(url)
    page = Path(url, "report", "report.html").read_bytes()
    assert page.count(b'<figure class="views"><img src="data:image/webp;base64,') == 3
    for one in shown(url):
        assert f"</b> {one.message}</figcaption>".encode() in page
    aggregate(url)
    assert Path(url, "report", "report.html").read_bytes() == page


def made(code: str, key: int) -> FailedPicture:
    return FailedPicture(key=key, item_index=key, item_id=str(key), code=code, message="", webp="")


def test_rare_codes_are_shown_beside_frequent_ones_whatever_the_shards():
    many = [made("mask_size", key) for key in range(40)]
    few = [made("missing_mask", key) for key in (7, 3)]
    chosen = of_a_run([*many, *few])
    assert [one.key for one in chosen if one.code == "missing_mask"] == [3, 7]
    assert [one.key for one in chosen if one.code == "mask_size"] == list(range(10))
    assert of_a_run(reversed([*few, *many])) == chosen
    assert of_a_shard([*of_a_shard(many[20:]), *of_a_shard(many[:20]), *few]) == of_a_shard(
        [*many, *few]
    )
