"""Folders of classes: what is in them and is no image, and classes without images."""

from __future__ import annotations

from pathlib import Path

import pytest

from seraser_core.config import load_config
from seraser_core.errors import ConfigError
from seraser_core.sources.folder import FolderSource
from seraser_core.sources.source import Listing


def listing(root: Path, names: list[str], **dataset) -> Listing:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    tree = {"dataset": {"format": "folder", "path": str(root), **dataset}}
    return FolderSource(load_config(tree).dataset).listing()


def test_files_that_are_left_out_are_told(tmp_path):
    names = ["cat/1.png", "dog/2.JPG", "dog/3.jfif", "cat/4.JFIF", "dog/list", "5.png", "notes.txt"]
    found = listing(tmp_path, [*names, "dog/.DS_Store", ".git/config"])
    assert found.items["item_id"].sort().to_list() == ["cat/1.png", "dog/2.JPG"]
    assert found.warnings == [
        "3 files are no images by their endings and are left out: .jfif 2, none 1",
        "1 images are in no folder of a class and are left out, e.g. 5.png",
    ]
    assert listing(tmp_path / "other", names[:2]).warnings == []


def test_a_folder_of_files_that_are_no_images_is_refused(tmp_path):
    names = ["cat/1.png", "dog/2.png", "horse/3.jfif"]
    with pytest.raises(ConfigError, match=r"\.jfif 1") as caught:
        listing(tmp_path, names)
    assert (caught.value.field, caught.value.value) == ("dataset.path", f"{tmp_path}/horse")
    assert listing(tmp_path, [], classes=["dog", "cat"]).classes == ["dog", "cat"]


def test_a_folder_without_images_is_a_class_where_classes_may_be_empty(tmp_path):
    names = ["cat/1.png", "bee/2.jfif", "dog/3.png"]
    found = listing(tmp_path, names, allow_empty_classes=True)
    assert found.classes == ["bee", "cat", "dog"]
    assert found.items.sort("item_id")["label"].to_list() == [1, 2]
