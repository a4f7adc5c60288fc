"""One half of the sampled images: class probabilities, objects, and the places of the images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from seraser_core.shortcuts.sample import Sample


@dataclass(frozen=True)
class Half:
    """Images of one half; p, q, r are their class probabilities.

    Attributes:
        sample: The images.
        p: (n, C) of the whole image.
        q: (n, C) of the background alone.
        change: (n, C) p - r, where r is of the object alone.
        objects: (n,) class of the object: its label, or else what it is taken for alone.
        members: (n,) cluster of each image.
    """

    sample: Sample
    p: np.ndarray
    q: np.ndarray
    change: np.ndarray
    objects: np.ndarray
    members: np.ndarray

    @classmethod
    def of(cls, sample: Sample) -> Half:
        """Return the half with these images, in no cluster yet."""
        p, q, r = map(softmax, (sample.whole, sample.background, sample.foreground))
        objects = np.where(sample.labels >= 0, sample.labels, r.argmax(1))
        return cls(sample, p, q, p - r, objects, np.full(len(sample), -1))

    def within(self, members: np.ndarray) -> Half:
        """Return the half with these clusters."""
        return replace(self, members=members)

    def conflicts(self, cluster: int, class_index: int) -> np.ndarray:
        """(n,) bool, images in the cluster whose object is another class."""
        conflicts: np.ndarray = (self.members == cluster) & (self.objects != class_index)
        return conflicts

    def decided(self, cluster: int, class_index: int) -> np.ndarray:
        """(n,) bool, conflict images that are predicted as the class all the same."""
        decided: np.ndarray = self.conflicts(cluster, class_index) & (
            self.p.argmax(1) == class_index
        )
        return decided


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, C) probabilities, float32."""
    e = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: np.ndarray = e / e.sum(1, keepdims=True)
    return probabilities
