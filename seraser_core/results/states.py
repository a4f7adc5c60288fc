"""States of a shard: the answers to the one question whether it is done, and how they are found."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.records import Commit, Failure
from seraser_core.results.run import PlannedRun
from seraser_core.sources.items import ShardRange

_NUMBER = r"0|[1-9][0-9]*"
_OTHER_FILE = "is not the file that its commit names"
WANTED = "asks for the shard to be computed again"
"""The fault of a shard of which somebody wants other rows."""


@dataclass(frozen=True)
class Open:
    """Nothing is committed, and nobody has begun."""

    n = -1
    latest = None


@dataclass(frozen=True)
class Running:
    """Nothing is committed; a worker has begun, and may have died since.

    Attributes:
        latest: What it wrote when it began.
    """

    latest: Failure
    n = -1


@dataclass(frozen=True)
class Failed:
    """Nothing is committed, and the latest attempt failed.

    Attributes:
        latest: How it failed.
    """

    latest: Failure
    n = -1


@dataclass(frozen=True)
class Done:
    """The rows that the newest commit names are there.

    Attributes:
        commit: The newest commit.
        file: Path of a file with them, in the run directory.
        faults: Path of the other file that should have them -> what is wrong with it.
    """

    commit: Commit
    file: str
    faults: Mapping[str, str]

    @property
    def n(self) -> int:
        """Number of the newest commit."""
        return self.commit.n

    def is_of(self, commit: Commit) -> bool:
        """Return whether the newest commit names the rows of `commit`."""
        return self.commit.sha256 == commit.sha256


@dataclass(frozen=True)
class Damaged:
    """There is a commit, and yet the shard is to be computed again.

    Attributes:
        file: Path of what is wrong, in the run directory.
        what: What is wrong with it.
        n: Number of the newest commit.
        commit: The newest one that can be read.
        wanted: Whether somebody asks for it to be computed again.
        latest: The latest attempt since then, unless it came to a good end.
    """

    file: str
    what: str
    n: int
    commit: Commit | None
    wanted: bool = False
    latest: Failure | None = None

    def is_of(self, commit: Commit) -> bool:
        """Return whether the newest commit names its rows, and nobody wants another one."""
        if self.wanted or self.commit is None:
            return False
        return (self.commit.n, self.commit.sha256) == (self.n, commit.sha256)


State = Open | Running | Failed | Done | Damaged


class ShardStates(PlannedRun):
    """The states of a run's shards, as its files say."""

    def state(self, shard_id: str, deep: bool = False) -> State:
        """Return the state of a shard.

        Args:
            shard_id: The shard.
            deep: Whether to hash its rows; else their sizes must do.

        Raises:
            RunDirectoryError: There is no run, or a file cannot be read.
        """
        while True:
            names, latest = self.files("commits", f"{shard_id}."), self.latest(shard_id)
            # Of an attempt that failed nobody knows how far it came.
            state = self._state(shard_id, names, self._look, latest, deep or latest is not None)
            # Rows that are gone may have been superseded since their commit was listed.
            if not isinstance(state, Damaged) or self._newest(shard_id) == state.n:
                return state

    def states(self, deep: bool = False) -> dict[str, State]:
        """Return the state of every planned shard, in order, from a listing of each folder.

        Args:
            deep: As of `state`, for all shards.

        Raises:
            RunDirectoryError: There is no run, or a file cannot be read.
        """
        shards = self.shards()
        names = self._commit_names()  # before the rows that they name
        with ThreadPoolExecutor(records.READERS) as pool:
            attempts, published, begun = pool.map(
                self.files, ("attempts", "predictions", "failures")
            )
            files = {f"attempts/{name}": file for name, file in attempts.items()}
            files |= {f"predictions/{name}": file for name, file in published.items()}

            def state(shard: ShardRange) -> State:
                if f"{shard.id}.json" in begun:
                    return self.state(shard.id, deep)
                state = self._state(shard.id, names[shard.id], files.get, None, deep)
                return self.state(shard.id, deep) if isinstance(state, Damaged) else state

            return dict(zip([shard.id for shard in shards], pool.map(state, shards), strict=True))

    def listed(self) -> tuple[set[str], set[str]]:
        """Return the ids of the shards that are done, and of the others that have begun or failed.

        They are told from names alone, so damage does not show.

        Raises:
            RunDirectoryError: There is no run, or a file cannot be read.
        """
        planned, names = {shard.id for shard in self.shards()}, self._commit_names()
        done = {name for name in planned if _counts(name, names[name])}
        failures = self.files("failures")
        return done, (planned - done) & {name.removesuffix(".json") for name in failures}

    def _commit_names(self) -> defaultdict[str, list[str]]:
        """Shard id -> names of its commits and of requests to compute it again."""
        names = defaultdict(list)
        for name in self.files("commits"):
            names[name.partition(".")[0]].append(name)
        return names

    def files(self, folder: str, prefix: str = "") -> dict[str, storage.FileInfo]:
        """The files in a folder of the run directory whose names begin with `prefix`.

        Raises:
            RunDirectoryError: It cannot be listed.
        """
        url = self.path(folder)
        with records.reading(url):
            return storage.find_files(url, prefix=prefix)

    def _newest(self, shard_id: str) -> int | None:
        """Number of the newest commit of a shard; None without any."""
        return newest(shard_id, self.files("commits", f"{shard_id}."))

    def _state(
        self,
        shard_id: str,
        names: Collection[str],
        look: Callable[[str], storage.FileInfo | None],
        latest: Failure | None,
        deep: bool,
    ) -> State:
        """The state of a shard.

        Args:
            shard_id: The shard.
            names: Of its commits and of requests.
            look: Finds a file of the run directory; None when it is missing.
            latest: The latest attempt that has begun or failed, if there is one.
            deep: Whether to hash its rows.
        """
        n = newest(shard_id, names)
        if n is None:
            if latest is None:
                return Open()
            return Running(latest) if latest.error is None else Failed(latest)
        file, wanted = commit_file(shard_id, n), request_file(shard_id, n)
        try:
            commit = self.commit(shard_id, n)
        except RunDirectoryError as error:
            what = str(error).removeprefix(f"{self.path(file)} ")
            return Damaged(file, what, n, self._older(shard_id, n, names), False, latest)
        again = not _counts(shard_id, names)
        files = attempt_file(commit), published_file(shard_id)
        attempt, published = map(look, files)
        # An older attempt may have been published late; there is none of a first commit.
        sure = n == 0 or _is_published_from(published, attempt)
        looked = {
            files[0]: self._fault(files[0], attempt, commit, deep),
            files[1]: self._fault(files[1], published, commit, deep or not sure),
        }
        faults = {file: fault for file, fault in looked.items() if fault is not None}
        if len(faults) == len(files):
            file = files[0] if published is None else files[1]
            return Damaged(file, faults[file], n, commit, again, latest)
        if again:
            return Damaged(wanted, WANTED, n, commit, again, latest)
        return Done(commit, next(file for file in files if file not in faults), faults)

    def _look(self, file: str) -> storage.FileInfo | None:
        url = self.path(file)
        with records.reading(url):
            return storage.find(url)

    def _fault(
        self, file: str, there: storage.FileInfo | None, commit: Commit, deep: bool
    ) -> str | None:
        """Return the fault of a file that should have the rows of a commit; None without one."""
        if there is None:
            return "is missing"
        if there.size != commit.bytes:
            return f"has {there.size} bytes, not the {commit.bytes} that its commit names"
        try:
            other = deep and self._hash(file) != commit.sha256
        except RunDirectoryError as error:
            return str(error).removeprefix(f"{self.path(file)} ")
        return _OTHER_FILE if other else None

    def _hash(self, file: str) -> str | None:
        data = self._data(file)
        return None if data is None else hashlib.sha256(data).hexdigest()

    def _data(self, file: str) -> bytes | None:
        try:
            return records.read(self.path(file))
        except FileNotFoundError:
            return None

    def commit(self, shard_id: str, n: int) -> Commit:
        """Commit n of a shard.

        Raises:
            RunDirectoryError: It is missing or damaged, or of another shard or run.
        """
        url = self.path(commit_file(shard_id, n))
        try:
            data = records.read(url)
        except FileNotFoundError:
            raise RunDirectoryError(f"{url} is missing") from None
        commit = Commit.parse(data, url)
        fault = records.seal_fault(data)
        if fault is None and (commit.shard, commit.n) != (shard_id, n):
            fault = f"is commit {commit.n} of shard {commit.shard}"
        if (commit.fingerprint, commit.plan_hash) != (self.run.fingerprint, self.run.plan_hash):
            fault = "is of another configuration or plan"
        lacking = [name for name in self.run.method_ids if name not in commit.methods]
        if fault is None and lacking:
            fault = f"is damaged: it has no sums of {lacking[0]!r}"
        if fault:
            raise RunDirectoryError(f"{url} {fault}")
        return commit

    def _older(self, shard_id: str, n: int, names: Collection[str]) -> Commit | None:
        """The newest commit before n that can be read."""
        for older in sorted((m for m in _numbers(shard_id, names) if m < n), reverse=True):
            try:
                return self.commit(shard_id, older)
            except RunDirectoryError:
                continue
        return None

    def commits(self) -> dict[str, Commit]:
        """Shard id -> newest commit, of the shards that are done."""
        return commits_of(self.states())

    def latest(self, shard_id: str) -> Failure | None:
        """The latest attempt at a shard that has begun or failed; None when it is done.

        A record that cannot be read is shown as such: it must not hide how the run is.
        """
        url = self.path(failure_file(shard_id))
        try:
            return Failure.read(url)
        except FileNotFoundError:
            return None
        except RunDirectoryError as error:
            return Failure.now(shard_id, 0, error="unreadable record", message=str(error))


