"""A benchmark data set as a source of images."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

import polars as pl

from seraser_core.config.classes import Entry, labels_of, names_of
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.benchmarks.benchmark import Benchmark, Names
from seraser_core.sources.benchmarks.registry import find_benchmark
from seraser_core.sources.benchmarks.root import NoSplitError, Root
from seraser_core.sources.class_files import read_entries
from seraser_core.sources.names import finder, some
from seraser_core.sources.source import ABSOLUTE, CLIMBING, Listing, Source

_TRAIN = "train"


class BenchmarkSource(Source):
    """One split of the data set `name`, as published, below the root `path`.

    The id of an image is its path below the root.
    """

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        benchmark = find_benchmark(options.name or "")
        split = chosen_split(benchmark, str(options.split.values[0]) if options.split else None)
        parts = benchmark.splits.get(split, "").split("+")
        root = root_of(benchmark, options)
        root.check([root.named(mark, part) for part in parts for mark in benchmark.marks])
        rows = pl.concat(
            benchmark.reader.rows(root, part).with_columns(split_part=pl.lit(part))
            for part in parts
        )
        if not rows.height:
            raise root.wrong(f"no image is of split {split!r}", kind=NoSplitError)
        classes = _resolved(benchmark.classes, root, rows)
        attributes = _resolved(benchmark.attributes, root, rows)
        selected = _select(benchmark, root, rows)
        unnamed = selected["image"].fill_null("").is_in([""])
        if unnamed.any():
            raise root.wrong(f"{unnamed.sum()} images have no name")
        for column in ("image", "mask"):
            outside = selected.filter(pl.col(column).str.contains(f"{ABSOLUTE}|{CLIMBING}"))
            if outside.height:
                raise root.wrong(f"{outside[column][0]!r} is outside of it")
        items = selected.with_columns(
            item_id=pl.col("image"),
            label=_indices(selected, "label", classes, root),
            attribute=_indices(selected, "attribute", attributes, root),
        )
        return Listing(
            items,
            list(classes.values()),
            list(attributes.values()),
            {"benchmark": benchmark.name, "split": split or None},
            base=options.path,
            warnings=root.warnings,
            template=benchmark.template,
            train_counts=_train_counts(benchmark, root, classes, attributes),
            names=self._class_names(classes),
            sparse=benchmark.sparse,
        )

    def _class_names(self, classes: Mapping[str, str]) -> list[str]:
        """Names for prompts: those that are configured, else the published ones.

        A list must follow the published order; a mapping renames the classes that it names, by
        their published names or by what is stored for them.
        """
        published = list(classes.values())
        given = read_entries(self.options)
        if given is None:
            return published
        if any(isinstance(entry, tuple) for entry in given):
            return self._renamed(classes, given)
        names = names_of(given)
        if len(names) != len(published):
            raise ConfigError(
                "dataset.classes",
                f"{len(names)} names",
                f"{self.options.name} has {len(published)} classes; give one name for each, in "
                "their order, a mapping of some of its names to others, or leave classes out",
            )
        place_of = finder(published)
        places = [(i, place_of(name)) for i, name in enumerate(names)]
        moved = [(i, place) for i, place in places if place not in (None, i)]
        if moved:
            index, place = moved[0]
            raise ConfigError(
                "dataset.classes",
                f"{names[index]!r} at index {index}",
                f"{self.options.name} has this class at index {place}; give the names in its "
                "order, or leave classes out",
            )
        return names

    def _renamed(self, classes: Mapping[str, str], given: Sequence[Entry]) -> list[str]:
        names = list(classes.values())
        place_of, stored = finder(names), {key: place for place, key in enumerate(classes)}
        renamed: dict[int, str] = {}
        for label, name in zip(labels_of(given), names_of(given), strict=True):
            place = stored.get(label, place_of(label))
            if place is None or place in renamed:
                near = difflib.get_close_matches(label, [*names, *classes], n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"its classes: {some(names)}"
                twice = f"is the same class as another label of {self.options.name}; leave one"
                unknown = f"is no class of {self.options.name}; {hint}"
                raise ConfigError(
                    "dataset.classes", repr(label), unknown if place is None else twice
                )
            renamed[place] = name
        return [renamed.get(place, name) for place, name in enumerate(names)]


def chosen_split(benchmark: Benchmark, split: str | None) -> str:
    """The name of the split to use; "" where there are none.

    Raises:
        ConfigError: The data set has no such split.
    """
    names = list(benchmark.splits)
    if split is None:
        return names[0] if names else ""
    if split not in names:
        raise ConfigError(
            "dataset.split",
            repr(split),
            f"{benchmark.name} has {', '.join(names)}"
            if names
            else f"{benchmark.name} has no splits; leave it out",
        )
    return split


def root_of(benchmark: Benchmark, options: DatasetOptions) -> Root:
    """The root of a data set.

    Raises:
        ConfigError: `dataset.metadata` names a table that cannot be one of its.
    """
    given = options.metadata
    if given is not None and not benchmark.table:
        raise ConfigError(
            "dataset.metadata", repr(given), f"{benchmark.name} has no such table; leave it out"
        )
    if given is not None and any(re.search(rule, given) for rule in (ABSOLUTE, CLIMBING)):
        raise ConfigError(
            "dataset.metadata", repr(given), f"name a file below {options.path}, as corrected.csv"
        )
    return Root(options, benchmark.layout, given or benchmark.table)


def _train_counts(
    benchmark: Benchmark, root: Root, classes: Mapping[str, str], attributes: Mapping[str, str]
) -> dict[tuple[int, int], int]:
    """(label, attribute) -> images of the group in the training split, where known.

    They are the published ones, or those of a table that replaces the published one.
    """
    if root.table != benchmark.table:
        rows = benchmark.reader.rows(root, benchmark.splits[_TRAIN])
        items = _select(benchmark, root, rows)
        labels = _indices(items, "label", classes, root)
        pairs = pl.DataFrame({"y": labels, "a": _indices(items, "attribute", attributes, root)})
        return {(y, a): n for y, a, n in pairs.group_by("y", "a").len().iter_rows()}
    train = benchmark.counts.get(_TRAIN)
    if train is None or not train.of_group:
        return {}
    groups = product(range(len(classes)), range(len(attributes)))
    return dict(zip(groups, train.of_group, strict=True))


def _resolved(names: Names, root: Root, rows: pl.DataFrame) -> Mapping[str, str]:
    name_of = names(root, rows) if callable(names) else names
    times = Counter(name_of.values())
    twice = [stored for stored, name in name_of.items() if times[name] > 1]
    if twice:
        raise root.wrong(f"{twice[0]!r} and {twice[1]!r} are both called {name_of[twice[0]]!r}")
    return name_of


def _select(benchmark: Benchmark, root: Root, rows: pl.DataFrame) -> pl.DataFrame:
    """Columns image, label and attribute as texts, mask, box, size and version."""
    text = pl.lit(None, pl.String)
    box = pl.lit(None, pl.List(pl.Float64))
    if benchmark.box:
        unknown = pl.any_horizontal(side.is_null() for side in benchmark.box)
        box = pl.when(~unknown).then(pl.concat_list(benchmark.box))
    mask = text if benchmark.mask is None else benchmark.mask.replace("", None)
    if benchmark.masks and root.lacks(benchmark.masks):
        mask = text
    columns = {
        "image": benchmark.image,
        "label": benchmark.label,
        "attribute": text if benchmark.attribute is None else benchmark.attribute,
        "mask": mask,
        "box": box,
        "size": pl.col("size") if "size" in rows.columns else pl.lit(None, pl.Int64),
        "version": pl.col("version") if "version" in rows.columns else text,
    }
    try:
        return rows.select(**columns)
    except pl.exceptions.ColumnNotFoundError as error:
        missing = str(error).splitlines()[0]
        raise root.wrong(
            f"a table lacks the column {missing}; it has {', '.join(rows.columns[:8])}"
        ) from None
    except pl.exceptions.PolarsError as error:
        raise root.wrong(f"a table holds something else: {str(error)[:200]}") from None


def _indices(items: pl.DataFrame, column: str, names: Mapping[str, str], root: Root) -> pl.Series:
    """Indices of what is stored in a column.

    Raises:
        ConfigError: Something stored is not among `names`.
    """
    texts = items[column]
    if not names:
        return pl.Series([None] * items.height, dtype=pl.Int32)
    strange = items.filter(~pl.col(column).is_in(list(names)) | pl.col(column).is_null())
    if strange.height:
        value, image = strange[column][0], strange["image"][0]
        near = difflib.get_close_matches(str(value), names, n=1)
        known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(list(names)[:10])}"
        raise root.wrong(
            f"{'class' if column == 'label' else column} {value!r} of {image} does not belong "
            f"({strange.height} images)",
            known,
        )
    places = {name: index for index, name in enumerate(names)}
    return texts.replace_strict(places, return_dtype=pl.Int32)
