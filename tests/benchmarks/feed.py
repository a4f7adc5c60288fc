"""Pictures made ready per second, and what our own code costs beside Pillow's.

    uv run python tests/benchmarks/feed.py --side 64 256 --threads 16 --json feed.json
    uv run --with py-spy python tests/benchmarks/feed.py   # also how long the GIL is held

Reads JPEGs and masks from the disk through the `Feed` of a run, without a model. One row per case:

    whole       all of it: fetching, decoding, views, stacking
    decoded     a decoder gives pictures that were made before: our own code and the views
    sampled     the views, too, were made before: fetching, the look-ahead and stacking alone

*ms of CPU* is the time of all threads; its inverse bounds the images per second of a core. *ms of
the GIL* is how long it is held, whose inverse bounds those of a process, however many cores it has:
of the same stages in one thread, the time of the processor times the share of py-spy's samples with
the GIL. The look-ahead is not in it; its threads do little else, and *sampled* says what they take.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from machine import machine
from PIL import Image, ImageFilter, ImageOps
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from seraser_core.config import load_config
from seraser_core.runner import feed as feeding
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.clock import Clock
from seraser_core.runner.feed import Feed
from seraser_core.runner.pictures import Files, Pictures, Sample, Sampled
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import Session, open_session
from seraser_core.runner.stacking import Stack

METHODS = ("zero_shot", "seraser")
CASES = ("whole", "decoded", "sampled")
_DISTINCT = 32
_RATE = 250
_SPY_SECONDS = 2.0
_TOGETHER = 64


def write_pictures(folder: Path, count: int, side: int) -> Path:
    """Write a table of `count` JPEGs, as hard to compress as photographs, with masks."""
    rng = np.random.default_rng(0)
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[side // 5 : 3 * side // 4, side // 3 : 2 * side // 3] = 255
    rows = []
    for i in range(count):
        image, foreground = folder / f"{i}.jpg", folder / f"{i}.png"
        if i < _DISTINCT:
            pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            smooth = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(3))
            # As much contrast as a photograph, and a little noise.
            wide = np.asarray(ImageOps.autocontrast(smooth, cutoff=1)) // 8 * 7
            noisy = wide + rng.integers(0, 8, pixels.shape, dtype=np.uint8)
            Image.fromarray(noisy).save(image, quality=92)
            Image.fromarray(mask).save(foreground)
        else:
            for path in (image, foreground):
                shutil.copyfile(folder / f"{i % _DISTINCT}{path.suffix}", path)
        rows.append({"image": image.name, "mask": foreground.name, "y": i % 2})
    table = folder / "metadata.csv"
    pl.DataFrame(rows).write_csv(table)
    return table


def session_of(table: Path, method: str, threads: int, output: Path) -> Session:
    """The session of a run of these pictures."""
    tree = {
        "dataset": {"path": str(table), "mask": "mask", "label": "y", "classes": ["a", "b"]},
        "model": {"name": "ViT-B-32", "pretrained": None},
        "methods": [method],
        "runtime": {"decode_threads": threads},
        "output": str(output),
    }
    return open_session(plan_run(load_config(tree)))


class _Given:
    """A decoder of one picture and its mask, which were made before."""

    def __init__(self, image: Image.Image, mask: np.ndarray) -> None:
        self._image, self._mask = image, mask

    def image(self, *_: Any) -> Image.Image:
        return self._image

    def mask(self, *_: Any) -> np.ndarray:
        return self._mask


class _Decoded(Pictures):
    """Pictures whose files are not looked at."""

    def __init__(self, session: Session, *rest: Any) -> None:
        super().__init__(session, *rest)
        item = session.images.items(np.arange(1))[0]
        limits = session.config.dataset.limits
        image = self._decoder.image(session.images.image(item), limits)
        mask = self._decoder.mask(session.images.mask(item), image.size, limits)
        self._decoder = _Given(image, mask)


class _Sampled(_Decoded):
    """Samples that were made before."""

    def __init__(self, session: Session, *rest: Any) -> None:
        super().__init__(session, *rest)
        item = session.images.items(np.arange(1))[0]
        self._made = super()._sample(0, item, Files(b"", b""))

    def _sample(self, index: int, *_: Any) -> Sample:
        return replace(self._made, item_index=index)


_PICTURES = {"whole": Pictures, "decoded": _Decoded, "sampled": _Sampled}


def measure(session: Session, case: str, batch: int, repeats: int) -> dict[str, Any]:
    """Time and processor time of one image, in seconds: the best of some runs."""
    items = session.images.items(np.arange(session.images.count))
    feeding.Pictures = _PICTURES[case]  # the parts of it that are measured
    try:
        rows = [_measure(session, items, batch) for _ in range(repeats)]
    finally:
        feeding.Pictures = Pictures
    row = min(rows, key=lambda row: row["cpu_s"])
    program = shutil.which("py-spy")
    if program is not None:
        kind = _PICTURES[case]
        row["gil_s"] = min(_gil_seconds(program, session, items, kind) for _ in range(repeats))
    return row


def _measure(session: Session, items: Sequence[dict[str, Any]], batch: int) -> dict[str, Any]:
    cpu, start = time.process_time(), time.perf_counter()
    with Feed(session, items, batch, Attempt()) as feed:
        got = sum(len(ready.items) for ready in feed)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    if got != len(items):
        raise RuntimeError(f"{len(items) - got} of {len(items)} pictures failed")
    return {"images_per_s": got / wall, "cpu_s": cpu / got}


def _gil_seconds(
    program: str, session: Session, items: Sequence[dict[str, Any]], kind: type[Pictures]
) -> float:
    """Seconds of one image in which a thread that does all of it holds the GIL."""
    views = [view for view in session.views if view.make]
    pictures = kind(session, views, Attempt(), Clock(), Sampled())

    def prepare(some: Sequence[dict[str, Any]]) -> None:
        stack = Stack(views, len(some), session.model.device, None)
        samples = [pictures.decode(item, pictures.fetch(item)) for item in some]
        stack.add([sample.views for sample in samples])
        pictures.take_back(samples)

    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        command = [program, "record", "--gil", "--nonblocking", "--format", "raw"]
        command += ["--rate", str(_RATE), "--output", file.name, "--pid", str(os.getpid())]
        spy = subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
        spy.stdout.readline()  # it samples from now on
        count, cpu, start = 0, time.thread_time(), time.perf_counter()
        while (wall := time.perf_counter() - start) < _SPY_SECONDS:
            for first in range(0, len(items), _TOGETHER):
                prepare(items[first : first + _TOGETHER])
            count += len(items)
        cpu = time.thread_time() - cpu
        spy.send_signal(signal.SIGINT)
        spy.communicate()
        holding = _count(Path(file.name))
    return cpu / count * min(1.0, holding / (_RATE * wall))


def _count(file: Path) -> int:
    """Samples of a raw profile."""
    return sum(int(line.rpartition(" ")[2]) for line in file.read_text().splitlines())


def table_of(rows: list[dict[str, Any]]) -> Table:
    """The rows for people."""
    heads = "side", "method", "threads", "case", "images/s", "ms of CPU", "ms of the GIL"
    table = Table(*heads, box=SIMPLE)
    for row in rows:
        table.add_row(
            *(str(row[name]) for name in ("side", "method", "threads", "case")),
            f"{row['images_per_s']:,.0f}",
            f"{1000 * row['cpu_s']:.3f}",
            f"{1000 * row['gil_s']:.3f}" if "gil_s" in row else "-",
        )
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--images", type=int, default=3000)
    add("--side", nargs="+", type=int, default=[64, 256], help="pixels of the JPEGs")
    add("--threads", nargs="+", type=int, default=[16], help="threads that decode")
    add("--methods", nargs="+", default=METHODS, help="whose views are made")
    add("--cases", nargs="+", choices=CASES, default=CASES)
    add("--batch", type=int, default=512, help="images that are stacked together")
    add("--repeats", type=int, default=2, help="times each is measured; the best one counts")
    add("--json", type=Path, help="write the machine and the rows here")
    return parser.parse_args()


def main() -> None:
    """Measure, print and write the table."""
    given, rows = _arguments(), []
    with tempfile.TemporaryDirectory(prefix="feed-") as name:
        for side in given.side:
            folder = Path(name, str(side))
            folder.mkdir()
            table = write_pictures(folder, given.images, side)
            for method in given.methods:
                for threads in given.threads:
                    session = session_of(table, method, threads, folder / f"{method}-{threads}")
                    for case in given.cases:
                        about = {"side": side, "method": method, "threads": threads, "case": case}
                        rows.append(about | measure(session, case, given.batch, given.repeats))
                        print(rows[-1], file=sys.stderr)
    if given.json:
        about = machine("cpu")
        given.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n")
    Console(width=120).print(table_of(rows))


if __name__ == "__main__":
    main()
