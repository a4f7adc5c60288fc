"""Masks of a table of their own, joined to the images of a data set by their ids."""

from __future__ import annotations

import polars as pl
import pytest

from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.mask_tables import with_masks
from seraser_core.sources.source import Listing, listed


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


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("m\\\\a.png", "m/a.png"),
        ("./m//a.png", "m/a.png"),
        ("file://{folder}/m/a.png", "m/a.png"),
        ("{folder}/m/a.png", "m/a.png"),
        (" a.png ", "a.png"),
        ("NA", None),
        ("nan", None),
        ("-", None),
    ],
)
def test_paths_are_read_as_in_other_tables(joined, tmp_path, mask, expected):
    found = joined(f"id,mask\na,{mask.format(folder=tmp_path)}\nb,b.png\n".replace("\\\\", "\\"))
    whole = expected and f"{tmp_path}/{expected}"
    assert found.items["mask"].to_list() == [whole, f"{tmp_path}/b.png", None]


def test_a_path_of_windows_is_refused(joined):
    with pytest.raises(ConfigError, match=r"(?s)dataset\.masks: .*Windows"):
        joined("id,mask\na,C:\\m\\a.png\n")


def test_what_was_read_otherwise_is_told(joined, tmp_path):
    said = " ".join(joined("id,mask\na,m\\a.png\nb,NA\nb,b.png\nb,b.png\n").warnings)
    assert f"{tmp_path}/masks.csv: 1 paths in 'masks' have \\ between folders" in said
    assert "'NA' (1) stands for no mask" in said
    assert "1 rows repeat other rows" in said


@pytest.mark.parametrize(
    ("ids", "given"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("d/a.png", "./d/a.png"),
        ("./d/a.png", "d/a.png"),
        ("d/a.png", "d\\a.png"),
        ("0", "0.0"),
        ("12.0", "12"),
    ],
)
def test_an_id_may_be_spelt_otherwise(joined, tmp_path, listing, ids, given):
    listing.items.replace_column(0, pl.Series("item_id", [ids, "x", "y"]))
    found = joined(f"id,mask\n{given},1.png\n")
    assert found.items["mask"].to_list() == [f"{tmp_path}/1.png", None, None]


def test_an_id_that_is_there_is_no_other(joined, tmp_path, listing):
    listing.items.replace_column(0, pl.Series("item_id", ["0", "0.0", "1"]))
    found = joined("id,mask\n0.0,f.png\n1.0,1.png\n0,i.png\n0.00,x.png\n")
    assert found.items["mask"].to_list() == [f"{tmp_path}/{n}.png" for n in "if1"]
    with pytest.raises(ConfigError, match="the id '1'"):
        joined("id,mask\n1,1.png\n1.0,2.png\n")


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
