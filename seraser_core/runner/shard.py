"""The life of a shard: from its place in the plan to its commit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa

from seraser_core.engines.base import Progress
from seraser_core.errors import DeviceLostError, TransientError
from seraser_core.models.device import is_lost
from seraser_core.models.memory import is_out_of_memory
from seraser_core.results.records import Commit
from seraser_core.results.samples import write_sample
from seraser_core.results.shards import RunDirectory, opened
from seraser_core.results.states import Done
from seraser_core.results.words import has_words, write_words
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.plan import DEFAULT_TEMPLATE
from seraser_core.runner.scoring import score_items
from seraser_core.runner.session import Session, open_session
from seraser_core.shortcuts.usable import FEWEST
from seraser_core.shortcuts.words import words_for
from seraser_core.steps import reached
from seraser_core.waiting import waiting

logger = logging.getLogger(__name__)


def run_shard(
    run_url: str, shard_id: str, progress: Progress | None = None, attempt: int = 1
) -> Commit:
    """Compute one shard and commit it; a shard that is done already is left as it is.

    Returns:
        The shard's newest commit.

    Raises:
        TransientError: A fault that may pass; nothing was committed, try again.
        SeraserError: The run cannot be computed here.
    """
    reached("taken")
    directory = opened(run_url)
    state = directory.state(shard_id)
    if isinstance(state, Done):
        if progress:
            progress.advance(state.commit.images)
        directory.restore({shard_id: state})  # as the last worker may have died over it
        directory.clear(shard_id)  # of a slower worker, after the commit
        return state.commit
    this = Attempt(attempt, isolated=state.latest is not None and state.latest.is_suspicious)
    with recorded(directory, shard_id, this):
        session = open_session(run_url)
        runtime, items = session.config.runtime, directory.items_to_read(shard_id, state)
        this = replace(this, last=attempt > runtime.retries)
        is_new = state.n < 0
        # Of a shard that was committed before, `write_shard` says which good rows would be lost.
        most = runtime.max_error_rate if is_new else 1.0
        part = score_items(session, items, this, progress, most)
        write_sample(directory, shard_id, part.sample)
        keep_words(directory, session, part.sample)
        cause = "run" if is_new else "repair"
        return directory.write_shard(shard_id, part.predictions, part.computed, state, cause)


def keep_words(directory: RunDirectory, session: Session, sample: pa.Table | None) -> None:
    """Keep the words that can name surroundings to the model of a run, unless it has them.

    A large text tower takes a minute for them on a CPU. Without them, findings have no names; so
    nothing that goes wrong here fails a shard.

    Args:
        directory: The run directory.
        session: The run.
        sample: A part of its sample.
    """
    if session.words_kept or sample is None or not sample.num_rows:
        return
    session.words_kept = True
    templates = [session.config.dataset.template or DEFAULT_TEMPLATE]
    given = session.model, session.run.classes, templates
    try:
        if session.images.count < FEWEST or has_words(directory):
            return
        with waiting("encoding words that can name surroundings"):
            write_words(directory, session.compute.submit(words_for, *given).result())
    except Exception as error:
        if is_lost(error):
            raise
        logger.warning("surroundings will have no names in the report: %s", error)


@contextmanager
def recorded(directory: RunDirectory, shard_id: str, attempt: Attempt) -> Iterator[None]:
    """Record an attempt at a shard while it goes on and when it failed.

    Memory that ran out and a GPU that is lost become passing faults. A shard that is decoded in
    child processes because a worker died at it will be again, until it is committed.
    """
    try:
        directory.begin(shard_id, attempt.number, attempt.isolated)
        yield
    except BaseException as error:
        fault = _as_passing(error)
        try:
            if isinstance(fault, Exception):  # no interruption
                directory.fail(shard_id, fault, attempt.number, attempt.isolated)
            elif not attempt.isolated:
                directory.clear(shard_id)
        except Exception as second:  # must not hide the first
            logger.warning("shard %s: its failure cannot be recorded: %s", shard_id, second)
        if fault is error:
            raise
        raise fault from error
    directory.clear(shard_id)


def _as_passing(error: BaseException) -> BaseException:
    """The passing fault that `error` means, or itself."""
    if isinstance(error, TransientError):
        return error
    if is_out_of_memory(error):
        return TransientError(f"out of memory: {error or type(error).__name__}")
    if is_lost(error):
        return DeviceLostError(
            f"the GPU is lost to this process ({str(error).splitlines()[0]}); end it and run again"
        )
    return error
