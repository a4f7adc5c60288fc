"""Computing several planned runs, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seraser_core.errors import DeviceLostError, SeraserError


def compute_each(run_urls: Sequence[str], compute: Callable[[str], object]) -> None:
    """Compute every run; one that fails does not keep the others from being computed.

    Args:
        run_urls: The run directories.
        compute: Computes what is missing of one.

    Raises:
        SeraserError: Runs failed; the message names the fault of each. A DeviceLostError where
            this process can compute no more.
    """
    faults: dict[str, SeraserError] = {}
    lost = False
    for url in run_urls:
        try:
            compute(url)
        except SeraserError as error:
            faults[url] = error
            lost = isinstance(error, DeviceLostError)
        if lost:
            break
    if faults:
        runs = f"{len(run_urls):,} run{'' if len(run_urls) == 1 else 's'}"
        raise (DeviceLostError if lost else SeraserError)(
            f"{len(faults)} of {runs} failed; the same command computes what is missing\n"
            + "\n".join(f"{url}: {error}" for url, error in faults.items())
        )
