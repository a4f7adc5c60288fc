"""Recognising weights files, and common other files, by their content."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from pathlib import Path

import safetensors.torch
import torch

from seraser_core import storage
from seraser_core.errors import ConfigError
from seraser_core.models.torchscript import is_torchscript, read_torchscript
from seraser_core.models.weights import local_weights

_FIELD = "model.pretrained"
_HEAD = 512
_LONGEST_HEADER = 2**30
_MOST_TIMES, _MOST_PACKED = 4, 2**26
"""Allowed growth of an archive: torch packs code and no tensor, and weights hardly shrink."""
_ZIP = b"PK\x03\x04"
_OTHERS = [
    (re.compile(rb"version https://git-lfs"), "is a pointer of Git LFS; run `git lfs pull` there"),
    (re.compile(rb"\s*<(!doctype|html|\?xml)", re.I), "is a web page; fetch the file itself"),
    (re.compile(rb"\s*[\[{]"), "is a JSON text; fetch the weights themselves"),
    (re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd"), "is compressed; unpack it first"),
    (re.compile(rb"\x93NUMPY"), "is an array of NumPy; save a model's tensors by their names"),
    (re.compile(rb"\x89HDF"), "is a file of Keras; save the model by torch or safetensors"),
]
"""First bytes of a file -> the message about it."""
_GLOBAL = re.compile(r"GLOBAL (\S+)")
_CODE = "which may run code; save a model's tensors alone, as safetensors"


def read_weights(url: str) -> object:
    """Kind of a weights file.

    Raises:
        ConfigError: It is none, it is damaged, or it holds what may run code.
    """
    here = storage.local_size(url) is not None  # refuses a pipe, which would block
    file = local_weights(url)
    try:
        return _load(file)
    except Exception as error:  # safetensors and torch raise their own types on damaged files
        fault = _fault(file, error)
        if not here:
            file.unlink(missing_ok=True)  # or a damaged copy would be used for ever
        raise ConfigError(_FIELD, url, fault) from error


def _load(file: Path) -> object:
    if _header_length(file) is not None:
        return safetensors.torch.load_file(file)
    if _unpacked(file) > _MOST_TIMES * file.stat().st_size + _MOST_PACKED:
        raise ValueError("unpacks to too much")  # torch would take all of that memory
    if is_torchscript(file):
        return read_torchscript(file)
    with file.open("rb") as data:  # given a path, torch would go by the ending of the name
        return torch.load(data, map_location="cpu", weights_only=True)


def _unpacked(file: Path) -> int:
    """Bytes of what an archive says that it holds; 0 of other files."""
    if not zipfile.is_zipfile(file):
        return 0
    with zipfile.ZipFile(file) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _header_length(file: Path) -> int | None:
    """Bytes of the header of safetensors; None of other files."""
    with file.open("rb") as data:
        head = data.read(9)
    length = int.from_bytes(head[:8], "little")
    return length if head[8:] == b"{" and length < _LONGEST_HEADER else None


def _fault(file: Path, error: Exception) -> str:
    """Build the error for a file that cannot be read, with its remedy."""
    if isinstance(error, pickle.UnpicklingError) and (global_name := _GLOBAL.search(str(error))):
        return f"holds more than tensors ({global_name[1]}), {_CODE}"
    size = file.stat().st_size
    with file.open("rb") as data:
        head = data.read(_HEAD)
    if not size:
        return "is not a readable weights file: it is empty; fetch it again"
    for begins, meaning in _OTHERS:
        if begins.match(head):
            return f"is not a readable weights file: it {meaning}"
    if _is_cut_off(file, head, size):
        return f"is not a readable weights file: it is cut off after {size} bytes; fetch it again"
    if head.isascii() and b"\0" not in head:
        return "is not a readable weights file: it is a text; fetch the weights themselves"
    if isinstance(error, pickle.UnpicklingError):
        return f"is not a readable weights file, or holds more than tensors, {_CODE}"
    # torch advises to load some files unsafely.
    return (
        f"is not a readable weights file ({type(error).__name__}); fetch it again, or save a "
        "model's tensors by torch or safetensors"
    )


def _is_cut_off(file: Path, head: bytes, size: int) -> bool:
    if head.startswith(_ZIP):
        return not zipfile.is_zipfile(file)
    length = _header_length(file)
    if length is None:
        return False
    if 8 + length > size:
        return True
    with file.open("rb") as data:
        data.seek(8)
        try:
            header = json.loads(data.read(length))
            ends = [one["data_offsets"][1] for name, one in header.items() if name[:2] != "__"]
            return 8 + length + max(ends, default=0) > size
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return False
