"""What the time of shards is put down to."""

from __future__ import annotations

from pathlib import Path

import pytest

from seraser_core.cli.status_lines import status_lines
from seraser_core.results.comparison import ComparedRun, create_comparison, write_comparison
from seraser_core.results.status import status
from seraser_core.results.summary import aggregate
from seraser_core.results.timings import bound_by, elapsed, overhead, process_times

BASE = {
    "wall_s": 10.5,
    "load_s": 0.5,
    "model_s": 3.0,
    "data_wait_s": 3.0,
    "fetch_wait_s": 4.0,
    "decode_wait_s": 5.0,
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model_s": 6.0}, "model"),
        ({"data_wait_s": 6.0}, "decode"),
        ({"data_wait_s": 6.0, "fetch_wait_s": 9.0}, "fetch"),
        ({"model_s": 1.0, "data_wait_s": 1.0}, "overhead"),
    ],
)
def test_bound_by_what_takes_most(change, expected):
    assert bound_by(BASE | change) == expected


def test_overhead_is_the_rest():
    assert overhead(BASE) == 4.0
    assert overhead(BASE | {"model_s": 8.0}) == 0.0


def test_the_time_of_processes_and_of_the_run(small, tmp_path):
    directory = small.create(str(tmp_path))
    small.write(directory, "00000")
    (whole,) = directory.commits().values()

    def commit(process, started, finished, parallel, host="here"):
        timings = whole.timings.model_copy(update={"parallel_shards": parallel})
        where = {"host": host, "process": process, "timings": timings}
        return whole.model_copy(update={**where, "started": started, "finished": finished})

    shards = [
        commit("1", 20.0, 30.0, 1),
        commit("1", 0.0, 10.0, 1),
        commit("1", 28.0, 36.0, 1),  # written beside the one before
        commit("2", 31.0, 50.0, 8),  # of the eight that it could, one shard is there to compute
        commit("1", 200.0, 210.0, 2, host="there"),
        commit("1", 200.0, 206.0, 2, host="there"),
        commit("1", 206.0, 210.0, 2, host="there"),
    ]
    processes = process_times(shards)
    spans = [process.span for process in processes]
    assert spans == [(0.0, 36.0), (31.0, 50.0), (200.0, 210.0)]
    assert [process.wall_s for process in processes] == [36.0, 19.0, 20.0]
    assert elapsed(spans) == pytest.approx(50 + 10)
    assert elapsed([]) == 0


def test_the_most_memory_of_all_shards_is_shown_beside_the_time(small, tmp_path):
    directory, mib = small.create(str(tmp_path / "runs")), 2**20
    for number, (shard, used) in enumerate(zip(small.shards, (5, 7, 6), strict=True)):
        places = range(shard.start, shard.stop)
        computed = small.computed(places, number)
        timings = computed.timings.model_copy(update={"peak_bytes": {"seraser": used * mib}})
        computed = computed.model_copy(update={"timings": timings})
        before = directory.state(shard.id)
        directory.write_shard(shard.id, small.predictions(places), computed, before)
    assert status(directory.url)["peak_bytes"] == {"seraser": 7 * mib}
    assert "GPU memory seraser 7 MiB" in [*status_lines(status(directory.url))]
    aggregate(directory.url)
    url = create_comparison(str(tmp_path), "study", [ComparedRun("d", "m", directory.url)])
    table = write_comparison(url)["comparison"]
    assert dict(table.select("method", "peak_mib").iter_rows()) == {"zero_shot": None, "seraser": 7}
    for page in (f"{directory.url}/report/report.html", f"{url}/report/comparison.html"):
        assert "peak GPU memory (MiB)" in Path(page).read_text()
