"""Images in cells of Parquet files: bytes, or ``{bytes, path}`` as Hugging Face writes them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import ItemError

T = TypeVar("T")
_LOOKED_AT = 64
_KEPT_BYTES = 512 * 2**20
"""Decoded row groups to keep; the images of a shard follow each other in them."""


def is_picture(kind: pa.DataType) -> bool:
    """Return whether a column of this type can hold pictures; one of nulls alone counts."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and is_picture(kind.field("bytes").type)
    kinds = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_null,
    )
    return any(is_kind(kind) for is_kind in kinds)


def read_cell(
    url: str, column: str, row: int, options: Mapping[str, Any], version: str | None = None
) -> bytes:
    """The bytes in a cell of a Parquet file.

    Args:
        url: The file.
        column: A column for which `is_picture` holds.
        row: Row of the file, from 0.
        options: fsspec options.
        version: Version of the file, see `storage.open_file`.

    Raises:
        ItemError: The file is damaged, or the cell is missing; it will stay so.
        ChangedError: The file is of another version.
        As `storage.read_bytes`.
    """
    file = _ParquetFile(url, version)
    group, first = _group_of(file, row, options)
    cell = _groups.get((file, column, group), options)[row - first].as_py()
    data = cell["bytes"] if isinstance(cell, dict) else cell
    if data is None:
        raise ItemError("fetch", "missing", f"{url}: row {row} of {column!r} holds no bytes")
    return bytes(data)


def cells_without_bytes(file: pq.ParquetFile, column: str) -> tuple[int, int]:
    """Return how many cells of pictures hold no bytes, and how many were counted.

    Without statistics in the file, the first cells are looked at.
    """
    meta = file.metadata
    kind = file.schema_arrow.field(column).type
    place = f"{column}.bytes" if pa.types.is_struct(kind) else column
    lacking = 0
    for group in map(meta.row_group, range(meta.num_row_groups)):
        chunks = map(group.column, range(group.num_columns))
        byte_chunk = next((chunk for chunk in chunks if chunk.path_in_schema == place), None)
        statistics = byte_chunk and byte_chunk.statistics
        if not statistics or not statistics.has_null_count:
            cells = next(file.iter_batches(_LOOKED_AT, columns=[place]))[0]
            nulls = cells.field("bytes").null_count if pa.types.is_struct(kind) else 0
            return max(nulls, cells.null_count), len(cells)
        lacking += statistics.null_count
    return lacking, meta.num_rows


def mean_sizes(file: pq.ParquetFile) -> list[int]:
    """Return the bytes of every row, estimated from its row group."""
    sizes: list[int] = []
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        sizes += [group.total_byte_size // max(1, group.num_rows)] * group.num_rows
    return sizes


def first_path(file: pq.ParquetFile, column: str) -> str | None:
    """The first path that a cell of a picture holds, among the first cells."""
    kind = file.schema_arrow.field(column).type
    if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
        return None
    cells = next(file.iter_batches(_LOOKED_AT, columns=[f"{column}.path"]))[0]
    return next((path for path in cells.field("path").to_pylist() if path is not None), None)


@dataclass(frozen=True)
class _ParquetFile:
    """A Parquet file.

    Attributes:
        url: URL of the file.
        version: Tag that changes with its content, where known.
    """

    url: str
    version: str | None


@dataclass
class _Loading:
    """A row group that one thread reads while others wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    cells: pa.ChunkedArray | None = None


_Key = tuple[_ParquetFile, str, int]
"""File, column and number of a row group."""


class _Groups:
    """The row groups that were read last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, _Loading] = OrderedDict()

    def get(self, key: _Key, options: Mapping[str, Any]) -> pa.ChunkedArray:
        """The cells of a column in a row group."""
        with self._lock:
            loading = self._kept.setdefault(key, _Loading())
            self._kept.move_to_end(key)
        with loading.lock:
            if loading.cells is None:
                loading.cells = _read_group(*key, options)
        with self._lock:
            sizes = {k: one.cells.nbytes for k, one in self._kept.items() if one.cells is not None}
            for old in list(sizes):
                if old == key or sum(sizes.values()) <= _KEPT_BYTES:
                    break
                del self._kept[old], sizes[old]
        return loading.cells


_groups = _Groups()
_starts: dict[_ParquetFile, np.ndarray] = {}


def _group_of(file: _ParquetFile, row: int, options: Mapping[str, Any]) -> tuple[int, int]:
    """Number of the row group that holds a row, and its first row."""
    if file not in _starts:
        with _opened(file, options) as opened:
            meta = opened.metadata
            rows = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        _starts[file] = np.concatenate([[0], np.cumsum(rows)])
    starts = _starts[file]
    if not 0 <= row < starts[-1]:
        raise ItemError("fetch", "missing", f"{file.url} has no row {row}; it changed since")
    group = int(np.searchsorted(starts, row, side="right")) - 1
    return group, int(starts[group])


def _read_group(
    file: _ParquetFile, column: str, group: int, options: Mapping[str, Any]
) -> pa.ChunkedArray:
    with _opened(file, options) as opened:
        table = opened.read_row_group(group, columns=[column], use_threads=False)
    if column not in table.column_names:
        raise ItemError(
            "fetch", "missing", f"{file.url} has no column {column!r}; it changed since"
        )
    return table[column]


@contextmanager
def _opened(file: _ParquetFile, options: Mapping[str, Any]) -> Iterator[pq.ParquetFile]:
    with storage.open_file(file.url, options, file.version) as opened:
        watched = _Watched(opened)
        # Inside open_file, which treats an OSError as passing.
        try:
            yield pq.ParquetFile(watched)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            if watched.failed:
                raise
            raise ItemError(
                "fetch", "damaged", f"{file.url} is no whole Parquet file: {error}"
            ) from None


class _Watched:
    """A file that records faults of its storage: Arrow raises OSError for damage, too."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.failed = file, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, *size: int) -> bytes:
        return self._watch(self._file.read, *size)

    def seek(self, *place: int) -> int:
        return self._watch(self._file.seek, *place)

    def _watch(self, act: Callable[..., T], *given: int) -> T:
        try:
            return act(*given)
        except BaseException:
            self.failed = True
            raise
