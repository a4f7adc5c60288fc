"""Parts of the page: what is shown, what is cut, and that it says so."""

from __future__ import annotations

import polars as pl
from made_reports import report_of, some_findings, trusted

from seraser_core.report.facts import GroupEffect, Share
from seraser_core.report.parts import (
    axis_start,
    calibrations,
    confusions,
    faults,
    said_once,
    silent,
    trends,
)
from seraser_core.shortcuts.findings import Findings


def page_of(*args, **options) -> str:
    return report_of(*args, **options)["report.html"].decode()


def test_files_of_a_report(tmp_path):
    assert list(report_of(trusted(), tmp_path)) == ["groups.svg", "groups.png", "report.html"]
    without = trusted(places=[None] * 13, name="plain")
    assert list(report_of(without, tmp_path)) == ["report.html"]


def test_sections_stand_in_their_order(tmp_path):
    page = page_of(trusted(), tmp_path)
    parts = ["result", "shortcuts", "groups", "methods", "check", "next", "made"]
    places = [page.index(f'<section id="{name}"') for name in parts]
    assert places == sorted(places)


def test_a_search_says_what_it_would_have_seen_or_why_there_was_none(tmp_path):
    run = trusted()
    nothing = Findings(used=90, region="mask", detectable=some_findings().detectable)
    assert "would have been reported" in page_of(run, tmp_path / "a", findings=nothing)
    why = "Shortcuts were not looked for: no method of the run uses a foreground."
    assert why in page_of(run, tmp_path / "b", findings=Findings(notes=[why]))
    assert "Shortcuts were not looked for in this run" in page_of(run, tmp_path / "c")


def test_places_that_were_reported_are_not_said_to_be_found_else(tmp_path):
    run, found = trusted(), some_findings()
    assert "would have been reported" not in page_of(run, tmp_path / "a", findings=found)
    lake = found.detectable[0].model_copy(update={"words": ["lake"]})
    more = found.model_copy(update={"detectable": [*found.detectable, lake]})
    page = page_of(run, tmp_path / "b", findings=more)
    assert "What else would have been reported" in page
    assert '<th scope="row">lake</th>' in page
    assert '<th scope="row">desert</th>' not in page


def test_the_axis_of_groups_begins_where_all_of_them_are_high():
    def group(before: int, after: int) -> GroupEffect:
        return GroupEffect("a", Share(before, 120), Share(after, 120), small=False)

    assert axis_start([group(120, 114)]) == 0.8
    assert axis_start([group(120, 114), group(60, 114)]) == 0.4
    assert axis_start([group(120, 114), group(0, 114)]) == axis_start([]) == 0.0


def test_a_run_of_zero_shot_alone_shows_its_groups(tmp_path):
    page = page_of(trusted(200, 100, methods=["zero_shot"]), tmp_path)
    assert page.count('class="strip"') == 14
    assert "Run an erasing method beside it" in page


def test_many_classes_show_their_most_frequent_mistakes():
    run = trusted(400, 100, classes=[f"c{i:02}" for i in range(20)], failed=())
    sums = run.sums(range(400))
    (found,) = confusions(sums, ["seraser"], run.run.classes)
    wrong = {
        tuple(map(int, key.split())): n
        for key, n in sums["seraser"].confusion.items()
        if len(set(key.split())) > 1
    }
    assert found.classes == ()
    assert [n for *_, n in found.pairs] == sorted(wrong.values(), reverse=True)[:15]
    assert all(wrong[int(a[1:]), int(b[1:])] == n for a, b, n in found.pairs)


def test_a_matrix_has_every_image_of_its_label_in_a_row():
    run = trusted(400, 100, failed=())
    (found,) = confusions(run.sums(range(400)), ["zero_shot"], run.run.classes)
    labels = pl.Series(run.items["label"].to_pylist())
    assert [sum(n for n, _ in row) for row in found.rows] == [
        (labels == label).sum() for label in range(7)
    ]
    assert all(0 <= shade <= 9 for row in found.rows for _, shade in row)


def test_the_calibration_error_is_that_of_the_summary(tmp_path):
    run = trusted(300, 100)
    sums = run.sums(range(300))
    (found,) = calibrations(sums, ["seraser"])
    bins = sums["seraser"].figures()["calibration"]
    assert found["n"] == 299
    assert found["ece"] == sum(abs(right - total) for _, right, total in bins) / 299
    assert found["figure"].count('<circle class="now"') + found["figure"].count(
        'class="now"'
    ) >= sum(1 for n, *_ in bins if n)


def test_the_table_of_methods_says_nothing_twice():
    summary = pl.DataFrame(
        {
            "method": ["zero_shot", "seraser"],
            "images": 10,
            "errors": 0,
            "n": 10,
            "accuracy": [0.5, 0.8],
            "group_mean": [0.5, 0.8],
            "worst_group": ["a", "b"],
            "worst_group_low": [0.2, 0.4],
            "worst_group_high": [0.7, 0.9],
            **{name: [0, 3] for name in ("changed", "fixed", "broken", "mcnemar_p")},
        }
    )
    groups = pl.DataFrame(
        {
            "method": ["zero_shot"] * 2 + ["seraser"] * 2,
            "small": False,
            "accuracy": [0.5, 0.5, 0.9, 0.7],
        }
    )
    assert silent(summary) == ["errors", "n", "group_mean"]
    assert silent(summary.with_columns(errors=1, group_mean=0.6)) == []
    shown = said_once(summary, groups, "zero_shot")
    assert shown["fixed"].to_list() == [None, 3]
    assert shown["worst_group"].to_list() == [None, "b"], "all groups are equal under zero_shot"
    assert shown["worst_95"].to_list() == ["20.0–70.0 %", "40.0–90.0 %"]
    assert shown["average_95"].to_list() == ["23.7–76.3 %", "49.0–94.3 %"]


def test_trends_have_a_gap_where_a_night_has_no_image_of_the_group():
    nights = pl.DataFrame({"method": "seraser", "night": [0, 1, 2], "accuracy": 0.5, "n": 10})
    groups = pl.DataFrame(
        {
            "method": "seraser",
            "night": [0, 2, 0, 1, 2],
            "label": [0, 0, 1, 1, 1],
            "attribute": 0,
            "group": ["a", "a", "b", "b", "b"],
            "n": 10,
            "accuracy": [0.5, 0.7, 0.1, 0.2, 0.3],
        }
    )
    found = dict(trends(nights, groups, "seraser"))
    assert list(found) == ["Average (pooled)", "b", "a"], "the worst group first"
    assert [found[name].count("<circle") for name in found] == [3, 3, 2]
    assert "night 0 50.0 %, night 2 70.0 %" in found["a"]
    assert trends(nights.head(1), groups, "seraser") == []


def test_an_error_under_some_methods_names_them():
    alone = {"seraser": {"nan_output": 1}}
    both = {"seraser": {"nan_output": 1, "undecodable": 2}, "zero_shot": {"undecodable": 2}}
    told = {"nan_output": "1 image under seraser"}
    assert {one.code: one.images for one in faults(alone, 2, [])} == told
    told["undecodable"] = "2 images"
    assert {one.code: one.images for one in faults(both, 2, [])} == told
