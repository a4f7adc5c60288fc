"""The task that plans a run."""

from __future__ import annotations

from typing import Any

from prefect import get_run_logger, task
from prefect.runtime import deployment, flow_run

from seraser_core.config import load_config
from seraser_core.config.secrets import shown_override
from seraser_core.redaction import redacted
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

    command = redacted(_started_by(config, [*map(shown_override, overrides)]))
    return plan_run(load_config(config, overrides), report, engine(), command)


def _started_by(config: str | dict[str, Any], overrides: list[str]) -> str:
    """Return the deployment of the flow run with its parameters, or the call of the flow."""
    named = config if isinstance(config, str) else f"configuration {config.get('name', '')}".strip()
    if deployment.name:
        given = " ".join([named, *overrides])
        return f"Prefect deployment {flow_run.flow_name}/{deployment.name}: {given}"
    given = f"{named!r}, {overrides!r}" if overrides else repr(named)
    return f"flows.seraser.seraser({given})"
