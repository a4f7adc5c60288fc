"""Masks of a table of their own, joined to the images of a data set by their ids."""

from __future__ import annotations

import polars as pl
import pytest

from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.base import Listing, listed
from seraser_core.sources.masks import with_masks


@pytest.fixture
def listing():
    """Three images in a tar, two of them with masks beside them."""
    items = listed(pl.Series(["a", "b", "007"]), pl.Series(["x.tar"] * 3)).with_columns(
        mask=pl.Series(["x.tar", "x.tar", None]),
        mask_offset=pl.Series([512, 1024, None]),
        mask_length=pl.Series([9, 9, None]),
    )
    return Listing(items, ["cat", "dog"], [])


@pytest.fixture
def joined(listing, tmp_path):
    """Joins a table of that name and content; returns the new listing."""

    def join(content: str, name: str = "masks.csv", **options):
        path = tmp_path / name
        path.write_text(content)
        tree = {"path": "x.tar", "format": "webdataset", "classes": ["cat", "dog"], **options}
        return with_masks(listing, DatasetOptions(masks=str(path), **tree))

    return join


def test_images_get_the_masks_of_their_ids_and_no_others(joined, tmp_path):
    found = joined("id,mask,more\n007,m/7.png,x\na,,x\nb,b.png,x\nelse,e.png,x\n")
    items = found.items.sort("item_id")
    assert items["item_id"].to_list() == ["007", "a", "b"]
    assert items["mask"].to_list() == [f"{tmp_path}/m/7.png", None, f"{tmp_path}/b.png"]
    assert not {"mask_offset", "mask_length"} & set(items.columns)  # the tar's own are gone
    assert found.warnings == [f"1 of 3 masks in {tmp_path}/masks.csv are of no image here"]


def test_json_lines_will_do(joined, tmp_path):
    found = joined('{"id": "a", "mask": "a.png"}\n', "masks.jsonl")
    assert found.items["mask"].drop_nulls().to_list() == [f"{tmp_path}/a.png"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,mask\nz,z.png\n", r"no image has one of its ids, such as 'z'\n.*such as 'a'"),
        ("id,mask\na,1.png\na,2.png\n", r"the id 'a'\n.*an id of its own"),
        ("id,mask\na,\n", r"it holds no mask"),
        ("name,mask\na,1.png\n", r"no such column.*name, mask"),
        ("id,file\na,1.png\n", r"no such column.*id, file"),
        ("id,mask\na,../1.png\n", r"outside of the table's folder"),
        ("id,mask\na,/etc/1.png\n", r"outside of the table's folder"),
    ],
)
def test_tables_that_cannot_be_meant(joined, content, said):
    with pytest.raises(ConfigError, match=rf"(?s)dataset\.masks: .*{said}"):
        joined(content)


def test_masks_elsewhere_may_be_allowed(joined):
    found = joined("id,mask\na,/m/1.png\n", allow_outside=True)
    assert found.items["mask"].to_list() == ["/m/1.png", None, None]


def test_a_table_that_is_not_there(listing, tmp_path):
    tree = {"path": "x", "classes": ["cat", "dog"], "masks": f"{tmp_path}/none.csv"}
    with pytest.raises(ConfigError, match=r"dataset\.masks: .*none\.csv"):
        with_masks(listing, DatasetOptions(**tree))


def test_a_column_beside_it_is_refused():
    with pytest.raises(ValueError, match=r"mask: 'm' beside dataset\.masks"):
        DatasetOptions(path="x", classes=["a", "b"], mask="m", masks="t.csv")
