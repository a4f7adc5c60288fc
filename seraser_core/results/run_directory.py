"""The run directory: what is planned, what is done, and nothing inferred from a listing."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from seraser_core import storage
from seraser_core.errors import ChangedError, RunDirectoryError, TransientError
from seraser_core.results import documents
from seraser_core.results.accepted import Accepted, as_accepted, encode_accepted, parse_accepted
from seraser_core.results.attempts import Attempts
from seraser_core.results.keeping import Witnesses, failed_rows, what_is_lost
from seraser_core.results.parquet import predictions_to_parquet
from seraser_core.results.planned_run import PlannedRun
from seraser_core.results.sums import parse_sums
from seraser_core.sources.items import ShardRange

_MASKS_PER_FOLDER = 1000
_SAME = ("fingerprint", "plan_hash")
_OTHER_WORKER = "another worker wrote shard {} at the same time"
_COMPUTE_AGAIN = "`seraser repair` computes the shard again"


class RunDirectory(PlannedRun):
    """A run directory on a local disk or in object storage; holds no state but its URL.

    Attributes:
        attempts: What is recorded of attempts at its shards.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.attempts = Attempts(self.url)

    def items_to_read(self, shard_id: str) -> pa.Table:
        """The items of a shard with what is known now of their files, see `accept`.

        Raises:
            RunDirectoryError: As `items`; or what was accepted is damaged.
        """
        accepted, items = self.accepted(shard_id), self.items(shard_id)
        return as_accepted(items, accepted) if accepted else items

    def accept(self, shard_id: str, images: Accepted) -> None:
        """Take the files of some images of a shard though they are not as they were planned.

        Raises:
            RunDirectoryError: What was accepted before is damaged.
            TransientError: Another worker writes it at the same time.
        """
        url, of = self._accepted_path(shard_id), self._names(shard_id)
        with documents.reading(url):
            seen = storage.look(url)
        kept = {**parse_accepted(seen.data, url, of), **images}
        try:
            storage.replace(url, encode_accepted(of, kept), seen)
        except ChangedError:
            raise TransientError(_OTHER_WORKER.format(shard_id)) from None

    def accepted(self, shard_id: str) -> Accepted:
        """The files that were taken, see `accept`.

        Raises:
            RunDirectoryError: The document that says so is damaged, or another shard's.
        """
        url = self._accepted_path(shard_id)
        try:
            data = documents.read(url)
        except FileNotFoundError:
            return {}
        return parse_accepted(data, url, self._names(shard_id))

    def _accepted_path(self, shard_id: str) -> str:
        return self.path("mended", f"{shard_id}.json")

    def _names(self, shard_id: str) -> dict[str, str]:
        run = self.run()
        return {"shard": shard_id, **{key: run[key] for key in _SAME}}

    def write_shard(
        self, shard_id: str, predictions: pa.Table, metrics: dict[str, Any], info: dict[str, Any]
    ) -> dict[str, Any]:
        """Write predictions, metrics and, last, the commit.

        Returns:
            The commit; of another worker, when that one has written the same rows meanwhile.

        Raises:
            TransientError: Rows that were good would become error rows, and nothing is written. Or
                another worker with other rows, of another device perhaps, was at the same shard;
                the last one to commit always sees it.
        """
        began = time.perf_counter()
        run = self.run()
        data = predictions_to_parquet(predictions)
        rows_url, sums_url = self.predictions_path(shard_id), self._metrics_path(shard_id)
        commit_url = self._commit_path(shard_id)
        with documents.reading(rows_url):
            seen = {url: storage.look(url) for url in (rows_url, sums_url, commit_url)}
        self._check_keeps(
            shard_id,
            predictions,
            Witnesses(
                commit=self._trusted_commit(seen[commit_url].data, shard_id, run),
                rows=seen[rows_url].data,
                metrics=self._trusted_metrics(seen[sums_url].data, shard_id, run),
                there=any(there.data is not None for there in seen.values()),
            ),
        )
        metrics = {**metrics, "shard": shard_id}
        failed = failed_rows(predictions)
        errors = sum(map(len, failed.values()))
        commit = {
            **info,
            "shard": shard_id,
            "fingerprint": run["fingerprint"],
            "plan_hash": run["plan_hash"],
            "rows": predictions.num_rows,
            "ok": predictions.num_rows - errors,
            "errors": errors,
            "failed": failed,
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "metrics_sha256": sums_hash(metrics),
        }
        try:
            storage.replace(rows_url, data, seen[rows_url])
            storage.replace(sums_url, _sealed(metrics), seen[sums_url])
            storage.delete(self._again_path(shard_id))
            commit |= {"write_s": time.perf_counter() - began, "finished": time.time()}
            storage.replace(commit_url, _sealed(commit), seen[commit_url])
        except ChangedError:
            other = self.commit(shard_id)
            if other is None or other["sha256"] != commit["sha256"]:
                raise TransientError(_OTHER_WORKER.format(shard_id)) from None
            commit = other
        if not self._is_whole(shard_id, run):
            raise TransientError(_OTHER_WORKER.format(shard_id))
        self.attempts.clear_failure(shard_id)
        self.attempts.clear_begun(shard_id)
        return commit

    def _check_keeps(self, shard_id: str, predictions: pa.Table, before: Witnesses) -> None:
        lost = what_is_lost(predictions, before)
        if lost is None:
            return
        marker = self._again_path(shard_id)
        stays = "its rows stay as they are"
        if not self._is_whole(shard_id, self.run()):
            rows, sums = self.predictions_path(shard_id), self._metrics_path(shard_id)
            files = f"{rows}, {sums} and {self._commit_path(shard_id)}"
            stays = f"to have the errors in place of the rows, delete {files} first"
        elif storage.exists(marker):
            stays += f"; to leave it at that, delete {marker}"
        raise TransientError(f"{lost}; bring the images back, and run again; {stays}")

    def _trusted_commit(
        self, data: bytes | None, shard_id: str, run: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The commit in `data`, if it is as a run of this fingerprint and plan wrote it."""
        commit = None if data is None else self._parsed(data, self._commit_path(shard_id), run)
        if data is None or commit is None or documents.seal_fault(data):
            return None
        return commit if commit["shard"] == shard_id else None

    def _trusted_metrics(
        self, data: bytes | None, shard_id: str, run: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The metrics in `data`, if they are as they were written for this shard."""
        if data is None:
            return None
        try:
            metrics = _parse_metrics(data, self._metrics_path(shard_id), run)
        except RunDirectoryError:
            return None
        return None if documents.seal_fault(data) or metrics["shard"] != shard_id else metrics

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
        return _parse_metrics(data, url, run), data

    def committed_metrics(
        self, shard_id: str, commit: dict[str, Any], run: dict[str, Any]
    ) -> dict[str, Any]:
        """The shard's metrics, if their sums are those that its commit names.

        Raises:
            RunDirectoryError: They are not, or they are missing or damaged.
        """
        metrics, data = self._metrics(shard_id, run)
        fault = documents.seal_fault(data)
        if fault is None and sums_hash(metrics) != commit["metrics_sha256"]:
            fault = "is not the file that its commit names"
        if fault:
            raise RunDirectoryError(f"{self._metrics_path(shard_id)} {fault}; {_COMPUTE_AGAIN}")
        return metrics

    def commit(self, shard_id: str) -> dict[str, Any] | None:
        """The shard's own commit when it is of this fingerprint and plan, else None."""
        return self._commit(shard_id, self.run())

    def _commit(self, shard_id: str, run: dict[str, Any]) -> dict[str, Any] | None:
        url = self._commit_path(shard_id)
        try:
            commit = self._parsed(documents.read(url), url, run)
        except (FileNotFoundError, RunDirectoryError):
            return None
        return commit if commit is not None and commit["shard"] == shard_id else None

    def _parsed(self, data: bytes, url: str, run: dict[str, Any]) -> dict[str, Any] | None:
        try:
            commit = documents.parse(data, url, documents.COMMIT)
        except RunDirectoryError:
            return None
        return commit if all(commit[key] == run[key] for key in _SAME) else None

    def _commit_path(self, shard_id: str) -> str:
        return self.path("commits", f"{shard_id}.json")

    def _again_path(self, shard_id: str) -> str:
        return self.path("again", shard_id)

    def is_done(self, shard_id: str) -> bool:
        """Whether the shard needs no more work.

        Its commit is of this run, its Parquet file and its metrics have the hashes that the commit
        names, and nobody wants it anew.
        """
        whole = self._is_whole(shard_id, self.run())
        return whole and not storage.exists(self._again_path(shard_id))

    def wanted_again(self) -> set[str]:
        """Ids of the shards that somebody wants anew, see `compute_again`."""
        return set(storage.list_files(self.path("again")))

    def _is_whole(self, shard_id: str, run: dict[str, Any]) -> bool:
        commit = self._commit(shard_id, run)
        if commit is None or self.parquet_hash(shard_id) != commit["sha256"]:
            return False
        try:
            self.committed_metrics(shard_id, commit, run)
        except RunDirectoryError:
            return False
        return True

    def compute_again(self, shard_id: str) -> None:
        """Have whoever runs the run compute a shard anew; its files stay until then."""
        storage.write_bytes(self._again_path(shard_id), b"")

    def parquet_hash(self, shard_id: str) -> str | None:
        """SHA-256 of a shard's Parquet file; None when there is none."""
        try:
            data = documents.read(self.predictions_path(shard_id))
        except FileNotFoundError:
            return None
        return hashlib.sha256(data).hexdigest()

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
        run, shards = self.run(), self.shards()
        again = self.wanted_again()
        with ThreadPoolExecutor(documents.READERS) as pool:
            whole = pool.map(lambda shard: self._is_whole(shard.id, run), shards)
            pairs = zip(shards, whole, strict=True)
            return [shard for shard, is_whole in pairs if not is_whole or shard.id in again]


def _parse_metrics(data: bytes, url: str, run: dict[str, Any]) -> dict[str, Any]:
    """metrics/<shard>.json, its ``methods`` as method id -> `MethodSums`."""
    metrics = documents.parse(data, url, documents.METRICS)
    methods = (method["id"] for method in run["methods"])
    return {**metrics, "methods": parse_sums(metrics["methods"], methods, url)}


def _sealed(document: dict[str, Any]) -> bytes:
    return documents.encode(documents.sealed(document))


def sums_hash(metrics: dict[str, Any]) -> str:
    """SHA-256 of a shard's metrics but for their timings, which no two workers share.

    Of two that compute the same shard, either may be the last to write the metrics, and either the
    last to commit.
    """
    sums = {name: value for name, value in metrics.items() if name not in ("timings", "seal")}
    return hashlib.sha256(documents.encode(sums)).hexdigest()
