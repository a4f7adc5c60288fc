"""One shard, from its place in the plan to its commit: the whole unit of work."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import torch

from seraser_core.errors import ItemError, RunDirectoryError
from seraser_core.methods import Scores
from seraser_core.results.metrics import shard_metrics
from seraser_core.results.rows import MethodOutcome, build_table
from seraser_core.results.run_directory import RunDirectory
from seraser_core.runner.feed import FeedTimes, Sample, samples
from seraser_core.runner.infer import as_numpy, batch_size, score
from seraser_core.runner.plan import describe_device
from seraser_core.runner.session import Session, open_session

logger = logging.getLogger(__name__)
# The number of a process is given again after its end; with the time, it is not.
_PROCESS = f"{os.getpid()} since {datetime.now(UTC).isoformat(timespec='seconds')}"


class Progress(Protocol):
    """Told about progress from the thread that computes the shard."""

    def advance(self, images: int) -> None:
        """`images` more images are done."""


def run_shard(
    run_url: str, shard_id: str, progress: Progress | None = None, attempt: int = 1
) -> dict[str, Any]:
    """Compute one shard and commit it; a shard that is done already is left as it is.

    Returns:
        The shard's commit.

    Raises:
        TransientError: A fault that may pass; nothing was committed, try again.
        SeraserError: The run cannot be computed here.
    """
    directory = RunDirectory(run_url)
    if directory.is_done(shard_id):
        commit = directory.commit(shard_id)
        if commit is not None:
            if progress:
                progress.advance(commit["images"])
            directory.clear_failure(shard_id)  # of a slower worker, after the commit
            return commit
    try:
        started, clock = time.time(), time.perf_counter()
        session = open_session(run_url)
        load_s = time.perf_counter() - clock
        return _compute(session, shard_id, progress, started, load_s)
    except Exception as error:
        try:
            directory.write_failure(shard_id, error, attempt)
        except Exception as second:  # must not hide the first
            logger.warning("shard %s: its failure cannot be recorded: %s", shard_id, second)
        raise


def _compute(
    session: Session, shard_id: str, progress: Progress | None, began: float, load_s: float
) -> dict[str, Any]:
    started = time.perf_counter()
    items = session.directory.items(shard_id)
    feed_times = FeedTimes()
    errors: dict[int, ItemError] = {}
    done: list[int] = []
    parts: list[dict[str, Scores]] = []
    wait_s = model_s = 0.0
    batches = _batches(samples(session, items.to_pylist(), feed_times), batch_size(session))
    while True:
        mark = time.perf_counter()
        batch = next(batches, None)
        wait_s += time.perf_counter() - mark
        if batch is None:
            break
        good = [sample for sample in batch if sample.error is None]
        errors.update({s.item_index: s.error for s in batch if s.error is not None})
        mark = time.perf_counter()
        if good:
            parts.append(score(session, good))
            done.extend(sample.item_index for sample in good)
        model_s += time.perf_counter() - mark
        if progress:
            progress.advance(len(batch))
    if len(done) + len(errors) != items.num_rows:
        raise RunDirectoryError(
            f"shard {shard_id}: {items.num_rows} images planned, "
            f"{len(done) + len(errors)} accounted for"
        )
    mark = time.perf_counter()
    outcomes = _outcomes(session, parts)
    predictions = build_table(
        session.run, items, np.asarray(done, dtype=np.int64), outcomes, errors
    )
    metrics = shard_metrics(predictions, outcomes, session.run)
    rows_s = time.perf_counter() - mark
    metrics["timings"] = {
        "images": items.num_rows,
        "wall_s": load_s + time.perf_counter() - started,
        "load_s": load_s,
        "data_wait_s": wait_s,
        "model_s": model_s,
        "rows_s": rows_s,
        "fetch_s": feed_times.fetch_s,
        "decode_s": feed_times.decode_s,
        "methods": {o.method: sum(p[o.method].seconds for p in parts) for o in outcomes},
        "batch_size": batch_size(session),
        "device": describe_device(session.model.device),
    }
    info = {
        "images": items.num_rows,
        "host": platform.node(),
        "process": _PROCESS,
        "started": began,
    }
    return session.directory.write_shard(shard_id, predictions, metrics, info)


def _batches(stream: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    """Batches of `size` good samples; bad ones ride along, so they never change a batch's shape."""
    batch: list[Sample] = []
    good = 0
    for sample in stream:
        batch.append(sample)
        good += sample.error is None
        if good == size:
            yield batch
            batch, good = [], 0
    if batch:
        yield batch


def _outcomes(session: Session, parts: list[dict[str, Scores]]) -> list[MethodOutcome]:
    classes = len(session.run["classes"])
    none = Scores(torch.empty(0, classes))

    def gather(method: str, name: str) -> np.ndarray | None:
        found = [as_numpy(getattr(part.get(method, none), name)) for part in parts]
        kept = [x for x in found if x is not None]
        return np.concatenate(kept) if kept else None

    empty = np.empty((0, classes), dtype=np.float32)
    zero_shot = gather("", "logits")
    outcomes = []
    for method in session.methods:
        logits = gather(method.id, "logits")
        outcomes.append(
            MethodOutcome(
                method=method.id,
                logits=empty if logits is None else logits,
                zero_shot_logits=empty if zero_shot is None else zero_shot,
                loss_first=gather(method.id, "loss_first"),
                loss_last=gather(method.id, "loss_last"),
                steps=parts[0][method.id].steps if parts else None,
            )
        )
    return outcomes
