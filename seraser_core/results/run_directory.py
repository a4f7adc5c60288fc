"""The run directory: what is planned, what is done, and nothing inferred from a listing."""

from __future__ import annotations

import hashlib
import io
import json
import time
import traceback
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.sources.items import ITEMS_SCHEMA, ShardRange

_ROW_GROUP = 8192
_READERS = 16
_HASHED_ROWS = 100_000
_MESSAGE_LENGTH = 2000
_RUN = ("run_id", "fingerprint", "fingerprint_inputs", "plan_hash", "config", "classes", "methods")
_COMMIT = ("fingerprint", "plan_hash", "sha256", "images", "rows", "ok", "errors", "finished")


def fingerprint(inputs: dict[str, Any]) -> str:
    """SHA-256 of `inputs` as canonical JSON: 64 hex digits."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plan_hash(items: pa.Table, shards: Sequence[ShardRange]) -> str:
    """SHA-256 over the planned items, as text, and the shard ranges.

    Not over the bytes of a Parquet file: those change with the version of the library.
    """
    digest = hashlib.sha256()
    for part in pl.DataFrame(items.cast(ITEMS_SCHEMA)).iter_slices(_HASHED_ROWS):
        digest.update(part.write_ndjson().encode())
    digest.update(json.dumps([[s.id, s.start, s.stop] for s in shards]).encode())
    return digest.hexdigest()


def items_to_parquet(items: pa.Table) -> bytes:
    """plan/items.parquet; row groups are small so that one shard's rows read little."""
    buffer = io.BytesIO()
    pq.write_table(items.cast(ITEMS_SCHEMA), buffer, compression="zstd", row_group_size=_ROW_GROUP)
    return buffer.getvalue()


