"""Group accuracies of the demo model with the project's own methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seraser_core.auxiliary import Picture, make_view
from seraser_core.config.methods import MethodOptions
from seraser_core.demo.dataset import TEMPLATE, DemoItem
from seraser_core.kinds import IMAGE, KINDS, View
from seraser_core.methods.context import MethodContext
from seraser_core.methods.implementations import method_class
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import build_prompts

_VIEWS = (IMAGE, *KINDS["mask"].spurious, KINDS["mask"].foreground)
_BATCH = 128


@dataclass(frozen=True)
class GroupAccuracies:
    """Accuracy of every (class, context) group, the worst of them and the average."""

    groups: dict[str, float]

    @property
    def worst(self) -> float:
        """Accuracy of the worst group."""
        return min(self.groups.values())

    @property
    def average(self) -> float:
        """Mean over the groups, which are of equal size."""
        return float(np.mean(list(self.groups.values())))

    def document(self) -> dict[str, float]:
        """All figures, rounded, for a JSON file."""
        figures = {**self.groups, "worst group": self.worst, "average": self.average}
        return {name: round(value, 4) for name, value in figures.items()}


class Evaluation:
    """Evaluates methods on a task's pictures, encoded once."""

    def __init__(
        self, model: ClipModel, items: Sequence[DemoItem], pictures: Sequence[Picture]
    ) -> None:
        self._items, self._task = items, items[0].task
        self._features = {view.name: _features(model, view, pictures) for view in _VIEWS}
        context_length = model.net.context_length
        prompts = build_prompts(list(self._task.classes), TEMPLATE, model.tokenizer, context_length)
        self._context = MethodContext(model, prompts)

    def accuracies(self, options: MethodOptions) -> GroupAccuracies:
        """Group accuracies of one method."""
        method = method_class(options)(options, self._context)
        parts = [
            method.predict(
                {name: f[start : start + _BATCH] for name, f in self._features.items()}
            ).logits.argmax(-1)
            for start in range(0, len(self._items), _BATCH)
        ]
        classes, places = self._task.classes, self._task.attributes
        hits: dict[str, list[bool]] = {f"{c} / {a}": [] for c in classes for a in places}
        for item, predicted in zip(self._items, torch.cat(parts).tolist(), strict=True):
            hits[f"{classes[item.y]} / {places[item.a]}"].append(predicted == item.y)
        return GroupAccuracies({name: float(np.mean(h)) for name, h in hits.items()})


def _features(model: ClipModel, view: View, pictures: Sequence[Picture]) -> Tensor:
    """(N, 1, D) features of one view of every picture."""
    images = [next(make_view(view, picture, 0, str(i))) for i, picture in enumerate(pictures)]
    return model.encode_image(torch.stack([model.preprocess(i) for i in images]))[:, None]
