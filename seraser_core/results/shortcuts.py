"""Finding shortcuts in what a run, or the runs of a series, kept of a sample of their images."""

from __future__ import annotations

from collections.abc import Sequence

from seraser_core import storage
from seraser_core.results import records
from seraser_core.results.counted import CountedRun
from seraser_core.results.records import RunRecord
from seraser_core.results.samples import sample_of, wanted_sample
from seraser_core.results.words import read_words
from seraser_core.shortcuts.find import find_shortcuts
from seraser_core.shortcuts.findings import Findings

FINDINGS = "shortcuts.json"


def find_in(runs: Sequence[CountedRun]) -> Findings:
    """Find the shortcuts of a run, or of those of a series.

    Args:
        runs: The runs, in order.
    """
    kept, directory = sample_of(runs), runs[-1].directory
    if kept is None:
        return Findings(notes=[_why_none(directory.run)])
    return find_shortcuts(
        kept.sample,
        directory.run.classes,
        read_words(runs[0].directory),
        directory.run.config.document()["seed"],
        region=kept.region,
        eraser=kept.eraser,
    )


def read_findings(run_url: str) -> Findings | None:
    """Read the findings beside the report of a run or series; None where there are none.

    Raises:
        RunDirectoryError: The file cannot be read, or is damaged.
    """
    url = storage.join(run_url, "report", FINDINGS)
    try:
        return Findings.parse(records.read(url), url)
    except FileNotFoundError:
        return None


def _why_none(run: RunRecord) -> str:
    """Say why a run has no sample."""
    if not wanted_sample(run):
        return "Shortcuts were not looked for: shortcuts.sample is 0."
    return (
        "Shortcuts were not looked for: the run has no sample of its images. It takes a method "
        "that uses a foreground (mask, box, segment or relevance) and the run's folder samples."
    )
