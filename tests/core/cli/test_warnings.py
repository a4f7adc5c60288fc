"""Warnings about a run are given at its end, and in `seraser status`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image


def test_pictures_and_foregrounds_that_cannot_be_right_are_told(seraser, config, tmp_path):
    tree = yaml.safe_load(Path(config).read_text())
    rows = ["file,mask,y"]
    for i in range(4):
        Image.fromarray(np.full((8, 9, 3), i + 3, np.uint8)).save(tmp_path / f"{i}.png")
        mask = np.ones((8, 9), np.uint8)
        mask[:4, :i] = 0
        Image.fromarray(mask * 255).save(tmp_path / f"m{i}.png")
        rows.append(f"{i}.png,m{i}.png,{i % 3}")
    table = tmp_path / "t.csv"
    table.write_text("\n".join(rows))
    tree["dataset"] = {
        "path": str(table),
        "image": "file",
        "label": "y",
        "mask": "mask",
        "classes": tree["dataset"]["classes"],
    }
    tree["methods"] = ["foreground"]
    path = tmp_path / "odd.yaml"
    path.write_text(yaml.safe_dump(tree))
    done = seraser("run", str(path), "--no-prefect", "--json")
    assert done.exit_code == 0, done.output
    said = " ".join(done.stderr.split())
    assert "WARNING: 4 of 4 pictures are almost of one colour" in said
    shown = seraser("status", json.loads(done.stdout)["run"])
    assert "almost of one colour: 4 of 4" in shown.stdout
    # Of 72 pixels, 0, 4, 8 and 12 are background.
    assert "mask foregrounds: on average 91.7 % of a picture" in shown.stdout
    assert "are almost of one colour" in shown.stdout


def test_foregrounds_are_looked_at_without_a_model(seraser, config, tmp_path):
    tree = yaml.safe_load(Path(config).read_text())
    mask = np.ones((8, 9), np.uint8)
    mask[:4] = 2
    Image.fromarray(mask).save(tmp_path / "m.png")
    noise = np.random.default_rng(1).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "i.png")
    rows = [f"nr-{i},i.png,m.png,{i % 3}" for i in range(4)]
    (tmp_path / "t.csv").write_text("\n".join(["id,file,mask,y", *rows]))
    columns = {"id": "id", "image": "file", "label": "y", "mask": "mask"}
    classes = tree["dataset"]["classes"]
    tree["dataset"] = {"path": str(tmp_path / "t.csv"), "classes": classes, **columns}
    path = tmp_path / "trimaps.yaml"
    path.write_text(yaml.safe_dump(tree))
    done = seraser("plan", str(path), "--no-model")
    assert done.exit_code == 2
    assert "Oxford-IIIT Pet" in done.stderr
