"""The plan of a run: its configuration, its images and its shards."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Self

import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.fingerprints import differing
from seraser_core.results.nights import name_one, read_nights
from seraser_core.results.parquet_files import (
    footer_of,
    item_parts,
    items_to_parquet,
    parse_footer,
    parse_items,
    parse_row_group,
    row_group_of,
)
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
        self._items_footer: pq.FileMetaData | None = None
        self._places: dict[str, int] = {}

    @classmethod
    def create(
        cls,
        url: str,
        run: RunRecord,
        items: pa.Table,
        plan: Plan,
        pools: Mapping[str, pa.Table] | None = None,
    ) -> Self:
        """Write the plan and run.json (last), or resume the run that is there.

        A resumed run takes on what `run` says beside its fingerprint: options that change no
        prediction, such as the batch size or where the weights are now. Several processes may do
        this at once: the record is replaced whole.

        Args:
            url: The run directory.
            run: What run.json is to say.
            items: The planned items.
            plan: What plan.json is to say; the hash of the items is added.
            pools: Id of a method -> items of another split, from which it learns.

        Raises:
            RunDirectoryError: The directory belongs to another fingerprint, or is damaged.
        """
        directory = cls(url)
        if not storage.exists(directory.path("run.json")):
            directory._write_plan(items, plan)
            directory._write_pools(pools or {})
            storage.write_bytes(directory.path("run.json"), run.sealed())
            return directory
        directory._check_same(run)
        directory._write_pools(pools or {})
        if not all(storage.exists(directory.path("plan", name)) for name in _PLAN_FILES):
            directory._write_plan(items, plan)
        elif directory.plan.shards != plan.shards:
            place = directory.path("plan", "plan.json")
            raise RunDirectoryError(f"{place} has other shards than were planned", _DELETE)
        directory.take_on(run)
        return cls(url)

    def take_on(self, run: RunRecord) -> None:
        """Write what `run`, of the same fingerprint, says beside it into run.json.

        When and how it was planned first stays.
        """
        first = {"created": self.run.created, "command": self.run.command}
        resumed = run.model_copy(update=first)
        if storage.read_bytes(self.path("run.json")) != resumed.sealed():
            storage.write_bytes(self.path("run.json"), resumed.sealed())

    def _write_plan(self, items: pa.Table, plan: Plan) -> None:
        data = items_to_parquet(items, plan.shards)
        storage.write_bytes(self.path("plan", "items.parquet"), data)
        file = io.BytesIO(data)
        footer = footer_of(file)
        parsed = parse_footer(footer)
        groups = [row_group_of(file, parsed, number) for number in range(len(plan.shards))]
        hashes = {
            "items_sha256": _sha256(data),
            "footer_sha256": _sha256(footer),
            "groups_sha256": [_sha256(group) for group in groups],
        }
        plan = plan.model_copy(update=hashes)
        storage.write_bytes(self.path("plan", "plan.json"), plan.sealed())

    def _write_pools(self, pools: Mapping[str, pa.Table]) -> None:
        for method, pool in pools.items():
            data = items_to_parquet(pool, [ShardRange(method, 0, pool.num_rows)])
            storage.write_bytes(self.path(pool_file(method)), data)

    def _check_same(self, run: RunRecord) -> None:
        there = self.run
        if (there.fingerprint, there.plan_hash) == (run.fingerprint, run.plan_hash):
            return
        keys = differing(there.fingerprint_inputs.document(), run.fingerprint_inputs.document())
        raise RunDirectoryError(
            f"{self.url} belongs to another configuration; these differ: {', '.join(keys)}",
            "use another name or output",
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
            raise RunDirectoryError(self._lacking()) from None
        return RunRecord.parse(data, url, remedy=_DELETE)

    def _lacking(self) -> str:
        """Say what is here without a run.json."""
        nights = read_nights(self.url)
        if nights:
            return f"{self.url} {name_one(nights)}"
        return f"{self.url} is no run directory: it has no run.json"

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
        return self.shards()[self._place(shard_id)]

    def _place(self, shard_id: str) -> int:
        """The place of a shard among all."""
        with self._lock:
            if not self._places:
                self._places = {shard.id: place for place, shard in enumerate(self.shards())}
        if shard_id not in self._places:
            raise RunDirectoryError(f"{self.url} has no shard {shard_id!r}")
        return self._places[shard_id]

    def check_items(self) -> None:
        """See that the footer of plan/items.parquet is that of the file that was planned.

        Raises:
            RunDirectoryError: It is another file, or missing.
        """
        with self._open_items() as file:
            self._footer(file)

    def items(self, shard_id: str | None = None) -> pa.Table:
        """The planned items of one shard, or all; of one, only its own row group is read.

        Raises:
            RunDirectoryError: plan/items.parquet is missing, or not as it was planned, or there is
                no such shard.
        """
        if shard_id is None:
            return parse_items(self._whole_items())
        number = self._place(shard_id)
        with self._open_items() as file:
            footer = self._footer(file)
            data = row_group_of(file, footer, number)
        self._check_hash(data, self.plan.groups_sha256[number])
        return parse_row_group(footer, number, data)

    def item_columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all planned items.

        Raises:
            RunDirectoryError: As of `items`.
        """
        return parse_items(self._whole_items(), names)

    def item_parts(self) -> Iterator[pa.Table]:
        """Yield all planned items shard by shard: millions at once take gigabytes.

        Raises:
            RunDirectoryError: As of `items`.
        """
        return item_parts(self._whole_items())

    def pool(self, method_id: str) -> pa.Table:
        """The items of another split from which a method learns; its hash is in the fingerprint.

        Raises:
            RunDirectoryError: The file is missing or damaged.
        """
        try:
            return parse_items(self._planned(pool_file(method_id))[0])
        except pa.ArrowException as error:
            url = self.path(pool_file(method_id))
            raise RunDirectoryError(f"{url} is damaged: {error}", _DELETE) from None

    def _whole_items(self) -> bytes:
        """The bytes of plan/items.parquet."""
        data = self._planned("plan/items.parquet")[0]
        self._check_hash(data, self.plan.items_sha256)
        return data

    @contextmanager
    def _open_items(self) -> Iterator[IO[bytes]]:
        """Open plan/items.parquet."""
        url = self.path("plan", "items.parquet")
        try:
            with storage.open_file(url) as file:
                yield file
        except FileNotFoundError:
            raise self._missing(url) from None

    def _footer(self, items: IO[bytes]) -> pq.FileMetaData:
        """The footer of plan/items.parquet, which is read once."""
        with self._lock:
            if self._items_footer is None:
                try:
                    footer = footer_of(items)
                except ValueError:
                    footer = b""
                self._check_hash(footer, self.plan.footer_sha256)
                self._items_footer = parse_footer(footer)
            return self._items_footer

    def _check_hash(self, data: bytes, sha256: str) -> None:
        """See that some bytes of plan/items.parquet are those that were planned.

        Raises:
            RunDirectoryError: They are others.
        """
        if _sha256(data) != sha256:
            url = self.path("plan", "items.parquet")
            raise RunDirectoryError(f"{url} is not the file that plan.json names", _DELETE)


def pool_file(method_id: str) -> str:
    """Path of the pool of a method, in the run directory."""
    return f"plan/pools/{method_id}.parquet"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
