"""The words that can name surroundings, kept in a run: a report is made where no model is."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.shards import RunDirectory
from seraser_core.shortcuts.words import Words

_FILE = "words.parquet"
_SCHEMA = {
    "word": pa.string(),
    "kind": pa.string(),
    "feature": pa.list_(pa.field("element", pa.float32(), nullable=False)),
}


def has_words(directory: RunDirectory) -> bool:
    """Return whether a run has its words."""
    return storage.exists(directory.path(_FILE))


def write_words(directory: RunDirectory, words: Words) -> None:
    """Keep the words of a run."""
    features = list(words.features.astype(np.float32))
    schema = pa.schema(list(_SCHEMA.items()), {"template": words.template})
    table = pa.table({"word": words.words, "kind": words.kinds, "feature": features}, schema)
    data, url = io.BytesIO(), directory.path(_FILE)
    pq.write_table(table, data, compression="zstd")
    with records.writing(url):
        storage.write_bytes(url, data.getvalue())


def read_words(directory: RunDirectory) -> Words | None:
    """Read the words of a run; None where there are none that can be used."""
    try:
        table = pq.read_table(io.BytesIO(records.read(directory.path(_FILE))))
        table = table.cast(pa.schema(list(_SCHEMA.items()), table.schema.metadata))
        template = (table.schema.metadata or {})[b"template"].decode()
    except (FileNotFoundError, RunDirectoryError, pa.ArrowException, KeyError, ValueError):
        return None
    lengths = pc.unique(pc.list_value_length(table["feature"]))
    if table["word"].null_count or table["kind"].null_count or len(lengths) > 1:
        return None
    rows, values = table.num_rows, table["feature"].combine_chunks().flatten().to_numpy()
    return Words(
        words=table["word"].to_pylist(),
        kinds=table["kind"].to_pylist(),
        features=values.reshape(rows, len(values) // max(1, rows)),
        template=template,
    )
