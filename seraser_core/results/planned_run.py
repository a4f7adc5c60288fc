"""The plan of a run: its configuration, its images and its shards."""

from __future__ import annotations

import hashlib
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import documents
from seraser_core.results.fingerprints import differing
from seraser_core.results.parquet import items_to_parquet, read_items
from seraser_core.sources.items import ShardRange

_PLAN_FILES = ("items.parquet", "plan.json")
_WRITE_AGAIN = "run the same configuration again to write it"


class PlannedRun:
    """What is planned of a run, on a local disk or in object storage.

    Attributes:
        url: Where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @classmethod
    def create(cls, url: str, run: dict[str, Any], items: pa.Table, plan: dict[str, Any]) -> Self:
        """Write the plan and run.json (last), or resume the run that is there.

        A resumed run takes on what `run` says beside its fingerprint: options that change no
        prediction, such as the batch size or where the weights are now. Several processes may do
        this at once: the document is replaced whole.

        Raises:
            RunDirectoryError: The directory belongs to another fingerprint, or is damaged.
        """
        directory = cls(url)
        if not storage.exists(directory.path("run.json")):
            directory._write_plan(items, plan)
            storage.write_json(directory.path("run.json"), documents.sealed(run))
            return directory
        there = directory.run()
        directory._check_same(there, run)
        if not all(storage.exists(directory.path("plan", name)) for name in _PLAN_FILES):
            directory._write_plan(items, plan)
        elif directory.plan()["shards"] != plan["shards"]:
            raise RunDirectoryError(
                f"{directory.path('plan', 'plan.json')} has other shards than were planned; "
                f"delete it, and {_WRITE_AGAIN}"
            )
        resumed = documents.sealed({**run, "created": there["created"]})
        if differing(there, resumed):
            storage.write_json(directory.path("run.json"), resumed)
        return directory

    def _write_plan(self, items: pa.Table, plan: dict[str, Any]) -> None:
        data = items_to_parquet(items)
        storage.write_bytes(self.path("plan", "items.parquet"), data)
        plan = {**plan, "items_sha256": hashlib.sha256(data).hexdigest()}
        storage.write_json(self.path("plan", "plan.json"), documents.sealed(plan))

    def _check_same(self, there: dict[str, Any], run: dict[str, Any]) -> None:
        if there["fingerprint"] == run["fingerprint"] and there["plan_hash"] == run["plan_hash"]:
            return
        keys = differing(there["fingerprint_inputs"], run["fingerprint_inputs"])
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
            RunDirectoryError: There is no run here, or the file is damaged.
        """
        return self._planned("run.json", documents.RUN)

    def plan(self) -> dict[str, Any]:
        """plan/plan.json.

        Raises:
            RunDirectoryError: It is missing or damaged.
        """
        return self._planned("plan/plan.json", documents.PLAN)

    def _planned(self, name: str, shape: Any) -> dict[str, Any]:
        url = self.path(name)
        try:
            data = documents.read(url)
        except FileNotFoundError:
            lacking = f"{self.url} is no run directory: it has no {name}"
            if name != "run.json":
                lacking = f"{url} is missing; {_WRITE_AGAIN}"
            raise RunDirectoryError(lacking) from None
        try:
            return documents.parse(data, url, shape)
        except RunDirectoryError as error:
            raise RunDirectoryError(f"{error}; delete it, and {_WRITE_AGAIN}") from None

    def shards(self) -> list[ShardRange]:
        """The planned shards in order."""
        return [ShardRange(s["id"], s["start"], s["stop"]) for s in self.plan()["shards"]]

    def shard(self, shard_id: str) -> ShardRange:
        """One planned shard.

        Raises:
            RunDirectoryError: There is no such shard.
        """
        for shard in self.shards():
            if shard.id == shard_id:
                return shard
        raise RunDirectoryError(f"{self.url} has no shard {shard_id!r}")

    def check_items(self) -> None:
        """See that plan/items.parquet is the file that was planned; all of it is read.

        Raises:
            RunDirectoryError: It is another file, or missing.
        """
        url = self.path("plan", "items.parquet")
        try:
            data = documents.read(url)
        except FileNotFoundError:
            raise RunDirectoryError(f"{url} is missing; {_WRITE_AGAIN}") from None
        if hashlib.sha256(data).hexdigest() != self.plan()["items_sha256"]:
            raise RunDirectoryError(
                f"{url} is not the file that plan.json names; delete it, and {_WRITE_AGAIN}"
            )

    def items(self, shard_id: str | None = None) -> pa.Table:
        """The planned items of one shard, or all; only the row groups that hold them are read.

        Raises:
            RunDirectoryError: plan/items.parquet is missing or damaged, or there is no such shard.
        """
        url = self.path("plan", "items.parquet")
        shard = None if shard_id is None else self.shard(shard_id)
        try:
            with storage.open_file(url) as file, pq.ParquetFile(file) as parquet:
                return read_items(parquet, shard)
        except FileNotFoundError:
            raise RunDirectoryError(f"{url} is missing; {_WRITE_AGAIN}") from None
        except (pa.ArrowException, ValueError, KeyError) as error:  # no Parquet, or other columns
            raise RunDirectoryError(f"{url} is damaged: {error}") from error
