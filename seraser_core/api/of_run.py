"""Shortcuts in the images of a run that is finished."""

from __future__ import annotations

from seraser_core.api.found import Found
from seraser_core.results.counted import CountedRun
from seraser_core.results.nights import is_series
from seraser_core.results.samples import pictures_of, read_samples
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.results.shortcuts import find_in, read_findings


def shortcuts_of(run_url: str) -> Found:
    """Read what the report of a run or series found; without a report, look for shortcuts now.

    Raises:
        RunDirectoryError: There is no run, or it is damaged.
    """
    if is_series(run_url):
        runs = Series(run_url).counted()
    else:
        directory = RunDirectory(run_url)
        runs = [CountedRun(directory, directory.states())]
    sample = read_samples(runs)
    findings = read_findings(run_url) or find_in(runs, sample)
    return Found(findings, runs[-1].directory.run, pictures_of(sample))
