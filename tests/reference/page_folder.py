"""A folder in which the commands and snippets of a page run: pictures, tables, a finished run."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import s3fs
import yaml
from click.testing import Result
from markdown_pages import ROOT, Block, blocks
from PIL import Image
from typer.testing import CliRunner

from seraser_core.cli.main import app
from seraser_core.config import load_config
from seraser_core.demo.config import MODEL_JSON, WEIGHTS
from seraser_core.demo.dataset import SHORTCUT, plan_split
from seraser_core.demo.drawing import draw_picture
from seraser_core.results.summary import aggregate
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

PICTURES, OF_TUTORIAL, OF_COMMANDS = 48, 16, 8
"""Pictures of the finished run, in the tutorial's folder, and in the table of other commands."""
RUN, SERIES = "birds-1a2b3c4d5e6f", "birds-0a1b2c3d4e5f"
"""Names that stand on the pages for those of a run and of a series."""
_CONFIG, _TABLE, _WHOLE = "birds.yaml", "metadata.csv", "whole.csv"
_BUCKET = "s3://my-bucket"
_PROJECT = ("deployments/", "seraser_core/", "tests/")
_MODEL = {"name": str(MODEL_JSON), "pretrained": str(WEIGHTS), "precision": "fp32"}


def make_folder(folder: Path) -> None:
    """Draw the pictures, write tables and folders of them, and finish the run of the README twice.

    The run of all pictures is the one whose rows and report the pages read. The other one is of the
    few that commands compute, so that the same command finds it done on every page.

    One of the pictures is cut off, so that there is an error row. Whatever the pages call them,
    they are camels and deer, which the demo's model knows.
    """
    rows = []
    for item in plan_split("test", PICTURES, 0):
        row = item.row()
        for column, pixels in zip(
            ("filename", "mask"), draw_picture(item.animal, item.context, item.seed), strict=True
        ):
            path = folder / str(row[column])
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        rows.append({**row, "image": row["filename"], "place": row["a"]})
    for name, count in ((_TABLE, OF_COMMANDS), (_WHOLE, PICTURES)):
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows[:count])
    for row in rows[:OF_COMMANDS]:
        species = folder / "data" / "pets" / ("cat", "dog")[int(row["y"])]
        species.mkdir(parents=True, exist_ok=True)
        os.link(folder / str(row["filename"]), species / Path(str(row["filename"])).name)
    for row in rows[:OF_TUTORIAL]:
        photo = folder / "photos" / str(row["id"]).partition("_")[0] / f"{row['id']}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.open(folder / str(row["filename"])).save(photo)
    cut = folder / str(rows[-1]["filename"])
    cut.write_bytes(cut.read_bytes()[:1000])
    (folder / "pets").symlink_to("data/pets")
    (folder / "birds").symlink_to(".")
    (folder / "runs").mkdir()
    (folder / "my-bucket").mkdir()
    (folder / "var" / "lib" / "node_exporter").mkdir(parents=True)
    (folder / "my-bucket" / "runs").symlink_to("../runs")
    (folder / "my-bucket" / "uploads").mkdir()
    for row in rows[:4]:
        picture = folder / str(row["filename"])
        os.link(picture, folder / "my-bucket" / "uploads" / picture.name)
    for name in ("birds", "images", "masks", _TABLE):
        (folder / "my-bucket" / name).symlink_to(f"../{name}")
    for block in blocks("yaml"):
        if block.page in ("README.md", "docs/data.md") and block.file:
            (folder / block.file).write_text(block.text)
    tree = yaml.safe_load((folder / _CONFIG).read_text())
    tree["dataset"] |= {"classes": list(SHORTCUT.classes), "attributes": list(SHORTCUT.attributes)}
    tree["dataset"]["path"] = str(folder / _TABLE)  # in copies of the folder, too: the same run
    (folder / _CONFIG).write_text(yaml.safe_dump(tree, sort_keys=False))
    use_demo_model(folder)
    for other in (folder / "my-bucket", folder / "data"):
        shutil.copy(folder / _CONFIG, other)
    whole = [f"dataset.path={folder / _WHOLE}", "shard.max_items=20", "name=whole"]
    for changes in (whole, []):
        run = plan_run(load_config(str(folder / _CONFIG), changes))
        run_local(run)
        aggregate(run)


