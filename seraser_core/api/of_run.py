"""Shortcuts in the images of a run that is finished."""

from __future__ import annotations

from seraser_core import storage
from seraser_core.api.found import Found
from seraser_core.config.loading import parse_config
from seraser_core.models.clip_model import get_model
from seraser_core.results import records
from seraser_core.results.counted import CountedRun
from seraser_core.results.nights import is_series
from seraser_core.results.records import RunRecord
from seraser_core.results.samples import pictures_of, read_samples, sample_of
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.runner.plan import DEFAULT_TEMPLATE
from seraser_core.shortcuts.find import find_shortcuts
from seraser_core.shortcuts.findings import Findings
from seraser_core.shortcuts.sample import Sample
from seraser_core.shortcuts.words import words_for

_FILE = "shortcuts.json"


def shortcuts_of(run_url: str) -> Found:
    """Read what the report of a run or series found; without a report, look for shortcuts now.

    Raises:
        RunDirectoryError: There is no run, or it is damaged.
        ConfigError: Its model, which finds names, cannot be loaded.
    """
    if is_series(run_url):
        runs = Series(run_url).counted()
    else:
        directory = RunDirectory(run_url)
        runs = [CountedRun(directory, directory.states())]
    record = runs[-1].directory.run
    url = storage.join(run_url, "report", _FILE)
    try:
        findings = Findings.parse(records.read(url), url)
    except FileNotFoundError:
        sample = sample_of(runs)
        told = read_samples(runs, ["key"]).schema.metadata or {}
        findings = Findings.without_foreground() if sample is None else _find(sample, told, record)
    return Found(findings, record, pictures_of(runs))


def _find(sample: Sample, told: dict[bytes, bytes], record: RunRecord) -> Findings:
    config = parse_config(record.config.document())
    template = config.dataset.template or DEFAULT_TEMPLATE
    return find_shortcuts(
        sample,
        record.classes,
        words_for(get_model(config.model), record.classes, [template]),
        config.seed,
        region=told[b"region"].decode(),
        eraser=told[b"eraser"].decode() or None,
    )
