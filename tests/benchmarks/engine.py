"""Speed and memory of SEraser's engine against the literal procedure, on this machine.

    uv run python tests/benchmarks/engine.py --models ViT-B-32 --classes 2 50 --json speed.json
    uv run python tests/benchmarks/engine.py --device cuda --kernels standard fused
    uv run python tests/benchmarks/engine.py --agreement 256 --classes 200

Prints one row per model, number of classes and kind of kernels; each is measured in a process of
its own. What the literal procedure is, says `literal.py`. Weights are random unless `--pretrained`
names some, which changes no time. *of rate* is the share of the machine's measured rate of matrix
products that the engine reaches: the fewest multiply-adds that the method needs (`floor.py`) over
what the machine could have done in that time. It says how much is left to gain. With
`--timed-steps` fewer than the 20 steps are timed, of both, and the row tells the time of 20 such
steps, and how far the logits are apart after those that were made.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from agreement import measure_agreement
from floor import floor_macs
from inputs import class_prompts, random_pictures
from literal import KINDS, graph_bytes, time_literal
from machine import available_bytes, machine, matrix_rate, peak_bytes
from PIL import Image
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from stages import STEPS, Engine, Stages, auto_batch

from seraser_core.config.options import ModelOptions
from seraser_core.methods import MethodContext
from seraser_core.models.clip_model import get_model


def measure_speed(
    options: ModelOptions,
    classes: int,
    batch: int | None,
    timed_steps: int,
    repeats: int,
    kinds: tuple[str, ...],
    kernels: str = "standard",
) -> dict[str, Any]:
    """One row: the engine first, so that the peak of the memory is its own."""
    model = get_model(options)
    context = MethodContext(model, class_prompts(model, classes), kernels)
    with kept_warnings() as warnings:
        engine = Engine(context, timed_steps)
        batch = batch or auto_batch(context)
        pictures = random_pictures(model, batch)
        before = matrix_rate(model.device, model.dtype)
        ours = engine.time(pictures, repeats)
    peak = peak_bytes(model.device)
    # Other guests of a host may slow either: the better one is nearer to what the machine can do.
    rate = max(before, matrix_rate(model.device, model.dtype))
    row: dict[str, Any] = {
        "classes": classes,
        "batch": batch,
        "precision": model.precision,
        "kernels": kernels if model.device.type == "cuda" else "standard",
        "timed_steps": timed_steps,
        "images_per_s": 1 / ours.whole,
        "ms_per_step": 1e3 * batch * ours.tuning / timed_steps,
        "stages": ours.shares(),
        "matrix_rate_share": floor_macs(model, context.prompts, STEPS) / rate / ours.whole,
        "matrix_macs_per_s": rate,
        "peak_gib": peak / 2**30,
        "warnings": warnings,
    }
    black = model.preprocess(Image.new("RGB", model.preprocessing.size[::-1]))
    one = {view: model.preprocessing.normalise(x[0]) for view, x in pictures.items()}
    one["black"] = black.to(model.device)
    expected = engine.logits({view: x[:1] for view, x in pictures.items()})[0]
    for kind in kinds:
        needed, free = graph_bytes(model, classes, kind), available_bytes(model.device)
        if needed > free:
            row[kind] = {"skipped": f"literal: would need {needed / 2**30:.0f} GiB"}
            continue
        found: list[Stages] = []
        for _ in range(repeats):
            logits, stages = time_literal(model, context.prompts, one, timed_steps, kind)
            found.append(stages)
        seconds = min(stages.whole for stages in found)
        row[kind] = {
            "images_per_s": 1 / seconds,
            "ratio": seconds / ours.whole,
            "difference": float((logits - expected).abs().max()),
        }
    return row


class _Keeping(logging.Handler):
    """Keeps messages, and prints them, which logging does no more where there is a handler."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        print(record.getMessage(), file=sys.stderr)


@contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """Keep the package's warnings, e.g. that steps are not recorded or kernels not fused."""
    logger, handler = logging.getLogger("seraser_core"), _Keeping()
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)


