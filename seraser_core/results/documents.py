"""The JSON documents of a run directory: reading them, and what each must hold to be used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from seraser_core import storage
from seraser_core.errors import RunDirectoryError

READERS = 16
"""Documents read at once: each is a small read from far away."""
Number = (int, float)


@dataclass(frozen=True)
class Each:
    """The shape of a list or mapping whose values all have one shape.

    Attributes:
        kind: ``list`` or ``dict``.
        shape: Of every value.
        length: Number of values, when it is fixed.
    """

    kind: type
    shape: Any
    length: int | None = None


_METHOD = {"id": str}
RUN = {
    "run_id": str,
    "name": str,
    "fingerprint": str,
    "fingerprint_inputs": {"weights": str, "precision": str},
    "plan_hash": str,
    "config": {
        "dataset": dict,
        "model": {"name": str},
        "methods": Each(list, _METHOD),
        "runtime": {"retries": int, "parallel_shards": int},
        "save_logits": bool,
    },
    "classes": Each(list, str),
    "attributes": Each(list, str),
    "prompts": Each(list, str),
    "methods": Each(list, _METHOD),
    "random_weights": bool,
    "created": str,
}
PLAN = {"shards": Each(list, {"id": str, "start": int, "stop": int}), "items_sha256": str}
COMMIT = {
    "shard": str,
    "fingerprint": str,
    "plan_hash": str,
    "sha256": str,
    "bytes": int,
    "metrics_sha256": str,
    "images": int,
    "rows": int,
    "ok": int,
    "errors": int,
    "failed": Each(dict, Each(list, int)),
    "host": str,
    "process": str,
    "started": Number,
    "write_s": Number,
    "finished": Number,
}
FAILURE = {"error": str, "message": str, "attempt": int}
REPORT = {"commits": str, "files": Each(dict, str)}
COMPARISON = {
    "name": str,
    "runs": Each(list, {"dataset": str, "model": str, "run_id": str, "run": str}),
}
_TIMINGS = {
    "wall_s": Number,
    "load_s": Number,
    "data_wait_s": Number,
    "model_s": Number,
    "encode_s": Number,
    "fetch_wait_s": Number,
    "decode_wait_s": Number,
    "parallel_shards": Number,
    "fetch_s": Number,
    "decode_s": Number,
    "methods": Each(dict, Number),
    "views": Each(dict, Number),
}
METRICS = {"shard": str, "methods": dict, "timings": _TIMINGS}
"""The sums in ``methods`` are read by `parse_sums`."""


def read(url: str) -> bytes:
    """The bytes of a document.

    Raises:
        FileNotFoundError: There is none.
        RunDirectoryError: It cannot be read, nor could it be by trying again.
        TransientError: A fault that may pass.
    """
    with reading(url):
        return storage.read_bytes(url)


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Sort the faults of reading the file at `url`, as `read` does."""
    try:
        yield
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(str(error)) from None
    except (OSError, ValueError, ImportError) as error:
        raise RunDirectoryError(f"{url} cannot be read: {error}") from error


def parse(data: bytes, url: str, shape: Any) -> dict[str, Any]:
    """The document in `data`, which was read from `url`.

    Args:
        data: UTF-8 JSON.
        url: For messages.
        shape: A type or several, `Each`, or a mapping of the needed keys to their shapes.

    Raises:
        RunDirectoryError: It is no JSON or lacks something; names the file.
    """
    try:
        document = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # of JSON, UTF-8 or the length of a number
        raise RunDirectoryError(f"{url} is damaged: {error}") from None
    fault = find_fault(document, shape)
    if fault or not isinstance(document, dict):
        raise RunDirectoryError(f"{url} is damaged: {fault or 'it is no mapping'}")
    return document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")  # though Python reads it


def find_fault(value: Any, shape: Any, name: str = "it") -> str | None:
    """The first thing in which `value` is not of `shape`, in words; None when there is none."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{name} is no mapping"
        lacking = [key for key in shape if key not in value]
        if lacking:
            return f"{name} has no {lacking[0]!r}"
        parts = [(value[key], inner, key) for key, inner in shape.items()]
    elif isinstance(shape, Each):
        if not isinstance(value, list | dict) or not isinstance(value, shape.kind):
            return f"{name} is no {'list' if shape.kind is list else 'mapping'}"
        if shape.length not in (None, len(value)):
            return f"{name} has {len(value)} values, not {shape.length}"
        values = value.values() if isinstance(value, dict) else value
        inner_name = f"a value of {name}"
        parts = [(one, shape.shape, inner_name) for one in values]
    else:
        wanted = shape if isinstance(shape, tuple) else (shape,)
        right = isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))
        kinds = " or ".join(kind.__name__ for kind in wanted)
        return None if right else f"{name} is {value!r:.40}, no {kinds}"
    return next((f for part in parts if (f := find_fault(*part)) is not None), None)


def encode(document: Any) -> bytes:
    """The bytes of `document` as a file: JSON with sorted keys; equal documents, equal bytes."""
    text = json.dumps(
        document,
        indent=2,
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
        default=lambda record: record.model_dump(mode="json"),
    )
    return (text + "\n").encode()


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with its own SHA-256 under ``seal``, so that any change of its file shows."""
    content = {key: value for key, value in document.items() if key != "seal"}
    return {**content, "seal": hashlib.sha256(encode(content)).hexdigest()}


def seal_fault(data: bytes) -> str | None:
    """Why the bytes of a document, which must parse, are not those of a sealed one; else None."""
    document = json.loads(data)
    if "seal" not in document:
        return "has no seal: it was changed, or written before there were seals"
    try:
        same = encode(sealed(document)) == data
    except (ValueError, RecursionError):  # numbers or texts that are never written
        same = False
    return None if same else "is not as it was written: its seal is off"
