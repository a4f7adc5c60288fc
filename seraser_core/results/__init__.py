"""Run directories, prediction rows and what is made from them."""

from seraser_core.results.reading import scan
from seraser_core.results.run_directory import RunDirectory

__all__ = ["RunDirectory", "scan"]
