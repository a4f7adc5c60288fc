"""Run configuration."""

from seraser_core.config.grid import Comparison, GridConfig, load_comparison
from seraser_core.config.loading import describe_options, load_config, parse_config
from seraser_core.config.methods import MethodOptions, method_options
from seraser_core.config.options import RunConfig

__all__ = [
    "Comparison",
    "GridConfig",
    "MethodOptions",
    "RunConfig",
    "describe_options",
    "load_comparison",
    "load_config",
    "method_options",
    "parse_config",
]
