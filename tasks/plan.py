"""The task that plans a run."""

from __future__ import annotations

from typing import Any

from prefect import get_run_logger, task

from seraser_core.config import load_config
from seraser_core.runner.plan import plan_run
from tasks.engine import engine
from tasks.observer import current


@task(name="plan")
def plan(config: str | dict[str, Any], overrides: list[str]) -> str:
    """Check a configuration, list its data set and make its run directory, or find it.

    Args:
        config: Path or URL of a YAML file, or the configuration itself.
        overrides: ``a.b=value`` texts.

    Returns:
        URL of the run directory.
    """
    logger = get_run_logger()

    def report(text: str) -> None:
        logger.info(text)
        current().say(text)

    return plan_run(load_config(config, overrides), report, engine())
