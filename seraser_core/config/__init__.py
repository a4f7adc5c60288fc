"""Run configuration."""

from seraser_core.config.loading import describe_options, load_config, parse_config
from seraser_core.config.options import (
    ForegroundOptions,
    MethodOptions,
    RunConfig,
    SeraserOptions,
    TptOptions,
    ZeroShotOptions,
)

__all__ = [
    "ForegroundOptions",
    "MethodOptions",
    "RunConfig",
    "SeraserOptions",
    "TptOptions",
    "ZeroShotOptions",
    "describe_options",
    "load_config",
    "parse_config",
]