def attempt_file(commit: Commit) -> str:
    """Path of the rows of a commit, in the run directory.

    It says which commit the rows are for: once there is commit n, no other attempt at it counts any
    more, nor will it.
    """
    return f"attempts/{commit.shard}.{commit.n}-{commit.sha256[:12]}.parquet"


def attempt_number(shard_id: str, name: str) -> int | None:
    """Return which commit an attempt is for; None of other files.

    Args:
        shard_id: The shard.
        name: Of a file in ``attempts/``.
    """
    match = re.fullmatch(rf"{re.escape(shard_id)}\.({_NUMBER})-[0-9a-f]{{12}}\.parquet", name)
    return int(match[1]) if match else None


def published_file(shard_id: str) -> str:
    """Path of the rows for people and Polars."""
    return f"predictions/{shard_id}.parquet"


def commit_file(shard_id: str, n: int) -> str:
    """Path of a commit."""
    return f"commits/{shard_id}.{n}.json"


def request_file(shard_id: str, n: int) -> str:
    """Path of what asks for a shard to be computed again although it has commit n."""
    return f"commits/{shard_id}.{n}.again"


def failure_file(shard_id: str) -> str:
    """Path of the record of the latest attempt."""
    return f"failures/{shard_id}.json"


def newest(shard_id: str, names: Collection[str]) -> int | None:
    """Number of the newest commit of a shard, of which these are the names; None without any."""
    return max(_numbers(shard_id, names), default=None)


