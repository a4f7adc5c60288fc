"""Planning a night of a series: a run of the images that no earlier night has planned."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa

from seraser_core.errors import ConfigError
from seraser_core.results.fingerprints import plan_hash
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import unfinished_runs
from seraser_core.runner.each_run import compute_each
from seraser_core.runner.foregrounds import check_foregrounds
from seraser_core.runner.identify import identify
from seraser_core.runner.plan import Prepared, create_run, resume
from seraser_core.sources.items import ITEMS_SCHEMA
from seraser_core.sources.planner import cut_shards
from seraser_core.waiting import waiting

_COMPARED = ("size", "version", "label", "attribute")
"""Columns that tell whether an image is as it was when it was planned."""
_READ = ("item_id", *_COMPARED)
_SHOWN = 3
_AT_ONCE = 2**20
"""Images that are compared at once: of tens of millions, all would take gigabytes."""


def plan_night(prepared: Prepared, say: Callable[[str], None]) -> str:
    """Plan a run of the images that no run of the series has, and make it the next night.

    Of two that plan at the same time, one makes the night; the other plans what is left then.
    Runs of earlier nights that are unfinished take on the options of the configuration.

    Args:
        prepared: All images that there are now.
        say: Called with one line of text per finished step.

    Returns:
        URL of the series.

    Raises:
        ConfigError: The model or the methods cannot be used as configured.
        RunDirectoryError: A night or its run is damaged.
    """
    _check_methods(prepared, say)
    identified = identify(prepared, say)
    config = prepared.config
    series = Series.of(config.output, config.name, identified.inputs)
    images = _Images(prepared.planned.table)
    known = 0
    while True:
        with waiting("looking for new images"):
            runs = [series.run(night) for night in series.nights()[known:]]
            images.take_out(reversed(runs))
        known += len(runs)
        if not images.new.num_rows:
            break
        say(
            f"series {series.name}, night {known}: {images.new.num_rows:,} of "
            f"{prepared.planned.table.num_rows:,} images are new"
        )
        tonight = _of(prepared, images.planned())
        check_foregrounds(config, tonight.planned.table, say)
        run_url = create_run(tonight, identified, series.url, say)
        if series.add(known, RunDirectory(run_url)):
            break
    for text in images.told():
        say(text)
    if not images.new.num_rows:
        say(f"series {series.name}: none of the images is new")
    with waiting("looking for what is done"):
        newest = series.run(series.nights()[-1])
        for url in {newest.url, *unfinished_runs(series.url)}:
            resume(RunDirectory(url), prepared)
    return series.url


def finish_runs(series_url: str, finish: Callable[[str], object]) -> None:
    """Finish the runs of a series that are not finished, the oldest first.

    Args:
        series_url: The series.
        finish: Computes what is missing of a run and writes its report.

    Raises:
        SeraserError: As of `compute_each`.
    """
    with waiting("looking for what is done"):
        todo = unfinished_runs(series_url)
    compute_each(todo, finish)


def _check_methods(prepared: Prepared, say: Callable[[str], None]) -> None:
    """Refuse methods whose rows would be other ones in a run of all images.

    Raises:
        ConfigError: A method learns from a sample of the whole data set.
    """
    with waiting("importing PyTorch"):
        from seraser_core.methods import Method, method_class
    for options in prepared.config.methods:
        method = method_class(options)
        if method.fit is not Method.fit:
            raise ConfigError(
                f"methods.{options.id}",
                options.name,
                "learns from a sample of the whole data set, which grows: every night it would be "
                "another method; leave it out of the series",
            )
        if method.stateful:
            say(
                f"WARNING: {options.id}: its rows depend on the images before them in the shard, "
                "so those of a series are not those of one run over all images"
            )


class _Images:
    """The listed images, of which those that are planned already are taken out.

    Args:
        table: As `PlannedItems.table`.

    Attributes:
        new: Those that no night has planned: their index and what tells a change.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.new = table.select(["item_index", *_READ])
        self._changed: list[pl.Series] = []
        self._gone = 0

    def take_out(self, runs: Iterable[RunDirectory]) -> None:
        """Take out the images that these runs have planned."""
        for run in runs:
            planned = run.item_columns(_READ)
            self._gone += planned.num_rows
            left = [self._left(*parts) for parts in _side_by_side(self.new, planned)]
            self.new = pa.concat_tables([self.new.slice(0, 0), *left])

    def _left(self, listed: pa.Table, planned: pa.Table) -> pa.Table:
        """The listed images that are not planned; what is to be told of the others is noted."""
        then, now = pl.DataFrame(planned), pl.DataFrame(listed)
        both = now.join(then, on="item_id", suffix="_then")
        self._changed.append(both.filter(_is_changed())["item_id"])
        self._gone -= both.height
        if both.height == now.height:
            return listed.slice(0, 0)
        is_new = ~now["item_id"].is_in(both["item_id"].implode())
        return listed.filter(is_new.to_arrow())

    def planned(self) -> pa.Table:
        """The new ones as a plan of their own."""
        rows = self._table.take(self.new["item_index"])
        index = pa.array(np.arange(rows.num_rows), pa.int64())
        return rows.set_column(0, ITEMS_SCHEMA.field("item_index"), index)

    def told(self) -> Iterable[str]:
        """Yield what people should know of those that are not new."""
        changed = pl.concat([pl.Series("item_id", [], pl.String), *self._changed]).sort()
        if len(changed):
            first = ", ".join(changed.head(_SHOWN))
            more = ", ..." if len(changed) > _SHOWN else ""
            yield (
                f"WARNING: {len(changed):,} images have another file or label than when they were "
                f"planned, and keep their rows: {first}{more}"
            )
        if self._gone:
            yield f"{self._gone:,} images of earlier nights are there no more; their rows stay"


def _side_by_side(listed: pa.Table, planned: pa.Table) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield parts of two tables, both sorted by id, with the same range of ids."""

    def place_after(item_id: str) -> int:
        ids = planned["item_id"]
        return bisect_right(range(len(ids)), item_id, key=lambda place: ids[place].as_py())

    start = 0
    for first in range(0, listed.num_rows, _AT_ONCE):
        part = listed.slice(first, _AT_ONCE)
        stop = place_after(part["item_id"][-1].as_py())
        yield part, planned.slice(start, stop - start)
        start = stop


def _is_changed() -> pl.Expr:
    """Whether a size or version differs, where both are known, or a label or an attribute."""
    files = [pl.col(name) != pl.col(f"{name}_then") for name in ("size", "version")]
    facts = [pl.col(name).ne_missing(pl.col(f"{name}_then")) for name in ("label", "attribute")]
    return pl.any_horizontal(*(one.fill_null(False) for one in files), *facts)


def _of(prepared: Prepared, table: pa.Table) -> Prepared:
    """The run of some images."""
    shards = cut_shards(_sizes(table), prepared.config.shard)
    planned = replace(prepared.planned, table=table, shards=shards)
    return replace(prepared, planned=planned, hashed=plan_hash(table, shards))


def _sizes(table: pa.Table) -> np.ndarray:
    return pl.Series(table["size"]).fill_null(0).to_numpy()
