"""Shortcuts found in what a run keeps, beside its report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seraser_core.config import load_config
from seraser_core.results.shards import RunDirectory
from seraser_core.results.shortcuts import read_findings
from seraser_core.results.summary import aggregate
from seraser_core.results.verify import verify
from seraser_core.results.words import read_words, write_words
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.shortcuts.words import Words


@pytest.fixture
def found(tree):
    """Plans, computes and merges `tree` with overrides; returns its URL and findings."""

    def found(*overrides):
        url = plan_run(load_config(tree, overrides))
        run_local(url)
        aggregate(url)
        return url, read_findings(url)

    return found


def test_a_report_has_its_findings(found):
    url, findings = found()
    assert (findings.sampled, findings.region, findings.eraser) == (14, "mask", "seraser")
    assert "14 usable images are too few" in " ".join(findings.notes)
    assert verify(url).problems == []
    assert not Path(url, "words.parquet").exists(), "they take a minute on a CPU"
    assert any("no names" in note for note in findings.notes)


@pytest.mark.parametrize("content", [None, b"no Parquet"])
def test_words_that_are_damaged_are_none(tmp_path, content):
    if content is not None:
        Path(tmp_path, "words.parquet").write_bytes(content)
    assert read_words(RunDirectory(str(tmp_path))) is None


def test_words_survive_their_file(tmp_path):
    features = np.arange(6, dtype=np.float32).reshape(2, 3)
    words = Words(["désert", "snow"], ["location", "substance"], features, "a {}, blurred")
    directory = RunDirectory(str(tmp_path))
    write_words(directory, words)
    read = read_words(directory)
    np.testing.assert_array_equal(read.features, features)
    assert (read.words, read.kinds, read.template) == (words.words, words.kinds, words.template)
    none = Words([], [], np.empty((0, 3), np.float32), "{}")
    write_words(directory, none)
    assert read_words(directory).words == []


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["shortcuts.sample=0"], "shortcuts.sample is 0"),
        (['methods=["zero_shot"]'], "a method that uses a foreground"),
    ],
)
def test_a_report_says_why_there_was_no_search(found, overrides, why):
    url, findings = found(*overrides)
    assert why in findings.sentence()
    assert not Path(url, "samples").exists()


def test_a_sample_that_is_gone_is_said(found):
    url, _ = found()
    for file in Path(url, "samples").iterdir():
        file.unlink()
    aggregate(url)
    assert "the run has no sample" in read_findings(url).sentence()


@pytest.mark.parametrize("content", [b"{", b"[]"])
def test_transplants_that_are_damaged_keep_no_report_from_being_written(found, content):
    url, findings = found()
    Path(url, "transplants.json").write_bytes(content)
    aggregate(url)
    assert read_findings(url) == findings
