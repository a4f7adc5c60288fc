"""A method whose scores are no probabilities: what only those have is null, which is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seraser_core.cli.compare import show_comparison
from seraser_core.cli.summary_tables import show_summary
from seraser_core.results.comparison import ComparedRun, create_comparison, write_comparison
from seraser_core.results.reading import read_report
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import aggregate
from seraser_core.results.verify import verify
from tasks.aggregate import markdown

UNKNOWN = ["top5", "nll", "brier", "ece"]


@pytest.mark.parametrize("logits", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_figures_of_probabilities_are_null(run, tree, capsys, logits):
    tree |= {"methods": ["zero_shot", {"name": "zero", "views": 20}], "save_logits": logits}
    url, rows = run(tree)
    votes = rows.filter(pl.col("method") == "zero")
    assert (votes["confidence"] * 6 - (votes["confidence"] * 6).round()).abs().max() <= 1e-6
    if logits:
        kept = np.array(votes["logits"].to_list())
        assert kept.argmax(1).tolist() == votes["prediction"].to_list()
    tables = aggregate(url)
    summary = tables["summary"]
    plain, zero = summary.select(*UNKNOWN, "accuracy", "mean_confidence").rows()
    assert None not in plain
    assert zero[:4] == (None,) * 4
    assert None not in zero[4:]
    sums = RunDirectory(url).commits()["00000"].methods["zero"]
    assert sums.calibration is sums.nll is sums.brier is None
    assert verify(url).problems == []
    compared = create_comparison(tree["output"], "study", [ComparedRun("birds", "tiny", url)])
    found = write_comparison(compared)
    capsys.readouterr()
    show_summary(summary, tables["groups"], url, json=False)
    summarised = capsys.readouterr().out
    show_comparison(found, compared, json=False)
    texts = [
        summarised,
        capsys.readouterr().out,
        markdown(url, "birds", summary, tables["groups"]),
        Path(url, "report", "report.html").read_text(),
        *(Path(compared, "report", f"comparison.{end}").read_text() for end in ("md", "html")),
    ]
    said = "NLL, Brier score, ECE and top-5 are not given for zero: shares of votes are no"
    assert [" ".join(text.split()).count(said) for text in texts] == [1] * len(texts)


def test_the_page_of_a_method_without_probabilities_alone(run, tree):
    url, _ = run(tree | {"methods": [{"name": "zero", "views": 4}]})
    aggregate(url)
    assert read_report(url, "summary")["ece"].to_list() == [None]
    assert "Expected calibration error:" not in Path(url, "report", "report.html").read_text()
