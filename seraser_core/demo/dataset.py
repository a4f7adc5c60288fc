"""The demo data sets on disk: two animals in two places, with and without a shortcut."""

from __future__ import annotations

import csv
import io
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from seraser_core import storage
from seraser_core.demo.drawing import draw_picture

logger = logging.getLogger(__name__)

TEMPLATE = "a photo of {}"
SPLITS = {"train": 0, "validation": 1, "test": 2}
_SEEDS_PER_SPLIT = 1_000_000
_COLUMNS = ("id", "filename", "mask", "y", "a", "split")


@dataclass(frozen=True)
class Task:
    """Two classes to tell apart, each in both of two places.

    Attributes:
        classes: Class names with their article.
        attributes: The places.
    """

    classes: tuple[str, str]
    attributes: tuple[str, str]


SHORTCUT = Task(("a camel", "a deer"), ("desert", "forest"))
"""The model takes the desert for a camel and the forest for a deer."""
CONTROL = Task(("a camel", "a penguin"), ("forest", "meadow"))
"""Neither animal lives in these places, so the place is no hint."""


@dataclass(frozen=True)
class DemoItem:
    """One row of metadata.csv with the seed of its picture."""

    task: Task
    y: int
    a: int
    split: str
    seed: int

    @property
    def animal(self) -> str:
        """The animal of the class, without its article."""
        return self.task.classes[self.y].removeprefix("a ")

    @property
    def context(self) -> str:
        """The name of the attribute."""
        return self.task.attributes[self.a]

    @property
    def id(self) -> str:
        """Id that names everything the picture depends on."""
        return f"{self.animal}_{self.context}_{self.seed:07d}"

    def row(self) -> dict[str, str | int]:
        """The row of metadata.csv."""
        return {
            "id": self.id,
            "filename": f"images/{self.id}.png",
            "mask": f"masks/{self.id}.png",
            "y": self.y,
            "a": self.a,
            "split": SPLITS[self.split],
        }


def picture_seed(seed: int, split: str, index: int) -> int:
    """Seed of picture `index`; no picture of one split has the seed of another split's."""
    if not 0 <= index < _SEEDS_PER_SPLIT:
        raise ValueError(f"index {index}: a split holds at most {_SEEDS_PER_SPLIT} pictures")
    return (seed * len(SPLITS) + SPLITS[split]) * _SEEDS_PER_SPLIT + index


def plan_split(split: str, count: int, seed: int, task: Task = SHORTCUT) -> list[DemoItem]:
    """`count` items with all groups (class, context) in turn."""
    groups = [(y, a) for y in range(len(task.classes)) for a in range(len(task.attributes))]
    if count % len(groups):
        raise ValueError(f"{split}: {count} pictures; give a multiple of {len(groups)}")
    items = []
    for index in range(count):
        y, a = groups[index % len(groups)]
        items.append(DemoItem(task, y, a, split, picture_seed(seed, split, index)))
    return items


def write_dataset(
    folder: str | Path,
    seed: int = 0,
    test: int = 480,
    validation: int = 120,
    task: Task = SHORTCUT,
) -> Path:
    """Write a demo data set; pictures and masks that are already there are kept.

    metadata.csv is written last, so where it stands the data set is whole.

    Args:
        folder: Folder for images/, masks/ and metadata.csv.
        seed: Seed of the pictures.
        test: Pictures of split 2, a multiple of 4.
        validation: Pictures of split 1, a multiple of 4.
        task: Task that the pictures show.

    Returns:
        Path of metadata.csv.
    """
    folder = Path(folder)
    counts = {"validation": validation, "test": test}
    items = [item for name, n in counts.items() for item in plan_split(name, n, seed, task)]
    table = folder / "metadata.csv"
    text = _as_csv(items)
    if table.exists() and table.read_text() != text:
        table.unlink()  # it must not stand while its pictures are incomplete
    missing = [item for item in items if not all(p.exists() for p in _paths(folder, item))]
    if missing:
        logger.info("drawing %d pictures into %s", len(missing), folder)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda item: _write_item(folder, item), missing))
    if not table.exists():
        storage.write_bytes(str(table), text.encode())
    return table


def _as_csv(items: list[DemoItem]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(item.row() for item in items)
    return text.getvalue()


def _paths(folder: Path, item: DemoItem) -> tuple[Path, Path]:
    return folder / str(item.row()["filename"]), folder / str(item.row()["mask"])


def _write_item(folder: Path, item: DemoItem) -> None:
    picture, mask = draw_picture(item.animal, item.context, item.seed)
    for path, pixels in zip(_paths(folder, item), (picture, mask), strict=True):
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, format="PNG", compress_level=4)
        storage.write_bytes(str(path), content.getvalue())
