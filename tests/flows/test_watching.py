"""Prefect's pages of a run while it is computed, step by step."""

from __future__ import annotations

import polars as pl
import pytest
from random_scores import build

from flows import watching
from flows.watching import on_pages
from seraser_core.results.watched import WatchedRun
from tasks.observer import current
from tasks.so_far import so_far


@pytest.fixture
def published(monkeypatch):
    """Record what goes to Prefect's server: progress, and markdown with its description."""
    sent: list[object] = []

    def markdown(markdown, key, description):
        sent.append((key, description, markdown.splitlines()[0]))

    monkeypatch.setattr(watching, "create_progress_artifact", lambda **_: "id")
    monkeypatch.setattr(watching, "update_progress_artifact", lambda _, done: sent.append(done))
    monkeypatch.setattr(watching, "create_markdown_artifact", markdown)
    return sent


def test_groups_are_shown_after_certain_shares_and_progress_when_it_changes(tmp_path, published):
    run = build(count=100, shard_size=4)
    directory = run.create(str(tmp_path))
    watched = WatchedRun(directory.url)
    pages = watching._Pages(watched, 0, 100)
    for shard in directory.shards():
        run.write(directory, shard.id)
        pages.show(watched.look())
        pages.show(watched.look())
    assert [one for one in published if isinstance(one, float)] == [4.0 * n for n in range(1, 26)]
    key, name = "small-so-far", directory.run.run_id
    shown = {8: 5, 12: 10, 20: 20, 32: 30, 40: 40, 52: 50, 60: 60, 72: 70, 80: 80, 92: 90, 100: 100}
    assert [one for one in published if isinstance(one, tuple)] == [
        (key, f"Run {name} at {share} %", f"# {name}: {done}.0 %") for done, share in shown.items()
    ]


def test_a_run_that_goes_on_shows_no_share_twice(tmp_path, published):
    small = build()
    directory = small.create(str(tmp_path))
    small.write(directory, "00000")
    with on_pages(WatchedRun(directory.url), 5, 13):
        current().advance(3)
        small.write(directory, "00001", "00002")
    descriptions = [one[1] for one in published if isinstance(one, tuple)]
    assert descriptions[-1].endswith(" at 100 %")
    assert not any(text.endswith((" 5 %", " 10 %", " 20 %", " 30 %")) for text in descriptions)
    assert published[-2] == 100.0 or published[-1] == 100.0


def test_images_count_before_their_rows_are_committed(tmp_path, published):
    small = build()
    directory = small.create(str(tmp_path))
    pages = watching._Pages(WatchedRun(directory.url), 0, 13)
    pages.advance(2)
    pages.show(WatchedRun(directory.url).look())
    assert published == [15.4]


def test_a_page_of_many_groups_shows_the_worst(tmp_path):
    run = build(count=400, shard_size=400, places=[i % 40 for i in range(400)], failed=[7])
    directory = run.create(str(tmp_path))
    run.write(directory)
    seen = WatchedRun(directory.url).look()
    page = so_far(seen)
    groups = seen.tables["groups"]
    number = groups.n_unique(["label", "attribute"])
    assert f"## Groups so far, the 20 worst of {number}\n" in page
    least = groups.group_by("label", "attribute").agg(pl.col("accuracy").min())["accuracy"].sort()
    rows = page.partition("## Groups")[2].partition("## Images")[0].splitlines()[4:]
    assert len([row for row in rows if row.startswith("|")]) == 40
    accuracies = [row.split("|")[4].strip() for row in rows if row.startswith("|")]
    shown = [min(pair) for pair in zip(accuracies[::2], accuracies[1::2], strict=True)]
    assert len(shown) == 20
    assert shown[0] == f"{100 * float(least[0]):.1f} %"
    assert "| seraser | undecodable | 1 |" in page
