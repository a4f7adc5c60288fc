"""Comparisons: several configurations, or a grid of data sets and models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import Field

from seraser_core.config.loading import load_tree, parse_config, parse_options
from seraser_core.config.methods import default_methods
from seraser_core.config.mistakes import one_of_all
from seraser_core.config.option_group import Options
from seraser_core.config.options import RunConfig
from seraser_core.errors import ConfigError

_PLACES = {"dataset": "grid.datasets", "model": "grid.models", "methods": "grid.methods"}
"""Groups of options of a run -> where they stand in a grid."""

PartName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class GridOptions(Options):
    """Data sets and models; each pair is one run, under the same methods."""

    datasets: dict[PartName, Any] = Field(
        min_length=1,
        description="For `seraser compare`: name -> options as in `dataset`; null leaves one out.",
    )
    models: dict[PartName, Any] = Field(
        min_length=1,
        description="For `seraser compare`: name -> options as in `model`; null leaves one out.",
    )
    methods: list[Any] = Field(
        default_factory=default_methods,
        description="For `seraser compare`: methods of every run, as in `methods`.",
    )


class GridConfig(Options):
    """A configuration with a grid in place of a data set, a model and methods."""

    grid: GridOptions = Field(description="Data sets and models.")


@dataclass(frozen=True)
class Cell:
    """One run of a comparison.

    Attributes:
        dataset: Name of its data set in the tables.
        model: Name of its model in the tables.
        config: The run.
        source: The file it comes from, as errors name it; empty where there is no other.
        places: Groups of options of the run -> where they stand in that file, if elsewhere.
    """

    dataset: str
    model: str
    config: RunConfig
    source: str = ""
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Runs to compare.

    Attributes:
        name: First part of the name of the comparison's folder.
        output: Folder or URL under which that folder is made.
        cells: The runs, those of one model after each other: a process keeps one model.
    """

    name: str
    output: str
    cells: Sequence[Cell]


def load_comparison(
    sources: Sequence[str | Path | Mapping[str, Any]], overrides: Iterable[str] = ()
) -> Comparison:
    """Load run configurations and grids of them.

    A configuration's data set goes by the name of its run, its model by the model's name.

    Args:
        sources: One or more, as for `load_config`; those with a ``grid`` are several runs.
        overrides: Changes to each of them, as of `load_config`.

    Raises:
        ConfigError: One of them cannot be used, or they have results in common.
    """
    names: list[str] = []
    cells: list[Cell] = []
    for given in sources:
        source = str(given) if len(sources) > 1 else ""
        with located(source):
            tree = load_tree(given, overrides)
            cells += _expand(tree, source) if "grid" in tree else [_single(tree, source)]
            names.append(tree.get("name", RunConfig.model_fields["name"].default))
    _check_unique(cells)
    models = [cell.config.model for cell in cells]
    cells.sort(key=lambda cell: models.index(cell.config.model))
    return Comparison(names[0], cells[0].config.output, cells)


@contextmanager
def located(source: str, places: Mapping[str, str] | None = None) -> Iterator[None]:
    """Add to errors the file at fault and the place of the option in it; see `Cell`."""
    try:
        yield
    except ConfigError as error:
        raise one_of_all(_placed(one, source, places or {}) for one in error.mistakes) from None


def _placed(mistake: ConfigError, source: str, places: Mapping[str, str]) -> ConfigError:
    group, dot, rest = mistake.field.partition(".")
    name = places.get(group, group) + dot + rest
    return ConfigError(f"{source}: {name}" if source else name, mistake.value, mistake.remedy)


def _single(tree: Mapping[str, Any], source: str) -> Cell:
    config = parse_config(tree)
    model = config.model.name
    return Cell(
        config.name, PurePosixPath(model).stem if model.endswith(".json") else model, config, source
    )


def _chosen(grid: Any) -> Any:
    """Return the grid without data sets and models that `--set` made null."""
    if not isinstance(grid, Mapping):
        return grid
    return {
        name: {key: value for key, value in part.items() if value is not None}
        if name in ("datasets", "models") and isinstance(part, Mapping)
        else part
        for name, part in grid.items()
    }


def _expand(tree: Mapping[str, Any], source: str) -> list[Cell]:
    """One run per model and data set, in this order."""
    for part, place in _PLACES.items():
        if part in tree:
            raise ConfigError(part, "is given beside `grid`", f"move it to {place}")
    grid = parse_options(GridConfig, {"grid": _chosen(tree["grid"])}).grid
    shared = {name: value for name, value in tree.items() if name != "grid"}
    if "methods" in grid.model_fields_set:
        shared["methods"] = grid.methods
    name = tree.get("name", RunConfig.model_fields["name"].default)
    cells: list[Cell] = []
    wrong: list[ConfigError] = []
    for model, model_options in grid.models.items():
        for dataset, dataset_options in grid.datasets.items():
            run = shared | {"dataset": dataset_options, "model": model_options}
            if isinstance(name, str):
                run["name"] = f"{name}-{dataset}-{model}"
            places = _PLACES | {
                "dataset": f"{_PLACES['dataset']}.{dataset}",
                "model": f"{_PLACES['model']}.{model}",
            }
            try:
                with located("", places):
                    cells.append(Cell(dataset, model, parse_config(run), source, places))
            except ConfigError as error:
                wrong += error.mistakes
    if wrong:
        raise one_of_all(wrong)
    return cells


def _check_unique(cells: Iterable[Cell]) -> None:
    """Check that every row of the tables has one source.

    Raises:
        ConfigError: A method of a data set and a model is in two runs, or two data sets or models
            have the same name.
    """
    seen: set[tuple[str, str, str]] = set()
    named: dict[tuple[str, str], tuple[Any, Any]] = {}
    for cell in cells:
        options = (cell.config.dataset, cell.config.model)
        if named.setdefault((cell.dataset, cell.model), options) != options:
            raise ConfigError(
                "name",
                f"{cell.dataset} with {cell.model}",
                "stands for different data sets or models, whose methods would be ranked "
                "together; give the runs different names",
            )
        for method in cell.config.methods:
            row = (cell.dataset, cell.model, method.id)
            if row in seen:
                raise ConfigError(
                    "name",
                    f"{method.id} on {cell.dataset} with {cell.model} appears more than once",
                    "give every run once, and different runs different names",
                )
            seen.add(row)
