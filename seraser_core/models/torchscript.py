"""The tensors of a TorchScript archive, read as data: none of its code is run.

Its pickle is read with a few harmless classes in place of all others, and of its source only the
lists of what is a parameter or buffer are looked at.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_LISTS = re.compile(
    r"^class (\w+)\(Module\):\n\s+__parameters__ = \[(.*?)\]\n(?:\s+__buffers__ = \[(.*?)\])?", re.M
)
_QUOTED = re.compile(r'"([^"]+)"')
_STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
_DEEPEST = 100
_MOST_OBJECTS = 1_000_000
_LONGEST_PICKLE = 2**24
_LONGEST_SOURCE = 2**26
"""Bytes, unpacked: more than any model's, and little to a machine."""


def is_torchscript(file: Path) -> bool:
    """Return whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    return any(name.endswith("/constants.pkl") for name in names) and any(
        "/code/" in name for name in names
    )


def read_torchscript(file: Path) -> dict[str, Tensor]:
    """The parameters and buffers of a TorchScript archive, by the names of `state_dict`.

    Raises:
        pickle.UnpicklingError: It holds other things than modules, tensors and plain values.
        ValueError, KeyError, RuntimeError: It is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        (content,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = content.removesuffix("/data.pkl")
        (pickled,) = _texts(archive, [content], _LONGEST_PICKLE)
        _check_memo(pickled)
        module = _Unpickler(io.BytesIO(pickled), archive, root).load()
        return dict(_state(module, _lists(archive, root)))


def _texts(archive: zipfile.ZipFile, names: list[str], longest: int) -> list[bytes]:
    """The content of small entries; a few bytes of an archive may unpack to any number."""
    entries = [archive.getinfo(name) for name in names]
    if sum(entry.file_size for entry in entries) > longest:
        raise ValueError("its code or its list of tensors is too long")
    texts = []
    for entry in entries:
        with archive.open(entry) as data:  # without a size, more than stated may be unpacked
            texts.append(data.read(entry.file_size))
    return texts


def _check_memo(pickled: bytes) -> None:
    """Refuse memo indices too large for the pickle's length: memory is taken for all below."""
    for code, number, _ in pickletools.genops(pickled):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and (number or 0) > len(pickled):
            raise ValueError("its list of tensors is damaged")


class _Module:
    """Stands for an object of any class of the archive: its attributes alone."""

    kind = ""

    def __setstate__(self, state: object) -> None:
        self.attributes = state if isinstance(state, dict) else {}


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(data)
        self._archive, self._root = archive, root
        self._storages: dict[tuple[str, torch.dtype], Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of one of a few names; none runs code."""
        if module.startswith("__torch__"):
            return type("Module", (_Module,), {"kind": f"{module}.{name}"})
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and (
            name == "restore_type_tag" or (name.startswith("build_") and name.endswith("list"))
        ):
            return _plain
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        """The values of a storage, one dimension."""
        kind, dtype, key, _device, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {kind}")
        if (key, dtype) not in self._storages:
            self._storages[key, dtype] = self._storage(dtype, key, count)
        return self._storages[key, dtype]

    def _storage(self, dtype: torch.dtype, key: str, count: int) -> Tensor:
        info = self._archive.getinfo(f"{self._root}/data/{key}")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size < count * dtype.itemsize:
            raise ValueError(f"its storage {key} is damaged")
        values = bytearray(self._archive.read(info))
        return torch.frombuffer(values, dtype=dtype) if values else torch.empty(0, dtype=dtype)


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: object) -> Tensor:
    # Raises a RuntimeError out of bounds. No copy: many tensors may share the same values.
    tensor = storage.as_strided(tuple(size), tuple(stride), offset)
    if tensor.numel() > storage.numel():
        raise ValueError("a tensor has more values than its storage")
    return tensor


def _plain(value: object, *_: object) -> object:
    return value


def _lists(archive: zipfile.ZipFile, root: str) -> dict[str, set[str]]:
    """Class -> names of its parameters and buffers; of other tensors, nothing is to be loaded."""
    start = f"{root}/code/"
    names = [n for n in archive.namelist() if n.startswith(start) and n.endswith(".py")]
    names_of = {}
    for name, source in zip(names, _texts(archive, names, _LONGEST_SOURCE), strict=True):
        module = name.removeprefix(start).removesuffix(".py").replace("/", ".")
        for kind, *lists in _LISTS.findall(source.decode()):
            names_of[f"{module}.{kind}"] = {n for one in lists for n in _QUOTED.findall(one)}
    return names_of


def _state(module: object, lists: dict[str, set[str]]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a module and of those in it; one in two places has two names, as in torch."""
    waiting: list[tuple[object, str, tuple[int, ...]]] = [(module, "", ())]
    looked_at = 0
    while waiting:
        module, prefix, above = waiting.pop()
        if not isinstance(module, _Module):
            continue
        attributes = getattr(module, "attributes", {})
        looked_at += 1 + len(attributes)
        if id(module) in above or len(above) > _DEEPEST or looked_at > _MOST_OBJECTS:
            raise ValueError("its modules hold themselves, or are too many")
        wanted = lists.get(module.kind, set(attributes))
        for name, value in attributes.items():
            if isinstance(value, Tensor) and name in wanted:
                yield f"{prefix}{name}", value
            waiting.append((value, f"{prefix}{name}.", (*above, id(module))))
