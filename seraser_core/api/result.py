"""Predictions as arrays, as a table and as something to look at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seraser_core.api.given import Given
from seraser_core.config.options import LimitOptions
from seraser_core.display import percent
from seraser_core.results.outcomes import softmax
from seraser_core.results.records import RunRecord
from seraser_core.results.samples import PICTURES

if TYPE_CHECKING:
    import polars as pl


class Result:
    """Predictions of n images, in the order in which they were given.

    A notebook shows it as a summary with the images that changed.

    Attributes:
        classes: Names of the C classes.
        method: Name of the method.
        run: How they were made, as run.json has it: options, hash of the weights, versions.
        images: The images as they were given.
        limits: Limits of their files.
    """

    def __init__(
        self,
        run: RunRecord,
        rows: pa.Table,
        sample: pa.Table,
        images: Sequence[Given],
        limits: LimitOptions,
    ) -> None:
        self.run, self.classes = run, run.classes
        self.method = run.method_ids[0]
        self.images, self.limits = images, limits
        by_method = {one: rows.filter(pc.equal(rows["method"], one)) for one in run.method_ids}
        self._rows = by_method[self.method]
        self._zero_shot = by_method[run.method_ids[-1]]
        self._sample = sample
        self._is_zero_shot = len(run.method_ids) == 1

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    def __repr__(self) -> str:
        return f"<Result of {self.method}: {self.sentence()}>"

    def _repr_html_(self) -> str:
        from seraser_core.api.cells import result_cell

        return result_cell(self)

    def to_polars(self) -> pl.DataFrame:
        """Return one row per image, with the columns of the Parquet files of a run."""
        import polars as pl

        return pl.DataFrame(self._rows)

    @cached_property
    def predictions(self) -> np.ndarray:
        """(n,) int64: index of the predicted class; -1 for an image that cannot be used."""
        return _indices(self._rows["prediction"])

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(n, C) float32: probability of every class, NaN for an image that cannot be used."""
        return _probabilities(self._rows["logits"], len(self.classes))

    @cached_property
    def zero_shot_predictions(self) -> np.ndarray:
        """(n,) int64: the same before erasing, with the untouched prompt."""
        return _indices(self._rows["zero_shot_prediction"])

    @cached_property
    def zero_shot_probabilities(self) -> np.ndarray:
        """(n, C) float32: the same before erasing, with the untouched prompt."""
        return _probabilities(self._zero_shot["logits"], len(self.classes))

    @cached_property
    def labels(self) -> np.ndarray:
        """(n,) int64: index of the class that was given; -1 where none was."""
        return _indices(self._rows["label"])

    @cached_property
    def ok(self) -> np.ndarray:
        """(n,) bool: whether the image could be used."""
        return np.asarray(pc.equal(self._rows["status"], "ok").to_numpy(zero_copy_only=False))

    @cached_property
    def changed(self) -> np.ndarray:
        """(n,) bool: whether the method predicts another class than zero-shot."""
        return np.asarray(self.ok & (self.predictions != self.zero_shot_predictions))

    @property
    def errors(self) -> pl.DataFrame:
        """One row per image that cannot be used: which, and why."""
        columns = ["item_index", "item_id", "image", "error_stage", "error_code", "error_message"]
        return self.to_polars().filter(status="error").select(columns)

    def row(self, index: int) -> dict[str, Any]:
        """Return what there is to show of an image: logits, losses and, of some, pictures."""
        row: dict[str, Any] = self._rows.slice(index, 1).to_pylist()[0]
        logits = row.pop("logits")
        row |= {"erased": None if self._is_zero_shot else logits}
        row |= {"background": None, "foreground": None}
        row |= dict.fromkeys(PICTURES)
        row["whole"] = self._zero_shot["logits"][index].as_py()
        place = self._places.get(index)
        if place is not None:
            seen = self._sample.slice(place, 1).to_pylist()[0]
            if seen["image_webp"] is not None:
                row |= {name: seen[name] for name in ("background", "foreground", *PICTURES)}
        return row

    @cached_property
    def _places(self) -> dict[int, int]:
        """item_index -> row of the sample."""
        indices: list[int] = self._sample["item_index"].to_pylist()
        return {index: place for place, index in enumerate(indices)}

    def sentence(self) -> str:
        """Return what the method changed, in one or two sentences."""
        usable = int(self.ok.sum())
        bad = len(self) - usable
        unusable = f" {_images(bad)} cannot be used: see .errors." if bad else ""
        if not usable:
            return f"None of {_images(len(self))} can be used: see .errors."
        known = self.ok & (self.labels >= 0)
        right = self.predictions == self.labels
        was_right = self.zero_shot_predictions == self.labels
        if self._is_zero_shot:
            said = f"{self.method} classifies {_images(usable)}"
            if known.any():
                share = percent(float(right[known].mean()))
                said += f", of {int(known.sum())} with a label {share} rightly"
            return f"{said}.{unusable}"
        said = f"{self.method} changes {int(self.changed.sum())} of {usable} predictions"
        if not known.any():
            return f"{said}.{unusable}"
        fixed = int((known & right & ~was_right).sum())
        broken = int((known & was_right & ~right).sum())
        before, after = (percent(float(x[known].mean())) for x in (was_right, right))
        return (
            f"{said}: {fixed} fixed, {broken} broken. Accuracy {before} before, {after} after "
            f"(n = {int(known.sum())}).{unusable}"
        )


def _images(n: int) -> str:
    return f"{n} image{'' if n == 1 else 's'}"


def _indices(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.fill_null(-1).to_numpy(), dtype=np.int64)


def _probabilities(logits: pa.ChunkedArray, classes: int) -> np.ndarray:
    known = np.asarray(logits.is_valid().to_numpy())
    found = np.full((len(logits), classes), np.nan, dtype=np.float32)
    values = pc.list_flatten(logits).to_numpy().reshape(-1, classes)
    found[known] = softmax(values)
    return found
