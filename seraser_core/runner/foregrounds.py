"""A check, before a run, that a sample of the data set's foregrounds is plausible."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import nullcontext
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seraser_core.config.options import DatasetOptions, RunConfig
from seraser_core.errors import ConfigError, ItemError, SeraserError
from seraser_core.kinds import BOX, MASK
from seraser_core.runner.threads import DaemonPool
from seraser_core.sources.decode import image_size
from seraser_core.sources.fetch import fetch_image, fetch_mask, of_the_mask
from seraser_core.sources.plausible import Verdict
from seraser_core.sources.plausible_boxes import judge_boxes
from seraser_core.sources.plausible_masks import MaskLook, judge_masks, look_at_mask

T = TypeVar("T")
_LOOKED = 32
_MORE = 256
"""Masks to look at if the first are all empty."""
_SECONDS = 10.0
"""Seconds that the check may take; then it judges what it has seen."""
_AT_ONCE = 16


def check_foregrounds(config: RunConfig, items: pa.Table, say: Callable[[str], None]) -> None:
    """Look at some images with the masks and boxes that the methods of a run need.

    They are spread evenly over the plan, so that the same are looked at every time.

    Args:
        config: The run.
        items: Its plan.
        say: Told what makes one doubt.

    Raises:
        ConfigError: They cannot be what was meant.
    """
    if not config.dataset.check_foregrounds:
        return
    for region, judge in ((BOX, _judge_boxes), (MASK, _judge_masks)):
        need = region.name
        if not config.needs(region):
            continue
        given = items.filter(pc.is_valid(items[need]))
        if not given.num_rows:
            continue
        verdict = judge(config.dataset, given)
        for warning in verdict.warnings:
            say(f"WARNING: {warning}")
        if verdict.refusal is None:
            continue
        fault, remedy = verdict.refusal
        field = "masks" if need == "mask" and config.dataset.masks else need
        raise ConfigError(
            f"dataset.{field}",
            fault,
            f"{remedy}; where that is how they are meant, set dataset.check_foregrounds: false",
        )


def _judge_boxes(dataset: DatasetOptions, given: pa.Table) -> Verdict:
    def size_of(item: dict[str, Any]) -> tuple[int, int]:
        return image_size(fetch_image(item, dataset), dataset.limits)

    rows = _spread(given, _LOOKED)
    looks = _each(rows, size_of)
    known = [
        (row["box"], size) for row, size in zip(rows, looks, strict=True) if isinstance(size, tuple)
    ]
    boxes = np.array(given["box"].to_pylist(), dtype=float).reshape(-1, 4)
    looked = np.array([box for box, _ in known], dtype=float).reshape(-1, 4)
    sizes = np.array([size for _, size in known], dtype=float).reshape(-1, 2)
    verdict = judge_boxes(boxes, looked, sizes, dataset.box_format)
    return verdict if known else _with_unseen(verdict, "images with boxes", looks)


def _judge_masks(dataset: DatasetOptions, given: pa.Table) -> Verdict:
    def look(item: dict[str, Any]) -> MaskLook:
        # Many cells may be rightly empty.
        with of_the_mask() if item["mask_offset"] is None else nullcontext():
            mask = fetch_mask(item, dataset)
        return look_at_mask(mask, fetch_image(item, dataset), dataset.limits)

    results = _each(_spread(given, _LOOKED), look)
    looks = [one for one in results if isinstance(one, MaskLook)]
    if looks and all(one.share == 0 for one in looks) and given.num_rows > _LOOKED:
        looks += [one for one in _each(_spread(given, _MORE), look) if isinstance(one, MaskLook)]
    faults = [one for one in results if isinstance(one, ItemError)]
    if len(faults) < len(results):  # missing masks say nothing about the rest
        faults = [fault for fault in faults if fault.code != "missing_mask"]
    verdict = judge_masks(looks, faults)
    return verdict if looks else _with_unseen(verdict, "masks", results)


def _with_unseen(verdict: Verdict, kind: str, results: Sequence[Any]) -> Verdict:
    """The verdict with a warning that no look succeeded, and why the first did not."""
    if verdict.refusal is not None:
        return verdict
    fault = results[0]
    if fault is None:
        why = f"no answer within {_SECONDS:g} s"
    elif isinstance(fault, ItemError):
        why = fault.message
    else:
        why = str(fault) if isinstance(fault, SeraserError) else type(fault).__name__
    verdict.warnings.append(
        f"none of {len(results)} {kind} could be looked at, so it is not known whether they can be "
        f"what was meant: {why}"
    )
    return verdict


def _spread(items: pa.Table, most: int) -> list[dict[str, Any]]:
    places = np.unique(np.linspace(0, items.num_rows - 1, min(most, items.num_rows)).astype(int))
    return list(items.take(pa.array(places)).to_pylist())


def _each(
    rows: Sequence[dict[str, Any]], look: Callable[[dict[str, Any]], T]
) -> list[T | Exception | None]:
    """Look at every row: its facts, its fault, or None if time ran out."""
    pool, deadline = DaemonPool(min(_AT_ONCE, len(rows)), "look"), time.monotonic() + _SECONDS
    futures: list[Future[T]] = [pool.submit(look, row) for row in rows]
    results: list[T | Exception | None] = []
    try:
        for future in futures:
            results.append(_result(future, deadline))
        return results
    finally:
        pool.shutdown(wait=False)


def _result(future: Future[Any], deadline: float) -> Any:
    try:
        return future.result(max(0.0, deadline - time.monotonic()))
    except ConfigError:
        raise
    except FutureTimeoutError:
        return None
    except Exception as error:  # of any kind: the run will report it
        return error
