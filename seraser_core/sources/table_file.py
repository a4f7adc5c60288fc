"""Reading the file of a table in any supported format."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.delimited import read_delimited
from seraser_core.sources.json_text import read_json
from seraser_core.sources.texts import read_text, unpacked

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": ","}
_JSON = (".jsonl", ".ndjson", ".json")
PARQUET_ENDINGS = (".parquet", ".pq", ".parq")
_KNOWN = "must end in .csv, .tsv, .txt, .jsonl, .json or .parquet, or in one of these and .gz"
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")


class TableFile(NamedTuple):
    """A table.

    Attributes:
        rows: Its rows; those of text files as texts.
        names: Its columns as they are written.
        said: Messages about cells that were read in another way than they are written.
    """

    rows: pl.DataFrame
    names: list[str]
    said: list[str]


def read_table(options: DatasetOptions, columns: Sequence[str]) -> TableFile:
    """The table at ``dataset.path``.

    Args:
        options: The data set.
        columns: The columns in use.

    Raises:
        ConfigError: It cannot be read, or is no table.
    """
    path = options.path
    ending = table_ending(path)
    try:
        data = unpacked(storage.read_bytes(path, options.storage_options))
        return _read(data, ending, columns, path)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise no_file(path, "name the table in it") from None
    except PermissionError as error:
        raise ConfigError(
            "dataset.path", path, f"may not be read ({error}); check the credentials"
        ) from None
    except (TransientError, ValueError, OSError, ImportError) as error:
        raise ConfigError(
            "dataset.path", path, f"cannot be read as a table: {str(error)[:500]}"
        ) from error


def no_file(path: str, remedy: str) -> ConfigError:
    """Build the error for a missing file or a folder in its place, with the remedy."""
    here = storage.local_path(path)
    if here is not None and here.is_dir():
        return ConfigError("dataset.path", path, f"is a folder; {remedy}")
    return ConfigError("dataset.path", path, "there is no such file")


def table_ending(path: str) -> str:
    """Return the ending that tells the format of a table.

    Raises:
        ConfigError: No table ends so.
    """
    # The query of a URL is not part of the name.
    name = path.partition("?")[0] if path.startswith(("http://", "https://")) else path
    endings = [ending.lower() for ending in PurePosixPath(name).suffixes]
    if endings[-1:] == [".gz"]:
        endings.pop()
    ending = endings[-1] if endings else ""
    if ending in _SPREADSHEETS:
        raise ConfigError("dataset.path", path, "is a spreadsheet; save the sheet as CSV (UTF-8)")
    if ending not in (*_SEPARATORS, *_JSON, *PARQUET_ENDINGS):
        raise ConfigError("dataset.path", path, _KNOWN)
    return ending


def _read(data: bytes, ending: str, columns: Sequence[str], path: str) -> TableFile:
    said: list[str] = []
    name = path.rpartition("/")[2]
    if ending in PARQUET_ENDINGS:
        return TableFile(*_read_parquet(data, columns), said)
    text = read_text(data, said)
    if ending in _JSON:
        rows = read_json(text, columns, said, by_lines=ending != ".json")
        names = rows.columns
    else:
        names, rows = read_delimited(text, columns, _SEPARATORS[ending], said)
    return TableFile(rows, names, [f"{name}: {line}" for line in said])


def _read_parquet(data: bytes, columns: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """Return the columns that occur once, and the names of all."""
    if not data:
        raise ValueError("it has no bytes; write or fetch it again")
    if not data.startswith(b"PAR1"):
        read_text(data, [])  # says what it is
        raise ValueError("it is no Parquet file, but text; give it the ending of what it is")
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        names = file.schema_arrow.names
        used = [name for name in names if name in set(columns) and names.count(name) == 1]
        return pl.DataFrame(file.read(columns=used).select(used)), names
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError):
        raise ValueError("it is no whole Parquet file; write or fetch it again") from None
