"""The flow that runs several configurations and compares their methods."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.labels import label_as
from flows.reasons import reasons
from flows.seraser import planned
from seraser_core import storage
from seraser_core.config import load_comparison
from seraser_core.results.comparison import write_comparison
from seraser_core.results.summary import is_finished
from seraser_core.runner.comparing import plan_comparison
from seraser_core.runner.each_run import compute_each
from tasks.aggregate import artifact_key
from tasks.engine import computing_as, engine
from tasks.observer import observing_as


@flow(name="seraser-compare", validate_parameters=True)
def compare(configs: list[str | dict[str, Any]], overrides: list[str] = []) -> str:  # noqa: B006
    """Run every configuration to its end and compare their methods, as `seraser compare` does.

    Args:
        configs: Paths or URLs of YAML files, or the configurations themselves; each may hold a
            grid of data sets and models.
        overrides: Changes to each of them, ``a.b=value``.

    Returns:
        URL of the comparison's folder.

    Raises:
        SeraserError: Runs failed; all others are computed and kept.
    """
    logger = get_run_logger()
    with reasons():
        comparison = load_comparison(configs, overrides)
        label_as(comparison.name)
        first = comparison.cells[0].config
        with computing_as(first), observing_as(first):
            url, runs = plan_comparison(comparison, logger.info, engine())
            compute_each([run.url for run in runs if not is_finished(run.url)], planned)
        write_comparison(url)
        report = storage.read_bytes(storage.join(url, "report", "comparison.md")).decode()
        key = artifact_key(comparison.name, "comparison")
        create_markdown_artifact(key=key, markdown=report, description=f"Comparison {url}")
    return url
