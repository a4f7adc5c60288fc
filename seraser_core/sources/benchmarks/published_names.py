"""Names of classes, from where data sets and packages keep them."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import polars as pl

from seraser_core.sources.benchmarks.readers import Table
from seraser_core.sources.benchmarks.root import Root
from seraser_core.sources.json_text import parse
from seraser_core.sources.names import whole_number


def same(*names: str) -> dict[str, str]:
    """Return names that the data set stores with ``_`` in place of spaces."""
    return {name: name.replace("_", " ") for name in names}


def by_id(name: pl.Expr, first: int) -> Callable[[Root, pl.DataFrame], dict[str, str]]:
    """Return a reader of names that stand beside class numbers, in the order of the numbers.

    Args:
        name: The name, from the columns of the reader.
        first: The number of the first class; those of the others follow it.
    """

    def find(root: Root, rows: pl.DataFrame) -> dict[str, str]:
        pairs = rows.select("label", name=name.str.replace_all("_", " ")).unique()
        if any(pairs.null_count().row(0)):
            raise root.wrong("an image has no class, or it has no name")
        for column in pairs.columns:
            twice = pairs.filter(pl.col(column).is_duplicated()).sort("label", "name")
            if twice.height:
                (label, one), (other_label, other) = twice.rows()[:2]
                raise root.wrong(
                    f"class {label} is {one!r} and class {other_label} is {other!r}: labels and "
                    "names do not agree"
                )
        return _in_order(
            root, {label: (whole_number(label), one) for label, one in pairs.rows()}, first
        )

    return find


def _in_order(
    root: Root, classes: Mapping[str, tuple[int | None, str]], first: int
) -> dict[str, str]:
    """Names in the order of their numbers.

    Args:
        root: The root that they come from, for errors.
        classes: Stored value -> number and name.
        first: The lowest number.

    Raises:
        ConfigError: The numbers are not `first` and those that follow it, each once.
    """
    numbers = {number for number, _ in classes.values()}
    if None in numbers:
        strange = next(name for number, name in classes.values() if number is None)
        raise root.wrong(f"labels are not all numbers: that of {strange!r}")
    expected = range(first, first + len(classes))
    outside = [(number, name) for number, name in classes.values() if number not in expected]
    if outside:
        number, name = outside[0]
        raise root.wrong(
            f"{len(classes)} classes should have the numbers {first} to {expected[-1]}, but "
            f"that of {name!r} is {number}"
        )
    if len(numbers) < len(classes):
        raise root.wrong(f"of {len(classes)} classes some have the same number")
    return {key: name for key, (_, name) in sorted(classes.items(), key=lambda item: item[1])}


def sorted_names(column: str) -> Callable[[Root, pl.DataFrame], dict[str, str]]:
    """The names that a column of the reader has, sorted."""

    def find(root: Root, rows: pl.DataFrame) -> dict[str, str]:
        if column not in rows.columns:
            raise root.wrong(f"a table lacks the {column}; it has {', '.join(rows.columns[:8])}")
        if rows[column].null_count():
            raise root.wrong(f"{rows[column].null_count()} images have an empty {column}")
        return same(*sorted(rows[column].unique()))

    return find


def from_table(
    table: Table, name: pl.Expr, first: int
) -> Callable[[Root, pl.DataFrame], dict[str, str]]:
    """Names in a table of its own, whose columns have `label` and what `name` needs.

    See `by_id`.
    """
    return lambda root, rows: by_id(name, first)(root, table.read(root))


def from_json(name: str) -> Callable[[Root, pl.DataFrame], dict[str, str]]:
    """Names of the folders in a JSON file, as name -> number, in the order of the numbers."""

    def find(root: Root, rows: pl.DataFrame) -> dict[str, str]:
        try:
            ids = parse(root.text(name))
        except ValueError as error:
            raise root.wrong(f"{name!r} is no JSON: {error}") from None
        if not isinstance(ids, dict) or not all(isinstance(one, str) for one in ids.values()):
            raise root.wrong(f"{name!r} does not hold `name: number` pairs")
        spoken = same(*ids)
        return _in_order(root, {key: (whole_number(ids[key]), spoken[key]) for key in ids}, 0)

    return find


def wordnet_ids(subset: str = "imagenet") -> list[str]:
    """WordNet ids of ImageNet's 1000 classes, or of a subset, in the order of the class indices.

    Args:
        subset: ``imagenet``, ``imagenet_a`` or ``imagenet_r``.
    """
    return _timm(f"{subset}_synsets.txt").split()


def imagenet_by_wordnet(subset: str) -> Callable[[Root, pl.DataFrame], dict[str, str]]:
    """Names of classes whose folders are WordNet ids; `subset` as of `wordnet_ids`."""
    return lambda root, rows: {i: _imagenet_names()[i] for i in wordnet_ids(subset)}


def imagenet_by_index(root: Root, rows: pl.DataFrame) -> dict[str, str]:
    """Names of classes whose folders are class indices as text."""
    return {str(index): name for index, name in enumerate(_imagenet_names().values())}


def imagenet_from_list(name: str) -> Callable[[Root, pl.DataFrame], dict[str, str]]:
    """Names of ImageNet's 1000 classes in a file of lines with the class index, a tab and names.

    Two classes that it gives one name have those of `imagenet_by_index`.
    """
    table = Table(name, columns=("label", "name"), separator="\t")

    def find(root: Root, rows: pl.DataFrame) -> dict[str, str]:
        read = table.read(root)
        if read["label"].is_duplicated().any() or read.height != len(wordnet_ids()):
            raise root.wrong(f"{name!r} does not have one line for each of ImageNet's 1000 classes")
        names = {label: one.strip() for label, one in read.rows()}
        times, ours = Counter(names.values()), imagenet_by_index(root, rows)
        shown = {i: one if times[one] == 1 else ours.get(i, one) for i, one in names.items()}
        return _in_order(root, {i: (whole_number(i), one) for i, one in shown.items()}, 0)

    return find


@cache
def _imagenet_names() -> Mapping[str, str]:
    """WordNet id -> name, in the order of the class indices.

    The names are open_clip's. It gives two pairs of classes one name; these have WordNet's.
    """
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES  # takes seconds

    ids = wordnet_ids()
    lines = (line.split("\t") for line in _timm("imagenet_synset_to_lemma.txt").splitlines())
    lemmas = {line[0]: line[1].split(",")[0] for line in lines}
    times = Counter(IMAGENET_CLASSNAMES)
    return {
        i: name if times[name] == 1 else lemmas[i]
        for i, name in zip(ids, IMAGENET_CLASSNAMES, strict=True)
    }


def _timm(name: str) -> str:
    """Read a data file of timm, which open_clip depends on, without importing it."""
    file = importlib.metadata.distribution("timm").locate_file(f"timm/data/_info/{name}")
    return Path(str(file)).read_text()
