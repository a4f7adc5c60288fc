"""Pools: images of another split of the data set, from which methods learn.

They are planned with the run, and read from its directory by all who compute it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from seraser_core.config.methods.method_options import OtherSplit
from seraser_core.config.options import DatasetOptions, RunConfig, SplitOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.items import ITEMS_SCHEMA
from seraser_core.sources.planner import plan_items


def plan_pools(config: RunConfig) -> dict[str, pa.Table]:
    """List the images of the splits from which methods learn.

    Returns:
        Id of a method -> its images, `ITEMS_SCHEMA`, sorted by id; drawn by the run's seed, without
        regard to their labels.

    Raises:
        ConfigError: The data set has no such split, or its images cannot be used.
    """
    pools = {}
    for method in config.methods:
        wanted = method.other_split()
        if wanted is None:
            continue
        field = f"methods.{method.id}.pool.split"
        dataset = _of_split(config.dataset, wanted, field)
        some = config.model_copy(update={"dataset": dataset, "methods": [method]})
        try:
            table = plan_items(some, lambda line: None).table
        except ConfigError as error:
            if error.field != "dataset.split":
                raise
            raise ConfigError(field, error.value, error.remedy) from None
        rng = np.random.default_rng([config.seed, *method.id.encode()])
        drawn = np.sort(rng.permutation(table.num_rows)[: wanted.images])
        index = pa.array(np.arange(len(drawn)), pa.int64())
        place = ITEMS_SCHEMA.get_field_index("item_index")
        pools[method.id] = table.take(pa.array(drawn)).set_column(
            place, ITEMS_SCHEMA.field(place), index
        )
    return pools


def _of_split(dataset: DatasetOptions, wanted: OtherSplit, field: str) -> DatasetOptions:
    """The data set with this split in place of its own.

    Raises:
        ConfigError: It is a table without a split column.
    """
    column = None if dataset.split is None else dataset.split.column
    if dataset.format == "benchmark":
        if len(wanted.values) != 1:
            raise ConfigError(field, list(wanted.values), "give the name of one split")
    elif column is None:
        raise ConfigError(
            field,
            list(wanted.values),
            "is a value of the column dataset.split.column, which is not given; name that, and in "
            "dataset.split.values the split to classify",
        )
    split = SplitOptions(column=column, values=list(wanted.values))
    return dataset.model_copy(update={"split": split, "allow_empty_classes": True})
