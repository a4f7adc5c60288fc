"""The sample of a run's images: what is kept to find shortcuts, and to show pictures in the report.

Each image has a key, a hash of the run's seed and its id. The images with the smallest keys are
the sample, so every shard knows its own without the others, and they merge in any order. Losing it
costs no result: an image that is lacking is left out.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.config.options import ShortcutOptions
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.counted import CountedRun
from seraser_core.results.failed_pictures import (
    METADATA,
    FailedPicture,
    decode,
    encode,
    of_a_run,
    of_a_shard,
)
from seraser_core.results.records import RunRecord
from seraser_core.results.shards import RunDirectory
from seraser_core.shortcuts.sample import Sample, key

_MOST_BYTES = 256 * 2**20
"""Features and logits of a sample."""
_HIGHEST = 2**64 - 1
_LOGITS = pa.list_(pa.field("element", pa.float32(), nullable=False))
_LOGITS_OF = ("whole", "background", "foreground", "erased")
PICTURES = ("image_webp", "background_webp", "foreground_webp")
SAMPLE_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("item_index", pa.int64(), nullable=False),
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("label", pa.int32()),
        pa.field("attribute", pa.int32()),
        pa.field("area", pa.float32(), nullable=False),
        pa.field("feature", _LOGITS, nullable=False),
        pa.field("whole", _LOGITS, nullable=False),
        pa.field("background", _LOGITS, nullable=False),
        pa.field("foreground", _LOGITS, nullable=False),
        pa.field("erased", _LOGITS),
        *(pa.field(name, pa.binary()) for name in PICTURES),
    ]
)
"""One row per image of the sample.

``area`` is the share of the picture that the foreground covers; ``feature`` the unit image feature
of the background alone; ``whole``, ``background`` and ``foreground`` are zero-shot's logits of the
image, of its background alone and of its foreground alone, ``erased`` those of the erasing method,
and null if there is none. Pictures are WebP of 128 pixels, and null for most images. The metadata
of a file name the erasing method (``eraser``), the foreground (``region``), the run's
``fingerprint``, the ``highest`` key of the images that were kept, and small pictures of images that
``failed``, see `seraser_core.results.failed_pictures`.
"""


def keys_of(seed: int, item_ids: Iterable[str]) -> np.ndarray:
    """Return (n,) uint64, the keys of images."""
    return np.array([key(seed, item_id) for item_id in item_ids], dtype=np.uint64)


def sample_size(wanted: int, classes: int, features: int) -> int:
    """Return how many images are kept: as many as wanted, and as `_MOST_BYTES` allow."""
    return min(wanted, _MOST_BYTES // (4 * (4 * classes + features)))


def highest_key(size: int, images: int) -> int:
    """Return the highest key of the images that a shard keeps.

    These are some more than the sample's share, so that `size` of all are among them.

    Args:
        size: Images of the sample.
        images: Of the run.
    """
    share = (size + 4 * size**0.5) / images
    return _HIGHEST if share >= 1 else int(share * _HIGHEST)


def sample_file(shard_id: str) -> str:
    """Path of a shard's part of the sample, in the run directory."""
    return f"samples/{shard_id}.parquet"


def write_sample(directory: RunDirectory, shard_id: str, sample: pa.Table | None) -> None:
    """Write a shard's part of the sample, which may be empty; None where a run has no sample."""
    if sample is None:
        return
    data, url = io.BytesIO(), directory.path(sample_file(shard_id))
    pq.write_table(sample, data, compression="zstd", write_page_checksum=True)
    with records.writing(url):
        storage.write_bytes(url, data.getvalue())


def add_to_sample(
    directory: RunDirectory, shard_id: str, sample: pa.Table | None, computed: np.ndarray
) -> None:
    """Add images to a shard's part of the sample, in place of those with the same item_index.

    Where it is missing or damaged, it stays so: it would look whole.

    Args:
        directory: The run directory.
        shard_id: The shard.
        sample: The images; None where a run has no sample.
        computed: item_index of all images that were computed with them: their pictures as failed
            ones are those of `sample`.
    """
    before = None if sample is None else _read(directory, shard_id)
    if sample is None or before is None:
        return
    again = np.isin(before["item_index"].to_numpy(), sample["item_index"].to_numpy())
    failed = [one for one in decode(before.schema.metadata) if one.item_index not in computed]
    failed += decode(sample.schema.metadata)
    told = {
        **sample.schema.metadata,
        b"highest": str(_highest([before, sample])).encode(),
        METADATA: encode(of_a_shard(failed)),
    }
    sample = pa.concat_tables([before.filter(pa.array(~again)), sample]).sort_by("item_index")
    write_sample(directory, shard_id, sample.replace_schema_metadata(told))


