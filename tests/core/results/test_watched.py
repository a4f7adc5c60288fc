"""A run that is looked at again and again."""

from __future__ import annotations

import shutil
import threading

import pytest

from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.states import Done, Failed, Open, Running
from seraser_core.results.summary import aggregate
from seraser_core.results.watched import Watch, WatchedRun


@pytest.fixture
def reads(monkeypatch):
    """URLs of the records that were read."""
    urls, read = [], records.read

    def count(url):
        urls.append(url)
        return read(url)

    monkeypatch.setattr(records, "read", count)
    return urls


def test_no_record_is_read_twice(small, tmp_path, reads):
    directory = small.create(str(tmp_path))
    watched = WatchedRun(directory.url)
    small.write(directory, "00000")
    assert [type(state) for state in watched.look().states.values()] == [Done, Open, Open]
    reads.clear()
    assert watched.look().status["images"] == {"done": 5, "total": 13}
    assert reads == []
    small.write(directory, "00001")
    reads.clear()
    assert watched.look().status["images"] == {"done": 10, "total": 13}
    assert reads == [directory.path("commits/00001.0.json")]


def test_a_run_that_is_deleted_is_not_one_that_begins_again(small, tmp_path):
    directory = small.create(str(tmp_path))
    small.write(directory, "00000")
    watched = WatchedRun(directory.url)
    watched.look()
    shutil.rmtree(directory.url)
    with pytest.raises(RunDirectoryError, match=r"it has no run\.json"):
        watched.look()


def test_attempts_are_seen_to_begin_and_to_fail(small, tmp_path, reads):
    directory = small.create(str(tmp_path))
    watched = WatchedRun(directory.url)
    directory.begin("00001", 1)
    assert isinstance(watched.look().states["00001"], Running)
    reads.clear()
    watched.look()
    assert reads == []
    directory.fail("00001", OSError("the disk is full"), 1)
    seen = watched.look()
    assert isinstance(seen.states["00001"], Failed)
    assert seen.status["failures"] == {"00001": "OSError: the disk is full (attempt 1)"}


def test_it_sees_what_status_and_the_report_say(finished):
    seen = WatchedRun(finished.url).look()
    tables = aggregate(finished.url)
    assert seen.status["finished"]
    assert seen.status["errors"] == {name: {"undecodable": 1} for name in finished.run.method_ids}
    for name, table in seen.tables.items():
        assert table.equals(tables[name])


def test_a_request_to_compute_a_shard_again_is_seen(finished):
    finished.compute_again("00001")
    status = WatchedRun(finished.url).look().status
    assert status["shards"]["done"] == 2
    assert "asks for the shard to be computed again" in status["damaged"]["00001"]


def test_a_watch_shows_the_end_and_outlives_faults(small, tmp_path, caplog):
    directory = small.create(str(tmp_path))
    shown, twice = [], threading.Semaphore(0)

    def show(seen):
        shown.append(seen.status["images"]["done"])
        twice.release()
        raise OSError("nobody listens")

    with Watch(WatchedRun(directory.url), show, every_s=0.01):
        twice.acquire(timeout=60)
        twice.acquire(timeout=60)
        small.write(directory)
    assert shown[-1] == 13
    assert caplog.text.count("cannot be watched: nobody listens") == 1


def test_an_interruption_does_not_wait_for_a_look(finished):
    looks, ends = threading.Event(), threading.Event()

    def show(seen):
        looks.set()
        ends.wait(60)

    watch = Watch(WatchedRun(finished.url), show, every_s=1)
    with pytest.raises(KeyboardInterrupt), watch:
        looks.wait(60)
        raise KeyboardInterrupt
    assert any(thread.name == "watch" for thread in threading.enumerate())
    ends.set()
