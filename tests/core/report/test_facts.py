"""Facts of the page, against the rows of the run."""

from __future__ import annotations

import polars as pl
from made_reports import trusted

from seraser_core.report.facts import read_facts
from seraser_core.results import scan
from seraser_core.results.counted import CountedRun
from seraser_core.results.status import describe
from seraser_core.results.tables import make_tables


def test_effects_are_those_of_the_rows(tmp_path):
    run = trusted(200, 50, methods=["zero_shot", "foreground", "seraser"])
    directory = run.create(str(tmp_path))
    run.write(directory)
    tables = make_tables(run.sums(range(200)), run.run)
    status = describe(directory, CountedRun(directory, directory.states()).states)
    facts = read_facts(run.run, tables, status, 0)

    assert [effect.method for effect in facts.effects] == ["foreground", "seraser"]
    assert facts.main is not None
    assert facts.main.method == "seraser"
    assert (facts.images, facts.ok, facts.labelled) == (200, 199, 199)
    rows = scan(directory.url).filter(pl.col("status") == "ok", method="seraser").collect()
    assert facts.main.before.hits == rows["zero_shot_correct"].sum() == facts.zero_shot.hits
    assert facts.main.after.hits == rows["correct"].sum()
    moved = rows["prediction"] != rows["zero_shot_prediction"]
    assert facts.main.changed.hits == moved.sum()
    assert len(facts.main.groups) == 14
    lower = [min(group.before.value, group.after.value) for group in facts.main.groups]
    assert lower == sorted(lower)
    for group in facts.main.groups:
        of_it = rows.filter(pl.col("group") == group.name)
        assert group.after == type(group.after)(of_it["correct"].sum(), of_it.height)
        assert group.before.hits == of_it["zero_shot_correct"].sum()
        assert group.fixed == (of_it["correct"] & ~of_it["zero_shot_correct"]).sum()
        assert group.broken == (~of_it["correct"] & of_it["zero_shot_correct"]).sum()


def test_the_first_method_stands_for_seraser_where_it_was_not_run():
    run = trusted(50, methods=["zero_shot", "vte", "tda"])
    tables = make_tables(run.sums(range(50)), run.run)
    status = {"images": {"total": 50}, "shards": {"total": 1}}
    facts = read_facts(run.run, tables, status, 0)
    assert facts.main is not None
    assert facts.main.method == "vte"
