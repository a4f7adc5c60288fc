"""Files that nobody asked for, and names that are spelt in other ways."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seraser_core import storage
from seraser_core.config import parse_config
from seraser_core.errors import ConfigError
from seraser_core.sources.fetch import fetch_image, fetch_mask
from seraser_core.sources.planner import PlannedItems, plan_items

ONE, TWO = "caf\u00e9", "cafe\u0301"
"""The same word, with é as one sign and as two."""
JUNK = [
    "cat/.DS_Store",
    "cat/._1.jpg",
    "cat/Thumbs.db",
    "cat/desktop.ini",
    "cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
    "cat/.ipynb_checkpoints/1-checkpoint.jpg",
    "__MACOSX/cat/._1.jpg",
    "__MACOSX/cat/1.jpg",
    "$RECYCLE.BIN/x.jpg",
    "lost+found/x.jpg",
    "README.md",
    "checksums.sha256",
]


def plan(path: str | Path, *, format: str = "folder", **dataset: Any) -> tuple[PlannedItems, str]:
    said: list[str] = []
    tree = {"format": format, "path": str(path), **dataset}
    config = {"dataset": tree, "methods": ["zero_shot"], "output": "/nowhere"}
    return plan_items(parse_config(config), said.append), "\n".join(said)


def ids(planned: PlannedItems) -> list[str]:
    return planned.table["item_id"].to_pylist()


def write(root: Path, names: list[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_what_systems_leave_behind_is_no_image_of_any_class(tmp_path, bucket, where):
    root = write(tmp_path / "set", ["cat/1.jpg", "dog/2.jpg", *JUNK])
    if where == "s3":
        for path in root.rglob("*"):
            if path.is_file():
                url = f"{bucket}/set/{path.relative_to(root)}"
                storage.write_bytes(url, b"x")
        root = f"{bucket}/set"
    planned, said = plan(root)
    assert ids(planned) == ["cat/1.jpg", "dog/2.jpg"]
    assert planned.classes == ["cat", "dog"]
    assert "WARNING" not in said
    files, _ = plan(f"{root}/**.jpg", format="files", classes=["cat", "dog"])
    assert ids(files) == ["cat/1.jpg", "dog/2.jpg"]


def test_one_name_of_another_encoding_is_passed_over_and_told(tmp_path):
    root = write(tmp_path, ["cat/1.jpg", "dog/2.jpg"])
    for name in (b"cat/caf\xe9.jpg", b"dog/notes\xe9.txt"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(b"x")
    planned, said = plan(root)
    assert ids(planned) == ["cat/1.jpg", "dog/2.jpg"]
    assert "WARNING: 1 entries have names that are no UTF-8; rename them" in said
    assert "left out, e.g. 'cat/caf\\udce9.jpg'" in said
    files, said = plan(f"{root}/*/*.jpg", format="files", classes=["a", "b"])
    assert ids(files) == ["cat/1.jpg", "dog/2.jpg"]
    assert "1 entries have names that are no UTF-8" in said
    Path(os.fsdecode(os.fsencode(root) + b"/\xe9")).mkdir()
    assert "2 entries have names that are no UTF-8" in plan(root)[1]


def test_names_of_another_encoding_in_a_tar_are_as_good_as_any(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for name in ("1.jpg", "caf\udce9.jpg", "__MACOSX/._1.jpg", "@eaDir/2.jpg", "./a//b.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(name[:1].encode()))
    planned, _ = _plan_tar(tmp_path, tmp_path / "x.tar")
    assert ids(planned) == ["x.tar/1", "x.tar/a/b", r"x.tar/caf\xe9"]


def _plan_tar(tmp_path: Path, path: Path | str, **dataset: Any) -> tuple[PlannedItems, str]:
    said: list[str] = []
    tree = {"format": "webdataset", "path": str(path), "classes": ["a", "b"], **dataset}
    config = {"dataset": tree, "methods": ["zero_shot"], "output": str(tmp_path / "runs")}
    return plan_items(parse_config(config), said.append), "\n".join(said)


def test_pipes_and_sockets_are_passed_over_and_told(tmp_path, monkeypatch):
    root = write(tmp_path, ["cat/1.jpg", "dog/2.jpg"])
    os.mkfifo(root / "cat" / "3.jpg")
    monkeypatch.chdir(root)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("dog/s.jpg")
        os.mkfifo(root / "dog" / "pipe")
        planned, said = plan(root)
    assert ids(planned) == ["cat/1.jpg", "dog/2.jpg"]
    assert "2 entries are sockets, pipes or devices; they are left out, e.g. 'cat/3.jpg'" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may list everything")
def test_a_folder_that_may_not_be_listed_matters_where_it_is_a_class(tmp_path):
    root = write(tmp_path, ["cat/1.jpg", "dog/2.jpg", "private/3.jpg", "lost+found/x"])
    closed = [root / "private", root / "lost+found"]
    for path in closed:
        path.chmod(0)
    try:
        with pytest.raises(ConfigError, match="may not be listed") as caught:
            plan(root)
        assert caught.value.value == str(root / "private")
        planned, said = plan(root, classes=["cat", "dog"])
        assert ids(planned) == ["cat/1.jpg", "dog/2.jpg"]
        assert "1 entries are folders that may not be listed" in said
        files, _ = plan(f"{root}/[cd]*/*.jpg", format="files", classes=["a", "b"])
        assert ids(files) == ["cat/1.jpg", "dog/2.jpg"]
    finally:
        for path in closed:
            path.chmod(0o755)


def test_folders_of_notes_are_no_classes_and_those_of_other_pictures_may_be(tmp_path):
    root = write(tmp_path, ["cat/1.jpg", "dog/2.jpg", "docs/README.md", "lists/train.csv"])
    planned, said = plan(root)
    assert planned.classes == ["cat", "dog"]
    assert "2 files are no images by their endings and are left out" in said
    write(tmp_path, ["horse/3.heic"])
    with pytest.raises(ConfigError, match="has no image"):
        plan(root)


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
@pytest.mark.parametrize("pattern", ["*", "**", "part-*"])
def test_what_lies_beside_tars_and_parquet_files_is_passed_over(tmp_path, format, pattern):
    ending = "tar" if format == "webdataset" else "parquet"
    data = write(
        tmp_path / "data",
        ["README.md", "_SUCCESS", f"part-0.{ending}.md5", "part-index.json", "_metadata"],
    )
    if format == "parquet":
        pq.write_table(pa.table({"image": [b"x", b"y"]}), data / "part-0.parquet")
        (data / "part-1.parquet").write_bytes(b"")
    else:
        with tarfile.open(data / "part-0.tar", "w") as tar:
            for name in ("1.jpg", "2.jpg"):
                member = tarfile.TarInfo(name)
                member.size = 1
                tar.addfile(member, io.BytesIO(b"x"))
        (data / "part-1.tar").write_bytes(b"")
    planned, said = _plan_tar(tmp_path, f"{data}/{pattern}", format=format)
    assert planned.table.num_rows == 2
    assert f"files do not end in .{ending}" in said
    assert "part-1" in said


def test_all_files_of_a_name_are_images_where_the_ending_is_open(tmp_path):
    root = write(tmp_path, ["a/1.jpg", "a/2.txt", "b/3.PNG", "b/4"])
    two = {"format": "files", "classes": ["a", "b"]}
    planned, said = plan(f"{root}/**", **two)
    assert ids(planned) == ["a/1.jpg", "b/3.PNG"]
    assert "2 files are no images by their endings and are" in said
    assert "left out: .txt 1, none 1" in said
    assert ids(plan(f"{root}/*/*.txt", **two)[0]) == ["a/2.txt"]
    assert ids(plan(f"{root}/b/[0-9]", **two)[0]) == ["4"]


def test_a_root_above_its_splits_is_told(tmp_path):
    _, said = plan(write(tmp_path, ["test/cat/1.jpg", "train/cat/2.jpg", "train/dog/3.jpg"]))
    assert "WARNING: the folders test, train are named as splits, not as classes; did you" in said
    assert f"path: {tmp_path}/t" in said
    assert "named as splits" in plan(write(tmp_path / "flat", ["Train/1.jpg", "Val/2.jpg"]))[1]


def test_a_root_above_the_root_is_told(tmp_path):
    write(tmp_path, ["pets/cat/1.jpg", "pets/dog/2.jpg"])
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path)
    assert caught.value.remedy == f"did you mean path: {tmp_path}/pets? It has cat, dog"


@pytest.mark.parametrize(("disk", "named"), [(ONE, TWO), (TWO, ONE)])
def test_folders_of_classes_are_found_however_they_are_spelt(tmp_path, disk, named):
    root = write(tmp_path, [f"{disk}/1.jpg", "dog/2.jpg"])
    planned, _ = plan(root, classes=["dog", named])
    assert planned.table["label"].to_pylist() == [1, 0]
    assert ids(planned) == [f"{ONE}/1.jpg", "dog/2.jpg"]
    assert Path(planned.table["image"][0].as_py()).exists()
    assert plan(root)[0].classes == [ONE, "dog"]


def test_two_spellings_of_a_folder_are_one_class(tmp_path):
    root = write(tmp_path, [f"{ONE}/1.jpg", f"{TWO}/2.jpg", "dog/2.jpg"])
    planned, _ = plan(root)
    assert planned.classes == [ONE, "dog"]
    assert planned.table.num_rows == 3
    # Both are there, so they are two files.
    write(tmp_path, [f"{TWO}/1.jpg"])
    assert plan(root)[0].table.num_rows == 4


@pytest.mark.parametrize("where", ["disk", "s3"])
@pytest.mark.parametrize(("disk", "named"), [(ONE, TWO), (TWO, ONE)])
def test_files_of_a_table_are_found_however_they_are_spelt(tmp_path, bucket, where, disk, named):
    base = str(tmp_path / "set") if where == "disk" else f"{bucket}/{disk == ONE}"
    for name in (f"{disk}/{disk}.jpg", f"{disk}/{named}.png", f"m/{disk}.png"):
        storage.write_bytes(f"{base}/{name}", name.encode())
    table = f"image,mask,y\n{named}/{named}.jpg,m/{named}.png,{named}\n{named}/{named}.png,,dog\n"
    storage.write_bytes(f"{base}/x.csv", table.encode())
    options = {"format": "table", "classes": ["dog", disk], "label": "y", "mask": "mask"}
    planned, _ = plan(f"{base}/x.csv", **options)
    config = parse_config({"dataset": {"path": f"{base}/x.csv", **options}}).dataset
    items = planned.table.to_pylist()
    assert [item["label"] for item in items] == [1, 0]
    assert [fetch_image(item, config).decode() for item in items] == [
        f"{disk}/{disk}.jpg",
        f"{disk}/{named}.png",
    ]
    assert fetch_mask(items[0], config).decode() == f"m/{disk}.png"


def test_attributes_that_are_spelt_in_two_ways_are_one(tmp_path):
    write(tmp_path, ["a.jpg"])
    (tmp_path / "x.csv").write_text(f"image,y,a\na.jpg,0,{ONE}\nb.jpg,1,{TWO}\nc.jpg,1,bar\n")
    options = {"format": "table", "classes": ["a", "b"], "label": "y", "attribute": "a"}
    planned, _ = plan(tmp_path / "x.csv", **options)
    assert planned.attributes == ["bar", ONE]
    assert planned.table["attribute"].to_pylist() == [1, 1, 0]


def test_members_of_a_sample_may_be_spelt_in_two_ways(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, content in ((f"{ONE}.jpg", b"x"), (f"./{TWO}.cls", b"1"), ("b.jpg", b"y")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    planned, _ = _plan_tar(tmp_path, tmp_path / "x.tar", allow_empty_classes=True)
    assert ids(planned) == ["x.tar/b", f"x.tar/{ONE}"]
    assert planned.table["label"].to_pylist() == [None, 1]
