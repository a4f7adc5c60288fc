"""A series: runs over data that grows, each of which evaluates what was new.

The folder of a series holds its runs, and::

    series/<n>.json    a night: which run it is; created once, never replaced
    report/            of all nights, merged

Only runs that a night names belong to the series: the directory of a planner that was killed before
it made its night does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import polars as pl

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.counted import CountedRun, no_images
from seraser_core.results.fingerprints import fingerprint
from seraser_core.results.nights import Night, is_series, night_file, read_nights
from seraser_core.results.records import RunRecord
from seraser_core.results.shards import RunDirectory

RUNS_AT_ONCE = 8
"""Runs that are looked at at once: each takes several small reads from far away at a time."""


class Series:
    """A series on a local disk or in object storage.

    Attributes:
        url: Where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @classmethod
    def of(cls, output: str, name: str, inputs: Mapping[str, Any]) -> Self:
        """The series of the runs that are alike but for their images.

        Args:
            output: Folder or URL of the series.
            name: First part of its name.
            inputs: All that can change a row, see `fingerprint_inputs`.
        """
        return cls(storage.join(output, f"{name}-{series_mark(inputs)[:12]}"))

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.url.rsplit("/", 1)[-1]

    def path(self, *parts: str) -> str:
        """URL of a file in the series."""
        return storage.join(self.url, *parts)

    def nights(self) -> list[Night]:
        """See `read_nights`."""
        return read_nights(self.url)

    def run(self, night: Night) -> RunDirectory:
        """The run of a night.

        Raises:
            RunDirectoryError: It is missing or damaged, or another one.
        """
        directory = RunDirectory(self.path(night.run_id))
        try:
            run = directory.run
        except RunDirectoryError as error:
            named = f"{error}; night {night.n} names this run: restore it from a copy"
            raise RunDirectoryError(named) from error
        if run.fingerprint != night.fingerprint:
            raise RunDirectoryError(f"{directory.url} is not the run that night {night.n} names")
        return directory

    def runs(self) -> list[RunDirectory]:
        """The runs of all nights, in order.

        Raises:
            RunDirectoryError: As of `nights` and `run`, or there is no night.
        """
        nights = self.nights()
        if not nights:
            raise RunDirectoryError(f"{self.url} is no series: it has no {night_file(0)}")
        with ThreadPoolExecutor(records.READERS) as pool:
            return list(pool.map(self.run, nights))

    def counted(self) -> list[CountedRun]:
        """The runs of all nights as the report counts them, in order.

        Raises:
            RunDirectoryError: As of `runs`.
        """
        nights, runs, counted = self.nights(), self.runs(), []
        with ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
            states = list(pool.map(RunDirectory.states, runs))
        later = no_images()
        for night, run, of_shards in reversed([*zip(nights, runs, states, strict=True)]):
            replaced = no_images()
            if night.again or len(later):
                ids = pl.Series("item_id", run.item_columns(["item_id"])["item_id"])
                replaced = ids.filter(ids.is_in(later.implode()))
                later = pl.concat([later, ids]) if night.again else later
            counted.append(CountedRun(run, of_shards, replaced))
        return counted[::-1]

    def add(self, n: int, directory: RunDirectory, again: int = 0) -> bool:
        """Make a planned run that of night n.

        Args:
            n: The night.
            directory: The run.
            again: Number of its images that an earlier night has, too.

        Returns:
            False if there is that night already.
        """
        night = Night(
            n=n,
            run_id=directory.run.run_id,
            fingerprint=directory.run.fingerprint,
            images=sum(map(len, directory.shards())),
            planned=records.now(),
            again=again,
        )
        return storage.create(self.path(night_file(n)), night.sealed())


def described_run(url: str) -> RunRecord:
    """The run.json of a run; of a series, that of its newest run under the series' own name.

    Raises:
        RunDirectoryError: There is neither.
    """
    if not is_series(url):
        return RunDirectory(url).run
    series = Series(url)
    newest = series.run(series.nights()[-1]).run
    return newest.model_copy(update={"run_id": series.name})


def series_mark(inputs: Mapping[str, Any]) -> str:
    """SHA-256 over all that can change a row but the images."""
    return fingerprint({name: value for name, value in inputs.items() if name != "plan"})
