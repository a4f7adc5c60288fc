"""The formats of data sets: the values of `dataset.format`, and the options of each.

Nothing here imports a source, which takes Polars, so that a mistake is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator

from seraser_core.config.option_group import choice, mistake
from seraser_core.plugins import Group, load_group

ROW_OPTIONS = ("mask", "box", "attribute", "attributes", "split", "label", "id")
"""Options of a data set that describe its rows."""


@dataclass(frozen=True)
class Format:
    """A form in which a data set is kept.

    Attributes:
        implementation: Class of its source, as ``package.module:Class``; see
            `seraser_core.sources.source.Source`.
        what: Description for `dataset.format`.
        options: The ROW_OPTIONS that it has.
        finds_classes: Whether the source knows the classes where none are given.
        labelled: Whether every image has a label, whatever `dataset.label` says.
        without: Reason why another one of ROW_OPTIONS is refused.
        remedy: Advice how to fix it.
    """

    implementation: str
    what: str
    options: tuple[str, ...] = ROW_OPTIONS
    finds_classes: bool = False
    labelled: bool = False
    without: str = "needs columns, and format: {format} has none"
    remedy: str = "use format: table"


FORMATS: Mapping[str, Format] = {
    "table": Format(
        "seraser_core.sources.table:TableSource",
        "CSV, TSV, JSONL or Parquet with image paths",
    ),
    "folder": Format(
        "seraser_core.sources.folder:FolderSource",
        "one folder of images per class",
        options=("attributes",),
        finds_classes=True,
        labelled=True,
    ),
    "webdataset": Format(
        "seraser_core.sources.webdataset:WebDatasetSource",
        "tars",
        options=("mask", "attribute", "attributes", "label"),
    ),
    "parquet": Format(
        "seraser_core.sources.parquet:ParquetSource",
        "images as bytes in the rows, also as the Hugging Face hub keeps them",
        finds_classes=True,
    ),
    "urls": Format(
        "seraser_core.sources.urls:UrlsSource",
        "a text file with one image per line",
        options=("attributes",),
    ),
    "files": Format(
        "seraser_core.sources.urls:FilesSource",
        "all files of a name such as `s3://bucket/prefix/**.jpg`",
        options=("attributes",),
    ),
    "benchmark": Format(
        "seraser_core.sources.benchmarks.benchmark_source:BenchmarkSource",
        "a published data set by its name",
        options=("split",),
        finds_classes=True,
        labelled=True,
        without="is known of a benchmark",
        remedy="leave it out",
    ),
}


def load_formats() -> Group[Format]:
    """Return all formats: ours, and those of the entry points `seraser.sources`."""
    return load_group("seraser.sources", FORMATS, _check)


@cache
def offered_formats() -> Group[Format]:
    """Return what `load_formats` finds on the first call."""
    return load_formats()


def format_choices() -> str:
    """Return the names of our formats with what they are, as a sentence has them."""
    *most, last = (f"{name} ({form.what})" for name, form in FORMATS.items())
    return f"{', '.join(most)} or {last}"


def _check(name: str, offered: object) -> Format:
    if not isinstance(offered, Format):
        raise TypeError(f"{offered!r} is no {Format.__module__}.Format")
    if unknown := set(offered.options) - set(ROW_OPTIONS):
        raise TypeError(f"{name} has options that no data set has: {', '.join(sorted(unknown))}")
    return offered


def _known(value: Any) -> Any:
    offered = offered_formats()
    if isinstance(value, str) and value in offered.faults:
        fault = offered.faults[value]
        raise mistake(fault.problem, fault.remedy)
    return choice(offered.members, value)


FormatName = Annotated[str, BeforeValidator(_known)]
"""Name of a format that can be used."""