def _numbers(shard_id: str, names: Collection[str]) -> list[int]:
    pattern = re.compile(rf"{re.escape(shard_id)}\.({_NUMBER})\.json")
    return [int(match[1]) for match in map(pattern.fullmatch, names) if match]


def _is_published_from(
    published: storage.FileInfo | None, attempt: storage.FileInfo | None
) -> bool:
    """Return whether a listing alone tells that one file was published from the other."""
    if published is None or attempt is None:
        return False
    return published.mark is not None and published.mark == attempt.mark


def _counts(shard_id: str, names: Collection[str]) -> bool:
    """Return whether there is a commit, and nobody asks for the shard to be computed again."""
    n = newest(shard_id, names)
    return n is not None and request_file(shard_id, n).rpartition("/")[2] not in names


def commits_of(states: Mapping[str, State]) -> dict[str, Commit]:
    """Shard id -> newest commit, of the shards that are done."""
    return {name: state.commit for name, state in states.items() if isinstance(state, Done)}


def failures_of(states: Mapping[str, State]) -> dict[str, Failure]:
    """Shard id -> how the latest attempt failed, of the shards that are not done."""
    latest = {n: state.latest for n, state in states.items() if not isinstance(state, Done)}
    return {n: failure for n, failure in latest.items() if failure is not None and failure.error}
