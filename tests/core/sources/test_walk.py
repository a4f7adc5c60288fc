"""Folders with links: inside, outside, in circles and to nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seraser_core.config import load_config
from seraser_core.errors import ConfigError
from seraser_core.sources.planner import plan_items


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of two classes beside one that does not belong to it."""
    for name in ("set/cat/1.png", "set/dog/2.png", "set/.store/3.png", "other/4.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 7)
    return tmp_path / "set"


def ids(root: Path, **dataset) -> list[str]:
    tree = {"dataset": {"format": "folder", "path": str(root), **dataset}, "methods": ["zero_shot"]}
    table = plan_items(load_config(tree)).table
    assert set(table["size"].to_pylist()) <= {0, 7}
    return table["item_id"].to_pylist()


def test_links_that_stay_inside_are_followed(root):
    (root / "eel").symlink_to(".store")
    (root / "dog" / "young").symlink_to(root / "cat")
    (root / "dog" / "5.png").symlink_to("../cat/1.png")
    (root / "dog" / "gone.png").symlink_to("nothing.png")
    expected = ["cat/1.png", "dog/2.png", "dog/5.png", "dog/gone.png", "dog/young/1.png"]
    assert ids(root) == [*expected, "eel/3.png"]


def test_links_in_circles_end(root):
    (root / "dog" / "all").symlink_to(root)
    (root / "dog" / "self.png").symlink_to("self.png")
    (root / "dog" / "cats").symlink_to("../cat")
    (root / "cat" / "dogs").symlink_to("../dog")
    assert ids(root) == [
        "cat/1.png",
        "cat/dogs/2.png",
        "cat/dogs/self.png",
        "dog/2.png",
        "dog/cats/1.png",
        "dog/self.png",
    ]


@pytest.mark.parametrize("link", ["owl", "dog/more", "dog/5.png", "dog/gone.png"])
def test_links_that_lead_outside_are_refused_unless_allowed(root, link):
    target = {"dog/5.png": "4.png", "dog/gone.png": "gone.png"}.get(link, "")
    (root / link).symlink_to(root.parent / "other" / target)
    with pytest.raises(ConfigError, match="allow_outside") as caught:
        ids(root)
    assert caught.value.field == "dataset.path"
    assert link in str(caught.value.value)
    name = link if link.endswith("png") else f"{link}/4.png"
    assert ids(root, allow_outside=True) == sorted(["cat/1.png", "dog/2.png", name])


def test_links_that_no_image_is_behind_do_not_matter(root):
    (root / "dog" / "notes.txt").symlink_to("/etc/hostname")
    (root / ".git").symlink_to(root.parent / "other")
    (root / "top.png").symlink_to(root.parent / "other" / "4.png")
    assert ids(root) == ["cat/1.png", "dog/2.png"]


def test_a_root_that_is_a_link(root):
    link = root.parent / "link"
    link.symlink_to(root)
    assert ids(link) == ["cat/1.png", "dog/2.png"]
    with pytest.raises(ConfigError, match="no such folder"):
        ids(root / "cat" / "1.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may list everything")
def test_a_folder_that_may_not_be_listed_is_not_passed_over(root):
    (root / "dog").chmod(0)
    try:
        with pytest.raises(ConfigError, match="may not be listed"):
            ids(root)
    finally:
        (root / "dog").chmod(0o755)