class RunDirectory:
    """A run directory on a local disk or in object storage; holds no state but its URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @classmethod
    def create(
        cls, url: str, run: dict[str, Any], items: pa.Table, plan: dict[str, Any]
    ) -> RunDirectory:
        """Write the plan and run.json (last), or resume the run that is there.

        Raises:
            RunDirectoryError: The directory belongs to another fingerprint.
        """
        directory = cls(url)
        if storage.exists(directory.path("run.json")):
            directory._check_same(run)
            return directory
        data = items_to_parquet(items)
        storage.write_bytes(directory.path("plan", "items.parquet"), data)
        plan = {**plan, "items_sha256": hashlib.sha256(data).hexdigest()}
        storage.write_json(directory.path("plan", "plan.json"), plan)
        storage.write_json(directory.path("run.json"), run)
        return directory

    def _check_same(self, run: dict[str, Any]) -> None:
        there = self.run()
        if there["fingerprint"] == run["fingerprint"]:
            return
        old, new = there["fingerprint_inputs"], run["fingerprint_inputs"]
        keys = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
        raise RunDirectoryError(
            f"{self.url} belongs to another configuration; these differ: {', '.join(keys)}. "
            "Use another name or output"
        )

    def path(self, *parts: str) -> str:
        """URL of a file in the directory."""
        return storage.join(self.url, *parts)

    def run(self) -> dict[str, Any]:
        """run.json.

        Raises:
            RunDirectoryError: There is no run here.
        """
        return self._json("run.json", needs=_RUN)

    def plan(self) -> dict[str, Any]:
        """plan/plan.json."""
        return self._json("plan", "plan.json", needs=("shards", "items_sha256"))

    def _json(self, *parts: str, needs: Iterable[str]) -> dict[str, Any]:
        try:
            document = storage.read_json(self.path(*parts))
        except FileNotFoundError:
            raise RunDirectoryError(
                f"{self.url} is no run directory: it has no {'/'.join(parts)}"
            ) from None
        except json.JSONDecodeError as error:
            raise RunDirectoryError(f"{self.path(*parts)} is damaged: {error}") from None
        lacking = [name for name in needs if not isinstance(document, dict) or name not in document]
        if lacking:
            raise RunDirectoryError(f"{self.path(*parts)} is damaged: it has no {lacking[0]!r}")
        return document

    def shards(self) -> list[ShardRange]:
        """The planned shards in order."""
        try:
            return [ShardRange(s["id"], s["start"], s["stop"]) for s in self.plan()["shards"]]
        except (KeyError, TypeError):
            raise RunDirectoryError(
                f"{self.path('plan', 'plan.json')} is damaged: a shard lacks id, start or stop"
            ) from None

    def shard(self, shard_id: str) -> ShardRange:
        """One planned shard.

        Raises:
            RunDirectoryError: There is no such shard.
        """
        for shard in self.shards():
            if shard.id == shard_id:
                return shard
        raise RunDirectoryError(f"{self.url} has no shard {shard_id!r}")

    def items(self, shard_id: str | None = None) -> pa.Table:
        """The planned items of one shard, or all; only the row groups that hold them are read."""
        fs, path = storage.filesystem(self.path("plan", "items.parquet"))
        with fs.open(path, "rb") as file, pq.ParquetFile(file) as parquet:
            if shard_id is None:
                return parquet.read().cast(ITEMS_SCHEMA)
            shard = self.shard(shard_id)
            groups, first = [], 0
            for group in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                if first < shard.stop and first + rows > shard.start:
                    groups.append(group)
                first += rows
            table = parquet.read_row_groups(groups)
        index = table["item_index"]
        wanted = pc.and_(pc.greater_equal(index, shard.start), pc.less(index, shard.stop))
        return table.filter(wanted).cast(ITEMS_SCHEMA)

    def write_shard(
        self, shard_id: str, predictions: pa.Table, metrics: dict[str, Any], info: dict[str, Any]
    ) -> dict[str, Any]:
        """Write predictions, metrics and, last, the commit; returns the commit."""
        began = time.perf_counter()
        run = self.run()
        data = predictions_to_parquet(predictions)
        storage.write_bytes(self.predictions_path(shard_id), data)
        storage.write_json(self.path("metrics", f"{shard_id}.json"), metrics)
        failed = pc.sum(pc.equal(predictions["status"], "error")).as_py() or 0
        commit = {
            **info,
            "shard": shard_id,
            "fingerprint": run["fingerprint"],
            "plan_hash": run["plan_hash"],
            "rows": predictions.num_rows,
            "ok": predictions.num_rows - failed,
            "errors": failed,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "write_s": time.perf_counter() - began,
            "finished": time.time(),
        }
        storage.write_json(self.path("commits", f"{shard_id}.json"), commit)
        storage.delete(self.path("failures", f"{shard_id}.json"))
        return commit

    def predictions_path(self, shard_id: str) -> str:
        """URL of a shard's Parquet file."""
        return self.path("predictions", f"{shard_id}.parquet")

    def metrics(self, shard_id: str) -> dict[str, Any]:
        """metrics/<shard>.json."""
        return self._json("metrics", f"{shard_id}.json", needs=("methods", "timings"))

    def commit(self, shard_id: str) -> dict[str, Any] | None:
        """The shard's commit when it is of this fingerprint and plan, else None."""
        run = self.run()
        return self._commit(shard_id, run["fingerprint"], run["plan_hash"])

    def _commit(self, shard_id: str, mark: str, plan: str) -> dict[str, Any] | None:
        try:
            commit = storage.read_json(self.path("commits", f"{shard_id}.json"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        if not isinstance(commit, dict) or any(name not in commit for name in _COMMIT):
            return None
        same = commit["fingerprint"] == mark and commit["plan_hash"] == plan
        return commit if same else None

    def is_done(self, shard_id: str) -> bool:
        """Whether the shard needs no more work.

        Its commit is of this run, its Parquet file has the hash that the commit names, and its
        metrics can be read.
        """
        commit = self.commit(shard_id)
        if commit is None or self.parquet_hash(shard_id) != commit["sha256"]:
            return False
        try:
            self.metrics(shard_id)
        except RunDirectoryError:
            return False
        return True

    def parquet_hash(self, shard_id: str) -> str | None:
        """SHA-256 of a shard's Parquet file; None when there is none."""
        try:
            return hashlib.sha256(storage.read_bytes(self.predictions_path(shard_id))).hexdigest()
        except FileNotFoundError:
            return None

    def done(self) -> dict[str, dict[str, Any]]:
        """Shard id -> commit, of all shards committed by this run (files are not re-read)."""
        run = self.run()
        listed = set(storage.list_files(self.path("commits")))
        names = [shard.id for shard in self.shards() if f"{shard.id}.json" in listed]

        def read(name: str) -> dict[str, Any] | None:
            return self._commit(name, run["fingerprint"], run["plan_hash"])

        with ThreadPoolExecutor(_READERS) as pool:  # thousands of small reads from far away
            commits = pool.map(read, names)
            return {name: c for name, c in zip(names, commits, strict=True) if c is not None}

    def missing(self) -> list[ShardRange]:
        """The planned shards that are not done; the files of all others are read and hashed."""
        shards = self.shards()
        with ThreadPoolExecutor(_READERS) as pool:
            done = pool.map(lambda shard: self.is_done(shard.id), shards)
            return [shard for shard, is_done in zip(shards, done, strict=True) if not is_done]

    def done_metrics(self) -> dict[str, dict[str, Any]]:
        """Shard id -> metrics, of all shards committed by this run."""
        names = list(self.done())
        with ThreadPoolExecutor(_READERS) as pool:
            return dict(zip(names, pool.map(self.metrics, names), strict=True))

    def write_failure(self, shard_id: str, error: BaseException, attempt: int) -> None:
        """Record the last failed attempt of a shard."""
        record = {
            "shard": shard_id,
            "attempt": attempt,
            "error": type(error).__name__,
            "message": str(error)[:_MESSAGE_LENGTH],
            "where": "".join(traceback.format_tb(error.__traceback__)[-1:]).strip()[-500:],
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        storage.write_json(self.path("failures", f"{shard_id}.json"), record)

    def failures(self) -> dict[str, dict[str, Any]]:
        """Shard id -> record of its last failed attempt."""
        names = storage.list_files(self.path("failures"))
        return {
            name.removesuffix(".json"): storage.read_json(self.path("failures", name))
            for name in names
            if name.endswith(".json")
        }


def predictions_to_parquet(predictions: pa.Table) -> bytes:
    """One shard's Parquet file; equal tables give equal bytes."""
    buffer = io.BytesIO()
    pq.write_table(
        predictions, buffer, compression="zstd", row_group_size=65536, write_statistics=True
    )
    return buffer.getvalue()
