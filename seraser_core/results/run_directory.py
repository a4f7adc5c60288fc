"""The run directory: what is planned, what is done, and nothing inferred from a listing."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import RunDirectoryError, TransientError
from seraser_core.results import documents
from seraser_core.results.attempts import Attempts
from seraser_core.results.fingerprints import differing
from seraser_core.results.keeping import lost_rows
from seraser_core.results.metrics import metrics_shape
from seraser_core.results.parquet import items_to_parquet, predictions_to_parquet, read_items
from seraser_core.sources.items import ShardRange

_MASKS_PER_FOLDER = 1000
_PLAN_FILES = ("items.parquet", "plan.json")
_SAME = ("fingerprint", "plan_hash")
_WRITE_AGAIN = "run the same configuration again to write it"
_OTHER_WORKER = "another worker wrote shard {} at the same time"
_COMPUTE_AGAIN = "running the same configuration again computes the shard"


class RunDirectory:
    """A run directory on a local disk or in object storage; holds no state but its URL.

    Attributes:
        url: Where it is.
        attempts: What is recorded of attempts at its shards.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.attempts = Attempts(self.url)

    @classmethod
    def create(
        cls, url: str, run: dict[str, Any], items: pa.Table, plan: dict[str, Any]
    ) -> RunDirectory:
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

    def write_shard(
        self, shard_id: str, predictions: pa.Table, metrics: dict[str, Any], info: dict[str, Any]
    ) -> dict[str, Any]:
        """Write predictions, metrics and, last, the commit; returns the commit.

        Raises:
            RunDirectoryError: Rows that were good would become error rows; nothing is written.
            TransientError: What was written is not there any more: another worker with other
                bytes, of another device perhaps, was at the same shard. The last one to commit
                always sees it.
        """
        began = time.perf_counter()
        run = self.run()
        self._check_keeps(shard_id, predictions, run)
        data = predictions_to_parquet(predictions)
        storage.write_bytes(self.predictions_path(shard_id), data)
        storage.write_json(self._metrics_path(shard_id), documents.sealed(metrics))
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
            "metrics_sha256": sums_hash(metrics),
            "write_s": time.perf_counter() - began,
            "finished": time.time(),
        }
        storage.write_json(self._commit_path(shard_id), documents.sealed(commit))
        if not self.is_done(shard_id):
            raise TransientError(_OTHER_WORKER.format(shard_id))
        storage.delete(self._withdrawn_path(shard_id))
        self.attempts.clear_failure(shard_id)
        self.attempts.clear_begun(shard_id)
        return commit

    def _check_keeps(self, shard_id: str, predictions: pa.Table, run: dict[str, Any]) -> None:
        trusted = self._trusted_commit(shard_id, run)
        lost = lost_rows(predictions, trusted, self._predictions(shard_id))
        if not lost:
            return
        if self.is_done(shard_id):  # by another worker, since this one looked
            raise TransientError(_OTHER_WORKER.format(shard_id))
        errors = [text for text in predictions["error_message"].to_pylist() if text is not None]
        raise RunDirectoryError(
            f"{lost} rows of shard {shard_id} that were good would become errors, e.g. "
            f"{errors[0] if errors else 'unknown'}; bring the images back, and run again. To have "
            f"the errors in place of the rows, delete {self.predictions_path(shard_id)}, "
            f"{self._commit_path(shard_id)} and {self._withdrawn_path(shard_id)} first"
        )

    def _trusted_commit(self, shard_id: str, run: dict[str, Any]) -> dict[str, Any] | None:
        """The last commit of the shard that nobody changed, be it withdrawn."""
        for url in (self._commit_path(shard_id), self._withdrawn_path(shard_id)):
            commit = self._commit_at(url, run, sealed=True)
            if commit is not None and commit.get("shard") == shard_id:
                return commit
        return None

    def mask_path(self, kind: str, item_index: int) -> str:
        """Where the mask of an image is kept, when a run makes masks: one PNG per image."""
        folder = f"{item_index // _MASKS_PER_FOLDER:06d}"
        return self.path("masks", kind, folder, f"{item_index:09d}.png")

    def predictions_path(self, shard_id: str) -> str:
        """URL of a shard's Parquet file."""
        return self.path("predictions", f"{shard_id}.parquet")

    def _metrics_path(self, shard_id: str) -> str:
        return self.path("metrics", f"{shard_id}.json")

    def metrics(self, shard_id: str) -> dict[str, Any]:
        """metrics/<shard>.json.

        Raises:
            RunDirectoryError: It is missing or damaged.
        """
        return self._metrics(shard_id, self.run())[0]

    def _metrics(self, shard_id: str, run: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The metrics, and their file as it is."""
        url = self._metrics_path(shard_id)
        try:
            data = documents.read(url)
        except FileNotFoundError:
            raise RunDirectoryError(f"{url} is missing; {_COMPUTE_AGAIN}") from None
        shape = metrics_shape(method["id"] for method in run["methods"])
        return documents.parse(data, url, shape), data

    def committed_metrics(
        self, shard_id: str, commit: dict[str, Any], run: dict[str, Any]
    ) -> dict[str, Any]:
        """The shard's metrics, if their sums are those that its commit names.

        Raises:
            RunDirectoryError: They are not, or they are missing or damaged.
        """
        metrics, data = self._metrics(shard_id, run)
        fault = documents.seal_fault(data)
        if sums_hash(metrics) != commit["metrics_sha256"]:
            fault = "is not the file that its commit names"
        if fault:
            raise RunDirectoryError(f"{self._metrics_path(shard_id)} {fault}; {_COMPUTE_AGAIN}")
        return metrics

    def commit(self, shard_id: str) -> dict[str, Any] | None:
        """The shard's commit when it is of this fingerprint and plan, else None."""
        return self._commit(shard_id, self.run())

    def _commit(self, shard_id: str, run: dict[str, Any]) -> dict[str, Any] | None:
        return self._commit_at(self._commit_path(shard_id), run)

    def _commit_at(
        self, url: str, run: dict[str, Any], sealed: bool = False
    ) -> dict[str, Any] | None:
        try:
            data = documents.read(url)
            commit = documents.parse(data, url, documents.COMMIT)
        except (FileNotFoundError, RunDirectoryError):
            return None
        if sealed and documents.seal_fault(data):
            return None
        return commit if all(commit[key] == run[key] for key in _SAME) else None

    def _commit_path(self, shard_id: str) -> str:
        return self.path("commits", f"{shard_id}.json")

    def _withdrawn_path(self, shard_id: str) -> str:
        return self.path("withdrawn", f"{shard_id}.json")

    def is_done(self, shard_id: str) -> bool:
        """Whether the shard needs no more work.

        Its commit is of this run, and its Parquet file and its metrics have the hashes that the
        commit names.
        """
        run = self.run()
        commit = self._commit(shard_id, run)
        if commit is None or self.parquet_hash(shard_id) != commit["sha256"]:
            return False
        try:
            self.committed_metrics(shard_id, commit, run)
        except RunDirectoryError:
            return False
        return True

    def withdraw(self, shard_id: str) -> None:
        """Take a shard's commit back: it is to be computed again.

        It is kept under ``withdrawn`` until then, as it says how many rows were good.
        """
        if (commit := self._trusted_commit(shard_id, self.run())) is not None:
            storage.write_json(self._withdrawn_path(shard_id), commit)
        storage.delete(self._commit_path(shard_id))

    def parquet_hash(self, shard_id: str) -> str | None:
        """SHA-256 of a shard's Parquet file; None when there is none."""
        data = self._predictions(shard_id)
        return None if data is None else hashlib.sha256(data).hexdigest()

    def _predictions(self, shard_id: str) -> bytes | None:
        try:
            return documents.read(self.predictions_path(shard_id))
        except FileNotFoundError:
            return None

    def commits(self) -> dict[str, dict[str, Any]]:
        """Shard id -> commit of this run, whatever became of the files that it names."""
        run = self.run()
        listed = set(storage.list_files(self.path("commits")))
        names = [shard.id for shard in self.shards() if f"{shard.id}.json" in listed]
        with ThreadPoolExecutor(documents.READERS) as pool:
            commits = pool.map(lambda name: self._commit(name, run), names)
            return {name: c for name, c in zip(names, commits, strict=True) if c is not None}

    def done(self) -> dict[str, dict[str, Any]]:
        """Shard id -> commit, of all shards whose Parquet file has the size that it names."""
        faults = self.parquet_faults(commits := self.commits())
        return {name: commit for name, commit in commits.items() if name not in faults}

    def parquet_faults(self, commits: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Shard id -> what is wrong with its Parquet file, from one listing."""
        files = storage.find_files(self.path("predictions"))
        faults = {}
        for name, commit in commits.items():
            file, url = files.get(f"{name}.parquet"), self.predictions_path(name)
            if file is None:
                faults[name] = f"{url} is missing; {_COMPUTE_AGAIN}"
            elif file.size != commit["bytes"]:
                faults[name] = (
                    f"{url} has {file.size} bytes, not the {commit['bytes']} that its commit "
                    f"names; {_COMPUTE_AGAIN}"
                )
        return faults

    def missing(self) -> list[ShardRange]:
        """The planned shards that are not done; the files of all others are read and hashed."""
        shards = self.shards()
        with ThreadPoolExecutor(documents.READERS) as pool:
            done = pool.map(lambda shard: self.is_done(shard.id), shards)
            return [shard for shard, is_done in zip(shards, done, strict=True) if not is_done]


def sums_hash(metrics: dict[str, Any]) -> str:
    """SHA-256 of a shard's metrics but for their timings, which no two workers share.

    Of two that compute the same shard, either may be the last to write the metrics, and either the
    last to commit.
    """
    sums = {name: value for name, value in metrics.items() if name not in ("timings", "seal")}
    return hashlib.sha256(documents.encode(sums)).hexdigest()
