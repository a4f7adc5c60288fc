"""Confirming shortcuts by transplant: images of the sample are read and classified once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from seraser_core.errors import ItemError, RunDirectoryError, TransientError
from seraser_core.methods.method import cosine_logits
from seraser_core.results.counted import CountedRun
from seraser_core.results.records import READERS
from seraser_core.results.samples import read_samples, sample_of
from seraser_core.results.shards import RunDirectory
from seraser_core.results.shortcuts import find_in, write_confirmed
from seraser_core.results.words import read_words
from seraser_core.runner.infer import encode_views
from seraser_core.runner.session import Session, open_session
from seraser_core.shortcuts.find import places_of
from seraser_core.shortcuts.findings import Findings
from seraser_core.shortcuts.sample import Sample
from seraser_core.shortcuts.transplant import MOST_OBJECTS, Cutout, confirm
from seraser_core.shortcuts.words import Words
from seraser_core.sources.decode import decode_image, decode_mask
from seraser_core.waiting import waiting

_MOST_PER_PLACE = 100
_SIDES = 2
"""Sides of the model's input that a cut-out keeps at most."""


@waiting("transplanting objects")
def confirm_run(run_url: str) -> Findings:
    """Paste objects of a run's sample onto the surroundings of each shortcut, and onto others.

    What comes of it is kept in the run directory, and is in every report from then on.

    Returns:
        What was found, with what the transplants showed.

    Raises:
        RunDirectoryError: There is no run, or it has no masks to cut objects out with.
        SeraserError: Its model or its images cannot be used here.
    """
    directory = RunDirectory(run_url)
    runs = [CountedRun(directory, directory.states())]
    sample = read_samples(runs)
    findings, kept = find_in(runs, sample), sample_of(sample, directory.run)
    if kept is None or kept.region != "mask":
        raise RunDirectoryError(
            f"{run_url} has no masks to cut objects out with: it takes dataset.mask and a method "
            "that uses it"
        )
    if not findings.shortcuts:
        return findings
    confirmed = confirm_sample(
        open_session(run_url), findings, kept.sample, sample, read_words(directory)
    )
    write_confirmed(directory, confirmed)
    return confirmed


def confirm_sample(
    session: Session, findings: Findings, sample: Sample, table: pa.Table, words: Words | None
) -> Findings:
    """Paste objects of a sample onto the surroundings of each shortcut, and onto others.

    Args:
        session: The run, or the call, whose images have masks.
        findings: What was found in `sample`.
        sample: The images.
        table: The rows of `SAMPLE_SCHEMA` that they come from.
        words: Those that named the surroundings.

    Returns:
        The findings, with what the transplants showed.
    """
    seed = session.config.seed
    places = places_of(sample, session.run.classes, words, seed)
    indices = dict(zip(table["item_id"].to_pylist(), table["item_index"].to_pylist(), strict=True))
    score = session.compute.submit
    return confirm(
        findings,
        places,
        _cutouts(session, sample.smallest(), indices, places),
        lambda pictures: score(_logits, session, pictures).result(),
        seed,
    )


def _cutouts(
    session: Session, sample: Sample, indices: Mapping[str, int], places: Mapping[str, int]
) -> list[Cutout]:
    """Read the first images of the sample, so many of every place."""
    counts = dict.fromkeys(places.values(), 0)
    chosen: dict[str, int] = {}
    for item_id, label, logits in zip(
        sample.item_ids, sample.labels, sample.foreground, strict=True
    ):
        place = places.get(item_id)
        if place is None or counts[place] >= max(_MOST_PER_PLACE, MOST_OBJECTS // len(counts)):
            continue
        counts[place] += 1
        chosen[item_id] = int(label) if label >= 0 else int(logits.argmax())
    items = session.images.items(np.array([indices[item_id] for item_id in chosen], dtype=np.int64))

    def read(item: dict[str, object]) -> Cutout | None:
        try:
            return _cutout(session, item, chosen[str(item["item_id"])])
        except (ItemError, TransientError):  # it has gone or changed since
            return None

    with ThreadPoolExecutor(READERS) as pool:
        return [one for one in pool.map(read, items) if one is not None]


def _cutout(session: Session, item: dict[str, object], object_class: int) -> Cutout:
    limits = session.config.dataset.limits
    image = decode_image(session.images.image(item), limits)
    mask = Image.fromarray(decode_mask(session.images.mask(item), image.size, limits))
    side = _SIDES * max(session.model.preprocessing.size)
    small = image.copy()
    small.thumbnail((side, side))
    mask = mask.resize(small.size, Image.Resampling.NEAREST)
    return Cutout(str(item["item_id"]), np.asarray(small), np.asarray(mask), object_class)


def _logits(session: Session, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return the (n, C) zero-shot logits of (H, W, 3) uint8 pictures."""
    resize, context = session.model.preprocessing.resize, session.context
    pixels = torch.stack([resize(Image.fromarray(picture)) for picture in pictures])
    views = {"image": pixels[:, None].to(session.model.device)}
    features = encode_views(session, views)["image"][:, 0]
    logits: np.ndarray = (
        cosine_logits(features, context.class_features, context.logit_scale).float().cpu().numpy()
    )
    return logits
