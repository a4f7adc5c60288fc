"""Tars, Parquet files, lists and patterns: what is found, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seraser_core import storage
from seraser_core.config import parse_config
from seraser_core.config.options import LimitOptions
from seraser_core.errors import ConfigError, ItemError
from seraser_core.results.fingerprints import plan_hash
from seraser_core.sources import tar as tars
from seraser_core.sources.cells import read_cell
from seraser_core.sources.fetch import fetch, fetch_image, fetch_mask
from seraser_core.sources.patterns import expand_braces
from seraser_core.sources.planner import plan_items
from seraser_core.sources.tar import index_tar

CLASSES = ["a camel", "a deer"]


def write_tar(path: Path, members: list[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def plan(tmp_path, **dataset):
    methods = dataset.pop("methods", ["zero_shot"])
    tree = {
        "output": str(tmp_path / "runs"),
        "dataset": {"classes": CLASSES} | dataset,
        "methods": methods,
    }
    said = []
    return plan_items(parse_config(tree), said.append), said


def refused(tmp_path, **dataset) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, **dataset)
    return caught.value


def web(path) -> dict[str, str]:
    return {"format": "webdataset", "path": str(path)}


SAMPLES = [
    ("a/1.jpg", b"first"),
    ("a/1.cls", b"1\n"),
    ("a/1.json", json.dumps({"place": "desert", "kind": {"name": "x"}, "n": 3}).encode()),
    ("a/1.mask.png", b"mask of 1"),
    ("a/2.cls", b"0"),
    ("a/2.jpg", b"second picture"),
    ("a/2.json", json.dumps({"place": "forest"}).encode()),
]


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_samples_of_a_tar(tmp_path, kind):
    path = write_tar(tmp_path / "x.tar", SAMPLES, kind)
    planned, _ = plan(tmp_path, **web(path), attribute="place")
    items = pl.DataFrame(planned.table)
    assert items["item_id"].to_list() == ["x.tar/a/1", "x.tar/a/2"]
    assert items["label"].to_list() == [1, 0]
    assert planned.attributes == ["desert", "forest"]
    assert items["attribute"].to_list() == [0, 1]
    options = parse_config({"dataset": {"classes": CLASSES, **web(path)}}).dataset
    first, second = items.to_dicts()
    assert fetch_image(first, options) == b"first"
    assert fetch_mask(first, options) == b"mask of 1"
    assert fetch_image(second, options) == b"second picture"
    assert second["mask"] is None
    assert items["size"].to_list() == [5, 14]


def test_labels_by_name_and_from_json(tmp_path):
    members = [
        ("1.png", b"x"),
        ("1.txt", b"\xef\xbb\xbfa deer\r\n"),
        ("1.json", b'{"y": "a camel"}'),
    ]
    path = write_tar(tmp_path / "x.tar", members)
    for label, expected in (("txt", 1), ("y", 0), ("json.y", 0), (None, None)):
        planned, _ = plan(tmp_path, **web(path), label=label, allow_empty_classes=True)
        assert planned.table["label"].to_pylist() == [expected]
    error = refused(tmp_path, **web(path), label="species")
    assert error.field == "dataset.label"
    assert "no sample has a .json member with such a field" in error.remedy


def test_what_is_no_sample_is_passed_over_and_what_lacks_an_image_is_told(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("./._1.jpg", ".hidden/2.jpg", "README", "3.cls", "4.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"0"))
    planned, said = plan(tmp_path, **web(path), allow_empty_classes=True)
    assert planned.table["item_id"].to_pylist() == ["x.tar/4"]
    assert any(
        "1 samples have no image and are left out; their members end in .cls 1" in line
        for line in said
    )


def test_links_and_sparse_members_are_told(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("1.jpg", "1.cls"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"0"))
        for name, kind in (
            ("1.mask.png", tarfile.LNKTYPE),
            ("2.jpg", tarfile.SYMTYPE),
            ("3.jpg", tarfile.LNKTYPE),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "1.jpg"
            tar.addfile(link)
    planned, said = plan(tmp_path, **web(path), allow_empty_classes=True)
    assert planned.table["item_id"].to_pylist() == ["x.tar/1"]
    assert planned.table["mask"].to_pylist() == [None]
    assert any("2 samples whose image is a link or a sparse member are left out" in x for x in said)
    assert any("1 samples whose mask is a link or a sparse member count as" in x for x in said)


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize("kind", ["gnu", "posix"])
def test_sparse_members_as_gnu_tar_writes_them(tmp_path, kind):
    (tmp_path / "1.jpg").write_bytes(b"x")
    with (tmp_path / "2.jpg").open("wb") as file:
        file.truncate(2**20)
        file.seek(0, io.SEEK_END)
        file.write(b"end")
    command = ["tar", f"--format={kind}", "-S", "-cf", "x.tar", "1.jpg", "2.jpg"]
    subprocess.run(command, cwd=tmp_path, check=True)
    planned, said = plan(tmp_path, **web(tmp_path / "x.tar"))
    assert planned.table["item_id"].to_pylist() == ["x.tar/1"]
    assert any("'2' of" in line and "sparse" in line for line in said)


def test_endings_that_are_no_images_and_empty_tars_are_told(tmp_path):
    write_tar(tmp_path / "x-0.tar", [("1.heic", b""), ("2.v1.jpg", b""), ("3.jpg", b"")])
    write_tar(tmp_path / "x-1.tar", [])
    _, said = plan(tmp_path, **web(tmp_path / "x-*.tar"))
    assert any(".heic 1" in line and ".v1.jpg 1" in line for line in said)
    assert any("1 tars hold no members" in line and "x-1.tar" in line for line in said)
    error = refused(tmp_path, **web(write_tar(tmp_path / "y.tar", [("2.v1.jpg", b"")])))
    assert "begins at the first dot" in error.remedy


def test_zeros_in_place_of_the_rest_of_a_tar(tmp_path):
    path = write_tar(tmp_path / "x.tar", SAMPLES)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"a/2.jpg")] + bytes(20_000))
    assert "zeros follow its last member" in refused(tmp_path, **web(path)).remedy


def test_members_of_a_sample_that_do_not_follow_each_other(tmp_path):
    path = write_tar(tmp_path / "x.tar", [("1.jpg", b""), ("2.jpg", b""), ("1.cls", b"1")])
    error = refused(tmp_path, **web(path))
    assert "'1' do not follow each other" in error.remedy
    assert "--sort=name" in error.remedy


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"y": 1', "is no JSON"),
        (b'{"y": 1, "text": "' + b"x" * 2**16 + b'"}', "at most 65536 bytes"),
        (b'{"y": [1]}', "has a list as 'y'"),
        (b'{"y": 0, "y": 1}', "has the key 'y' more than once"),
        (b'{"y": "\\ud800"}', "'\\ud800', which is no valid Unicode as 'y'"),
        (b'{"y": "\xe9"}', "of UTF-8"),
        (b"[" * 60_000, "nested too deeply"),
    ],
)
def test_labels_in_json_that_cannot_be_read(tmp_path, content, said):
    members = [("1.jpg", b""), ("1.json", b'{"y": 0}'), ("2.jpg", b""), ("2.json", content)]
    path = write_tar(tmp_path / "x.tar", members)
    error = refused(tmp_path, **web(path), label="y", allow_empty_classes=True)
    assert error.field == "dataset.label"
    assert "'2'" in error.value
    assert said in error.remedy


def test_labels_of_all_types_in_json(tmp_path):
    values = ["1", "1.0", "true", '"a deer"', "0", "null"]
    members = [
        member
        for i, value in enumerate(values)
        for member in (
            (f"{i}.jpg", b""),
            (f"{i}.json", b'{"it\'s": %s, "loss": NaN}' % value.encode()),
        )
    ]
    path = write_tar(tmp_path / "x.tar", members)
    planned, said = plan(tmp_path, **web(path), label="it's")
    assert planned.table["label"].to_pylist() == [1, 1, 1, 1, 0, None]
    assert "WARNING: 1 of 6 images have no label" in said


@pytest.mark.parametrize(
    ("setting", "ending"), [("label", "cls"), ("label", "txt"), ("attribute", "txt")]
)
def test_texts_that_are_no_utf_8_are_refused_where_they_are_used(tmp_path, setting, ending):
    members = [
        ("1.jpg", b""),
        (f"1.{ending}", "é".encode("latin-1")),
        ("2.jpg", b""),
        (f"2.{ending}", "è".encode("latin-1")),
    ]
    path = write_tar(tmp_path / "x.tar", members)
    error = refused(tmp_path, **web(path) | {setting: ending})
    assert (error.field, error.value) == (f"dataset.{setting}", f"the .{ending} of '1' in {path}")
    assert "UTF-8" in error.remedy
    if ending == "txt":
        assert plan(tmp_path, **web(path))[0].table.num_rows == 2
    else:
        assert refused(tmp_path, **web(path)).field == "dataset.label"


@pytest.mark.parametrize(
    "twice", [("1.cls", "1.cls"), ("1.CLS", "1.cls"), ("1.mask.png", "1.mask.png"), ("1.txt",) * 2]
)
def test_a_sample_with_two_members_of_the_same_ending_is_refused(tmp_path, twice):
    path = write_tar(tmp_path / "x.tar", [("1.jpg", b""), *((name, b"0") for name in twice)])
    error = refused(tmp_path, **web(path))
    assert (error.field, error.value) == ("dataset.path", str(path))
    assert f"'1' has more than one member .{twice[1][2:]}" in error.remedy


def test_members_that_end_like_images_or_texts_and_are_not_read_are_told(tmp_path):
    names = ["p.png", "p.1.png", "p.1.cls", "q.png", "q.1.png", "q.label.txt", "q.npy"]
    path = write_tar(tmp_path / "x.tar", [(name, b"") for name in names])
    _, said = plan(tmp_path, **web(path))
    told = [line for line in said if "not read" in line]
    assert len(told) == 1
    assert "4 members" in told[0]
    assert ".1.png 2, .1.cls 1, .label.txt 1, e.g. p.1.png of" in told[0]
    path = write_tar(tmp_path / "y.tar", [(name, b"1") for name in ("p.png", "p.cls", "p.txt")])
    _, said = plan(tmp_path, **web(path), allow_empty_classes=True)
    assert not [line for line in said if "not read" in line]


def test_labels_that_some_samples_lack_are_told(tmp_path):
    path = write_tar(tmp_path / "x.tar", [("1.jpg", b""), ("1.cls", b"0"), ("2.jpg", b"")])
    _, said = plan(tmp_path, **web(path), allow_empty_classes=True)
    assert "WARNING: 1 of 2 images have no label" in said


def test_endings_of_images_and_masks(tmp_path):
    members = [("1.left.JPG", b"l"), ("1.right.jpg", b"r"), ("1.Seg.png", b"m")]
    path = write_tar(tmp_path / "x.tar", members)
    for dataset in (
        {"image": ".left.jpg", "mask": "seg.PNG"},
        {"image": "right.jpg", "mask": ".seg.png"},
    ):
        given = web(path) | dataset
        planned, _ = plan(tmp_path, **given)
        options = parse_config({"dataset": {"classes": CLASSES, **given}}).dataset
        item = planned.table.to_pylist()[0]
        assert fetch_image(item, options) == dataset["image"].removeprefix(".").encode()[:1]
        assert fetch_mask(item, options) == b"m"
    path = write_tar(tmp_path / "y.tar", [("1.jpg", b"j"), ("1.png", b"p")])
    assert plan(tmp_path, **web(path), mask="png")[0].table["length"].to_pylist() == [1]
    error = refused(tmp_path, **web(path), image="cls")
    assert (error.field, error.value) == ("dataset.image", "'cls'")


def test_a_mask_that_no_sample_has(tmp_path):
    path = write_tar(tmp_path / "x.tar", [("1.jpg", b"")])
    error = refused(tmp_path, **web(path), mask="seg.png", methods=["foreground"])
    assert error.field == "dataset.mask"
    assert "'seg.png', of which no image has one" in error.value


@pytest.mark.parametrize("place", ["disk", "s3"])
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_an_archive_that_changed_since_it_was_planned(tmp_path, request, place, kind):
    root = f"{tmp_path}/data" if place == "disk" else request.getfixturevalue("bucket")

    def write(content):
        data = io.BytesIO()
        if kind == "tar":
            with tarfile.open(fileobj=data, mode="w") as tar:
                for i, part in enumerate(content):
                    member = tarfile.TarInfo(f"{i}.jpg")
                    member.size = len(part)
                    tar.addfile(member, io.BytesIO(part))
        else:
            pq.write_table(pa.table({"image": list(content)}), data, row_group_size=1)
        storage.write_bytes(f"{root}/x.{kind}", data.getvalue())

    write([b"first", b"other"])
    dataset = {"format": "webdataset" if kind == "tar" else kind, "path": f"{root}/x.{kind}"}
    planned, _ = plan(tmp_path, **dataset)
    options = parse_config({"dataset": {"classes": CLASSES, **dataset}}).dataset
    first, second = planned.table.to_pylist()
    assert fetch_image(first, options) == b"first"
    write([b"FIRST", b"OTHER"])  # of the same size
    with pytest.raises(ItemError) as caught:
        fetch_image(second, options)
    assert caught.value.code == "changed"
    replanned, _ = plan(tmp_path, **dataset)
    assert fetch_image(replanned.table.to_pylist()[1], options) == b"OTHER"
    assert plan_hash(replanned.table, replanned.shards) != plan_hash(planned.table, planned.shards)


def test_long_and_strange_names_are_names_and_nothing_else(tmp_path):
    names = ["../../up", "/abs/olute", "x" * 1000, "y" * 500 + "/é\nö" * 100, "a b/ç"]
    path = write_tar(tmp_path / "x.tar", [(f"{name}.jpg", name.encode()) for name in names])
    before = sorted(tmp_path.rglob("*"))
    planned, _ = plan(tmp_path, **web(path))
    assert sorted(planned.table["item_id"].to_pylist()) == sorted(f"x.tar/{n}" for n in names)
    options = parse_config({"dataset": {"classes": CLASSES, **web(path)}}).dataset
    for item in planned.table.to_pylist():
        assert item["item_id"] == "x.tar/" + fetch_image(item, options).decode()
    made = [p for p in tmp_path.rglob("*") if p not in before and "runs" not in p.parts]
    assert made == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:700], "ends early|unexpected end"),
        (lambda data: data[: data.rindex(b"second") + 600 - 100], "ends early|unexpected end"),
        (lambda data: data.rstrip(b"\0"), "ends early|unexpected end"),
        (lambda data: data[:1024] + b"x" * 512 + data[1536:], "damaged"),
        (lambda data: data + data, "something follows its end"),
        (gzip.compress, "unpack it"),
        (lambda data: b"", "empty"),
        (lambda data: b"<html>not found</html>" * 40, "invalid header"),
    ],
)
def test_tars_that_are_cut_short_damaged_or_none(tmp_path, change, said):
    path = write_tar(tmp_path / "x.tar", SAMPLES)
    path.write_bytes(change(path.read_bytes()))
    error = refused(tmp_path, **web(path))
    assert error.field == "dataset.path"
    assert any(part in error.remedy for part in said.split("|")), error.remedy
    assert str(path) in str(error)


def header(kind: bytes, size: int, name: str = "3.cls") -> bytes:
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = (size % 256**12).to_bytes(12, "big")
    block[124] = 0x80 if size >= 0 else 0xFF
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("size", [2**40, 2**62, 2**63, 2**70, -1, -512, -1024, -(10**6)])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_member_of_an_impossible_size_is_refused_at_once(tmp_path, kind, size):
    path = write_tar(tmp_path / "x.tar", SAMPLES)
    body = path.read_bytes().rstrip(b"\0")
    path.write_bytes(body + bytes(-len(body) % 512) + header(kind, size) + bytes(1024))
    assert refused(tmp_path, **web(path)).value == str(path)


@pytest.mark.parametrize("size", ["-512", "-1024", str(2**70)])
def test_a_size_that_another_header_gives_is_checked(tmp_path, size):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("1.cls")
        member.pax_headers = {"size": size}
        tar.addfile(member)
    assert refused(tmp_path, **web(path)).value == str(path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_thousands_of_names_for_one_member_are_refused(tmp_path, kind):
    said = b"15 path=abcdef\n" if kind == tarfile.XHDTYPE else b"abcd\0"
    names = (header(kind, len(said)) + said.ljust(512, b"\0")) * 3000
    (tmp_path / "x.tar").write_bytes(names + header(tarfile.REGTYPE, 0, "1.jpg") + bytes(1024))
    assert "names of names" in refused(tmp_path, **web(tmp_path / "x.tar")).remedy


def test_several_images_in_a_sample(tmp_path):
    path = write_tar(tmp_path / "x.tar", [("1.jpg", b"j"), ("1.png", b"p")])
    assert refused(tmp_path, **web(path)).field == "dataset.image"
    planned, _ = plan(tmp_path, **web(path), image="png")
    options = parse_config({"dataset": {"classes": CLASSES, **web(path)}}).dataset
    assert fetch_image(planned.table.to_pylist()[0], options) == b"p"


def test_the_same_sample_twice_is_refused(tmp_path):
    path = write_tar(tmp_path / "x.tar", [("1.jpg", b""), ("2.jpg", b""), ("1.jpg", b"")])
    assert "'x.tar/1' appears more than once" in str(refused(tmp_path, **web(path)))


def test_methods_that_need_masks_the_tars_do_not_have(tmp_path):
    path = write_tar(tmp_path / "x.tar", [("1.jpg", b"")])
    assert refused(tmp_path, **web(path), methods=["foreground"]).field == "dataset.mask"


def test_an_index_is_made_once_and_again_when_the_tar_changes(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "x.tar", SAMPLES)
    listed, whole = [], tars._list

    def count(file):
        listed.append(file)
        return whole(file)

    monkeypatch.setattr(tars, "_list", count)
    first, again = (plan(tmp_path, **web(path))[0].table for _ in range(2))
    assert again.equals(first)
    assert len(listed) == 1
    for kept in (tmp_path / "runs" / ".listings").iterdir():
        kept.write_bytes(b"damaged")
    assert plan(tmp_path, **web(path))[0].table.equals(first)
    for kept in (tmp_path / "runs" / ".listings").iterdir():
        pl.DataFrame({"other": [1]}).write_parquet(kept)
    assert plan(tmp_path, **web(path))[0].table.equals(first)
    assert len(listed) == 3
    write_tar(path, SAMPLES[:4])
    assert plan(tmp_path, **web(path), allow_empty_classes=True)[0].table.num_rows == 1


def test_a_tar_that_shrank_since_it_was_planned(tmp_path):
    path = write_tar(tmp_path / "x.tar", SAMPLES)
    index = index_tar(str(path), {}, "")
    place = index.members.filter(pl.col("key") == "a/2", pl.col("ending") == "jpg").to_dicts()[0]
    path.write_bytes(path.read_bytes()[: place["offset"] + 3])
    with pytest.raises(ItemError) as caught:
        fetch(str(path), {}, LimitOptions(), (place["offset"], place["length"]))
    assert caught.value.code == "cut_short"


def test_a_member_over_the_limit_is_not_read(tmp_path):
    with pytest.raises(ItemError) as caught:
        fetch(str(tmp_path / "no such file"), {}, LimitOptions(max_bytes=9), (0, 10))
    assert caught.value.code == "too_large"


def write_parquet(path, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return {"format": "parquet", "path": str(path)}


def test_parquet_columns(tmp_path):
    images = [f"picture {i}".encode() for i in range(5)]
    dataset = write_parquet(tmp_path / "x.parquet", image=images, y=[0, 1, 0, 1, 1])
    planned, _ = plan(tmp_path, **dataset, label="y")
    assert planned.table["item_id"].to_pylist()[0] == "x.parquet/000000000"
    options = parse_config({"dataset": {"classes": CLASSES, **dataset}}).dataset
    assert [fetch_image(item, options) for item in planned.table.to_pylist()] == images
    error = refused(tmp_path, **dataset, mask="y")
    assert (error.field, error.value) == ("dataset.mask", "column 'y' of type int64")
    error = refused(tmp_path, **dataset, image="picture")
    assert "columns: image, y" in error.remedy
    error = refused(tmp_path, **dataset, label="why")
    assert "did you mean 'y'" in error.remedy or "columns" in error.remedy


def test_parquet_cells_that_cannot_be_used(tmp_path):
    path = tmp_path / "x.parquet"
    write_parquet(path, image=[b"x", None, b"y"])
    for row, code in ((1, "missing"), (9, "missing")):
        with pytest.raises(ItemError) as caught:
            read_cell(str(path), "image", row, {})
        assert caught.value.code == code
    for content in (b"PAR1 and more", b""):
        (tmp_path / "y.parquet").write_bytes(content)
        assert refused(tmp_path, format="parquet", path=str(tmp_path / "y.parquet")).field == (
            "dataset.path"
        )
    with pytest.raises(ItemError) as caught:
        gone = {"offset": 0, "length": None, "version": None}
        item = {"image": str(tmp_path / "gone.parquet"), **gone}
        fetch_image(item, parse_config({"dataset": {"path": "/x", "classes": CLASSES}}).dataset)
    assert caught.value.code == "missing"


def label_features(*names):
    features = {"y": {"names": list(names), "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def test_label_features_in_another_order_than_the_classes_go_by_name(tmp_path):
    path = tmp_path / "x.parquet"
    table = pa.table({"image": [b"0", b"1", b"2"], "y": [0, 1, None]})
    pq.write_table(table.replace_schema_metadata(label_features("a deer", "a camel")), path)
    dataset = {"format": "parquet", "path": str(path), "label": "y"}
    assert plan(tmp_path, **dataset)[0].table["label"].to_pylist() == [1, 0, None]
    planned, _ = plan(tmp_path, **dataset | {"classes": None})
    assert planned.classes == ["a deer", "a camel"]
    assert planned.table["label"].to_pylist() == [0, 1, None]
    planned, _ = plan(tmp_path, **dataset | {"classes": ["a red deer", "a dromedary"]})
    assert planned.table["label"].to_pylist() == [0, 1, None]


def test_files_whose_labels_stand_for_different_names_are_refused(tmp_path):
    for i, names in enumerate([("a camel", "a deer"), ("a deer", "a camel")]):
        table = pa.table({"image": [b"0"], "y": [0]})
        pq.write_table(
            table.replace_schema_metadata(label_features(*names)), tmp_path / f"{i}.parquet"
        )
    dataset = {"format": "parquet", "path": f"{tmp_path}/*.parquet", "label": "y"}
    assert "other names" in refused(tmp_path, **dataset).remedy


def test_files_of_the_same_name_in_several_folders(tmp_path):
    for part in ("p1", "p2"):
        (tmp_path / "data" / part).mkdir(parents=True)
        write_tar(tmp_path / "data" / part / "x.tar", [("1.jpg", b"")])
        write_parquet(tmp_path / "data" / part / "x.parquet", image=[b""])
    planned, _ = plan(tmp_path, **web(tmp_path / "data" / "*" / "x.tar"))
    assert planned.table["item_id"].to_pylist() == ["p1/x.tar/1", "p2/x.tar/1"]
    path = f"{tmp_path}/data/*/x.parquet"
    planned, _ = plan(tmp_path, format="parquet", path=path)
    ids = planned.table["item_id"].to_pylist()
    assert ids == ["p1/x.parquet/000000000", "p2/x.parquet/000000000"]


@pytest.mark.parametrize("line", ["/etc/passwd", "../up.jpg", "file:///etc/passwd", "a::b"])
def test_lists_do_not_lead_out_of_their_folder(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"x.jpg\n{line}\n")
    urls = {"format": "urls", "path": str(tmp_path / "list.txt")}
    assert line.removeprefix("file://") in refused(tmp_path, **urls).value
    planned, _ = plan(tmp_path, **urls, allow_outside=True)
    assert planned.table.num_rows == 2


def test_lists_of_other_machines(tmp_path):
    (tmp_path / "list.txt").write_text("https://example.org/a.jpg\ns3://bucket/b.jpg\n# c\n\n")
    planned, _ = plan(tmp_path, format="urls", path=str(tmp_path / "list.txt"))
    assert planned.table["image"].to_pylist() == ["https://example.org/a.jpg", "s3://bucket/b.jpg"]
    (tmp_path / "list.txt").write_text("https://user:secret@example.org/a.jpg\n")
    error = refused(tmp_path, format="urls", path=str(tmp_path / "list.txt"))
    assert "secret@" not in str(error)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**.jpg", ["a.jpg", "x/b.jpg", "x/y/c.jpg"]),
        ("**/*.jpg", ["a.jpg", "x/b.jpg", "x/y/c.jpg"]),
        ("*.jpg", ["a.jpg"]),
        ("x/**", ["b.jpg", "d.png", "y/c.jpg"]),
        ("x/?.jpg", ["b.jpg"]),
        ("{a,x/b}.jpg", ["a.jpg", "x/b.jpg"]),
        ("x/[!b].png", ["d.png"]),
        ("*/b.jpg", ["x/b.jpg"]),
    ],
)
def test_patterns_of_files(tmp_path, pattern, expected):
    for name in ("a.jpg", "x/b.jpg", "x/y/c.jpg", "x/d.png", ".h/e.jpg", "x/.f.jpg"):
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_bytes(b"x")
    planned, _ = plan(tmp_path, format="files", path=f"{tmp_path}/files/{pattern}")
    found = [
        name.removeprefix(f"{tmp_path}/files/") for name in planned.table["item_id"].to_pylist()
    ]
    assert found == expected
    assert all(Path(image).exists() for image in planned.table["image"].to_pylist())


def test_braces():
    assert expand_braces("x-{08..11}.tar") == [f"x-{n}.tar" for n in ("08", "09", "10", "11")]
    assert expand_braces("{a,b}{1..2}") == ["a1", "a2", "b1", "b2"]
    assert expand_braces("plain") == ["plain"]
    with pytest.raises(ConfigError, match="1000000"):
        expand_braces("{0000..9999}{0000..9999}")


def test_an_output_below_a_file_is_not_blamed_on_the_tar(tmp_path):
    (tmp_path / "runs").write_text("a file")
    error = refused(tmp_path, **web(write_tar(tmp_path / "x.tar", SAMPLES)))
    assert error.field == "output"
