"""Other orders of a shard's images, which tell how much a stateful method depends on its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seraser_core.methods import Method, calls
from seraser_core.methods.method import SEED, Features
from seraser_core.results.outcomes import MethodOutcome
from seraser_core.results.samples import keys_of
from seraser_core.runner.infer import in_batches
from seraser_core.runner.session import Session


class Orders:
    """The images of a shard, kept for the methods that are to see them in other orders.

    Nothing is kept where no method is: a shard has as many images as `shard.max_items` says.

    Attributes:
        right: Method -> (orders, images) bool, whether an image is classified rightly; those of
            images without a label are not.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._methods = [method for method in session.methods if method.orders]
        views = (view.name for method in self._methods for view in method.views)
        self._names = tuple(dict.fromkeys([SEED, *views]))
        self._kept: list[dict[str, Tensor]] = []
        self.right: dict[str, np.ndarray] = {}

    def keep(self, features: Features) -> None:
        """Keep a batch of images."""
        if self._methods:
            self._kept.append({name: features[name].to("cpu", copy=True) for name in self._names})

    def score(self, labels: Sequence[int | None]) -> None:
        """Score the images that were kept.

        Args:
            labels: Theirs.
        """
        for method in self._methods:
            self.right[method.id] = np.zeros((method.orders, len(labels)), bool)
        if not self._kept:
            return
        features = {name: torch.cat([part[name] for part in self._kept]) for name in self._names}
        self._kept = []
        truth = np.array([-1 if label is None else label for label in labels])
        for method in self._methods:
            for number in range(method.orders):
                order = shuffled(features[SEED], number)
                moved = {name: values[order] for name, values in features.items()}
                self.right[method.id][number, order] = self._answers(method, moved) == truth[order]

    def _answers(self, method: Method, features: Features) -> np.ndarray:
        """The likeliest classes under a method that has seen nothing yet; -2 if there is none."""
        session, fresh = self._session, method.for_shard()
        device, classes = session.model.device, len(session.run.classes)

        def predict(part: slice) -> np.ndarray:
            some = {
                name: values[part] if name == SEED else values[part].to(device)
                for name, values in features.items()
            }
            scores = calls.predict(fresh, some, classes, [session.context.shared])
            logits = scores.logits.float().cpu().numpy()
            return np.where(np.isfinite(logits).all(1), logits.argmax(1), -2)

        images = len(features[SEED])
        return np.concatenate(
            in_batches(predict, images, session.batch_sizes, method.id, repeatable=False)
        )

    def counts(self, outcomes: Sequence[MethodOutcome]) -> dict[str, tuple[int, ...]]:
        """Method -> images with a prediction that are classified rightly in each order.

        Args:
            outcomes: In the shard's own order, one per method.
        """
        return {
            one.method: tuple((self.right[one.method] & one.finite).sum(1).tolist())
            for one in outcomes
            if one.method in self.right
        }


def shuffled(seeds: Tensor, number: int) -> np.ndarray:
    """Return an order of n images, which their seeds alone decide.

    Args:
        seeds: (n,) theirs.
        number: Which order.

    Returns:
        (n,) places, the first one first.
    """
    return np.argsort(keys_of(number, map(str, seeds.tolist())), kind="stable")
