"""Options of a run that makes masks of a data set's images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seraser_core.config import load_config
from seraser_core.errors import ConfigError
from seraser_core.kinds import MADE_MASKS


def mask_options(
    config: str | Mapping[str, Any], kind: str, overrides: Sequence[str] = ()
) -> list[str]:
    """Return the overrides that make a configuration one of a run which keeps its masks.

    Args:
        config: As of `load_config`.
        kind: One of `MADE_MASKS`.
        overrides: More overrides, as of `load_config`.

    Raises:
        ConfigError: There is no such kind, or the configuration cannot be used.
    """
    if kind not in MADE_MASKS:
        raise ConfigError("kind", kind, f"write one of {', '.join(MADE_MASKS)}")
    return [
        *overrides,
        f"name={load_config(config, overrides).name}-masks",
        f"methods=[{{name: foreground, auxiliary: {kind}}}]",
        "save_masks=true",
        "dataset.decode=full",
        "series=null",
    ]