def read_samples(runs: Sequence[CountedRun]) -> pa.Table:
    """Read the samples of a run, or of those of a series, by rising keys.

    Files that are missing, damaged or of another run are left out. Where shards kept different
    shares of their images, the smallest share of each is read.

    Args:
        runs: The runs.

    Returns:
        Rows of `SAMPLE_SCHEMA`. The metadata name the eraser and the region, how many shards
        that are done are ``lacking``, and images that ``failed``, unless all shards lack it.
    """
    parts, lacking = [], 0
    failed: list[FailedPicture] = []
    for run in runs:
        there, ids = run.directory.files("samples"), list(run.commits)
        lacking += len(ids)
        ids = [shard_id for shard_id in ids if f"{shard_id}.parquet" in there]
        with ThreadPoolExecutor(records.READERS) as pool:
            tables = list(pool.map(partial(_read, run.directory), ids))
        for shard_id, table in zip(ids, tables, strict=True):
            if table is not None:
                lacking -= 1
                failed += _still_failed(run, shard_id, table)
                replaced = np.isin(table["item_id"].to_numpy(), run.replaced.to_numpy())
                parts.append(table.filter(pa.array(~replaced)))
    if not parts:
        return SAMPLE_SCHEMA.empty_table()
    table = pa.concat_tables(parts)
    table = table.filter(pa.array(table["key"].to_numpy() <= np.uint64(_highest(parts))))
    table = table.sort_by([("key", "ascending"), ("item_id", "ascending")])
    told = {
        **parts[0].schema.metadata,
        b"lacking": str(lacking).encode(),
        METADATA: encode(of_a_run(failed)),
    }
    return table.replace_schema_metadata(told)


def _still_failed(run: CountedRun, shard_id: str, part: pa.Table) -> list[FailedPicture]:
    """The pictures of a part whose images are error rows that count.

    It may be older than the newest commit, or of an attempt that was never committed.
    """
    failed = {index for some in run.commits[shard_id].failed.values() for index in some}
    replaced = set(run.replaced)
    return [
        one
        for one in decode(part.schema.metadata)
        if one.item_index in failed and one.item_id not in replaced
    ]


def _highest(parts: Iterable[pa.Table]) -> int:
    """Return the highest key that all of the parts have kept."""
    return min(int(part.schema.metadata[b"highest"]) for part in parts)


@dataclass(frozen=True)
class KeptSample:
    """A sample as a run kept it.

    Attributes:
        sample: The images.
        region: Name of the foreground.
        eraser: Id of the erasing method; None without one.
        lacking: Shards that are done and have no part of it.
    """

    sample: Sample
    region: str
    eraser: str | None
    lacking: int = 0


def sample_of(table: pa.Table, record: RunRecord) -> KeptSample | None:
    """Return as many images of a table that `read_samples` read as a run wants; None without any.

    Args:
        table: Of the run, or of all runs of a series.
        record: The run, or the newest one.
    """
    kept = to_sample(table)
    if kept is None:
        return None
    features = kept.sample.features.shape[1]
    size = sample_size(wanted_sample(record), len(record.classes), features)
    return replace(kept, sample=kept.sample.smallest(size))


def to_sample(table: pa.Table) -> KeptSample | None:
    """Return the sample in rows of `SAMPLE_SCHEMA`; None where there is no row."""
    if not table.num_rows:
        return None
    logits = {name: _matrix(table[name]) for name in ("whole", "background", "foreground")}
    known = table["erased"].null_count == 0
    sample = Sample(
        item_ids=table["item_id"].to_pylist(),
        keys=table["key"].to_numpy(),
        **logits,
        erased=_matrix(table["erased"]) if known else None,
        features=_matrix(table["feature"]),
        area=table["area"].to_numpy(),
        labels=_numbers(table["label"]),
        attributes=_numbers(table["attribute"]),
    )
    told = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    lacking = int(told.get("lacking", 0))
    return KeptSample(sample, told["region"], told["eraser"] or None, lacking)


def pictures_of(table: pa.Table) -> pl.DataFrame:
    """Return the images of a sample whose pictures are kept, as `SAMPLE_SCHEMA` has them."""
    return pl.DataFrame(table.drop_columns(["feature"])).drop_nulls(list(PICTURES))


def failed_pictures_of(table: pa.Table) -> list[FailedPicture]:
    """Return pictures of images without a prediction, as `read_samples` read them."""
    return decode(table.schema.metadata)


def wanted_sample(record: RunRecord) -> int:
    """Return how many images the sample of a run is to have."""
    return ShortcutOptions(**record.config.document().get("shortcuts", {})).sample


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """(n, m) float32, of n lists of m numbers."""
    values: np.ndarray = column.combine_chunks().flatten().to_numpy()
    return values.reshape(len(column), -1)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """(n,) int64, -1 for null."""
    numbers: np.ndarray = column.fill_null(-1).to_numpy().astype(np.int64)
    return numbers


def _read(directory: RunDirectory, shard_id: str) -> pa.Table | None:
    """Read a shard's part; None where there is none that can be used."""
    try:
        data = io.BytesIO(records.read(directory.path(sample_file(shard_id))))
        table = pq.read_table(data, page_checksum_verification=True)
        told = table.schema.metadata or {}
        if told.get(b"fingerprint") != directory.run.fingerprint.encode() or b"highest" not in told:
            return None
        table = table.cast(SAMPLE_SCHEMA.with_metadata(told))
        return table if _fits(table, len(directory.run.classes)) else None
    except (FileNotFoundError, RunDirectoryError, pa.ArrowException, OSError, ValueError):
        return None


def _fits(table: pa.Table, classes: int) -> bool:
    """Return whether every row has a logit per class, and all features are of one length."""
    lengths = {
        name: pc.unique(pc.list_value_length(table[name]).drop_null()).to_pylist()
        for name in ("feature", *_LOGITS_OF)
    }
    return len(lengths["feature"]) <= 1 and all(
        lengths[name] in ([], [classes]) for name in _LOGITS_OF
    )
