"""A planned run, with the engine of this place: run.json says nothing of engines."""

from __future__ import annotations

from collections.abc import Sequence

from seraser_core.config import RunConfig, load_config
from seraser_core.errors import ConfigError
from seraser_core.results.series import described_run

_FREE = "execution."


def config_here(run_url: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration of a planned run, with options of ``execution`` for this place.

    Args:
        run_url: The run directory, or a series.
        overrides: ``execution.a=value`` texts.

    Raises:
        ConfigError: One is of another option, which would change the run, or cannot be used.
        RunDirectoryError: There is no run.
    """
    for text in overrides:
        if not text.startswith(_FREE):
            raise ConfigError(
                "--set",
                text,
                "the run is planned; only options of execution, such as execution.engine, can be "
                "set",
            )
    return load_config(described_run(run_url).config.document(), overrides)
