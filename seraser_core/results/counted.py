"""A run as a report counts it: with images that count elsewhere, in a series, left out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import polars as pl

from seraser_core.results.counting import COUNTED, count_rows, proper_sums
from seraser_core.results.records import Commit
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import Done, State, commits_of
from seraser_core.results.sums import MethodSums, merge

Rows = TypeVar("Rows", pl.DataFrame, pl.LazyFrame)


def no_images() -> pl.Series:
    """Return an empty list of ids."""
    return pl.Series("item_id", [], pl.String)


@dataclass(frozen=True)
class CountedRun:
    """A run of a report.

    Attributes:
        directory: Where it is.
        states: Of its shards.
        replaced: Ids of its images that a later night of its series has planned again: their rows
            here do not count.
    """

    directory: RunDirectory
    states: Mapping[str, State]
    replaced: pl.Series = field(default_factory=no_images)

    @cached_property
    def commits(self) -> dict[str, Commit]:
        """Shard id -> newest commit, of the shards that are done."""
        return commits_of(self.states)

    @cached_property
    def sums(self) -> dict[str, Mapping[str, MethodSums]]:
        """Shard id -> method id -> sums of the rows that count, of the shards that are done.

        Where some do not, NLL and Brier score are None unless the rows have logits.
        """
        fewer = self._shards_with_replaced()
        return {
            shard_id: self._recounted(state) if shard_id in fewer else state.commit.methods
            for shard_id, state in self.states.items()
            if isinstance(state, Done)
        }

    @property
    def merged(self) -> dict[str, MethodSums]:
        """Method id -> sums of all its rows, also of those that count elsewhere."""
        return merge([commit.methods for commit in self.commits.values()])

    @property
    def images(self) -> int:
        """Number of images with rows that count."""
        return sum(next(iter(methods.values())).rows for methods in self.sums.values())

    def that_count(self, rows: Rows) -> Rows:
        """Leave out rows that do not count; `rows` have the column ``item_id``."""
        if self.replaced.is_empty():
            return rows
        return rows.filter(~pl.col("item_id").is_in(self.replaced.implode()))

    def _shards_with_replaced(self) -> set[str]:
        if self.replaced.is_empty():
            return set()
        ids = pl.Series(self.directory.item_columns(["item_id"])["item_id"])
        places = ids.is_in(self.replaced.implode()).arg_true().to_numpy()
        shards = self.directory.shards()
        numbers = np.searchsorted([shard.stop for shard in shards], places, side="right")
        return {shards[number].id for number in np.unique(numbers)}

    def _recounted(self, done: Done) -> dict[str, MethodSums]:
        columns = [*COUNTED, "item_id", "logits"]
        data = io.BytesIO(self.directory.rows_of(done))
        rows = self.that_count(pl.read_parquet(data, columns=columns))
        counted = count_rows(rows.select(COUNTED), self.directory.run.method_ids)
        for method, sums in counted.items():
            scores = proper_sums(rows.filter(pl.col("method") == method)) or {}
            sums = sums.model_copy(update=scores)
            if not done.commit.methods[method].probabilistic:
                sums = sums.without_probabilities()
            counted[method] = sums
        return counted
