"""Finding shortcuts: which surroundings decide which class.

The images are cut into two halves by a bit of their hash. One half discovers: its backgrounds are
clustered, the clusters named, and the class chosen towards which each pulls most. The other half
tests, so that what was chosen is not also its own proof. `docs/shortcuts.md` has the whole way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seraser_core.shortcuts.clusters import Space, cluster_count, k_means, nearest
from seraser_core.shortcuts.findings import (
    LEAST_CONFLICTS,
    Detectable,
    Findings,
    HardPlace,
    LatentShortcut,
    Rate,
    Shortcut,
)
from seraser_core.shortcuts.half import Half, softmax
from seraser_core.shortcuts.labels import Labelled
from seraser_core.shortcuts.naming import name_clusters, telling
from seraser_core.shortcuts.pull import (
    benjamini_hochberg,
    detectable_pull,
    permutation_p,
    pull_low,
    pulls,
    shuffles,
    strata,
)
from seraser_core.shortcuts.remedies import remedies
from seraser_core.shortcuts.sample import Sample
from seraser_core.shortcuts.usable import Usable, discovers, usable_words
from seraser_core.shortcuts.words import Words

FALSE_DISCOVERY_RATE = 0.05
LEAST_PULL, LEAST_PULL_LOW = 0.10, 0.05
_LEAST_TO_CHOOSE = 5
_FEW_CONFLICTS = 0.2
_LOUD, _LOUDER_THAN_ELSEWHERE = 0.5, 0.25
_EXAMPLES, _DECIDED_EXAMPLES = 12, 60
_RULE_OF_THREE = 3
"""Decided images that are expected where at least one shows in 95 of 100 samples."""


def find_shortcuts(
    sample: Sample,
    classes: Sequence[str],
    words: Words | None = None,
    seed: int = 0,
    *,
    region: str | None = None,
    eraser: str | None = None,
) -> Findings:
    """Find the surroundings that decide classes.

    The same images give the same findings, whatever their order.

    Args:
        sample: Sampled images.
        classes: C class names.
        words: Words that can name surroundings, see `words_for`; without them there are no names.
        seed: Of the clusters' starts, the permutations and the bootstrap.
        region: Foreground with which the objects were cut out, for the findings.
        eraser: Id of the erasing method, for the findings.
    """
    usable = Usable.of(sample, classes)
    known, nameless = usable_words(words, sample.features.shape[1])
    found = Findings(
        sampled=len(sample),
        used=len(usable.sample),
        left_out=usable.left_out,
        region=region,
        eraser=eraser,
        notes=[*([nameless] if nameless else []), *usable.notes],
    )
    if usable.lacking is not None:
        return found.noting(f"Shortcuts were not looked for: {usable.lacking}.")
    return _Search(usable.sample, classes, known, seed).findings(found)


def places_of(
    sample: Sample, classes: Sequence[str], words: Words | None = None, seed: int = 0
) -> dict[str, int]:
    """Return the place of each usable image, as an index of `Findings.detectable`.

    Args:
        sample: As `find_shortcuts` was given it, and so the other arguments.
        classes: C class names.
        words: Words that can name surroundings.
        seed: Of the clusters' starts.
    """
    usable = Usable.of(sample, classes)
    if usable.lacking is not None:
        return {}
    known, _ = usable_words(words, sample.features.shape[1])
    return _Search(usable.sample, classes, known, seed).places()


class _Search:
    """One search; its clusters, names and classes come from half a, all figures from half b."""

    def __init__(
        self,
        sample: Sample,
        classes: Sequence[str],
        words: Words | None,
        seed: int,
    ) -> None:
        self._classes, self._words, self._seed = classes, words, seed
        first_half = discovers(sample)
        a, b = Half.of(sample.take(first_half)), Half.of(sample.take(~first_half))
        space = Space.of(a.sample.features, a.q)
        points = space.points(a.sample.features, a.q)
        k = cluster_count(len(points))
        centres = k_means(points, k, np.random.default_rng([seed, 0]))
        members = nearest(points, centres)
        there, members = np.unique(members, return_inverse=True)  # empty clusters have no name
        centres = centres[there]
        named = name_clusters(a.sample.features, members, len(there), words)
        self._a = a.within(named.cluster_of[members])
        in_b = nearest(space.points(b.sample.features, b.q), centres)
        self._b = b.within(named.cluster_of[in_b])
        self._k = len(named.words)
        self._names = [self._tells(named.words[cluster], cluster) for cluster in range(self._k)]

    def _tells(self, candidates: list[int], cluster: int) -> list[str]:
        if self._words is None:
            return []
        inside = self._b.members == cluster
        return telling(candidates, self._b.sample.features, inside, self._words)

    def places(self) -> dict[str, int]:
        """Return the cluster of each image."""
        return {
            item_id: int(cluster)
            for half in (self._a, self._b)
            for item_id, cluster in zip(half.sample.item_ids, half.members, strict=True)
        }

    def findings(self, found: Findings) -> Findings:
        """Return `found` with everything that was found."""
        chosen = self._choose()
        tested = self._test(chosen)
        b = self._b.sample
        labelled = Labelled(b.labels, self._b.p.argmax(1), self._b.members)
        shortcuts, hard, refuted = [], [], []
        for one in tested:
            split = labelled.split(one.cluster, one.class_index)
            if split is None or split.verdict == "shortcut":
                shortcuts.append(one.model_copy(update={"labels": split}))
            elif split.verdict == "merely hard":
                hard.append((one.cluster, one.class_index, split))
            else:
                refuted.append(f"“{one.place}” to “{one.class_name}”")
        free = sorted(set(range(self._k)) - {one.cluster for one in tested})
        hard += labelled.hard(free)
        hard_places = [
            HardPlace(
                words=self._names[cluster],
                class_index=class_index,
                class_name=self._classes[class_index],
                labels=split,
                images=self._images(cluster),
                cluster=cluster,
            )
            for cluster, class_index, split in hard
        ]
        there = {(one.cluster, one.class_index) for one in tested}
        if refuted:
            found = found.noting(
                "Left out, as labels show that they draw hardly any image of another class: "
                f"{', '.join(refuted)}."
            )
        return found.model_copy(
            update={
                "shortcuts": sorted(shortcuts, key=lambda one: (-one.decided.low, -one.pull)),
                "latent": self._latent(there),
                "hard": hard_places,
                "detectable": [self._detectable(one, chosen[one]) for one in range(self._k)],
                "remedies": (
                    [] if self._words is None else remedies(shortcuts, self._classes, self._words)
                ),
            }
        )

    def _choose(self) -> list[int]:
        """Return the class towards which each cluster pulls most, -1 where it cannot be told."""
        a = self._a
        pull = pulls(a.change, a.objects, a.members, self._k, _LEAST_TO_CHOOSE)
        return [int(row.argmax()) if np.isfinite(row).any() else -1 for row in pull]

    def _test(self, chosen: Sequence[int]) -> list[Shortcut]:
        """Return the clusters that pull towards their class beyond chance."""
        b = self._b
        orders = shuffles(strata(b.objects, b.sample.area), np.random.default_rng([self._seed, 1]))
        p_values = []
        for cluster, class_index in enumerate(chosen):
            inside, other = b.members == cluster, b.objects != class_index
            testable = class_index >= 0 and (inside & other).any() and (~inside & other).any()
            change = b.change[:, class_index]
            p_values.append(permutation_p(inside, change, other, orders) if testable else 1.0)
        q_values = benjamini_hochberg(p_values)
        tested = (
            self._shortcut(cluster, class_index, p_values[cluster], q_values[cluster])
            for cluster, class_index in enumerate(chosen)
            if q_values[cluster] <= FALSE_DISCOVERY_RATE
        )
        return [one for one in tested if one is not None]

    def _shortcut(self, cluster: int, class_index: int, p: float, q: float) -> Shortcut | None:
        """Return the shortcut of a cluster, None if it is too weak or has too few images."""
        a, b = self._a, self._b
        inside, other = b.members == cluster, b.objects != class_index
        changes = b.change[inside & other, class_index], b.change[~inside & other, class_index]
        pull = float(changes[0].mean(dtype=np.float64) - changes[1].mean(dtype=np.float64))
        conflicts = self._conflicts(cluster, class_index)
        if pull < LEAST_PULL or conflicts < LEAST_CONFLICTS:
            return None
        low = pull_low(*changes, np.random.default_rng([self._seed, 2, cluster]))
        if low <= LEAST_PULL_LOW:
            return None
        decided = b.decided(cluster, class_index)
        clearest = sorted(
            (-float(half.change[row, class_index]), half.sample.item_ids[row])
            for half in (a, b)
            for row in np.flatnonzero(half.decided(cluster, class_index))
        )
        return Shortcut(
            words=self._names[cluster],
            class_index=class_index,
            class_name=self._classes[class_index],
            decided=Rate.of(int(decided.sum()), int(inside.sum())),
            pull=_rounded(pull),
            pull_low=_rounded(low),
            p=_rounded(p),
            q=_rounded(q),
            conflicts=conflicts,
            images=self._images(cluster),
            cluster=cluster,
            voice=_rounded(b.q[inside, class_index].mean(dtype=np.float64)),
            others=Rate.of(int(decided.sum()), int((inside & other).sum())),
            cure=self._cure(decided, class_index),
            examples=[item_id for _, item_id in clearest[:_DECIDED_EXAMPLES]],
        )

    def _cure(self, decided: np.ndarray, class_index: int) -> float | None:
        """Return how much of the class's probability erasing takes from the decided images."""
        b = self._b
        if b.sample.erased is None or not decided.any():
            return None
        s = softmax(b.sample.erased[decided])[:, class_index]
        return _rounded((b.p[decided, class_index] - s).mean(dtype=np.float64))

    def _latent(self, tested: set[tuple[int, int]]) -> list[LatentShortcut]:
        """Return the clusters that speak for a class and show hardly any other."""
        a, b = self._a, self._b
        latent = []
        for cluster in range(self._k):
            inside = b.members == cluster
            if not inside.any() or inside.all():
                continue
            class_index = int(a.q[a.members == cluster].mean(0).argmax())
            voice, elsewhere = b.q[inside, class_index].mean(), b.q[~inside, class_index].mean()
            conflicts, images = self._conflicts(cluster, class_index), self._images(cluster)
            if (
                (cluster, class_index) in tested
                or conflicts > _FEW_CONFLICTS * images
                or images < LEAST_CONFLICTS
                or voice < _LOUD
                or voice - elsewhere < _LOUDER_THAN_ELSEWHERE
            ):
                continue
            latent.append(
                LatentShortcut(
                    words=self._names[cluster],
                    class_index=class_index,
                    class_name=self._classes[class_index],
                    voice=_rounded(voice),
                    conflicts=conflicts,
                    images=images,
                    cluster=cluster,
                    examples=self._first(cluster, class_index),
                )
            )
        return sorted(latent, key=lambda one: -one.voice)

    def _detectable(self, cluster: int, class_index: int) -> Detectable:
        """Return the place, with the share that would have been reported; 1 if none would."""
        tested = int((self._b.members == cluster).sum())
        conflicts = self._conflicts(cluster, class_index) if class_index >= 0 else 0
        share = 1.0
        if conflicts >= LEAST_CONFLICTS and tested:
            testing = int(self._b.conflicts(cluster, class_index).sum())
            pull = detectable_pull(testing, LEAST_PULL, LEAST_PULL_LOW)
            share = max(pull * testing, _RULE_OF_THREE) / tested
        return Detectable(
            words=self._names[cluster],
            tested=tested,
            conflicts=conflicts,
            share=_rounded(min(1.0, share)),
            examples=self._first(cluster),
        )

    def _first(self, cluster: int, predicted: int | None = None) -> list[str]:
        """Return the ids with the smallest keys in a cluster, or those predicted as one class."""
        rows: list[tuple[int, str]] = []
        for half in (self._a, self._b):
            chosen = half.members == cluster
            if predicted is not None:
                chosen &= half.p.argmax(1) == predicted
            some = half.sample.take(chosen)
            rows += zip(some.keys.tolist(), some.item_ids, strict=True)
        return [item_id for _, item_id in sorted(rows)[:_EXAMPLES]]

    def _images(self, cluster: int) -> int:
        return sum(int((half.members == cluster).sum()) for half in (self._a, self._b))

    def _conflicts(self, cluster: int, class_index: int) -> int:
        halves = (self._a, self._b)
        return sum(int(half.conflicts(cluster, class_index).sum()) for half in halves)


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 6)
