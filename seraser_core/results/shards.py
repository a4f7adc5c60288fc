"""The life of a shard: attempts, commits, the published copy, and the answer whether it is done.

The rows of an attempt get a name that says their content and which commit they are for, and never
change. A commit names the rows that count. It is created if there is none of its number and never
replaced, so of many workers one is the next. Then its rows are published under predictions/, which
any process may do again.
"""

from __future__ import annotations

import hashlib
import io
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import RunDirectoryError, TransientError
from seraser_core.redaction import redacted
from seraser_core.results import records
from seraser_core.results.parquet_files import (
    inputs_of,
    predictions_to_parquet,
    with_input_footer,
    with_inputs,
)
from seraser_core.results.records import Commit, Computed, Failure, Input, newly_failed
from seraser_core.results.rows import describe_row, failed_rows, is_of_run, is_same_rows
from seraser_core.results.states import (
    Damaged,
    Done,
    ShardStates,
    State,
    attempt_file,
    attempt_number,
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
        """Return the path of the mask of an image, where a run makes masks: one PNG per image."""
        folder = f"{item_index // _MASKS_PER_FOLDER:06d}"
        return self.path("masks", kind, folder, f"{item_index:09d}.png")

    def predictions_path(self, shard_id: str) -> str:
        """Return the path of the rows of a shard for people and Polars."""
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
                data = self._data(state.file)
                # Rows of an older commit may have the same size, and were published late.
                if data is not None and hashlib.sha256(data).hexdigest() == state.commit.sha256:
                    self._write(file, data)

    def rows_of(self, state: Done) -> bytes:
        """The Parquet file with the rows of a shard that is done.

        Raises:
            TransientError: It is gone or another one meanwhile.
        """
        url = self.path(state.file)
        try:
            data = records.read(url)
        except FileNotFoundError as error:
            raise TransientError(f"{url} has gone meanwhile") from error
        if hashlib.sha256(data).hexdigest() != state.commit.sha256:
            raise TransientError(f"{url} has other rows than a moment ago")
        return data

    def items_to_read(self, shard_id: str, state: State) -> pa.Table:
        """The items of a shard with what its commit says of files that are not as planned.

        Raises:
            RunDirectoryError: As `items`.
        """
        return with_inputs(self.items(shard_id), self._inputs(shard_id, state))

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
            TransientError: Rows that were good would become error rows; nothing is written. Another
                worker may be about to commit them.
        """
        began = time.perf_counter()
        failed = failed_rows(rows)
        self._check_keeps(shard_id, rows, failed, before)
        known = self._inputs(shard_id, before) | dict(inputs or {})
        data = predictions_to_parquet(with_input_footer(rows, known))
        errors = sum(map(len, failed.values()))
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
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            inputs=known,
            cause=cause,
            write_s=time.perf_counter() - began,
            finished=time.time(),
        )
        if isinstance(before, Done | Damaged) and before.is_of(commit):
            commit = before.commit or commit
            self._write(attempt_file(commit), data)  # which was damaged
        else:
            commit = self._created(commit, data)
        self.publish(shard_id)
        return commit

    def _created(self, commit: Commit, data: bytes) -> Commit:
        """Write the rows of a commit and create it as the next one.

        Returns:
            The newest commit, be it another worker's.
        """
        while True:
            self._write(attempt_file(commit), data)
            if storage.create(self.path(commit_file(commit.shard, commit.n)), commit.sealed()):
                return commit
            other = self._other(commit)
            better = not any(other.loses(commit.failed)) and commit.errors < other.errors
            if other.sha256 == commit.sha256 or not better:
                return other
            commit = commit.model_copy(update={"n": other.n + 1})

    def _other(self, commit: Commit) -> Commit:
        """The newest commit, where one has the number of `commit` already."""
        n = max(commit.n, self._newest(commit.shard) or 0)  # a listing may be behind
        try:
            return self.commit(commit.shard, n)
        except RunDirectoryError as error:
            if n > commit.n:  # the next try meets it
                raise
            raise RunDirectoryError(f"{error}, and in the way of a commit; remove it") from None

    def _write(self, file: str, data: bytes) -> None:
        """Write a file of the run directory."""
        url = self.path(file)
        with records.writing(url):
            storage.write_bytes(url, data)

    def publish(self, shard_id: str) -> None:
        """Put the rows of the newest commit of a shard under predictions/.

        Raises:
            TransientError: They have gone meanwhile.
            RunDirectoryError: A commit cannot be read, or nothing can be put there.
        """
        n = self._newest(shard_id)
        published: int | None = None
        while n is not None and n != published:
            source = self.path(attempt_file(self.commit(shard_id, n)))
            target = self.predictions_path(shard_id)
            try:
                with records.writing(target):
                    storage.publish(source, target)
            except FileNotFoundError as error:
                raise TransientError(f"{source} has gone meanwhile") from error
            # Who slept between the two has put old rows over newer ones.
            n, published = self._newest(shard_id), n

    def tidy(self, states: Mapping[str, State]) -> None:
        """Remove what shards that are done need no more: older attempts, and records of failures.

        An attempt at a commit that is still to come is left: its worker may be about to create it.
        """
        begun = self.files("failures")
        for shard_id, state in states.items():
            if isinstance(state, Done) and f"{shard_id}.json" in begun:
                self.clear(shard_id)
        for name in self.files("attempts"):
            shard_id = name.partition(".")[0]
            done, n = states.get(shard_id), attempt_number(shard_id, name)
            if not isinstance(done, Done) or n is None or n > done.n:
                continue
            if f"attempts/{name}" != attempt_file(done.commit):
                storage.delete(self.path("attempts", name))

    def _check_keeps(
        self, shard_id: str, rows: pa.Table, failed: Mapping[str, list[int]], before: State
    ) -> None:
        """See that no row that was good becomes an error row.

        Raises:
            TransientError: One would.
        """
        if not failed:
            return
        commit = _commit(before)
        earlier = [] if commit is None else [commit.failed]
        if not isinstance(before, Done):
            tables = [t for t in self._tables(shard_id, before) if is_same_rows(t, rows)]
            if self._newest(shard_id) not in (None, before.n):
                return  # of another worker, see `_created`
            earlier += [failed_rows(table) for table in tables]
            there = before.n >= 0 or self._files(shard_id)
            if there and not tables and not _is_readable(before):
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

    def _inputs(self, shard_id: str, state: State) -> dict[int, Input]:
        """The files that were read though they are not as planned, of the newest rows there are."""
        commit = _commit(state)
        inputs = {} if commit is None else dict(commit.inputs)
        if isinstance(state, Damaged):
            for table in self._tables(shard_id, state):
                inputs |= inputs_of(table)
        return inputs

    def _tables(self, shard_id: str, state: State) -> list[pa.Table]:
        """Rows of this run that are there although its commits do not say all of them.

        Those that are published belong to some commit. Where the newest cannot be read, any attempt
        may be its own.
        """
        readable = _is_readable(state)
        files = [published_file(shard_id)] if readable else self._files(shard_id)
        tables = []
        for file in files:
            try:
                data = io.BytesIO(self._data(file) or b"")
                table = pq.read_table(data, page_checksum_verification=True)
            except (pa.ArrowException, RunDirectoryError, OSError, ValueError):  # damaged
                continue
            if is_of_run(table, self.run):
                tables.append(table)
        return tables

    def _files(self, shard_id: str) -> list[str]:
        """The files that may have rows of a shard."""
        attempts = [f"attempts/{name}" for name in self.files("attempts", f"{shard_id}.")]
        published = published_file(shard_id)
        return attempts if self._look(published) is None else [*attempts, published]

    def _remedy(self, shard_id: str, before: State) -> str:
        """Tell how to keep the rows, and how to give them up."""
        bring = "bring the images back, and run again"
        if isinstance(before, Done):
            return f"{bring}; its rows stay as they are"
        deep = self.state(shard_id, deep=True)
        if isinstance(deep, Damaged) and deep.file == request_file(shard_id, deep.n):
            leave = f"to leave it at that, delete {self.path(deep.file)}"
            return f"{bring}; its rows stay as they are; {leave}"
        files = [f"commits/{shard_id}.*", f"attempts/{shard_id}.*", published_file(shard_id)]
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


def _commit(state: State) -> Commit | None:
    return state.commit if isinstance(state, Done | Damaged) else None


def _is_readable(state: State) -> bool:
    """Return whether the newest commit can be read."""
    commit = _commit(state)
    return commit is not None and commit.n == state.n
