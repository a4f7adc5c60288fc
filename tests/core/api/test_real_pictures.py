"""Real pictures through a model of real size (random weights): calls end well."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from seraser_core import erase, find_shortcuts, load_model

CAMEL_DEER = Path(__file__).parents[4] / "shared" / "data" / "camel_deer"
CLASSES = ["a camel", "a deer"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAMEL_DEER.is_dir(), reason="the camel_deer pictures are not here"),
]


@pytest.fixture(scope="module")
def model():
    return load_model("ViT-B-32", "random", device="cpu")


def test_with_masks_labels_and_attributes(model, tmp_path):
    table = pl.read_csv(CAMEL_DEER / "metadata.csv")
    images = [CAMEL_DEER / name for name in table["filename"]]
    given = {
        "masks": [CAMEL_DEER / name for name in table["mask"]],
        "labels": table["y"],
        "attributes": ["desert" if a == 0 else "grassland" for a in table["a"]],
        "method": {"name": "seraser", "steps": 2},
    }
    result = erase(model, images, CLASSES, **given)
    rows = result.to_polars()
    assert result.ok.all(), result.errors
    assert set(rows["group"]) == {"a camel / grassland", "a deer / desert"}
    assert (rows["loss_last"] < rows["loss_first"]).mean() >= 0.8
    assert result._repr_html_().count("<img") >= 10
    found = find_shortcuts(model, images, CLASSES, **given)
    assert "too few" in found.findings.sentence()
    assert found._repr_html_()
    found.write_html(tmp_path / "page.html")
    assert found.findings.sentence() in (tmp_path / "page.html").read_text()


def test_a_folder_without_masks_and_labels(model, tmp_path):
    folder = tmp_path / "pictures"
    shutil.copytree(CAMEL_DEER, folder, ignore=shutil.ignore_patterns("masks", "*.csv"))
    (folder / "broken.png").write_bytes(b"no picture")
    method = {"name": "seraser", "steps": 2}
    result = erase(model, folder, CLASSES, method=method)
    assert len(result) == 11
    assert result.errors["item_id"].to_list() == ["broken.png"]
    assert set(result.labels) == {-1}
    assert result._repr_html_().count("<img") >= 10
    found = find_shortcuts(model, folder, CLASSES, method=method)
    assert "1 image could not be used: undecodable 1" in found.findings.notes[0]
    assert found.findings.region == "relevance"
    assert found._repr_html_()
