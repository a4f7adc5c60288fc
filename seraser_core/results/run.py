"""The plan of a run: its configuration, its images and its shards."""

from __future__ import annotations

import hashlib
import threading
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.fingerprints import differing
from seraser_core.results.parquet_files import items_to_parquet, read_items
from seraser_core.results.records import Plan, RunRecord
from seraser_core.sources.items import ShardRange

_PLAN_FILES = ("items.parquet", "plan.json")
_DELETE = "delete it, and run the same configuration again to write it"


class PlannedRun:
    """A planned run, on a local disk or in object storage.

    An instance reads run.json and the plan once.

    Attributes:
        url: Where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._lock = threading.RLock()
        self._run: RunRecord | None = None
        self._plan: Plan | None = None

    @classmethod
    def create(cls, url: str, run: RunRecord, items: pa.Table, plan: Plan) -> Self:
        """Write the plan and run.json (last), or resume the run that is there.

        A resumed run takes on what `run` says beside its fingerprint: options that change no
        prediction, such as the batch size or where the weights are now. Several processes may do
        this at once: the record is replaced whole.

        Args:
            url: The run directory.
            run: What run.json is to say.
            items: The planned items.
            plan: What plan.json is to say; the hash of the items is added.

        Raises:
            RunDirectoryError: The directory belongs to another fingerprint, or is damaged.
        """
        directory = cls(url)
        if not storage.exists(directory.path("run.json")):
            directory._write_plan(items, plan)
            storage.write_bytes(directory.path("run.json"), run.sealed())
            return directory
        there = directory.run
        directory._check_same(run)
        if not all(storage.exists(directory.path("plan", name)) for name in _PLAN_FILES):
            directory._write_plan(items, plan)
        elif directory.plan.shards != plan.shards:
            place = directory.path("plan", "plan.json")
            raise RunDirectoryError(f"{place} has other shards than were planned; {_DELETE}")
        resumed = run.model_copy(update={"created": there.created})
        if storage.read_bytes(directory.path("run.json")) != resumed.sealed():
            storage.write_bytes(directory.path("run.json"), resumed.sealed())
        return cls(url)

    def _write_plan(self, items: pa.Table, plan: Plan) -> None:
        data = items_to_parquet(items)
        storage.write_bytes(self.path("plan", "items.parquet"), data)
        plan = plan.model_copy(update={"items_sha256": hashlib.sha256(data).hexdigest()})
        storage.write_bytes(self.path("plan", "plan.json"), plan.sealed())

    def _check_same(self, run: RunRecord) -> None:
        there = self.run
        if (there.fingerprint, there.plan_hash) == (run.fingerprint, run.plan_hash):
            return
        keys = differing(there.fingerprint_inputs.document(), run.fingerprint_inputs.document())
        raise RunDirectoryError(
            f"{self.url} belongs to another configuration; these differ: {', '.join(keys)}. "
            "Use another name or output"
        )

    def path(self, *parts: str) -> str:
        """URL of a file in the directory."""
        return storage.join(self.url, *parts)

    @property
    def run(self) -> RunRecord:
        """run.json.

        Raises:
            RunDirectoryError: There is no run here, or the file is damaged.
        """
        with self._lock:
            if self._run is None:
                self._run = self._read_run()
            return self._run

    def _read_run(self) -> RunRecord:
        url = self.path("run.json")
        try:
            data = records.read(url)
        except FileNotFoundError:
            lacking = f"{self.url} is no run directory: it has no run.json"
            raise RunDirectoryError(lacking) from None
        return RunRecord.parse(data, url, remedy=_DELETE)

    @property
    def plan(self) -> Plan:
        """plan/plan.json.

        Raises:
            RunDirectoryError: There is no run here, or the file is missing or damaged.
        """
        with self._lock:
            if self._plan is None:
                self._plan = Plan.parse(*self._planned("plan/plan.json"), remedy=_DELETE)
            return self._plan

    def _planned(self, name: str) -> tuple[bytes, str]:
        """The bytes of a file of the plan, and its URL."""
        url = self.path(name)
        try:
            return records.read(url), url
        except FileNotFoundError:
            raise self._missing(url) from None

    def _missing(self, url: str) -> RunDirectoryError:
        """The error for a file of the plan that is missing; raises another without any run."""
        name = self.run.name
        return RunDirectoryError(
            f"{url} is missing; run the configuration {name!r} again to write it"
        )

    def shards(self) -> list[ShardRange]:
        """The planned shards in order."""
        return self.plan.shards

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
        data, url = self._planned("plan/items.parquet")
        if hashlib.sha256(data).hexdigest() != self.plan.items_sha256:
            raise RunDirectoryError(f"{url} is not the file that plan.json names; {_DELETE}")

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
            raise self._missing(url) from None
        except (pa.ArrowException, ValueError, KeyError) as error:  # no Parquet, or other columns
            raise RunDirectoryError(f"{url} is damaged: {error}") from error
