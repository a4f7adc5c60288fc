"""TorchScript archives made to take all time or memory: they are refused at once."""

from __future__ import annotations

import json
import struct
import zipfile

import pytest
import torch

from seraser_core.errors import ConfigError
from seraser_core.models.weight_content import read_weights

SOURCE = b'class Net(Module):\n  __parameters__ = ["a", ]\n  __buffers__ = []\n'


def named(module, name):
    return f"c{module}\n{name}\n".encode()


NET = named("__torch__", "Net") + b")\x81"
STORAGE = (
    b"(X\x07\0\0\0storage" + named("torch", "FloatStorage") + b"X\x01\0\0\x000X\x03\0\0\0cpuK\x02tQ"
)


def tensor(size, stride):
    """A pickled tensor of one dimension on the storage of two values."""
    length = b"\x8a\x06" + size.to_bytes(6, "little")
    arguments = STORAGE + b"K\0" + length + b"\x85K" + bytes([stride]) + b"\x85\x89"
    ordered = named("collections", "OrderedDict") + b")R"
    return named("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + ordered + b"tR"


def module(**attributes):
    body = b"".join(
        b"X" + struct.pack("<I", len(name)) + name.encode() + value
        for name, value in attributes.items()
    )
    return NET + b"}(" + body + b"ub"


@pytest.fixture
def read(tmp_path):
    """Reads an archive of a pickle."""

    def content(pickled, *, source=SOURCE, packed=zipfile.ZIP_STORED, script=True, values=None):
        path = tmp_path / "weights.pt"
        with zipfile.ZipFile(path, "w", packed) as archive:
            archive.writestr("x/data.pkl", b"\x80\x02" + pickled + b".")
            archive.writestr("x/data/0", values or struct.pack("<2f", 1.5, 2.5), compress_type=0)
            if script:
                archive.writestr("x/constants.pkl", b"")
                archive.writestr("x/code/__torch__.py", source)
        return read_weights(str(path))

    return content


def refused(read, *args, **options):
    with pytest.raises(ConfigError, match="is not a readable weights file") as caught:
        read(*args, **options)
    return caught.value.remedy


def test_a_module_in_two_places_has_two_names(read):
    inner = module(a=tensor(2, 1), b=tensor(2, 1)) + b"q\x01"
    found = read(module(one=inner, two=b"h\x01"))
    assert found.keys() == {"one.a", "two.a"}, "b is no parameter"
    assert found["two.a"].tolist() == [1.5, 2.5]
    assert read(module(a=tensor(2, 0)))["a"].tolist() == [1.5, 1.5]


def test_modules_that_hold_themselves_are_refused(read):
    itself = NET + b"q\0}(X\x01\0\0\0ah\0X\x01\0\0\0bh\0ub"
    assert "(ValueError)" in refused(read, itself)
    by_way_of_another = NET + b"q\0}(X\x01\0\0\0a" + module(b=b"h\0", c=b"h\0") + b"ub"
    assert "(ValueError)" in refused(read, by_way_of_another)


def test_modules_of_too_many_ways_are_refused(read):
    ways = module(a=tensor(1, 1)) + b"q\x01"
    for number in range(2, 42):  # two to the power of 40
        ways = module(a=ways, b=b"h" + bytes([number - 1])) + b"q" + bytes([number])
    assert "(ValueError)" in refused(read, ways)


def test_tensors_larger_than_their_storage_are_refused(read):
    assert "(ValueError)" in refused(read, module(a=tensor(10**13, 0)))
    assert "(ValueError)" in refused(read, module(a=tensor(3, 0)))
    assert "(RuntimeError)" in refused(read, module(a=tensor(3, 1)))


def test_a_pickle_that_asks_for_a_large_memo_is_refused(read):
    assert "(ValueError)" in refused(read, NET + b"r\xff\xff\xff\x6f" + b"}b")


@pytest.mark.parametrize("script", [True, False])
def test_entries_that_unpack_to_much_are_refused(read, script, monkeypatch):
    monkeypatch.setattr("seraser_core.models.weight_content._MOST_PACKED", 2**16)
    pickled = b"0".join([b"N"] * 2**20) + b"N"
    assert "(ValueError)" in refused(read, pickled, packed=zipfile.ZIP_DEFLATED, script=script)
    if script:
        source = SOURCE + b"#" * 2**20
        assert "(ValueError)" in refused(
            read, module(a=tensor(2, 1)), source=source, packed=zipfile.ZIP_DEFLATED
        )


@pytest.mark.parametrize("limit", ["_LONGEST_PICKLE", "_LONGEST_SOURCE"])
def test_long_lists_are_refused(read, limit, monkeypatch):
    net = module(a=tensor(2, 1))
    assert torch.equal(read(net)["a"], torch.tensor([1.5, 2.5]))
    monkeypatch.setattr(f"seraser_core.models.torchscript.{limit}", 50)
    assert "(ValueError)" in refused(read, net)


@pytest.mark.parametrize("nested", [b'{"a":' * 50_000, b'{"a":' + b"[" * 200_000])
def test_deep_headers_of_safetensors_are_refused(tmp_path, nested):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(nested)) + nested)
    with pytest.raises(ConfigError, match="is not a readable weights file"):
        read_weights(str(path))
    with pytest.raises(RecursionError):
        json.loads(nested)
