"""Planning the runs of a comparison."""

from __future__ import annotations

from collections.abc import Callable

from seraser_core.config import Comparison
from seraser_core.config.grid import located
from seraser_core.engines import Engine
from seraser_core.errors import ConfigError
from seraser_core.results.comparison import ComparedRun, create_comparison
from seraser_core.runner.plan import plan_run


def plan_comparison(
    comparison: Comparison, say: Callable[[str], None], engine: Engine, command: str = ""
) -> tuple[str, list[ComparedRun]]:
    """Plan all runs of a comparison and make its folder, before any of them computes.

    Args:
        comparison: The comparison.
        say: Told of finished steps.
        engine: Where the model is looked at.
        command: As of `plan_run`.

    Returns:
        URL of the folder, and the runs.

    Raises:
        ConfigError: A configuration cannot be used; names it.
    """
    for cell in comparison.cells:
        with located(cell.source, cell.places):
            if cell.config.series is not None:
                raise ConfigError("series", "is of several runs", "leave it out: runs are compared")
    runs = []
    for cell in comparison.cells:
        with located(cell.source, cell.places):
            run_url = plan_run(cell.config, say, engine, command)
        runs.append(ComparedRun(cell.dataset, cell.model, run_url))
    return create_comparison(comparison.output, comparison.name, runs), runs
