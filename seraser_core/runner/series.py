"""Planning a night of a series: a run of the images that no earlier night has planned."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa

from seraser_core.config.series import SeriesOptions
from seraser_core.errors import ConfigError
from seraser_core.results.fingerprints import plan_hash
from seraser_core.results.nights import Night
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import unfinished_runs
from seraser_core.runner.each_run import compute_each
from seraser_core.runner.foregrounds import check_foregrounds
from seraser_core.runner.identify import identify
from seraser_core.runner.plan import NOTHING_NEW, Prepared, create_run, resume
from seraser_core.sources.items import ITEMS_SCHEMA
from seraser_core.sources.planner import cut_shards
from seraser_core.waiting import importing, waiting

_COMPARED = ("size", "version", "label", "attribute")
"""Columns that tell whether an image is as it was when it was planned."""
_OF_TABLES = ("image", "mask", "box")
"""Columns that tell more where nothing is known of the files themselves."""
_SHOWN = 3
_AT_ONCE = 2**20
"""Images that are compared at once: of tens of millions, all would take gigabytes."""


def plan_night(prepared: Prepared, options: SeriesOptions, say: Callable[[str], None]) -> str:
    """Plan a run of the images that no run of the series has, and make it the next night.

    Of two that plan at the same time, one makes the night; the other plans what is left then.
    Runs of earlier nights that are unfinished take on the options of the configuration.

    Args:
        prepared: All images that there are now.
        options: Of the series.
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
    images = _Images(prepared.planned.table, options)
    known = 0
    while True:
        with waiting("looking for new images"):
            nights = series.nights()[known:]
            images.take_out([(night, series.run(night)) for night in nights])
        known += len(nights)
        if not images.count:
            break
        say(
            f"series {series.name}, night {known}: {images.new.num_rows:,} of "
            f"{prepared.planned.table.num_rows:,} images are new"
        )
        tonight = _of(prepared, images.planned())
        check_foregrounds(config, tonight.planned.table, say)
        run_url = create_run(tonight, identified, series.url, say)
        if series.add(known, RunDirectory(run_url), images.again.num_rows):
            break
    for text in images.told():
        say(text)
    if not images.count:
        say(NOTHING_NEW.format(series.name))
    with waiting("looking for what is done"):
        newest = series.run(series.nights()[-1])
        left = unfinished_runs(series.url)
        for url in {newest.url, *left}:
            resume(RunDirectory(url), prepared)
    if left and not images.count:
        say(f"{len(left)} of the earlier nights are unfinished")
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
    with importing("PyTorch", "torch"):
        from seraser_core.methods import method_class
    for options in prepared.config.methods:
        method = method_class(options)
        if method.learns(options):
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
        options: What is done with those that have changed.

    Attributes:
        new: Those that no night has planned: their index and what tells a change.
        again: Those that have changed since the last night that planned them, and are to be
            evaluated again, in the same way.
    """

    def __init__(self, table: pa.Table, options: SeriesOptions) -> None:
        self._table, self._keep = table, options.changed == "keep"
        known = table["size"].null_count < table.num_rows
        self._read = ("item_id", *_COMPARED, *(() if known else _OF_TABLES))
        self.new = table.select(["item_index", *self._read])
        self.again = self.new.slice(0, 0)
        self._kept: list[pa.Table] = []
        self._gone = 0

    @property
    def count(self) -> int:
        """Number of images to plan."""
        return int(self.new.num_rows + self.again.num_rows)

    def take_out(self, nights: Sequence[tuple[Night, RunDirectory]]) -> None:
        """Take out the images that these nights, later than those so far, have planned.

        What counts is the last night that planned an image.
        """
        before, changed = self.again, []
        for night, run in reversed(nights):
            planned = run.item_columns(self._read)
            listed = self.new.num_rows
            self.new, new = _compared(self.new, planned)
            before, old = _compared(before, planned)
            self._gone += planned.num_rows - night.again - (listed - self.new.num_rows)
            changed += [new, old]
        if self._keep:
            self._kept += changed
        else:
            self.again = pa.concat_tables([before, *changed]).sort_by("item_index")

    def planned(self) -> pa.Table:
        """The new ones and those to evaluate again, as a plan of their own."""
        wanted = np.zeros(self._table.num_rows, bool)
        for images in (self.new, self.again):
            wanted[images["item_index"].to_numpy()] = True
        if wanted.all():
            return self._table
        rows = self._table.filter(pa.array(wanted))
        index = pa.array(np.arange(rows.num_rows), pa.int64())
        return rows.set_column(0, ITEMS_SCHEMA.field("item_index"), index)

    def told(self) -> Iterator[str]:
        """Yield what people should know of those that are not new."""
        changed = pl.Series(pa.concat_tables([self.again, *self._kept])["item_id"])
        if len(changed):
            first = ", ".join(changed.sort().head(_SHOWN))
            more = ", ..." if len(changed) > _SHOWN else ""
            what = "and keep their rows" if self._keep else "and are evaluated again"
            yield (
                f"WARNING: {len(changed):,} images have another file, mask or label than when they "
                f"were planned, {what}: {first}{more}"
            )
        if self._gone:
            yield f"{self._gone:,} images of earlier nights are there no more; their rows stay"


def _compared(listed: pa.Table, planned: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the listed images that are not planned, and those that were and have changed."""
    left, changed = [listed.slice(0, 0)], [listed.slice(0, 0)]
    for now, then in _side_by_side(listed, planned):
        both = pl.DataFrame(now).join(pl.DataFrame(then), on="item_id", suffix="_then")
        if both.height < now.num_rows:
            left.append(_of_ids(now, both["item_id"], False))
        if len(ids := both.filter(_is_changed(now.column_names))["item_id"]):
            changed.append(_of_ids(now, ids, True))
    return pa.concat_tables(left), pa.concat_tables(changed)


def _of_ids(images: pa.Table, ids: pl.Series, wanted: bool) -> pa.Table:
    """The images whose ids are, or are not, among `ids`."""
    among = pl.Series(images["item_id"]).is_in(ids.implode())
    return images.filter((among if wanted else ~among).to_arrow())


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


def _is_changed(columns: Collection[str]) -> pl.Expr:
    """Whether an image differs in one of these columns; in size or version where both are known."""
    files = [pl.col(name) != pl.col(f"{name}_then") for name in ("size", "version")]
    facts = [
        _fact(name).ne_missing(_fact(name, "_then"))
        for name in ("label", "attribute", *_OF_TABLES)
        if name in columns
    ]
    return pl.any_horizontal(*(one.fill_null(False) for one in files), *facts)


def _fact(name: str, suffix: str = "") -> pl.Expr:
    """A column of `_is_changed`; of a file its name, as data may be moved as a whole."""
    column = pl.col(f"{name}{suffix}")
    return column.str.extract(r"([^/]*)$") if name in ("image", "mask") else column


def _of(prepared: Prepared, table: pa.Table) -> Prepared:
    """The run of some images."""
    shards = cut_shards(_sizes(table), prepared.config.shard)
    planned = replace(prepared.planned, table=table, shards=shards)
    return replace(prepared, planned=planned, hashed=plan_hash(table, shards))


def _sizes(table: pa.Table) -> np.ndarray:
    return pl.Series(table["size"]).fill_null(0).to_numpy()
