"""Auditing the root of a benchmark data set against what was published."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import polars as pl
from PIL import Image, UnidentifiedImageError

from seraser_core import storage
from seraser_core.config.options import DatasetOptions, SplitOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.benchmark_source import BenchmarkSource, chosen_split, root_of
from seraser_core.sources.benchmarks.registry import find_benchmark
from seraser_core.sources.benchmarks.root import NoSplitError, Root
from seraser_core.sources.source import Listing

_HEADER_BYTES = 2**20
_FILES_AT_ONCE = 32
_SHOWN = 3

Advance = Callable[[int, int], None]
"""Gets the number of files read so far, and of all."""


@dataclass(frozen=True)
class Count:
    """Images of a part of a split.

    Attributes:
        split: Name of the split; "" where there are none.
        kind: ``all``, ``class``, ``attribute`` or ``group``.
        name: Name of the class, attribute or group; "" for all.
        images: Images in the root.
        published: Published number; None if unknown.
    """

    split: str
    kind: str
    name: str
    images: int
    published: int | None


@dataclass
class Audit:
    """Contents of a root.

    Attributes:
        dataset: Name of the data set.
        root: Its root.
        counts: Counts of every split, class, attribute and group.
        problems: Problems, one line each.
        notes: Notes for people.
    """

    dataset: str
    root: str
    counts: list[Count] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def audit(
    name: str,
    path: str,
    split: str | None = None,
    quick: bool = False,
    advance: Advance = lambda done, total: None,
    metadata: str | None = None,
) -> Audit:
    """Compare a root with the definition of its data set.

    Args:
        name: Name of the data set.
        path: The root, a local path or URL.
        split: The only split to look at; else all of them.
        quick: Do not open the images.
        advance: Told of the progress of opening them.
        metadata: The table in place of the published one; then published numbers do not apply.

    Raises:
        ConfigError: There is no such data set or split.
    """
    benchmark = find_benchmark(name)
    splits = [chosen_split(benchmark, split)] if split else list(benchmark.splits) or [""]
    report = Audit(name, path, notes=[benchmark.trap] if benchmark.trap else [])
    listings: list[Listing] = []
    for one in splits:
        options = DatasetOptions(
            format="benchmark",
            name=name,
            path=path,
            metadata=metadata,
            split=SplitOptions(values=[one]) if one else None,
        )
        try:
            listing = BenchmarkSource(options).listing()
        except ConfigError as error:
            expected = not benchmark.public or one in benchmark.public
            if isinstance(error, NoSplitError) and not expected and not split:
                continue
            problem = f"{one + ': ' if one else ''}{error.value} -> {error.remedy}"
            report.problems.append(problem)
            continue
        listings.append(listing)
        report.notes += [line for line in listing.warnings if line not in report.notes]
        published = Counts(-1) if metadata else benchmark.counts.get(one, Counts(-1))
        _count(report, benchmark, published, one, listing)
    if listings:
        items = pl.concat([listing.items for listing in listings])
        root = root_of(benchmark, DatasetOptions(format="benchmark", name=name, path=path))
        present = _compare_files(report, root, items, whole=not split and not report.problems)
        if not quick:
            _open_all(report, path, present, advance)
    return report


def _count(
    report: Audit, benchmark: Benchmark, published: Counts, split: str, listing: Listing
) -> None:
    items = listing.items
    of_class, of_attribute = _sizes(items, "label"), _sizes(items, "attribute")
    of_group = _sizes(items, "label", "attribute")
    attributes = range(len(listing.attributes))
    labels = [i for i in range(len(listing.classes)) if (i,) in of_class or not benchmark.sparse]
    classes = [listing.classes[i] for i in labels]

    def add(kind: str, names: Sequence[str], images: Sequence[int], known: Sequence[int]) -> None:
        expected: Sequence[int | None] = known or [None] * len(names)
        for name, here, there in zip(names, images, expected, strict=True):
            report.counts.append(Count(split, kind, name, here, there))

    total = [published.images] if published.images >= 0 else []
    add("all", [""], [items.height], total)
    add("class", classes, [of_class.get((i,), 0) for i in labels], published.of_class)
    if attributes:
        sizes = [of_attribute.get((i,), 0) for i in attributes]
        add("attribute", listing.attributes, sizes, published.of_attribute)
        groups = list(product(labels, attributes))
        names = [f"{listing.classes[i]} / {listing.attributes[j]}" for i, j in groups]
        add("group", names, [of_group.get(group, 0) for group in groups], published.of_group)
    for count in (count for count in report.counts if count.split == split):
        part = f"{count.kind} {count.name}" if count.name else ""
        where = ", ".join(text for text in (split, part) if text) or "all"
        if count.published is not None:
            if count.images != count.published:
                report.problems.append(
                    f"{where}: {count.images} images, published {count.published}"
                )
        elif count.kind == "class" and not count.images:
            report.problems.append(f"{where}: no image")
    twice = items["item_id"].filter(items["item_id"].is_duplicated()).unique()
    if len(twice):
        report.problems.append(f"{split or 'all'}: {_some(twice)} listed more than once")


def _sizes(items: pl.DataFrame, *columns: str) -> dict[tuple[int, ...], int]:
    counted = items.drop_nulls(columns).group_by(columns).len()
    return {tuple(row[:-1]): row[-1] for row in counted.rows()}


def _compare_files(report: Audit, root: Root, items: pl.DataFrame, whole: bool) -> list[str]:
    """Report missing and additional files, and return the images that exist.

    Args:
        report: Gets the problems and notes.
        root: The root.
        items: The listed images.
        whole: Whether all splits are listed, so that other images belong to none.
    """
    files = root.images()
    images = items["image"].unique(maintain_order=True)
    listed = {"image": images, "mask": items["mask"].drop_nulls().unique(maintain_order=True)}
    for kind, names in listed.items():
        missing = [name for name in names if name not in files]
        if missing:
            report.problems.append(f"{_number(missing, kind)} missing: {_some(missing)}")
    known = {name for names in listed.values() for name in names}
    extra = [name for name in files if name not in known]
    if whole and extra:
        report.notes.append(f"{_number(extra, 'image')} not part of it: {_some(extra)}")
    return [name for name in images if name in files]


def _open_all(report: Audit, path: str, images: Sequence[str], advance: Advance) -> None:
    """Report the images that cannot be opened."""
    broken = []
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        faults = pool.map(partial(_fault, path), images)
        for done, (name, fault) in enumerate(zip(images, faults, strict=True), start=1):
            if fault:
                broken.append(f"{name} ({fault})")
            advance(done, len(images))
    if broken:
        report.problems.append(f"{_number(broken, 'image')} unreadable: {_some(broken)}")


def _fault(path: str, name: str) -> str | None:
    """Return why the header of an image cannot be read, or None."""
    try:
        data = storage.read_bytes(storage.join(path, name), most=_HEADER_BYTES)
        Image.open(io.BytesIO(data)).close()
    except (OSError, TransientError) as error:
        return "no picture" if isinstance(error, UnidentifiedImageError) else str(error)
    except Exception as error:  # Pillow's plugins raise all kinds of errors on damaged headers
        return f"{type(error).__name__}: {error}"
    return None


def _number(names: Sequence[str], noun: str) -> str:
    return f"{len(names)} {noun}{'s are' if len(names) > 1 else ' is'}"


def _some(names: Sequence[str] | pl.Series) -> str:
    return ", ".join(list(names)[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
