"""Finding shortcuts in what a run, or the runs of a series, kept of a sample of their images."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.counted import CountedRun
from seraser_core.results.records import RunRecord
from seraser_core.results.samples import sample_of, wanted_sample
from seraser_core.results.shards import RunDirectory
from seraser_core.results.words import read_words
from seraser_core.shortcuts.find import find_shortcuts
from seraser_core.shortcuts.findings import Findings

FINDINGS = "shortcuts.json"
_CONFIRMED = "transplants.json"


def find_in(runs: Sequence[CountedRun], table: pa.Table) -> Findings:
    """Find the shortcuts of a run, or of those of a series.

    Args:
        runs: The runs, in order.
        table: Their sample, see `read_samples`.
    """
    directory = runs[-1].directory
    kept = sample_of(table, directory.run)
    if kept is None:
        return Findings(notes=[_why_none(directory.run)])
    findings = find_shortcuts(
        kept.sample,
        directory.run.classes,
        next((words for run in runs if (words := read_words(run.directory))), None),
        directory.run.config.document()["seed"],
        region=kept.region,
        eraser=kept.eraser,
    )
    if kept.lacking:
        shards = f"{kept.lacking:,} shard{'s' if kept.lacking > 1 else ''}"
        note = f"The sample of {shards} is missing or damaged: their images were not looked at."
        findings = findings.model_copy(update={"notes": [*findings.notes, note]})
    confirmed = _confirmed(directory) if len(runs) == 1 else None
    same = confirmed is not None and _unconfirmed(confirmed) == findings
    return confirmed if confirmed is not None and same else findings


def _confirmed(directory: RunDirectory) -> Findings | None:
    """Read what transplants showed; None where there is nothing that can be used."""
    try:
        return _read(directory.path(_CONFIRMED))
    except RunDirectoryError:
        return None


def write_confirmed(directory: RunDirectory, findings: Findings) -> None:
    """Keep what transplants showed of the findings of a run; `find_in` returns it from then on."""
    url = directory.path(_CONFIRMED)
    with records.writing(url):
        storage.write_bytes(url, findings.model_dump_json(indent=1).encode())


def _unconfirmed(findings: Findings) -> Findings:
    """The findings as they were before transplants."""
    shortcuts = [one.model_copy(update={"transplant": None}) for one in findings.shortcuts]
    return findings.model_copy(update={"shortcuts": shortcuts})


def read_findings(run_url: str) -> Findings | None:
    """Read the findings beside the report of a run or series; None where there are none.

    Raises:
        RunDirectoryError: The file cannot be read, or is damaged.
    """
    return _read(storage.join(run_url, "report", FINDINGS))


def _read(url: str) -> Findings | None:
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
