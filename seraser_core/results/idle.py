"""Runs that were begun and that nobody finishes, told from their files alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.nights import is_series, read_nights
from seraser_core.results.reading import read_report
from seraser_core.results.records import Record
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import Damaged, Done, State

MOST_TRIES = 3
"""Times that a run is taken up without a new commit; then somebody must look at it."""
_FILE = "tended.json"


class Tended(Record):
    """tended.json: how often a run was taken up since its last commit.

    Attributes:
        done: Shards that were done when it was taken up.
        tries: Times that it was taken up with so many.
    """

    done: int
    tries: int


@dataclass(frozen=True)
class Unfinished:
    """A run with shards to compute, or without a report of all of them.

    Attributes:
        directory: The run.
        done: Shards that are done.
        idle_minutes: Minutes since somebody last planned, began, failed or committed anything.
        tries: Times that it was taken up since the last change of `done`.
    """

    directory: RunDirectory
    done: int
    idle_minutes: float
    tries: int

    @property
    def is_given_up(self) -> bool:
        """Whether it was taken up too often without a new commit."""
        return self.tries >= MOST_TRIES

    def take_up(self) -> None:
        """Count a try, before it is made: one that kills its process counts as well."""
        tended = Tended(done=self.done, tries=self.tries + 1)
        url = self.directory.path(_FILE)
        with records.writing(url):
            storage.write_bytes(url, tended.encode())

    def __str__(self) -> str:
        shards = len(self.directory.shards())
        return f"{self.directory.url} ({self.done} of {shards} shards done)"


def run_directories(output: str) -> Iterator[str]:
    """Yield the URLs of the runs of a folder, those of the series in it among them.

    Of a series, that are the runs of its nights: another one, whose planner was killed, would have
    images a second time.

    Raises:
        RunDirectoryError: It cannot be read.
    """
    if is_series(output):
        yield from (run.url for run in Series(output).runs())
        return
    with records.reading(output):
        names = sorted(storage.list_folders(output))
    for name in names:
        url = storage.join(output, name)
        if storage.exists(storage.join(url, "run.json")):
            yield url
        elif is_series(url):
            yield from run_directories(url)


def series_to_report(output: str) -> Iterator[str]:
    """Yield the URLs of the series of a folder whose runs are finished and whose report is not.

    Raises:
        RunDirectoryError: It cannot be read, or a night or its run is damaged.
        TransientError: A fault that may pass.
    """
    with records.reading(output):
        folders = [storage.join(output, name) for name in sorted(storage.list_folders(output))]
    for url in filter(is_series, [output, *folders]):
        runs = Series(url).runs()
        if not _is_reported(url) and all(unfinished(run.url) is None for run in runs):
            yield url


def unfinished(url: str) -> Unfinished | None:
    """Return a run as it is found; None if it is finished.

    A finished one costs two listings and the reading of its plan and report, not of its commits.

    Raises:
        RunDirectoryError: It is damaged, or cannot be read.
        TransientError: A fault that may pass.
    """
    directory = RunDirectory(url)
    if len(directory.listed()[0]) == len(directory.shards()) and _has_report(directory):
        return None
    states = directory.states()
    done = sum(isinstance(state, Done) for state in states.values())
    planned = datetime.fromisoformat(directory.run.created).astimezone(UTC)
    last = max([planned, *(moment for state in states.values() for moment in _signs(state))])
    idle = (datetime.now(UTC) - last).total_seconds() / 60
    return Unfinished(directory, done, idle, _tries(directory, done))


def forget_tries(directory: RunDirectory) -> None:
    """Remove the record of tries of a run that is finished."""
    storage.delete(directory.path(_FILE))


def _is_reported(series_url: str) -> bool:
    """Return whether there is a report of all nights."""
    try:
        reported = set(read_report(series_url, "nights")["night"])
    except (RunDirectoryError, pl.exceptions.ColumnNotFoundError):
        return False
    return reported == {night.n for night in read_nights(series_url)}


def _has_report(directory: RunDirectory) -> bool:
    """Return whether there is a report of every image."""
    try:
        images = read_report(directory.url, "summary")["images"]
    except (FileNotFoundError, RunDirectoryError, pl.exceptions.ColumnNotFoundError):
        return False
    return bool((images == sum(map(len, directory.shards()))).all())


def _signs(state: State) -> Iterator[datetime]:
    """When somebody last committed a shard, and when one last began or failed it."""
    if isinstance(state, Done | Damaged) and state.commit is not None:
        yield datetime.fromtimestamp(state.commit.finished, UTC)
    if not isinstance(state, Done) and state.latest is not None:
        yield state.latest.moment


def _tries(directory: RunDirectory, done: int) -> int:
    url = directory.path(_FILE)
    try:
        tended = Tended.read(url)
    except FileNotFoundError:
        return 0
    return tended.tries if tended.done == done else 0
