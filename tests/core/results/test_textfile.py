"""Figures of runs for Prometheus."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from seraser_core.errors import SeraserError
from seraser_core.results.summary import aggregate
from seraser_core.results.textfile import write_textfile
from seraser_core.results.watched import WatchedRun

LABELS = ("run", "method", "code", "state", "kind")


def samples(path):
    """Name and labels -> value."""
    return {
        (sample.name, *(sample.labels[name] for name in LABELS if name in sample.labels)): (
            sample.value
        )
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def test_the_figures_of_a_finished_and_a_new_run(finished, scored, tmp_path):
    summary = {row["method"]: row for row in aggregate(finished.url)["summary"].to_dicts()}
    new = scored(name="new").create(str(tmp_path))
    new.fail("00002", OSError("away"), 1)
    path = tmp_path / "seraser.prom"
    write_textfile(path, [WatchedRun(url).look() for url in (finished.url, new.url)])
    assert [file.name for file in tmp_path.iterdir() if "prom" in file.name] == ["seraser.prom"]
    found, one, other = samples(path), finished.run.run_id, new.run.run_id
    assert found["seraser_images", one, "done"] == 13
    assert found["seraser_images", one, "missing"] == 0
    assert found["seraser_images", other, "missing"] == 13
    assert found["seraser_shards", one, "done"] == 3
    assert (found["seraser_shards", other, "failed"], found["seraser_shards", other, "open"]) == (
        1,
        2,
    )
    assert found["seraser_errors", one, "seraser", "undecodable"] == 1
    for method, row in summary.items():
        accuracy = row["accuracy"]
        assert found["seraser_accuracy", one, method] == pytest.approx(accuracy)
    assert not any(key[:2] == ("seraser_accuracy", other) for key in found)
    assert found["seraser_seconds_total", one, "model"] == 3 * 2.0
    last = max(commit.finished for commit in finished.commits().values())
    assert found["seraser_last_commit_timestamp_seconds", one] == pytest.approx(last)


def test_the_worst_group_is_one_that_is_large_enough(scored, tmp_path):
    many = scored(count=100, classes=["a camel", "a deer"], failed=[])
    directory = many.create(str(tmp_path))
    many.write(directory)
    worst = aggregate(directory.url)["summary"]["worst_group_accuracy"].to_list()
    write_textfile(tmp_path / "a.prom", [WatchedRun(directory.url).look()])
    found = samples(tmp_path / "a.prom")
    run = directory.run.run_id
    methods = directory.run.method_ids
    assert [found["seraser_worst_group_accuracy", run, m] for m in methods] == pytest.approx(worst)


def test_a_file_that_cannot_be_written_is_named(finished, tmp_path):
    path = tmp_path / "away" / "a.prom"
    with pytest.raises(SeraserError, match=r"away/a\.prom cannot be written"):
        write_textfile(path, [WatchedRun(finished.url).look()])