def use_demo_model(folder: Path) -> None:
    """Put the demo's model into every configuration of a folder: the pages' own needs a network."""
    for path in folder.glob("*.yaml"):
        tree = yaml.safe_load(path.read_text())
        cells = tree.get("grid", {}).get("models") or {}
        if tree.get("model") != _MODEL and "methods" in tree | tree.get("grid", {}):
            if cells:
                tree["grid"]["models"] = dict.fromkeys(cells, _MODEL)
            else:
                tree["model"] = _MODEL
            path.write_text(yaml.safe_dump(tree, sort_keys=False))


class PageFolder:
    """A copy of the folder for one page.

    Args:
        source: What `make_folder` made.
        folder: Where the copy is made; nothing there is shared with other pages but the bytes.
        bucket: URL of an empty bucket for what the pages have in one; a folder stands for it when
            None.
    """

    def __init__(self, source: Path, folder: Path, bucket: str | None = None) -> None:
        shutil.copytree(source, folder, symlinks=True, copy_function=os.link)
        self.folder = folder
        (finished,) = (folder / "runs").glob("whole-*")
        self._finished = finished.name
        self._bucket = bucket or str(folder / "my-bucket")
        if bucket is not None:
            fs = s3fs.S3FileSystem(use_listings_cache=False)
            for name in ("images", "masks", _TABLE):
                fs.put(str(folder / name), f"{bucket}/birds/{name}", recursive=True)
            fs.put(str(finished), f"{bucket}/runs/{finished.name}", recursive=True)
            fs.put(str(folder / _CONFIG), f"{bucket}/{_CONFIG}")
        self._variables: dict[str, str] = {}
        for path in folder.glob("*.yaml"):
            text = path.read_text()
            path.unlink()  # a link to the file of all pages
            path.write_text(self.here(text))

    def write(self, block: Block) -> None:
        """Write the file that a block shows, with the demo's model if it is a configuration."""
        if block.file and not (self.folder / block.file).exists():
            (self.folder / block.file).write_text(self.here(block.text))

    def here(self, text: str) -> str:
        """Return a text with the names of this folder in place of those that stand for them."""
        runs = self.folder / "runs"
        series = sorted(path.parent for path in runs.glob("birds-*/series"))
        if series:
            nights = sorted(path.parent.name for path in series[0].glob("*/run.json"))
            text = text.replace(f"{SERIES}/{RUN}", f"{SERIES}/{nights[0]}" if nights else SERIES)
            text = text.replace(SERIES, series[0].name)
        text = text.replace(RUN, self._finished)
        text = re.sub(r"(\w+)-1a2b3c4d5e6f", lambda match: self._run(match[1]), text)
        text = text.replace(_BUCKET, self._bucket)
        return re.sub(r"(?<![\w.}/])/(data|var/lib)/", rf"{self.folder}/\1/", text)

    def _run(self, name: str) -> str:
        (run,) = (path.name for path in (self.folder / "runs").glob(f"{name}-*"))
        return run

    def words(self, command: str) -> list[str]:
        """Split a command, with variables replaced and files of the project by their full path."""
        for name, value in self._variables.items():
            command = re.sub(rf"\${name}\b|\${{{name}}}", value, command)
        words = shlex.split(self.here(command), comments=True)
        return [re.sub(rf"(^|=)({'|'.join(_PROJECT)})", rf"\1{ROOT}/\2", word) for word in words]

    def remember(self, name: str, value: str) -> None:
        """Set a variable of the shell."""
        self._variables[name] = value

    def seraser(self, words: list[str]) -> Result:
        """Run a command of ours in this process."""
        use_demo_model(self.folder)
        return CliRunner().invoke(app, words)


def as_config(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration; what lacks a data set is one of the groups of options."""
    if "dataset" in tree or "grid" in tree:
        return tree
    dataset = {"path": "metadata.csv", "label": "y", "classes": ["a camel", "a deer"]}
    return {"dataset": dataset, **tree}
