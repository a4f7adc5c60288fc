"""Images and words that the finder can use, and why it leaves the others out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seraser_core.display import count
from seraser_core.shortcuts.findings import LeftOut
from seraser_core.shortcuts.sample import Sample
from seraser_core.shortcuts.words import Words

SMALLEST_AREA, LARGEST_AREA = 0.005, 0.90
_FEWEST_PER_HALF = 16
FEWEST = 2 * _FEWEST_PER_HALF
"""Images with which a search may begin."""
_SAME = 1e-3
"""Largest difference of logits and features of one picture between two batches."""
_NEAR = 8
"""Images before and after, by their largest logit, with which each is compared."""


@dataclass(frozen=True)
class Usable:
    """The images of a sample that can be used.

    Attributes:
        sample: These images, by rising keys; labels that are no class are -1.
        left_out: How many others there are.
        notes: The same for people, where it is no matter of masks.
        lacking: Why these images are too few to be searched; None if they are enough.
    """

    sample: Sample
    left_out: LeftOut
    notes: list[str]
    lacking: str | None

    @classmethod
    def of(cls, sample: Sample, classes: Sequence[str]) -> Usable:
        """Return the usable images of a sample.

        Args:
            sample: All images.
            classes: C class names.
        """
        readable = _readable(sample, len(classes))
        small, large = sample.area < SMALLEST_AREA, sample.area > LARGEST_AREA
        fitting = sample.take(readable & ~small & ~large).smallest()
        once = _once(fitting)
        is_class = (once.labels >= 0) & (once.labels < len(classes))
        left_out = LeftOut(
            small=int((readable & small).sum()),
            large=int((readable & large).sum()),
            unreadable=int((~readable).sum()),
            repeated=len(fitting) - len(once),
        )
        notes = []
        if left_out.unreadable:
            unreadable = count(left_out.unreadable, "image")
            notes.append(f"Left out, as their features or logits cannot be read: {unreadable}.")
        if left_out.repeated:
            repeated = count(left_out.repeated, "image")
            notes.append(f"Left out, as they repeat others: {repeated}.")
        return cls(
            sample=replace(once, labels=np.where(is_class, once.labels, -1)),
            left_out=left_out,
            notes=notes,
            lacking=_lacking(once, classes),
        )


def discovers(sample: Sample) -> np.ndarray:
    """(n,) bool: images of the half that discovers; the others test."""
    first_half: np.ndarray = sample.keys % 2 == 0
    return first_half


def can_search(sample: Sample, classes: Sequence[str]) -> bool:
    """Return whether a sample has images enough to be searched: else no words are needed."""
    return Usable.of(sample, classes).lacking is None


def usable_words(words: Words | None, width: int) -> tuple[Words | None, str | None]:
    """Return the words that can be used, and for people why there are none.

    Args:
        words: All words; None where there are none.
        width: Length of the images' features.
    """
    because = "Surroundings have no names: "
    if words is None:
        return None, f"{because}the words were not compared with the images."
    if words.features.shape != (len(words.words), width) or len(words.kinds) != len(words.words):
        if words.words:
            return None, f"{because}the features of the words do not fit those of the images."
        return None, f"{because}the model knows none of the words for them."
    finite = np.isfinite(words.features).all(1)
    rows = [row for row, word in enumerate(words.words) if word and word.strip() and finite[row]]
    if not rows:
        return None, f"{because}the model knows none of the words for them."
    features = words.features[rows]
    if (features == features[0]).all():
        return None, f"{because}the model cannot tell the words apart."
    kept = [words.words[row] for row in rows], [words.kinds[row] for row in rows]
    return replace(words, words=kept[0], kinds=kept[1], features=features), None


def _readable(sample: Sample, classes: int) -> np.ndarray:
    """(n,) bool: images all of whose numbers are finite; none if the logits are not C."""
    logits = [sample.whole, sample.background, sample.foreground]
    if sample.erased is not None:
        logits.append(sample.erased)
    readable: np.ndarray = np.isfinite(sample.area)
    for values in (*logits, sample.features):
        readable &= np.isfinite(values).all(1)
    if any(values.shape[1] != classes for values in logits):
        return np.zeros(len(sample), bool)
    return readable


def _once(sample: Sample) -> Sample:
    """Return one image of all that have the same id, or the same features and logits."""
    sample = sample.take(np.sort(np.unique(np.asarray(sample.item_ids), return_index=True)[1]))
    # One picture under several ids: its copies are near each other by any one of their numbers.
    order = np.argsort(sample.whole.max(1, initial=-np.inf), kind="stable")
    numbers = sample.whole, sample.background, sample.foreground, sample.features
    once = np.ones(len(sample), bool)
    for step in range(1, min(_NEAR, len(sample) - 1) + 1):
        earlier, later = order[:-step], order[step:]
        pairs = ((values[earlier], values[later]) for values in numbers)
        same = [(np.abs(one - other) <= _SAME).all(1) for one, other in pairs]
        once[later[np.all(same, axis=0)]] = False
    return sample.take(once)


def _lacking(used: Sample, classes: Sequence[str]) -> str | None:
    if len(classes) < 2:
        return "images of one class are too few"
    usable, discovering = count(len(used), "usable image"), int(discovers(used).sum())
    if len(used) < FEWEST:
        are = "is" if len(used) == 1 else "are"
        return f"{usable} {are} too few, it takes {FEWEST}"
    least = min(discovering, len(used) - discovering)
    if least < _FEWEST_PER_HALF:
        half = "discovers" if discovering == least else "tests"
        return (
            f"the hashes of {usable} put only {least:,} into the half that {half}, which takes "
            f"{_FEWEST_PER_HALF}; another seed divides them anew"
        )
    return None
