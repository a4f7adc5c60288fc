"""The columns of a table: which one holds images, labels, attributes, masks, ids and splits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.guessing.boxes import guess_box
from seraser_core.sources.guessing.guess import Guess
from seraser_core.sources.guessing.names import are_numbers, from_files, plain, values_of
from seraser_core.sources.shown import ending_of

_IMAGES = (
    *("image", "images", "img", "image_path", "img_path", "file_name", "filename", "file"),
    *("image_file", "image_filename", "img_filename", "path", "filepath", "file_path"),
    *("image_url", "url"),
)
_LABELS = (
    *("label_name", "class_name", "classname", "category_name", "label", "labels", "class"),
    *("category", "target", "species", "y", "ground_truth", "gt", "cls", "txt"),
)
_ATTRIBUTES = (
    *("attribute_name", "attribute", "attr", "background", "place", "context", "environment"),
    *("env", "scene", "domain", "location", "site", "hospital", "scanner", "camera", "style"),
    *("gender", "sex", "spurious", "confounder", "a"),
)
_IDS = ("id", "image_id", "item_id", "sample_id", "uid", "uuid", "guid")
_SPLITS = ("split", "set", "subset", "partition", "phase")
_TESTS = ("test", "testing", "val", "valid", "validation", "dev", "eval")
_NUMBERED = {"0", "1", "2"}
_MASK = re.compile(r"mask|segmentation|(^|_)seg(_|$)|foreground")
_LOOKED_AT = 200
_MOST_CLASSES, _MOST_ATTRIBUTES, _MOST_SPLITS = 2000, 50, 10


def path_columns(rows: pl.DataFrame) -> list[str]:
    """Return the columns that hold names or URLs of images."""
    return [name for name in rows.columns if _are_paths(rows[name])]


def is_mask(name: str) -> bool:
    """Return whether a column of pictures is called as masks are."""
    return _MASK.search(plain(name)) is not None


def first_by(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the column whose name comes first among the wanted ones."""
    known = [name for name in names if plain(name) in wanted]
    return min(known, key=lambda name: wanted.index(plain(name)), default=None)


def image_column(paths: Sequence[str]) -> str | None:
    """Return the column of images among those that hold paths; masks only if there is no other."""
    others = [name for name in paths if not is_mask(name)]
    return first_by(others, _IMAGES) or next(iter(others or paths), None)


def guess_facts(found: Guess, rows: pl.DataFrame, ids: bool = True) -> None:
    """Add what the rows say of the images: split, label, attribute, mask and id.

    Args:
        found: The guess, which has the column of the images.
        rows: Columns of texts, whose names are those of the options.
        ids: Whether a column of ids may be named.
    """
    paths = path_columns(rows)
    facts = [name for name in rows.columns if name not in paths and name != found.dataset["image"]]
    rows = _split(found, rows, facts)
    label = _label(found, rows, facts)
    if label is None:
        found.without_classes()
    attribute = _first_filled(rows, facts, _ATTRIBUTES, "attribute", _MOST_ATTRIBUTES, label)
    if attribute is not None:
        values = values_of(rows[attribute], "attribute")
        found.dataset["attribute"] = attribute
        told = _told_by_files(found, rows, attribute) if are_numbers(values) else None
        if not are_numbers(values):
            found.dataset["attributes"] = values
        elif told and sorted(told) == list(range(len(told))):
            found.dataset["attributes"] = values = [told[number] for number in sorted(told)]
        found.reasons.append(f"attribute: column {attribute!r}, by its name ({_some(values)})")
    guess_box(found, rows, facts)
    masks = [name for name in paths if is_mask(name) and name != found.dataset["image"]]
    if masks:
        found.dataset["mask"] = masks[0]
        found.reasons.append(f"mask: column {masks[0]!r}, by its name and its names of images")
    for name in _by(facts, _IDS) if ids else ():
        if rows[name].null_count() == 0 and rows[name].n_unique() == rows.height:
            found.dataset["id"] = name
            found.reasons.append(f"id: column {name!r}, in which no value is there twice")
            break


