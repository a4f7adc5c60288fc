"""The Parquet files of a run directory; equal tables give equal bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seraser_core.results.records import Input
from seraser_core.sources.items import ITEMS_SCHEMA, ShardRange

_INPUTS = b"seraser_inputs"
_ROW_GROUP = 8192


def items_to_parquet(items: pa.Table) -> bytes:
    """plan/items.parquet; row groups are small so that one shard's rows read little."""
    buffer = io.BytesIO()
    pq.write_table(items.cast(ITEMS_SCHEMA), buffer, compression="zstd", row_group_size=_ROW_GROUP)
    return buffer.getvalue()


def read_items(parquet: pq.ParquetFile, shard: ShardRange | None) -> pa.Table:
    """The items of one shard, or all; only the row groups that hold them are read."""
    if shard is None:
        return parquet.read().cast(ITEMS_SCHEMA)
    groups, first = [], 0
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if first < shard.stop and first + rows > shard.start:
            groups.append(group)
        first += rows
    table = parquet.read_row_groups(groups)
    index = table["item_index"]
    wanted = pc.and_(pc.greater_equal(index, shard.start), pc.less(index, shard.stop))
    return table.filter(wanted).cast(ITEMS_SCHEMA)


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
