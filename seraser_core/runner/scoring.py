"""Scoring the planned items of a shard: from the feed's batches to rows and sums."""

from __future__ import annotations

import math
import os
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import torch

from seraser_core.engines.base import Progress
from seraser_core.errors import ErrorRateError, ItemError, RunDirectoryError, TransientError
from seraser_core.kinds import IMAGE, RELEVANCE
from seraser_core.methods import Scores
from seraser_core.methods.method import SEED
from seraser_core.results.counting import shard_sums
from seraser_core.results.outcomes import MethodOutcome, join, reduce_scores
from seraser_core.results.picture_sums import PictureFacts, PictureSums
from seraser_core.results.records import Computed, Timings
from seraser_core.results.rows import build_table
from seraser_core.results.samples import keys_of
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.clock import Clock
from seraser_core.runner.feed import Batch, Feed
from seraser_core.runner.fitting import fit_methods
from seraser_core.runner.infer import as_numpy, batch_size, encode_views, score
from seraser_core.runner.inputs import describe_device
from seraser_core.runner.mask_making import add_relevance, save_masks, with_relevance
from seraser_core.runner.orders import Orders
from seraser_core.runner.sampling import Sampler
from seraser_core.runner.session import Session
from seraser_core.steps import reached

_MOST_SCORE_BYTES = 256 * 2**20
"""Scores of a shard that are kept until its end; of many classes they are reduced before that."""
_FEW_ERRORS = 32
"""As many images may fail, whatever their share."""
# The number of a process is given again after its end; with the time, it is not.
_PROCESS = f"{os.getpid()} since {datetime.now(UTC).isoformat(timespec='seconds')}"


@dataclass(frozen=True)
class ScoredItems:
    """Items of a shard with their rows.

    Attributes:
        predictions: One row per item and method.
        done: (n,) item_index of the images that could be used.
        outcomes: What the rows of these are made from, one per method.
        facts: item_index -> what was seen of an image that could be used.
        computed: Their sums, and where, when and how fast they were computed.
        sample: The images of the run's sample that could be used; None where it has none.
    """

    predictions: pa.Table
    done: np.ndarray
    outcomes: list[MethodOutcome]
    facts: dict[int, PictureFacts]
    computed: Computed
    sample: pa.Table | None


def score_items(
    session: Session,
    items: pa.Table,
    attempt: Attempt,
    progress: Progress | None,
    max_error_rate: float = 1.0,
) -> ScoredItems:
    """Fetch, decode and score planned items of a shard.

    Args:
        session: The run.
        items: Rows of its plan.
        attempt: The attempt at their shard.
        progress: Told of every image.
        max_error_rate: Share of the images that may be unusable.

    Raises:
        ErrorRateError: More than this share of them cannot be used.
        TransientError: A fault that may pass.
    """
    # One shard more than compute is under way: its first images are fetched and decoded before
    # it may compute, and its rows are written while another one does.
    most_errors = max(_FEW_ERRORS, math.floor(max_error_rate * items.num_rows + 1e-9))
    size, clock = batch_size(session), Clock()
    sampler = Sampler(session, items)
    rows, sampled = items.to_pylist(), sampler.sampled
    with Feed(session, rows, size, attempt, clock=clock, sampled=sampled) as feed:
        indices, ids, labels = (
            items[name].to_pylist() for name in ("item_index", "item_id", "label")
        )
        keys = keys_of(session.config.seed, ids) >> 1  # of 63 bits, as int64 has
        known = {
            index: (label, key)
            for index, label, key in zip(indices, labels, keys.tolist(), strict=True)
        }
        given = session, known, sampler, feed, clock, attempt, progress, most_errors
        work = session.compute.submit(_scored, *given).result()
    if len(work.done) + len(work.errors) != items.num_rows:
        raise RunDirectoryError(
            f"{items.num_rows} images planned, {len(work.done) + len(work.errors)} accounted for"
        )
    mark = time.perf_counter()
    outcomes = work.outcomes()
    done = np.asarray(work.done, dtype=np.int64)
    predictions = build_table(session.run, items, done, outcomes, work.errors)
    sums = shard_sums(predictions, outcomes, in_orders=work.orders.counts(outcomes))
    computed = Computed(
        images=items.num_rows,
        methods=sums,
        pictures=PictureSums.count(work.facts.values()),
        timings=work.timings(rows_s=time.perf_counter() - mark),
        host=platform.node(),
        process=_PROCESS,
        started=work.began,
    )
    return ScoredItems(predictions, done, outcomes, work.facts, computed, sampler.table())


