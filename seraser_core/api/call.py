"""One call: arguments checked, images computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from seraser_core.api.auxiliary import with_auxiliary
from seraser_core.api.compute import GivenImages, check_options, compute
from seraser_core.api.given import Given, given_images, given_masks
from seraser_core.api.model import Model
from seraser_core.api.names import attribute_indices, class_names, label_indices
from seraser_core.config.options import RunConfig
from seraser_core.errors import ConfigError
from seraser_core.kinds import MASK
from seraser_core.results.records import RunRecord
from seraser_core.results.samples import SAMPLE_SCHEMA, keys_of
from seraser_core.runner.session import Session

T = TypeVar("T")
_ZERO_SHOT = "zero_shot"


@dataclass(frozen=True)
class Called:
    """Outcome of a call.

    Attributes:
        session: How it was computed.
        images: Those that were computed.
        rows: Their prediction rows: of the method, and of zero-shot if that is another.
        sample: What is kept of some of them, `SAMPLE_SCHEMA`.
        repeated: How many images were not computed, as they were given before.
    """

    session: Session
    images: list[Given]
    rows: pa.Table
    sample: pa.Table
    repeated: int = 0

    @property
    def run(self) -> RunRecord:
        """How it was computed, as run.json has it."""
        return self.session.run

    @property
    def config(self) -> RunConfig:
        """The options."""
        return self.session.config


def call(
    model: Model,
    images: object,
    classes: object,
    *,
    masks: object,
    labels: object,
    attributes: object,
    method: str | Mapping[str, Any],
    template: str | None,
    seed: int,
    batch_size: int | str,
    progress: bool | None,
    sample: int,
    most: int | None = None,
    needs_foreground: bool = False,
    needs_mask: bool = False,
) -> Called:
    """Compute images; see `erase` for most of the arguments.

    Args:
        sample: Images of which features, logits of both sides and pictures are kept.
        most: Images that are computed: those with the smallest keys, each once. All when None.
        needs_foreground: Whether a method that looks at no foreground is refused.
        needs_mask: Whether a method that looks at no mask is refused.

    Raises:
        ConfigError: An argument cannot be used.
        TransientError: Storage or memory failed, in a way that may pass.
    """
    if not isinstance(model, Model):
        raise ConfigError("model", repr(model), 'give a model, as load_model("demo") returns it')
    names = class_names(classes)
    given = given_images(images)
    foregrounds = given_masks(masks, given)
    options = with_auxiliary(method, model, masks is not None)
    before = [] if options["name"] == _ZERO_SHOT else [_ZERO_SHOT]
    tree: dict[str, Any] = {
        "name": "python",
        "dataset": {"classes": names, "mask": None if masks is None else "mask"},
        "methods": [options, *before],
        "seed": seed,
        "runtime": {"batch_size": batch_size},
        "shortcuts": {"sample": sample},
    }
    if template is not None:
        tree["dataset"]["template"] = template
    config = check_options(tree, model)
    if most is not None and (not isinstance(most, int) or most < 1):
        raise ConfigError("sample", repr(most), "must be a whole number, 1 or more")
    if needs_foreground and not config.methods[0].regions():
        raise ConfigError(
            "method", repr(config.methods[0].id), 'give one that uses a foreground, as "seraser"'
        )
    if needs_mask and MASK not in config.methods[0].regions():
        raise ConfigError(
            "confirm",
            "True",
            "cuts objects out with masks: give masks, and a method that uses them",
        )
    of_labels = label_indices(labels, names, len(given))
    of_attributes, values = attribute_indices(attributes, len(given))
    repeated = 0
    if most is not None:
        keys, first = np.unique(
            keys_of(config.seed, (image.id for image in given)), return_index=True
        )
        repeated, chosen = len(given) - len(keys), np.sort(first[:most]).tolist()
        given, foregrounds = _at(given, chosen), _at(foregrounds, chosen)
        of_labels, of_attributes = _at(of_labels, chosen), _at(of_attributes, chosen)
    items = GivenImages(given, foregrounds, of_labels, of_attributes, config.dataset.limits)
    session, scored = compute(model, config, names, values, items, progress)
    sample = SAMPLE_SCHEMA.empty_table() if scored.sample is None else scored.sample
    return Called(session, given, scored.predictions, sample, repeated)


def _at(values: Sequence[T], places: Sequence[int]) -> list[T]:
    return [values[place] for place in places]
