"""Which columns the tables have, and that a new one is one object in one list."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from seraser_core.cli import console
from seraser_core.cli.compare import show_comparison
from seraser_core.cli.runs import runs
from seraser_core.cli.summary_tables import show_summary
from seraser_core.results.columns import METHODS, Metric, Shown
from seraser_core.results.comparison import ComparedRun, create_comparison, write_comparison
from seraser_core.results.reading import read_report, scan
from seraser_core.results.summary import aggregate, is_finished
from seraser_core.results.verify import verify

TEXT, COUNT, REAL, FLAG = pl.String, pl.Int64, pl.Float64, pl.Boolean
SUMMARY = {
    **{"method": TEXT, "images": COUNT, "errors": COUNT, "n": COUNT},
    **{"accuracy": REAL, "adjusted_accuracy": REAL, "group_mean": REAL, "top5": REAL},
    **{"worst_group": TEXT, "worst_group_accuracy": REAL, "worst_group_n": COUNT},
    **{"worst_group_low": REAL, "worst_group_high": REAL, "small_groups": COUNT, "gap": REAL},
    **{"changed": COUNT, "fixed": COUNT, "broken": COUNT, "mcnemar_p": REAL},
    **{"mean_confidence": REAL},
    **{"harmonic_mean": REAL, "nll": REAL, "brier": REAL, "ece": REAL},
    **{"orders_low": REAL, "orders_high": REAL},
}
GROUPS = {
    **{"method": TEXT, "group": TEXT, "label": COUNT, "attribute": COUNT, "n": COUNT},
    **{"small": FLAG, "accuracy": REAL, "low": REAL, "high": REAL, "zero_shot_accuracy": REAL},
    **{"fixed": COUNT, "broken": COUNT, "mcnemar_p": REAL},
}
CLASSES = {
    **{"method": TEXT, "label": COUNT, "label_name": TEXT, "n": COUNT},
    **{"recall": REAL, "predicted": COUNT, "precision": REAL},
}
COMPARISON = {
    **{"dataset": TEXT, "model": TEXT, "method": TEXT, "run_id": TEXT},
    **{"images": COUNT, "errors": COUNT, "accuracy": REAL, "adjusted_accuracy": REAL},
    **{"group_mean": REAL, "ece": REAL, "worst_group_accuracy": REAL, "worst_group": TEXT},
    **{"worst_group_low": REAL, "worst_group_high": REAL, "small_groups": COUNT, "gap": REAL},
    **{"changed": COUNT, "fixed": COUNT, "broken": COUNT},
    **{"mcnemar_p": REAL, "mcnemar_p_holm": REAL, "mean_confidence": REAL},
    **{"orders_low": REAL, "orders_high": REAL, "seconds_per_image": REAL, "peak_mib": COUNT},
    **{"rank_accuracy": REAL, "rank_worst_group": REAL},
}


def compared(run_url: str, folder: Path) -> str:
    return create_comparison(str(folder), "study", [ComparedRun("birds", "b32", run_url)])


def comparison_file(url: str, ending: str) -> bytes:
    return Path(url, "report", f"comparison.{ending}").read_bytes()


def test_files_have_the_columns_that_scripts_read(finished, tmp_path):
    """In this order."""
    aggregate(finished.url)
    for name, schema in {"summary": SUMMARY, "groups": GROUPS, "classes": CLASSES}.items():
        assert list(read_report(finished.url, name).schema.items()) == list(schema.items()), name
    url = compared(finished.url, tmp_path)
    write_comparison(url)
    table = pl.read_parquet(io.BytesIO(comparison_file(url, "parquet")))
    assert list(table.schema.items()) == list(COMPARISON.items())


@pytest.fixture
def wide(monkeypatch, capsys):
    """Text printed since the last call, by a terminal on which a row is one line."""
    monkeypatch.setattr(console, "results", Console(soft_wrap=True, width=400))
    return lambda: capsys.readouterr().out


@pytest.fixture
def fixed_share():
    """A column that is shown wherever one can be."""
    METHODS.append(
        Metric(
            "fixed_share",
            float,
            words="share that was fixed",
            percent=True,
            shown=Shown.EVERYWHERE,
            of=lambda result: result.share(result.sums.fixed),
        )
    )
    yield
    METHODS.pop()


def test_one_object_is_a_column_of_every_table(scored, tmp_path, wide, fixed_share):
    run = scored(60, 25)
    directory = run.create(str(tmp_path))
    run.write(directory)
    tables = aggregate(directory.url)
    url = compared(directory.url, tmp_path)
    comparison = write_comparison(url)

    labelled = scan(directory.url).filter(pl.col("status") == "ok", method="seraser").collect()
    gained = labelled.filter(pl.col("correct") & ~pl.col("zero_shot_correct"))
    expected = [0.0, gained.height / labelled.height]
    assert expected[1] > 0
    assert read_report(directory.url, "summary")["fixed_share"].to_list() == expected
    assert comparison["comparison"]["fixed_share"].to_list() == expected
    assert is_finished(directory.url)
    assert verify(directory.url).problems == []

    show_summary(tables["summary"], tables["groups"], directory.url, json=False)
    summarised = wide()
    show_comparison(comparison, url, json=False)
    texts = {
        "summary": summarised,
        "compare": wide(),
        "page": Path(directory.path("report/report.html")).read_text(),
        "md": comparison_file(url, "md").decode(),
        "tex": comparison_file(url, "tex").decode().replace("\\%", "%"),
    }
    for place, text in texts.items():
        assert "share that was fixed" in text, place
        assert f"{100 * expected[1]:.1f} %" in text, place
    runs(str(tmp_path))
    assert "share that was fixed" in wide()


def test_a_report_from_before_a_column_is_still_shown(finished, tmp_path, wide, request):
    aggregate(finished.url)
    summary, groups = (read_report(finished.url, name) for name in ("summary", "groups"))
    request.getfixturevalue("fixed_share")
    show_summary(summary, groups, finished.url, json=False)
    assert "share that was fixed" not in wide()
    table = write_comparison(compared(finished.url, tmp_path))["comparison"]
    assert table["fixed_share"].to_list() == [None, None]
