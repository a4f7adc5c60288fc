"""Workers of a run, and how long the rest takes."""

from __future__ import annotations

import pytest

from seraser_core.results.workers import remaining_s, workers_of


@pytest.fixture
def commit(finished):
    """Makes commits of 100 images."""
    one = next(iter(finished.commits().values()))
    timings = one.timings.model_copy(update={"images": 100})

    def make(process, started, finished):
        changes = {"process": process, "started": started, "finished": finished}
        return one.model_copy(update={"timings": timings, **changes})

    return make


def test_workers_are_processes_and_the_last_to_commit_is_first(commit):
    commits = [commit("1", 0.0, 10.0), commit("2", 5.0, 30.0), commit("1", 10.0, 20.0)]
    two, one = workers_of(commits)
    assert (two.process, two.shards, two.images, two.images_per_s) == ("2", 1, 100, 4.0)
    assert (one.process, one.shards, one.images, one.images_per_s) == ("1", 2, 200, 10.0)
    assert two.document() == {
        "host": "here",
        "process": "2",
        "device": "x86_64",
        "shards": 1,
        "images": 100,
        "images_per_s": 4.0,
        "last_commit": 30.0,
    }


def test_those_that_still_commit_do_the_rest(commit):
    workers = workers_of([commit("1", 0.0, 10.0), commit("2", 0.0, 1000.0)])
    assert remaining_s(workers, 505, now=1010.0) == pytest.approx(505 / 0.1), "the first is gone"
    assert remaining_s(workers, 505, now=15.0) == pytest.approx(505 / 10.1)
    assert remaining_s(workers, 505, now=3900.0) == pytest.approx(505 / 0.1), "its shards are long"
    assert remaining_s(workers, 505, now=4100.0) is None
    assert remaining_s(workers, 0, now=4100.0) == 0
