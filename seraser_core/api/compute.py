"""Computing images that are in no run directory, by what computes the shards of a run.

Writing the images into a temporary run would go the same way, through files that nobody needs: the
runner asks only for items, bytes and a session, so they are given to it in memory.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from seraser_core.api.arguments import as_arguments
from seraser_core.api.given import Given
from seraser_core.api.model import Model
from seraser_core.api.progress import Watch
from seraser_core.config.loading import parse_config
from seraser_core.config.options import LimitOptions, RunConfig
from seraser_core.errors import ConfigError, HangError
from seraser_core.results.fingerprints import plan_hash
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.identify import identify
from seraser_core.runner.plan import DEFAULT_TEMPLATE, Prepared, describe_run
from seraser_core.runner.scoring import ScoredItems, score_items
from seraser_core.runner.session import Session, make_session
from seraser_core.sources.items import ITEMS_SCHEMA, ShardRange
from seraser_core.sources.names import doubtful_names
from seraser_core.sources.planner import PlannedItems

logger = logging.getLogger(__name__)


class GivenImages:
    """Images in memory or anywhere; see `seraser_core.runner.images.Images`.

    Args:
        images: The images.
        masks: Their masks.
        labels: Index of the class of each.
        attributes: Index of the attribute of each.
        limits: Limits of their files.

    Attributes:
        table: Their items, `ITEMS_SCHEMA`, in the order given.
    """

    def __init__(
        self,
        images: Sequence[Given],
        masks: Sequence[Given | None],
        labels: Sequence[int | None],
        attributes: Sequence[int | None],
        limits: LimitOptions,
    ) -> None:
        self._images, self._masks, self._limits = images, masks, limits
        columns: dict[str, list[Any]] = {
            "item_index": list(range(len(images))),
            "item_id": [image.id for image in images],
            "image": [image.shown for image in images],
            "label": list(labels),
            "attribute": list(attributes),
            "mask": [None if mask is None else mask.shown for mask in masks],
            "size": [image.size for image in images],
        }
        nothing = [None] * len(images)
        self.table = pa.table(
            {field.name: columns.get(field.name, nothing) for field in ITEMS_SCHEMA},
            schema=ITEMS_SCHEMA,
        )

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._images)

    def items(self, indices: np.ndarray) -> list[dict[str, Any]]:
        """The items of these indices, by index."""
        items: list[dict[str, Any]] = self.table.take(pa.array(np.sort(indices))).to_pylist()
        return items

    def image(self, item: Mapping[str, Any]) -> bytes:
        """See `Given.read`."""
        return self._images[int(item["item_index"])].read(self._limits)

    def mask(self, item: Mapping[str, Any]) -> bytes:
        """See `Given.read`."""
        mask = self._masks[int(item["item_index"])]
        assert mask is not None, "asked only for items that have one"  # noqa: S101
        return mask.read(self._limits)

    def mask_path(self, kind: str, item_index: int) -> str | None:
        """None: no mask is kept."""
        return None


def check_options(tree: Mapping[str, Any], model: Model) -> RunConfig:
    """Check the options of a computation.

    Args:
        tree: Options of a run beside its images and model.
        model: The model.

    Raises:
        ConfigError: One cannot be used; names the argument.
    """
    dataset = {"path": ".", "template": DEFAULT_TEMPLATE} | tree["dataset"]
    options = model.options.model_dump() | {"precision": model.precision}
    with as_arguments():
        config = parse_config({**tree, "dataset": dataset, "model": options, "save_logits": True})
    for one in config.methods:
        if one.other_split() is not None:
            remedy = "learns from a split of a data set; images in Python have none: run it on one"
            raise ConfigError("method", repr(one.id), remedy)
    for warning in doubtful_names(tree["dataset"]["classes"]):
        logger.warning(warning)
    return config


def compute(
    model: Model,
    config: RunConfig,
    classes: list[str],
    attributes: list[str],
    images: GivenImages,
    progress: bool | None,
) -> tuple[Session, ScoredItems]:
    """Compute images.

    Args:
        model: The model.
        config: What to compute, of `check_options`.
        classes: Names of the classes.
        attributes: Names of the attributes.
        images: The images.
        progress: Whether to show it, see `Watch`.

    Returns:
        The session, for what else is asked of the images; and what was computed.

    Raises:
        ConfigError: The methods cannot be used as configured.
        TransientError: Storage or memory failed, in a way that may pass.
    """
    with as_arguments():
        session = model.compute.submit(_session, model, config, classes, attributes, images)
        opened = session.result()
    with Watch(images.count, progress) as watch:
        try:
            return opened, score_items(opened, images.table, Attempt(), watch)
        except HangError as error:
            logger.warning("%s; decoding again in processes that can be killed", error)
            isolated = Attempt(2, isolated=True)
    with Watch(images.count, progress) as watch:
        return opened, score_items(opened, images.table, isolated, watch)


def _session(
    model: Model,
    config: RunConfig,
    classes: list[str],
    attributes: list[str],
    images: GivenImages,
) -> Session:
    began = time.perf_counter()
    table, shards = images.table, [ShardRange("00000", 0, images.count)]
    planned = PlannedItems(table, classes, classes, attributes, shards, {}, None, {})
    prepared = Prepared(config, planned, plan_hash(table, shards))
    run = describe_run(prepared, identify(prepared, logger.debug, model.clip))
    context = model.context(classes, config.dataset.template or DEFAULT_TEMPLATE)
    return make_session(images, run, config, context, model.compute, began)
