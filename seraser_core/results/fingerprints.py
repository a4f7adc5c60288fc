"""Identity of runs: hashes of configurations and plans."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from seraser_core.sources.items import ITEMS_SCHEMA, ShardRange

_HASHED_ROWS = 100_000


def fingerprint(inputs: Any) -> str:
    """SHA-256 of `inputs` as canonical JSON: 64 hex digits."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The keys whose values are not the same as JSON."""
    return sorted(
        key
        for key in {*old, *new}
        if key not in old or key not in new or fingerprint(old[key]) != fingerprint(new[key])
    )


def plan_hash(items: pa.Table, shards: Sequence[ShardRange]) -> str:
    """SHA-256 over the planned items, as text, and the shard ranges.

    Not over the bytes of a Parquet file: those change with the version of the library.
    """
    starts = range(0, items.num_rows, _HASHED_ROWS)
    return plan_hash_of((items.slice(start, _HASHED_ROWS) for start in starts), shards)


def pool_hashes(pools: Mapping[str, pa.Table]) -> dict[str, str]:
    """Return the hash of each method's pool, as a part of what can change a row."""
    return {method: plan_hash(items, []) for method, items in pools.items()}


def plan_hash_of(parts: Iterable[pa.Table], shards: Sequence[ShardRange]) -> str:
    """Return the `plan_hash` of items that come in parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(pl.DataFrame(part.cast(ITEMS_SCHEMA)).write_ndjson().encode())
    digest.update(json.dumps([[s.id, s.start, s.stop] for s in shards]).encode())
    return digest.hexdigest()
