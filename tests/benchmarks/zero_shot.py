"""Zero-shot over files: a run against the plain loop of open_clip and torch's DataLoader.

    uv run python tests/benchmarks/zero_shot.py --images 256 --turns 3
    uv venv other && uv pip install --python other/bin/python clip-retrieval
    uv run python tests/benchmarks/zero_shot.py --clip-retrieval other/bin/python

The loop is the one that a careful program has: open_clip's own preprocessing in the workers of a
DataLoader, batches through the image tower in inference mode, one product with the text features.
Both compute the same pictures with the same weights, random ones, and as many threads, each in a
process of its own, in turns. No time contains imports, the model's loading and the texts; ours
contains all the rest of a shard: hashes, rows, Parquet, the commit. It is also told how many
predictions are the same. The inference of clip-retrieval, which makes embeddings of files, joins
the turns where an environment that has it is given.

Processor time says what an image costs; it does not depend on what else the machine does. Wall time
also says how well the cores are used, and only counts on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import open_clip
import polars as pl
import torch
from inputs import class_names, photograph
from machine import machine
from PIL import Image
from stopwatch import Stopwatch
from torch.utils.data import DataLoader, Dataset

from seraser_core.config import load_config
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session

TEMPLATE = "a photo of {}"
SIZE = (640, 480)
WORKERS = (0, 1, 2)
_BATCH = 64


class Pictures(Dataset):
    """Preprocessed pictures of files."""

    def __init__(self, paths: list[Path], preprocess: Any) -> None:
        self._paths, self._preprocess = paths, preprocess

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self._paths[index]) as picture:
            return self._preprocess(picture)


@torch.inference_mode()
def loop(folder: Path, model: str, classes: list[str], workers: int) -> Any:
    """Return the seconds that the plain loop takes, and what it predicts."""
    torch.manual_seed(0)  # the weights of a run without pretrained ones
    net, _, preprocess = open_clip.create_model_and_transforms(model, device="cpu")
    net.eval()
    tokens = open_clip.get_tokenizer(model)([TEMPLATE.format(name) for name in classes])
    texts = net.encode_text(tokens, normalize=True)
    net.encode_image(torch.zeros(_BATCH, 3, *net.visual.image_size))  # warm
    predictions = []
    watch = Stopwatch()
    pictures = Pictures(sorted(folder.glob("*.jpg")), preprocess)
    loader = iter(DataLoader(pictures, batch_size=_BATCH, num_workers=workers))
    for images in loader:
        logits = net.logit_scale.exp() * net.encode_image(images, normalize=True) @ texts.T
        predictions += logits.softmax(dim=-1).argmax(dim=-1).tolist()
    del loader  # waits for the workers
    return watch.seconds(), predictions


def ours(folder: Path, model: str, classes: list[str]) -> Any:
    """Return the seconds that a run takes beside loading, and what it predicts."""
    with tempfile.TemporaryDirectory() as output:
        tree = {
            "dataset": {
                "path": str(folder / "metadata.csv"),
                "classes": classes,
                "template": TEMPLATE,
            },
            "model": {"name": model, "pretrained": None, "device": "cpu"},
            "methods": ["zero_shot"],
            "output": output,
        }
        url = plan_run(load_config(tree))
        open_session(url)
        watch = Stopwatch()
        run_local(url)
        seconds = watch.seconds()
        rows = pl.read_parquet(f"{url}/predictions/*.parquet").sort("image")
        return seconds, rows["prediction"].to_list()


def write_pictures(folder: Path, count: int) -> Path:
    """Write JPEG files and a table of them; return its path."""
    rng = np.random.default_rng(0)
    for i in range(count):
        photograph(rng, SIZE).save(folder / f"{i:05}.jpg", quality=92)
    table = folder / "metadata.csv"
    pl.DataFrame({"image": [f"{i:05}.jpg" for i in range(count)]}).write_csv(table)
    return table


def compare(
    folder: Path, model: str, images: int, classes: int, turns: int, retrieval: str | None = None
) -> dict[str, Any]:
    """Compare both, and clip-retrieval where `retrieval` is a Python that has it, in turns.

    Returns:
        How many times faster ours is, in processor and in wall time, by what it is compared with:
        medians over the turns. Under ``same``, the shares of predictions that are.
    """
    write_pictures(folder, images)
    given = str(folder), model
    us = [sys.executable, __file__, "--one", *given, str(classes)]
    others = {f"the loop with {workers} workers": [*us, str(workers)] for workers in WORKERS}
    if retrieval:
        script, weights = Path(__file__).parent / "retrieval.py", write_weights(folder, model)
        texts = [TEMPLATE.format(name) for name in class_names(classes)]
        others["clip-retrieval"] = [
            *(retrieval, str(script), *given, str(weights), str(max(WORKERS))),
            *texts,
        ]

    def run(name: str, command: list[str]) -> Any:
        environment = os.environ | {"OMP_WAIT_POLICY": "passive"}  # or waiting takes processor time
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        (wall, processors), predictions = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: {wall / images:.4f} s an image, {processors / images:.4f} of processors")
        return wall, processors, predictions

    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in others}
    same = {}
    for _ in range(turns):
        wall, processors, found = run("seraser", us)
        for name, command in others.items():
            other_wall, other_processors, expected = run(name, command)
            ratios[name].append((other_processors / processors, other_wall / wall))
            same[name] = sum(a == b for a, b in zip(expected, found, strict=True)) / images
    return {
        "processors": {name: median(r for r, _ in pairs) for name, pairs in ratios.items()},
        "wall": {name: median(r for _, r in pairs) for name, pairs in ratios.items()},
        "same": same,
    }


def write_weights(folder: Path, model: str) -> Path:
    """Write the weights that the others draw, and return their path."""
    torch.manual_seed(0)
    path = folder / "weights.pt"
    torch.save(open_clip.create_model(model, device="cpu").state_dict(), path)
    return path


def main() -> None:
    """Compare, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ViT-B-32-quickgelu")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    have = "a Python that has clip-retrieval"
    parser.add_argument("--clip-retrieval", metavar="PYTHON", help=have)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        folder, model, classes, *workers = options.one
        given = Path(folder), model, class_names(int(classes))
        print(json.dumps(loop(*given, int(workers[0])) if workers else ours(*given)))
        return
    print(machine("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        numbers = options.images, options.classes, options.turns
        found = compare(Path(folder), options.model, *numbers, options.clip_retrieval)
    for time_of in ("processors", "wall"):
        for name, ratio in found[time_of].items():
            print(f"{time_of}: {ratio:.2f} times as fast as {name}")
    for name, share in found["same"].items():
        print(f"{share:.1%} of the predictions are those of {name}")


if __name__ == "__main__":
    main()
