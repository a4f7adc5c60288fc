"""The life of a shard: attempts, commits, the published copy, and the answer whether it is done.

The rows of an attempt get a name that says their content, and never change. A commit names the rows
that count. It is created if there is none of its number and never replaced, so of many workers one
is the next. Then its rows are published under predictions/, which any process may do again.
"""

from __future__ import annotations

import hashlib
import io
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import RunDirectoryError, TransientError
from seraser_core.redaction import redacted
from seraser_core.results import records
from seraser_core.results.parquet import predictions_to_parquet, with_inputs
from seraser_core.results.records import Commit, Computed, Failure, Input, newly_failed
from seraser_core.results.rows import describe_row, failed_rows, is_same_rows
from seraser_core.results.states import (
    Damaged,
    Done,
    ShardStates,
    State,
    attempt_file,
    commit_file,
    failure_file,
    published_file,
    request_file,
)
from seraser_core.sources.items import ShardRange

_MASKS_PER_FOLDER = 1000
_MESSAGE_LENGTH = 2000


class RunDirectory(ShardStates):
    """A run directory on a local disk or in object storage."""

    def mask_path(self, kind: str, item_index: int) -> str:
        """Where the mask of an image is kept, when a run makes masks: one PNG per image."""
        folder = f"{item_index // _MASKS_PER_FOLDER:06d}"
        return self.path("masks", kind, folder, f"{item_index:09d}.png")

    def predictions_path(self, shard_id: str) -> str:
        """Where the rows of a shard are for people and Polars."""
        return self.path(published_file(shard_id))

    def missing(self) -> list[ShardRange]:
        """The planned shards that are to be computed; of others, rows that are gone are restored.

        Raises:
            RunDirectoryError: There is no run, or a file cannot be read.
        """
        states = self.states()
        self.restore(states)
        return [shard for shard in self.shards() if not isinstance(states[shard.id], Done)]

    def restore(self, states: Mapping[str, State]) -> None:
        """Put the rows of shards that are done where one of their two files is not as it should be.

        Neither the model nor an image is needed for it.
        """
        for shard_id, state in states.items():
            if not isinstance(state, Done):
                continue
            for file in state.faults:
                if file == published_file(shard_id):
                    self.publish(shard_id)
                    continue
                data = records.read(self.path(state.file))
                # Rows of an older commit may have the same size, and were published late.
                if hashlib.sha256(data).hexdigest() == state.commit.sha256:
                    storage.write_bytes(self.path(file), data)

    def items_to_read(self, shard_id: str, state: State) -> pa.Table:
        """The items of a shard with what its commit says of files that are not as planned.

        Raises:
            RunDirectoryError: As `items`.
        """
        return with_inputs(self.items(shard_id), _inputs(state))

    def write_shard(
        self,
        shard_id: str,
        rows: pa.Table,
        computed: Computed,
        before: State,
        cause: str = "run",
        inputs: Mapping[int, Input] | None = None,
    ) -> Commit:
        """Commit the rows of a shard and publish them.

        Args:
            shard_id: The shard.
            rows: One per item and method.
            computed: What is known of them.
            before: The state in which the shard was found, which led to computing it.
            cause: See `Commit`.
            inputs: Files that were read though they are not as the items to read had them.

        Returns:
            The newest commit: this one, or that of another worker who was faster, unless this
            one keeps all its good rows and has more.

        Raises:
            TransientError: Rows that were good would become error rows; nothing is written.
        """
        began = time.perf_counter()
        failed = failed_rows(rows)
        self._check_keeps(shard_id, rows, failed, before)
        data = predictions_to_parquet(rows)
        sha256, errors = hashlib.sha256(data).hexdigest(), sum(map(len, failed.values()))
        attempt = self.path(attempt_file(shard_id, sha256))
        storage.write_bytes(attempt, data)
        commit = Commit(
            **dict(computed),
            shard=shard_id,
            n=before.n + 1,
            fingerprint=self.run.fingerprint,
            plan_hash=self.run.plan_hash,
            rows=rows.num_rows,
            ok=rows.num_rows - errors,
            errors=errors,
            failed=failed,
            sha256=sha256,
            bytes=len(data),
            inputs={**_inputs(before), **(inputs or {})},
            cause=cause,
            write_s=time.perf_counter() - began,
            finished=time.time(),
        )
        commit = self._created(commit, before)
        try:
            self.publish(shard_id, commit)
        except FileNotFoundError:  # taken for rows that nobody committed, and removed
            storage.write_bytes(attempt, data)
            self.publish(shard_id)
        return commit

    def _created(self, commit: Commit, before: State) -> Commit:
        """Create a commit as the next one; returns the newest, be it another worker's."""
        if isinstance(before, Done | Damaged) and before.is_of(commit):
            return before.commit or commit
        while not storage.create(self.path(commit_file(commit.shard, commit.n)), commit.sealed()):
            n = self._newest(commit.shard)
            other = self.commit(commit.shard, commit.n if n is None else n)
            better = not any(other.loses(commit.failed)) and commit.errors < other.errors
            if other.sha256 == commit.sha256 or not better:
                return other
            commit = commit.model_copy(update={"n": other.n + 1})
        return commit

    def publish(self, shard_id: str, known: Commit | None = None) -> None:
        """Put the rows of the newest commit of a shard under predictions/.

        Args:
            shard_id: The shard.
            known: A commit that need not be read again.

        Raises:
            FileNotFoundError: The attempt that it names is gone.
        """
        n = self._newest(shard_id)
        while n is not None:
            commit = known if known is not None and known.n == n else self.commit(shard_id, n)
            source = self.path(attempt_file(shard_id, commit.sha256))
            newer = None
            try:
                storage.publish(source, self.predictions_path(shard_id))
            except FileNotFoundError:
                newer = self._newest(shard_id)
                if newer == n:
                    raise
            else:  # who slept between the two would have put old rows over newer ones
                newer = self._newest(shard_id)
            if newer == n:
                return
            n = newer

    def tidy(self, states: Mapping[str, State]) -> None:
        """Remove what shards that are done need no more: older attempts, and records of failures.

        Their rows are published again before, in case that older ones were meanwhile.
        """
        attempts = defaultdict(set)
        for name in storage.find_files(self.path("attempts")):
            attempts[name.rpartition("-")[0]].add(f"attempts/{name}")
        begun = storage.find_files(self.path("failures"))
        for shard_id, state in states.items():
            if not isinstance(state, Done):
                continue
            if f"{shard_id}.json" in begun:
                self.clear(shard_id)
            others = attempts[shard_id] - {attempt_file(shard_id, state.commit.sha256)}
            if others and self._newest(shard_id) == state.n:
                self.publish(shard_id, state.commit)
                for file in others:
                    storage.delete(self.path(file))

    def _check_keeps(
        self, shard_id: str, rows: pa.Table, failed: Mapping[str, list[int]], before: State
    ) -> None:
        """See that no row that was good becomes an error row.

        Raises:
            TransientError: One would.
        """
        if not failed:
            return
        commit = before.commit if isinstance(before, Done | Damaged) else None
        earlier = [] if commit is None else [commit.failed]
        if commit is None or commit.n != before.n:
            if self._newest(shard_id) not in (None, before.n):
                return  # of another worker, see `_created`
            files = self._files(shard_id)
            kept = [failed_rows(table) for table in self._rows_of(files, rows)]
            earlier += kept
            if not kept and (files or before.n >= 0):
                item, method = next(newly_failed({}, failed))
                raise TransientError(
                    f"{sum(map(len, failed.values()))} rows would be errors, e.g. "
                    f"{describe_row(rows, item, method)}, and what is there is too damaged to tell "
                    f"whether they were good; {self._remedy(shard_id, before)}"
                )
        for known in earlier:
            if lost := list(newly_failed(known, failed)):
                raise TransientError(
                    f"{len(lost)} rows that were good would become errors, e.g. "
                    f"{describe_row(rows, *lost[0])}; {self._remedy(shard_id, before)}"
                )

    def _files(self, shard_id: str) -> list[str]:
        """The files that may have rows of a shard."""
        attempts = storage.find_files(self.path("attempts"), prefix=f"{shard_id}-")
        there = [f"attempts/{name}" for name in attempts]
        published = published_file(shard_id)
        return there if self._size(published) is None else [*there, published]

    def _rows_of(self, files: list[str], rows: pa.Table) -> Iterator[pa.Table]:
        """The tables in `files` that can be read, and have rows of the same items in this run."""
        for file in files:
            try:
                data = io.BytesIO(self._data(file) or b"")
                table = pq.read_table(data, page_checksum_verification=True)
            except (pa.ArrowException, RunDirectoryError, OSError, ValueError):  # damaged
                continue
            if is_same_rows(table, rows):
                yield table

    def _remedy(self, shard_id: str, before: State) -> str:
        """Tell how to keep the rows, and how to give them up."""
        bring = "bring the images back, and run again"
        if isinstance(before, Done):
            return f"{bring}; its rows stay as they are"
        deep = self.state(shard_id, deep=True)
        if isinstance(deep, Damaged) and deep.file == request_file(shard_id, deep.n):
            leave = f"to leave it at that, delete {self.path(deep.file)}"
            return f"{bring}; its rows stay as they are; {leave}"
        files = [f"commits/{shard_id}.*", f"attempts/{shard_id}-*", published_file(shard_id)]
        named = ", ".join(map(self.path, files))
        return f"{bring}; to have the errors in place of the rows, delete {named} first"

    def compute_again(self, shard_id: str) -> None:
        """Ask whoever runs the run to compute a shard anew; its rows stay until then."""
        n = self._newest(shard_id)
        if n is not None:
            asked = records.encode({"asked": records.now()})
            storage.write_bytes(self.path(request_file(shard_id, n)), asked)

    def begin(self, shard_id: str, attempt: int, isolated: bool = False) -> None:
        """Record that a worker computes a shard.

        Args:
            shard_id: The shard.
            attempt: Number of the attempt, from 1.
            isolated: Whether it decodes in child processes.
        """
        begun = Failure.now(shard_id, attempt, isolated=isolated)
        storage.write_bytes(self.path(failure_file(shard_id)), begun.encode())

    def fail(
        self, shard_id: str, error: BaseException, attempt: int, isolated: bool = False
    ) -> None:
        """Record that an attempt at a shard failed; the arguments are as of `begin`."""
        failure = Failure.now(
            shard_id,
            attempt,
            error=type(error).__name__,
            message=redacted(str(error))[:_MESSAGE_LENGTH],
            where="".join(traceback.format_tb(error.__traceback__)[-1:]).strip()[-500:],
            isolated=isolated,
        )
        storage.write_bytes(self.path(failure_file(shard_id)), failure.encode())

    def clear(self, shard_id: str) -> None:
        """Forget the latest attempt at a shard."""
        storage.delete(self.path(failure_file(shard_id)))


@lru_cache(maxsize=8)
def opened(run_url: str) -> RunDirectory:
    """The directory of a run, whose run.json and plan this process reads once."""
    return RunDirectory(run_url)


def _inputs(state: State) -> Mapping[int, Input]:
    commit = state.commit if isinstance(state, Done | Damaged) else None
    return {} if commit is None else commit.inputs
