"""The Parquet files of a run directory; equal tables give equal bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core.results.records import Input
from seraser_core.sources.items import ITEMS_SCHEMA, ShardRange

_INPUTS = b"seraser_inputs"
_MAGIC = b"PAR1"
_FOOTER_END = 8
"""Bytes after a footer: its length and the magic number."""


def items_to_parquet(items: pa.Table, shards: Sequence[ShardRange]) -> bytes:
    """Make plan/items.parquet: one row group per shard, which its worker reads alone."""
    buffer, items = io.BytesIO(), items.cast(ITEMS_SCHEMA)
    with pq.ParquetWriter(buffer, ITEMS_SCHEMA, compression="zstd") as writer:
        for shard in shards:
            rows = items.slice(shard.start, len(shard))
            writer.write_table(rows, row_group_size=max(1, len(shard)))
    return buffer.getvalue()


def footer_of(file: IO[bytes]) -> bytes:
    """Read the footer of a Parquet file: where its row groups are, and what is in them.

    Raises:
        ValueError: It is no Parquet file.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _FOOTER_END))
    end = file.read(_FOOTER_END)
    length = int.from_bytes(end[:4], "little") + _FOOTER_END
    if end[4:] != _MAGIC or length > size:
        raise ValueError("it is no whole Parquet file")
    file.seek(size - length)
    return file.read(length)


def parse_footer(footer: bytes) -> pq.FileMetaData:
    """Parse what `footer_of` has read."""
    return pq.read_metadata(pa.BufferReader(_MAGIC + footer))


def row_group_of(file: IO[bytes], footer: pq.FileMetaData, number: int) -> bytes:
    """Read the bytes of a row group."""
    start, size = _place(footer, number)
    file.seek(start)
    return file.read(size)


def parse_row_group(footer: pq.FileMetaData, number: int, data: bytes) -> pa.Table:
    """Parse what `row_group_of` has read, as items."""
    part = _Part(data, _place(footer, number)[0])
    with pq.ParquetFile(part, metadata=footer) as parquet:
        return parquet.read_row_group(number).cast(ITEMS_SCHEMA)


def parse_items(data: bytes, columns: Sequence[str] = tuple(ITEMS_SCHEMA.names)) -> pa.Table:
    """Parse plan/items.parquet, or some of its columns."""
    schema = pa.schema([ITEMS_SCHEMA.field(name) for name in columns])
    return pq.read_table(io.BytesIO(data), columns=list(columns)).cast(schema)


def item_parts(data: bytes) -> Iterator[pa.Table]:
    """Parse plan/items.parquet, one row group after the other."""
    with pq.ParquetFile(io.BytesIO(data)) as parquet:
        for number in range(parquet.num_row_groups):
            yield parquet.read_row_group(number).cast(ITEMS_SCHEMA)


def _place(footer: pq.FileMetaData, number: int) -> tuple[int, int]:
    """Return the first byte of a row group, and its length."""
    group = footer.row_group(number)
    columns = [group.column(i) for i in range(group.num_columns)]
    starts = [
        place
        for column in columns
        for place in (column.dictionary_page_offset, column.data_page_offset)
        if place is not None
    ]
    return min(starts), sum(column.total_compressed_size for column in columns)


class _Part(io.BytesIO):
    """A part of a file, whose bytes have the places that they have in the file.

    Args:
        data: The bytes.
        start: Place of the first.
    """

    def __init__(self, data: bytes, start: int) -> None:
        super().__init__(data)
        self._start = start

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_SET:
            place -= self._start
        return super().seek(place, whence) + self._start

    def tell(self) -> int:
        return super().tell() + self._start


def with_inputs(items: pa.Table, inputs: Mapping[int, Input]) -> pa.Table:
    """Planned items with the size and version of files that are read instead, by item_index."""
    if not inputs:
        return items
    indices = items["item_index"].to_numpy()
    for name in ("size", "version"):
        values = items[name].to_pylist()
        for place in np.flatnonzero(np.isin(indices, list(inputs))):
            values[place] = getattr(inputs[int(indices[place])], name)
        field = items.schema.field(name)
        column = pa.array(values, field.type)
        items = items.set_column(items.schema.get_field_index(name), field, column)
    return items


def with_input_footer(rows: pa.Table, inputs: Mapping[int, Input]) -> pa.Table:
    """Prediction rows that tell in their footer which files were read although not as planned.

    The commit says so, too; with these, a damaged one loses nothing.
    """
    if not inputs:
        return rows
    told = {str(index): [inputs[index].size, inputs[index].version] for index in sorted(inputs)}
    return rows.replace_schema_metadata(
        {**(rows.schema.metadata or {}), _INPUTS: json.dumps(told).encode()}
    )


def inputs_of(rows: pa.Table) -> dict[int, Input]:
    """Return what `with_input_footer` has put into a footer."""
    told = json.loads((rows.schema.metadata or {}).get(_INPUTS, b"{}"))
    return {int(i): Input(size=size, version=version) for i, (size, version) in told.items()}


def predictions_to_parquet(predictions: pa.Table) -> bytes:
    """One shard's Parquet file; equal tables give equal bytes, which tell if one was changed."""
    buffer = io.BytesIO()
    pq.write_table(
        predictions,
        buffer,
        compression="zstd",
        row_group_size=65536,
        write_statistics=True,
        write_page_checksum=True,
    )
    return buffer.getvalue()
