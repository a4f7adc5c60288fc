"""The runs of a comparison or a series."""

from __future__ import annotations

from collections.abc import Mapping

from seraser_core.results.comparison import compared_runs, is_comparison
from seraser_core.results.nights import is_series
from seraser_core.results.series import Series


def named_runs(url: str) -> list[tuple[str, Mapping[str, str | int]]] | None:
    """Return the runs of a comparison or a series, each with what tells it from the others.

    Returns:
        URL of each run, with its data set and model in a comparison, its night in a series; None
        where there is neither.

    Raises:
        RunDirectoryError: It is damaged, or cannot be read.
    """
    if is_comparison(url):
        return [(r.url, {"dataset": r.dataset, "model": r.model}) for r in compared_runs(url)]
    if not is_series(url):
        return None
    series = Series(url)
    return [(series.path(night.run_id), {"night": night.n}) for night in series.nights()]
