"""Files on a local disk and in object storage behind one set of functions.

A location is a plain local path or any fsspec URL (``s3://bucket/key``). Credentials are never
passed here: they come from the environment or a profile.
"""

from seraser_core.storage.listing import (
    Found,
    find,
    find_files,
    list_files,
    list_folders,
    remove_unfinished,
)
from seraser_core.storage.places import (
    Options,
    absolute,
    filesystem,
    is_local,
    join,
    local_path,
    parent,
    polars_options,
)
from seraser_core.storage.reading import (
    exists,
    fetch_file,
    local_size,
    open_file,
    read_bytes,
    read_json,
    read_range,
    version,
)
from seraser_core.storage.writing import Seen, delete, look, replace, write_bytes, write_json

__all__ = [
    "Found",
    "Options",
    "Seen",
    "absolute",
    "delete",
    "exists",
    "fetch_file",
    "filesystem",
    "find",
    "find_files",
    "is_local",
    "join",
    "list_files",
    "list_folders",
    "local_path",
    "local_size",
    "look",
    "open_file",
    "parent",
    "polars_options",
    "read_bytes",
    "read_json",
    "read_range",
    "remove_unfinished",
    "replace",
    "version",
    "write_bytes",
    "write_json",
]