def in_fresh_process(work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """The result of ``work(*args)``, computed where nothing else has taken memory."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(work, *args).result()


def speed_table(rows: list[dict[str, Any]]) -> Table:
    """The rows for people."""
    heads = ["model", "classes", "batch", "precision", "kernels", "timed", "images/s", "ms/step"]
    heads += [
        "of rate",
        "GiB",
        "encode tuning final",
        *(head for kind in KINDS for head in (f"{kind}/s", "x")),
    ]
    table = Table(*heads, "apart", box=SIMPLE)
    for row in rows:
        apart = [row[kind]["difference"] for kind in KINDS if "ratio" in row.get(kind, {})]
        table.add_row(
            *(str(row[key]) for key in ("model", "classes", "batch", "precision", "kernels")),
            f"{row['timed_steps']} of {STEPS}",
            f"{row['images_per_s']:.3g}",
            f"{row['ms_per_step']:.3g}",
            f"{row['matrix_rate_share']:.0%}",
            f"{row['peak_gib']:.2f}",
            " ".join(f"{share:6.1%}" for share in row["stages"].values()),
            *(cell for kind in KINDS for cell in _literal_cells(row.get(kind))),
            f"{max(apart):.1e}" if apart else "-",
        )
    return table


def _literal_cells(found: dict[str, Any] | None) -> tuple[str, str]:
    if found is None:
        return "-", "-"
    if "skipped" in found:
        return found["skipped"], "-"
    return f"{found['images_per_s']:.3g}", f"{found['ratio']:.1f}"


def agreement_table(rows: list[dict[str, Any]]) -> Table:
    """The rows for people."""
    heads = "model", "classes", "images", "equal predictions", "widest margin of the others"
    table = Table(*heads, box=SIMPLE)
    for row in rows:
        table.add_row(
            row["model"],
            str(row["classes"]),
            str(row["images"]),
            f"{row['agreement']:.2%}",
            f"{row['margin']:.4f}",
        )
    return table


def _arguments() -> argparse.Namespace:
    def batch(text: str) -> int | None:
        return None if text == "auto" else int(text)

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--models", nargs="+", default=["ViT-B-32", "ViT-L-14"])
    add("--pretrained", help="open_clip tag or weights file of the model; random unless given")
    add("--classes", nargs="+", type=int, default=[2, 50, 200, 1000])
    add("--batch", type=batch, help="images at once; auto (the default): what a run takes")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    add("--device", default="auto")
    kernels = "a row each, see the option runtime.kernels; on a CPU always standard"
    add("--kernels", nargs="+", choices=("standard", "fused"), default=["standard"], help=kernels)
    add("--timed-steps", type=int, default=STEPS, help="steps to time; the others are like them")
    add("--repeats", type=int, default=2, help="times each is measured; the best one counts")
    add("--literal", nargs="*", choices=KINDS, default=KINDS, help="nothing: the engine alone")
    add("--agreement", type=int, metavar="N", help="instead: bf16 against fp32 on N pictures")
    add("--json", type=Path, help="write the machine and the rows here")
    return parser.parse_args()


def main() -> None:
    """Measure, print and write the table."""
    given = _arguments()
    about, rows = machine(given.device), []
    for name in given.models:
        options = ModelOptions(
            name=name,
            pretrained=given.pretrained,
            precision=given.precision,
            device=given.device,
        )
        kinds = ("",) if given.agreement else given.kernels
        for classes, kernels in product(given.classes, kinds):
            print(f"{name}, {classes} classes", kernels, file=sys.stderr)
            if given.agreement:
                found = in_fresh_process(measure_agreement, options, classes, given.agreement)
            else:
                how = given.batch, given.timed_steps, given.repeats, tuple(given.literal), kernels
                found = in_fresh_process(measure_speed, options, classes, *how)
            rows.append({"model": name, **found})
            if given.json:  # row by row: an interruption costs no more than one
                given.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n")
    console = Console(width=200)  # a terminal that is narrower wraps lines, not cells
    console.print((agreement_table if given.agreement else speed_table)(rows))
    console.print(f"{about['device']}, {about['threads']} threads, torch {about['torch']}")


if __name__ == "__main__":
    main()