def _split(found: Guess, rows: pl.DataFrame, facts: Sequence[str]) -> pl.DataFrame:
    """Choose the rows of the test split, where a column says so, and return them."""
    for column in _by(facts, _SPLITS):
        texts = rows[column].drop_nulls().unique()
        values = {text.strip().casefold(): text.strip() for text in texts.sort()}
        if not 1 < len(values) <= _MOST_SPLITS:
            continue
        test = next((values[one] for one in _TESTS if one in values), None)
        if test is None and values.keys() <= _NUMBERED and "2" in values:
            test = "2"
        if test is None:
            found.todo.append(f"dataset.split: all rows are used; {column!r} has {_some(texts)}")
            continue
        value: Any = int(test) if test.isdecimal() else test
        found.dataset["split"] = {"column": column, "values": [value]}
        found.reasons.append(f"split: {test!r} of column {column!r}; it has {_some(texts.sort())}")
        return rows.filter(rows[column].str.strip_chars() == test)
    return rows


def _label(found: Guess, rows: pl.DataFrame, facts: Sequence[str]) -> str | None:
    column = _first_filled(rows, facts, _LABELS, "label", _MOST_CLASSES)
    if column is None:
        return None
    values, why = values_of(rows[column], "label"), "by its name"
    if are_numbers(values) and (words := _names_of(rows, facts, column, values)) is not None:
        why = f"whose texts name the numbers of {column!r}"
        column, values = words, values_of(rows[words], "label")
    told = _told_by_files(found, rows, column) if are_numbers(values) else None
    found.dataset["label"] = column
    found.with_classes(values, told)
    found.reasons.append(f"label: column {column!r}, {why} ({_some(values)})")
    if told:
        found.reasons.append(f"classes: parts of the files' names ({_some(list(told.values()))})")
    elif are_numbers(values):
        found.todo.append(f"dataset.classes: {column!r} has numbers; write names of the classes")
    return column


def _told_by_files(found: Guess, rows: pl.DataFrame, column: str) -> dict[int, str] | None:
    image = found.dataset["image"]
    taken = found.dataset.get("classes", ())
    return from_files(rows[column], rows[image], taken) if image in rows.columns else None


def _names_of(
    rows: pl.DataFrame, facts: Sequence[str], column: str, values: Sequence[str]
) -> str | None:
    """Return a column of texts that has one for each value of a column of numbers."""
    for other in facts:
        texts = values_of(rows[other], "label") if other != column else []
        if len(texts) == len(values) and not are_numbers(texts):
            pairs = rows.select(column, other).drop_nulls().unique()
            if pairs.height == len(values) and plain(other) not in _ATTRIBUTES:
                return other
    return None


def _first_filled(
    rows: pl.DataFrame,
    facts: Sequence[str],
    wanted: Sequence[str],
    setting: str,
    most: int,
    label: str | None = None,
) -> str | None:
    """Return the first wanted column with at least two and not too many values."""
    for column in _by(facts, wanted):
        if column == label:
            continue
        if 1 < len(values_of(rows[column], setting)) <= min(most, max(2, rows.height // 2)):
            return column
    return None


def _by(names: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    """Yield the columns with one of the wanted names, in the order of those."""
    left = list(names)
    while (name := first_by(left, wanted)) is not None:
        left.remove(name)
        yield name


def _are_paths(texts: pl.Series) -> bool:
    seen = [text.strip() for text in texts.drop_nulls().head(_LOOKED_AT) if text.strip()]
    return bool(seen) and all(map(is_path, seen))


def is_path(text: str) -> bool:
    """Return whether a text is the name of an image, or a URL."""
    is_url = text.startswith(("http://", "https://"))
    return is_url or ending_of(text) in IMAGE_ENDINGS


def _some(values: Sequence[str] | pl.Series) -> str:
    shown = ", ".join(map(repr, list(values)[:4]))
    return f"{shown}, ... {len(values)} in all" if len(values) > 4 else shown
