"""The flow that computes failed images again."""

from __future__ import annotations

from prefect import flow, get_run_logger

from flows.labels import label_as
from flows.reasons import reasons
from seraser_core.results.comparison import is_comparison, write_comparison
from seraser_core.results.members import named_runs
from seraser_core.results.nights import is_series
from seraser_core.results.summary import aggregate
from seraser_core.runner.each_run import compute_each
from seraser_core.runner.observers import Silence
from seraser_core.runner.retry import Retry
from seraser_core.runner.retry_run import retry_run


class _Logged(Silence):
    """Tells the flow run's log what happens."""

    def __init__(self) -> None:
        self._logger = get_run_logger()

    def say(self, text: str) -> None:
        """Log it."""
        self._logger.info(text)


@flow(name="seraser-retry-errors", validate_parameters=True)
def retry_errors(
    run_url: str,
    codes: list[str] = [],  # noqa: B006
    overrides: list[str] = [],  # noqa: B006
) -> int:
    """Compute the failed images of a run again and merge, as `seraser retry-errors` does.

    Args:
        run_url: The run directory, a comparison or a series.
        codes: Only images with these error codes; with any when empty.
        overrides: ``execution.a=value`` texts.

    Returns:
        Images that were computed again.

    Raises:
        SeraserError: Shards failed; those that did stay as they were.
    """
    observer, retry, images = _Logged(), Retry(tuple(codes)), 0
    with reasons():
        label_as(f"retry {run_url.rstrip('/').rpartition('/')[2]}")
        runs = named_runs(run_url)

        def again(url: str) -> None:
            nonlocal images
            images += retry_run(url, retry, observer, overrides, one_of_many=runs is not None)

        if runs is None:
            again(run_url)
            return images
        compute_each([url for url, _ in runs], again)
        if is_series(run_url):
            aggregate(run_url)
        elif is_comparison(run_url):
            write_comparison(run_url)
    return images
