"""A run that is looked at again and again while it is computed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import polars as pl

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.records import Commit, Failure
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import (
    WANTED,
    Damaged,
    Done,
    Failed,
    Open,
    Running,
    State,
    attempt_file,
    commit_file,
    commits_of,
    newest,
    request_file,
)
from seraser_core.results.status import describe
from seraser_core.results.sums import merge
from seraser_core.results.tables import make_tables
from seraser_core.sources.items import ShardRange

logger = logging.getLogger(__name__)
_RARELY = 20
"""Times that a look took, to be waited for before the next one."""


@dataclass(frozen=True)
class Seen:
    """A run as it was at one moment.

    Attributes:
        directory: Where it is.
        states: Of its shards.
    """

    directory: RunDirectory
    states: Mapping[str, State]

    @cached_property
    def commits(self) -> dict[str, Commit]:
        """Shard id -> newest commit, of the shards that are done."""
        return commits_of(self.states)

    @cached_property
    def status(self) -> dict[str, Any]:
        """The document of `seraser_core.results.status`, without what only rows tell."""
        return describe(self.directory, self.states, rows=False)

    @cached_property
    def tables(self) -> dict[str, pl.DataFrame]:
        """``summary`` and ``groups`` of the shards that are done; of none, empty."""
        if not self.commits:
            return {"summary": pl.DataFrame(), "groups": pl.DataFrame()}
        sums = merge([commit.methods for commit in self.commits.values()])
        tables = make_tables(sums, self.directory.run)
        return {name: tables[name] for name in ("summary", "groups")}


class WatchedRun(RunDirectory):
    """A run of which no record is read twice.

    Commits never change, so they are kept, but without the confusions of classes, which may be
    large: no report is to be made from it.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._commits: dict[tuple[str, int], Commit] = {}
        self._failures: dict[str, tuple[storage.FileInfo, Failure | None]] = {}

    def commit(self, shard_id: str, n: int) -> Commit:
        """See `RunDirectory.commit`."""
        if (shard_id, n) not in self._commits:
            self._commits[shard_id, n] = _light(super().commit(shard_id, n))
        return self._commits[shard_id, n]

    def look(self) -> Seen:
        """Look at the run: list two folders, and read what is new in them.

        Whether rows are there that commits name is not looked at.

        Raises:
            RunDirectoryError: There is no run, or a file cannot be read.
            TransientError: A fault that may pass.
        """
        names, begun = self._commit_names(), self.files("failures")
        if self._commits and not any(names.values()):
            self._read_run()  # whose folder may be gone by now

        def state(shard: ShardRange) -> State:
            return self._seen(shard.id, names[shard.id], begun.get(f"{shard.id}.json"))

        with ThreadPoolExecutor(records.READERS) as pool:
            states = dict(
                zip([s.id for s in self.shards()], pool.map(state, self.shards()), strict=True)
            )
        return Seen(self, states)

    def _seen(self, shard_id: str, names: list[str], begun: storage.FileInfo | None) -> State:
        n = newest(shard_id, names)
        if n is None:
            latest = None if begun is None else self._failure(shard_id, begun)
            if latest is None:
                return Open()
            return Running(latest) if latest.error is None else Failed(latest)
        try:
            commit = self.commit(shard_id, n)
        except RunDirectoryError as error:
            file = commit_file(shard_id, n)
            return Damaged(file, str(error).removeprefix(f"{self.path(file)} "), n, None)
        request = request_file(shard_id, n)
        if request.rpartition("/")[2] in names:
            return Damaged(request, WANTED, n, commit, wanted=True)
        return Done(commit, attempt_file(commit), {})

    def _failure(self, shard_id: str, there: storage.FileInfo) -> Failure | None:
        """The latest attempt at a shard, read again where its file is another one."""
        known = self._failures.get(shard_id)
        if known is None or known[0] != there:
            known = self._failures[shard_id] = there, self.latest(shard_id)
        return known[1]


class Watch:
    """Looks at a run from a thread of its own while it is computed.

    A look that fails is left out: what is watched goes on.

    Args:
        run: The run.
        show: Given what was seen, from that thread; at the end once more, by whoever ends it,
            unless that is an interruption.
        every_s: Seconds from one look to the next; more where a look takes long.
    """

    def __init__(self, run: WatchedRun, show: Callable[[Seen], None], every_s: float) -> None:
        self._run, self._show, self._every_s = run, show, every_s
        self._fails = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if kind is None or issubclass(kind, Exception):  # no interruption, which waits for nobody
            self._thread.join()
            self._look()

    def _look_on(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            began = time.monotonic()
            self._look()
            pause = max(self._every_s, _RARELY * (time.monotonic() - began))

    def _look(self) -> None:
        try:
            self._show(self._run.look())
            self._fails = False
        except Exception as error:  # what is shown must not cost what is computed
            level = logging.DEBUG if self._fails else logging.WARNING
            logger.log(level, "%s cannot be watched: %s", self._run.url, error)
            self._fails = True


def _light(commit: Commit) -> Commit:
    """The commit without its confusions."""
    methods = {
        name: sums.model_copy(update={"confusion": {}}) for name, sums in commit.methods.items()
    }
    return commit.model_copy(update={"methods": methods})
