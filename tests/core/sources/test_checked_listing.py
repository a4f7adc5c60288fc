"""Listings of sources from other packages: their faults are named, with the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl
import pytest

from seraser_core.config.formats import Format, offered_formats
from seraser_core.errors import ConfigError
from seraser_core.sources.source import Listing, Source, listed


class Foreign(Source):
    """Four images of two classes, as `change` has them."""

    change: ClassVar[Callable[[Listing], Any]]

    def listing(self) -> Listing:
        images = pl.Series([f"{i}.png" for i in range(4)])
        items = listed(images, images).with_columns(label=pl.Series([0, 1, 0, 1], dtype=pl.Int32))
        base = self.options.path.rpartition("/")[0]
        return type(self).change(Listing(items, ["a cat", "a dog"], [], base=base))


@pytest.fixture
def foreign(monkeypatch, plan):
    """Plans the listing of a source of another package, after a change."""
    form = Format(f"{__name__}:Foreign", "four images", finds_classes=True, labelled=True)
    monkeypatch.setitem(offered_formats().members, "foreign", form)
    monkeypatch.setitem(offered_formats().origins, "foreign", "their-source 1.5")

    def run(change: Callable[[Listing], Any], **options: Any):
        monkeypatch.setattr(Foreign, "change", staticmethod(change), raising=False)
        given = {"format": "foreign", "id": None, "image": None, "label": None, "classes": None}
        return plan(**(given | options))

    return run


def column(**values: Any) -> Callable[[Listing], Listing]:
    """Return the change of a listing that replaces columns of its items."""
    return lambda listing: replace(listing, items=listing.items.with_columns(**values))


def fields(**values: Any) -> Callable[[Listing], Listing]:
    """Return the change of a listing that replaces its fields."""
    return lambda listing: replace(listing, **values)


def without(name: str) -> Callable[[Listing], Listing]:
    """Return the change of a listing that leaves a column out."""
    return lambda listing: replace(listing, items=listing.items.drop(name))


def fail(listing: Listing) -> None:
    raise RuntimeError("no such ledger")


def leave(listing: Listing) -> None:
    raise SystemExit(3)


FAULTS = {
    "lists an image with the label -1 of 2": column(label=pl.Series([0, 1, -1, 1])),
    "lists an image with the label 7 of 2": column(label=pl.Series([0, 1, 7, 1])),
    "lists an image with the attribute -1": column(attribute=pl.Series([0, -1, 0, 0])),
    "lists an image with the attribute 2 of 2": lambda listing: replace(
        column(attribute=pl.Series([0, 1, 2, 1]))(listing), attributes=["land", "water"]
    ),
    "lists an image with the size -5": column(size=pl.Series([-5, 1, 1, 1])),
    "lists a box without four numbers": column(box=pl.Series([[1.0, 2.0]] * 4)),
    "lists no image": lambda listing: replace(listing, items=listing.items.clear()),
    "with String in the column 'label', no integers": column(label=pl.Series(list("xyxy"))),
    "with Int64 in the column 'item_id', no texts": column(item_id=pl.Series([1, 2, 3, 4])),
    "with Int64 in the column 'box', no lists": column(box=pl.Series([1, 2, 3, 4])),
    "without the column 'image'": without("image"),
    "without the column 'mask'": without("mask"),
    "without the column 'size'": without("size"),
    "lists None, no Listing": lambda listing: None,
    "has a LazyFrame as items": lambda listing: replace(listing, items=listing.items.lazy()),
    "ends in RuntimeError: no such ledger": fail,
    "ends in SystemExit: 3": leave,
    "has classes [1, 2], no list of texts": fields(classes=[1, 2]),
    "has 'a cat' more than once in its classes": fields(classes=["a cat", "a cat"]),
    "has names ['x'] for 2 classes": fields(names=["x"]),
    "has 3 in train_counts for the group (9, 9)": fields(train_counts={(9, 9): 3}),
    "has -3 in train_counts for the group (0, 0)": fields(train_counts={(0, 0): -3}),
    "has train_counts [3], no dict": fields(train_counts=[3]),
    "which cannot be written as JSON": fields(facts={"x": {1, 2}}),
    "has the template 'a photo'": fields(template="a photo"),
    "has warnings 'careful'": fields(warnings="careful"),
    "has the base None": fields(base=None),
}


@pytest.mark.parametrize("told", FAULTS)
def test_a_fault_is_told_with_the_package(foreign, told):
    with pytest.raises(ConfigError) as raised:
        foreign(FAULTS[told])
    assert raised.value.field == "dataset.format"
    assert str(raised.value.value).startswith("'foreign' of their-source 1.5 ")
    assert told in str(raised.value.value)
    assert raised.value.remedy.endswith("repair, update or uninstall their-source")


def test_classes_that_the_source_passes_over_are_a_fault(foreign):
    with pytest.raises(ConfigError, match=r"has 2 classes, and dataset\.classes names 3"):
        foreign(fields(), classes=["a cat", "a dog", "a cow"])


def test_columns_may_be_all_null_and_of_other_integers(foreign):
    expected = foreign(fields()).table
    nothing = pl.Series([None] * 4)
    names = ("attribute", "mask", "box", "size", "version")
    empty = column(label=pl.Series([0, 1, 0, 1], dtype=pl.UInt8), **dict.fromkeys(names, nothing))
    assert foreign(empty).table.equals(expected)


def test_the_order_of_rows_is_free(foreign):
    expected = foreign(fields()).table
    assert foreign(lambda it: replace(it, items=it.items.reverse())).table.equals(expected)


@pytest.mark.parametrize(
    "change",
    [
        column(image=pl.Series(["../../etc/passwd", "1.png", "2.png", "3.png"])),
        column(image=pl.Series(["0.png", "/etc/passwd", "2.png", "3.png"])),
        column(mask=pl.Series([None, "/etc/passwd", None, None])),
        fields(base="/etc"),
    ],
)
def test_files_outside_of_the_data_set_are_refused_unless_allowed(foreign, change):
    with pytest.raises(ConfigError, match=r"dataset\.allow_outside"):
        foreign(change)
    assert foreign(change, allow_outside=True).table.num_rows == 4


def test_images_on_other_machines_may_be_listed(foreign):
    urls = pl.Series([f"https://pictures.example.org/{i}.png" for i in range(4)])
    assert foreign(column(image=urls)).table["image"].to_pylist() == urls.to_list()