def _scored(
    session: Session,
    known: dict[int, tuple[int | None, int]],
    sampler: Sampler,
    feed: Feed,
    clock: Clock,
    attempt: Attempt,
    progress: Progress | None,
    most_errors: int,
) -> _Work:
    work = _Work(session, known, sampler, clock)
    work.fit(attempt)
    for batch in work.timed(feed):
        work.score(batch)
        if len(work.errors) > most_errors:
            raise ErrorRateError(_too_many(work.errors))
        most_s = session.config.runtime.shard_timeout
        if most_s is not None and work.seconds > most_s:
            raise TransientError(f"it takes longer than runtime.shard_timeout = {most_s:g} s")
        if progress:
            progress.advance(len(batch))
    work.score_orders()
    work.end()
    return work


def _too_many(errors: dict[int, ItemError]) -> str:
    codes = Counter(error.code for error in errors.values())
    first = next(iter(errors.values()))
    return (
        f"{len(errors)} images cannot be used so far "
        f"({', '.join(f'{code} {n}' for code, n in codes.most_common())}), e.g. {first.message}; "
        "check the path and the credentials, or raise runtime.max_error_rate to keep them as "
        "error rows"
    )


class _Work:
    """The images of a shard that are scored so far, and the time that it took.

    Args:
        session: The run.
        known: item_index -> label and seed, of all its images.
        sampler: Keeps what is to be kept of images of the sample.
        clock: Counts ``data_wait_s``, ``model_s`` with its parts ``relevance_s`` and
            ``features_s``, and ``masks_s``; and the seconds of its `Feed`.
    """

    def __init__(
        self,
        session: Session,
        known: dict[int, tuple[int | None, int]],
        sampler: Sampler,
        clock: Clock,
    ) -> None:
        self._session, self._known, self._clock = session, known, clock
        self._sampler = sampler
        self.orders = Orders(session)
        self._methods = [method.for_shard() for method in session.methods]
        self.done: list[int] = []
        self.errors: dict[int, ItemError] = {}
        self.facts: dict[int, PictureFacts] = {}
        self._scores: list[dict[str, Scores]] = []  # of the last images of `done`
        self._score_bytes = 0
        self._reduced = 0  # images of `done` whose scores are reduced
        self._outcomes: dict[str, list[MethodOutcome]] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._peak_bytes: dict[str, int] = {}
        self._load_s = session.take_load_s()
        self.began = time.time() - self._load_s
        self._started = time.perf_counter() - self._load_s
        self._wall_s = 0.0

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return time.perf_counter() - self._started

    def timed(self, feed: Feed) -> Iterator[Batch]:
        """The batches of `feed`; the time that they are waited for is kept."""
        batches = iter(feed)
        while True:
            with self._clock.on("data_wait_s"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def fit(self, attempt: Attempt) -> None:
        """Let the methods learn that need it, if no other shard of this process has."""
        with self._clock.on("model_s"):
            fit_methods(self._session, attempt)

    def score(self, batch: Batch) -> None:
        """Score a batch."""
        self.errors.update(batch.errors)
        if batch.items:
            with self._clock.on("model_s"):
                self._score(batch)

    def _score(self, batch: Batch) -> None:
        batch.wait()
        facts = batch.facts
        if self._session.needs_relevance:
            with self._clock.on("relevance_s"):
                masks = add_relevance(self._session, batch.views)
                facts = with_relevance(facts, masks)
            if self._session.config.save_masks:
                with self._clock.on("masks_s", not_on="model_s"):
                    save_masks(self._session, batch.items, batch.sizes, masks)
        with self._clock.on("features_s"):
            features = encode_views(self._session, batch.views)
        features[SEED] = torch.tensor([self._known[index][1] for index in batch.items])
        scores = score(self._session, features, self._methods)
        self._sampler.add(batch, facts, features, scores)
        self.orders.keep(features)
        reached("scored")
        self._scores.append(scores)
        self.done.extend(batch.items)
        self.facts.update(zip(batch.items, facts, strict=True))
        for name, of_method in scores.items():
            self._seconds[name] += of_method.seconds
            if of_method.peak_bytes is not None:
                self._peak_bytes[name] = max(of_method.peak_bytes, self._peak_bytes.get(name, 0))
        self._score_bytes += sum(of_method.logits.nbytes for of_method in scores.values())
        if self._score_bytes > _MOST_SCORE_BYTES:
            self._reduce()

    def score_orders(self) -> None:
        """Score the images in other orders, where a method is to see them so."""
        with self._clock.on("model_s"):
            self.orders.score([self._known[index][0] for index in self.done])

    def end(self) -> None:
        """Note that all batches are scored."""
        self._wall_s = time.perf_counter() - self._started

    def outcomes(self) -> list[MethodOutcome]:
        """Outcomes of every method for the images of `done`."""
        if self._scores or not self._outcomes:
            self._reduce()
        return [join(self._outcomes[method.id]) for method in self._session.methods]

    def _reduce(self) -> None:
        """Make outcomes of the scores; of none, empty ones."""
        session, parts = self._session, self._scores
        self._scores, self._score_bytes = [], 0
        labels = [self._known[index][0] for index in self.done[self._reduced :]]
        self._reduced = len(self.done)
        none = np.empty((0, len(session.run.classes)), np.float32)

        def gather(method: str, name: str) -> np.ndarray | None:
            arrays = [as_numpy(getattr(part[method], name)) for part in parts]
            kept = [x for x in arrays if x is not None]
            return np.concatenate(kept) if kept else None

        def logits(method: str) -> np.ndarray:
            gathered = gather(method, "logits")
            return none if gathered is None else gathered

        zero_shot = logits("")
        for method in session.methods:
            outcome = reduce_scores(
                method.id,
                logits(method.id),
                zero_shot,
                labels,
                session.config.save_logits,
                loss_first=gather(method.id, "loss_first"),
                loss_last=gather(method.id, "loss_last"),
                steps=parts[0][method.id].steps if parts else None,
                stateful=method.stateful,
                probabilistic=method.probabilistic,
            )
            self._outcomes.setdefault(method.id, []).append(outcome)

    def timings(self, rows_s: float) -> Timings:
        """Return the times of all steps; `rows_s` is that of making rows and sums."""
        session, clock = self._session, self._clock
        seconds = {
            name: self._seconds[name] + session.sample_fits.seconds.pop(name, 0.0)
            for name in ("", *(method.id for method in session.methods))
        }
        encode_s = seconds.pop("") + clock["features_s"]
        return Timings(
            images=len(self.done) + len(self.errors),
            wall_s=self._wall_s,
            load_s=self._load_s,
            data_wait_s=clock["data_wait_s"],
            model_s=clock["model_s"],
            encode_s=encode_s + clock["relevance_s"],
            fetch_s=clock["fetch_s"],
            decode_s=clock["decode_s"],
            masks_s=clock["masks_s"],
            fetch_wait_s=clock["fetch_wait_s"],
            decode_wait_s=clock["decode_wait_s"],
            rows_s=rows_s,
            methods=seconds,
            views=self._view_seconds(encode_s),
            peak_bytes=self._peak_bytes,
            batch_size=batch_size(session),
            parallel_shards=session.config.runtime.parallel_shards,
            device=describe_device(session.model.device),
        )

    def _view_seconds(self, encode_s: float) -> dict[str, float]:
        """Method -> time of the views that it needs beyond the image itself, were it alone."""
        session = self._session
        per_picture = encode_s / sum(view.count for view in session.views)
        seconds = {}
        for method in session.methods:
            views = [view for view in method.views if view != IMAGE]
            seconds[method.id] = per_picture * sum(view.count for view in views)
            if any(view.region == RELEVANCE for view in views):
                seconds[method.id] += self._clock["relevance_s"]
        return seconds
