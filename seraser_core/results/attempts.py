"""What is recorded of attempts at a run's shards: that one goes on, and how the last failed."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from seraser_core import storage
from seraser_core.errors import HangError, RunDirectoryError
from seraser_core.redaction import redacted
from seraser_core.results import documents

_MESSAGE_LENGTH = 2000


class Attempts:
    """Files under ``begun`` and ``failures`` of the run directory at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def is_suspicious(self, shard_id: str) -> bool:
        """Whether a decoder hung in the last attempt at a shard, or its worker died in one."""
        failure = self._failure(shard_id)
        hung = failure is not None and failure["error"] == HangError.__name__
        return hung or storage.exists(self._begun_path(shard_id))

    def write_begun(self, shard_id: str) -> None:
        """Say that a worker computes a shard."""
        storage.write_bytes(self._begun_path(shard_id), b"")

    def clear_begun(self, shard_id: str) -> None:
        """The worker ended, whatever came of it."""
        storage.delete(self._begun_path(shard_id))

    def _begun_path(self, shard_id: str) -> str:
        return storage.join(self._url, "begun", shard_id)

    def write_failure(self, shard_id: str, error: BaseException, attempt: int) -> None:
        """Record the last failed attempt of a shard."""
        record = {
            "shard": shard_id,
            "attempt": attempt,
            "error": type(error).__name__,
            "message": redacted(str(error))[:_MESSAGE_LENGTH],
            "where": "".join(traceback.format_tb(error.__traceback__)[-1:]).strip()[-500:],
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        storage.write_json(self._failure_path(shard_id), record)

    def clear_failure(self, shard_id: str) -> None:
        """Forget the last failed attempt of a shard: it is done."""
        storage.delete(self._failure_path(shard_id))

    def _failure_path(self, shard_id: str) -> str:
        return storage.join(self._url, "failures", f"{shard_id}.json")

    def failures(self) -> dict[str, dict[str, Any]]:
        """Shard id -> record of its last failed attempt.

        A record that cannot be read is shown as such: it must not hide how the run is.
        """
        listed = storage.list_files(storage.join(self._url, "failures"))
        names = [name.removesuffix(".json") for name in listed if name.endswith(".json")]
        with ThreadPoolExecutor(documents.READERS) as pool:
            records = pool.map(self._failure, names)
            return {n: r for n, r in zip(names, records, strict=True) if r is not None}

    def _failure(self, shard_id: str) -> dict[str, Any] | None:
        url = self._failure_path(shard_id)
        try:
            return documents.parse(documents.read(url), url, documents.FAILURE)
        except FileNotFoundError:  # cleared meanwhile
            return None
        except RunDirectoryError as error:
            return {"error": "unreadable record", "message": str(error), "attempt": 0}
