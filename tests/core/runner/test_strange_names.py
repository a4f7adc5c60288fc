"""Files of any name that a file system or an object store allows, from the listing to the rows."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import polars as pl
import pytest

from seraser_core import storage
from seraser_core.results.verify import verify

NAMES = [
    "with space.png",
    " leading and trailing .png",
    "line\nbreak.png",
    "tab\tand\r\n.png",
    "quo\"te's.png",
    "comma,semicolon;.png",
    "=1+1.png",
    "-rf.png",
    "%2e%2e%2f.png",
    "a#b?c&d=e.png",
    "a::b.png",
    "[a]*{b}.png",
    "back\\slash.png",
    "<script>alert(1)<!--.png",
    "\u202egnp.png",
    unicodedata.normalize("NFC", "é.png"),
    unicodedata.normalize("NFD", "é.png"),
    "名前\U0001f98c.png",
    "/".join(["long" * 24] * 10) + ".png",
]
assert len(NAMES[-1]) > 950


@pytest.fixture
def names(tree, pictures) -> list[str]:
    """Names of images below a folder, which `tree` reads with one method."""
    tree["methods"] = ["zero_shot"]
    tree["dataset"] = {"format": "folder", "path": ""}
    return [f"{one}/{name}" for one in ("a b", "ü") for name in NAMES]


def write(root: str, names: list[str], pictures: Path) -> None:
    data = (pictures.parent / "picture 00é.png").read_bytes()
    for name in names:
        storage.write_bytes(storage.join(root, name), data)


def check(run, tree, names: list[str]) -> str:
    url, rows = run(tree)
    assert rows["item_id"].to_list() == sorted(names, key=str.encode)
    assert set(rows["status"]) == {"ok"}, rows.filter(pl.col("status") == "error")
    assert verify(url).problems == []
    return url


def test_of_files_on_a_disk(run, tree, names, pictures, tmp_path):
    tree["dataset"]["path"] = str(tmp_path / "d a\nta")
    write(tree["dataset"]["path"], names, pictures)
    check(run, tree, names)


def test_of_objects_and_of_cells_of_a_table(run, tree, names, pictures, bucket):
    names = [name for name in names if "\\" not in name]  # SeaweedFS takes a \ for a /
    write(f"{bucket}/set", names, pictures)
    tree["dataset"]["path"] = f"{bucket}/set"
    check(run, tree, names)
    names = [name for name in names if unicodedata.is_normalized("NFC", name)]  # one image a name
    table = pl.DataFrame({"file": names, "y": [i % 2 for i in range(len(names))]})
    storage.write_bytes(f"{bucket}/set/table.csv", table.write_csv().encode())
    tree["dataset"] = {
        "path": f"{bucket}/set/table.csv",
        "image": "file",
        "label": "y",
        "classes": ["a", "b"],
    }
    check(run, tree, names)
