"""What the time of shards is put down to."""

from __future__ import annotations

import pytest

from seraser_core.results.timings import between_shards, bound_by, overhead

BASE = {"wall_s": 10.0, "model_s": 3.0, "data_wait_s": 3.0, "fetch_s": 4.0, "decode_s": 5.0}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model_s": 6.0}, "model"),
        ({"data_wait_s": 6.0}, "decode"),
        ({"data_wait_s": 6.0, "fetch_s": 9.0}, "fetch"),
        ({"model_s": 1.0, "data_wait_s": 1.0}, "overhead"),
    ],
)
def test_bound_by_what_takes_most(change, expected):
    assert bound_by(BASE | change) == expected


def test_overhead_is_the_rest():
    assert overhead(BASE) == 4.0
    assert overhead(BASE | {"model_s": 8.0}) == 0.0


def commit(process, started, finished, host="here"):
    return {"host": host, "process": process, "started": started, "finished": finished}


def test_pauses_between_the_shards_of_a_process():
    commits = [
        commit("1", 20.0, 30.0),
        commit("1", 0.0, 10.0),
        commit("1", 33.0, 40.0),
        commit("1", 34.0, 36.0),  # beside the one before
        commit("1", 41.0, 42.0),
        commit("2", 100.0, 110.0),  # began elsewhere, much later
        commit("1", 200.0, 210.0, host="there"),
    ]
    assert between_shards(commits) == pytest.approx(10 + 3 + 1)
