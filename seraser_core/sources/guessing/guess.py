"""A guess of the options of a data set, by the kind of thing that its path names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seraser_core import storage
from seraser_core.errors import ConfigError
from seraser_core.sources.guessing.names import alike, named
from seraser_core.sources.shown import ending_of

_NO_CLASSES = ["a person", "an animal", "a thing"]


@dataclass
class Guess:
    """The options that a data set seems to need.

    Attributes:
        dataset: Options of the group `dataset`, the path as it was given.
        reasons: Lines for people: what was taken for what, and why.
        todo: Lines for people: what they must write themselves.
    """

    dataset: dict[str, Any]
    reasons: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)

    def with_classes(self, values: Sequence[str], told: Mapping[int, str] | None = None) -> None:
        """Take values for the classes, and say where two of them mean the same.

        Args:
            values: Different values, sorted.
            told: Names of the numbers, where something tells them.
        """
        self.dataset["classes"] = named(values, "class", told)
        if remark := alike(values):
            self.todo.append(f"dataset.classes: {remark}")

    def without_classes(self) -> None:
        """Name some classes where nothing in the data names any."""
        self.dataset["classes"] = list(_NO_CLASSES)
        self.todo.append(
            "dataset.classes: nothing in the data names classes; write what the model shall tell "
            "apart"
        )


def guess(path: str) -> Guess:
    """Guess the options of the data set at `path`: a folder, a table, tars or Parquet files.

    Args:
        path: Absolute path or URL, or a pattern of tars or Parquet files.

    Raises:
        ConfigError: There is nothing, or nothing that could be a data set.
    """
    from seraser_core.sources.guessing.archives import guess_parquet, guess_tars, has_pictures
    from seraser_core.sources.guessing.folders import guess_folder, pattern_of
    from seraser_core.sources.guessing.tables import guess_lines, guess_table
    from seraser_core.sources.table_file import PARQUET_ENDINGS

    here = storage.local_path(path)
    if here is not None and here.is_dir():
        return guess_folder(path)
    ending = ending_of(path.removesuffix(".gz"))
    exact = pattern_of(path) if here is not None and here.exists() else path
    if ending == ".tar":
        return guess_tars(exact)
    if here is not None and not here.exists() and not set("*?[{") & set(path):
        raise ConfigError("DATA", path, "there is no such file or folder; check the path")
    if ending in PARQUET_ENDINGS:
        return guess_parquet(exact) if has_pictures(exact) else guess_table(path)
    if ending == ".txt" and (found := guess_lines(path)) is not None:
        return found
    return guess_table(path) if ending else guess_folder(path)
