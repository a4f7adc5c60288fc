"""Showing methods a sample of the data set before they predict, once per process."""

from __future__ import annotations

import logging
import time

import numpy as np
import torch

from seraser_core.kinds import RELEVANCE
from seraser_core.methods import Features, Method
from seraser_core.methods.calls import fit
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.feed import Feed
from seraser_core.runner.infer import batch_size, encode_views
from seraser_core.runner.mask_making import add_relevance
from seraser_core.runner.session import Session

logger = logging.getLogger(__name__)


def fit_methods(session: Session, attempt: Attempt) -> None:
    """Fit the methods that need it, on the same images in every process.

    Args:
        session: The run.
        attempt: The attempt at the shard that needs them.

    Raises:
        TransientError: An image could not be fetched for a reason that may pass.
    """
    with session.sample_fits.lock:
        for method in session.methods:
            if method.sample and method.id not in session.sample_fits.done:
                started = time.perf_counter()
                features = _features(session, method, attempt)
                if features is None:
                    logger.warning("%s: no image can be used, not even as a sample", method.id)
                    continue
                fit(method, features, session.context)
                session.sample_fits.done.add(method.id)
                session.sample_fits.seconds[method.id] = time.perf_counter() - started


def _features(session: Session, method: Method, attempt: Attempt) -> Features | None:
    """Return view features of up to ``method.sample`` good images; None if no image is good."""
    batches: list[Features] = []
    wanted = method.sample
    # One stream per method: a larger sample begins with the smaller one.
    rng = np.random.default_rng([session.config.seed, *method.id.encode()])
    pool = session.pools.get(method.id)
    order = rng.permutation(session.images.count if pool is None else pool.num_rows)
    while wanted and len(order):
        drawn, order = np.sort(order[:wanted]), order[wanted:]
        items = session.images.items(drawn) if pool is None else pool.take(drawn).to_pylist()
        with Feed(session, items, batch_size(session), attempt, method.sample_views) as feed:
            for batch in feed:
                if batch.items:
                    batch.wait()
                    if any(view.region == RELEVANCE for view in method.sample_views):
                        add_relevance(session, batch.views)
                    features = _finite(encode_views(session, batch.views))
                    batches.append(features)
                    wanted -= len(next(iter(features.values())))
    if wanted == method.sample:
        return None
    if wanted:
        logger.info("%s: its sample lacks %d images; no more can be used", method.id, wanted)
    names = [view.name for view in method.sample_views]
    return {name: torch.cat([part[name] for part in batches]) for name in names}


def _finite(features: Features) -> Features:
    """Leave out images that are error rows anyway, and would spoil the means of all others."""
    good = torch.stack([torch.isfinite(one).flatten(1).all(1) for one in features.values()]).all(0)
    return {name: one[good] for name, one in features.items()}
