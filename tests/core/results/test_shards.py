"""The life of a shard: when it is done, who commits, what is published, and what is never lost."""

from __future__ import annotations

import errno
import functools
import hashlib
import itertools
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from seraser_core import storage
from seraser_core.errors import RunDirectoryError, TransientError
from seraser_core.results import shards
from seraser_core.results.parquet_files import predictions_to_parquet
from seraser_core.results.reading import scan
from seraser_core.results.records import Input
from seraser_core.results.repair import mend, plan_repair
from seraser_core.results.rows import failed_rows
from seraser_core.results.states import Damaged, Done, Failed, Open, Running, commits_of
from seraser_core.results.status import status
from seraser_core.results.summary import aggregate
from seraser_core.results.verify import verify

IDS = ["00000", "00001", "00002"]
COMMIT = "commits/00001.0.json"


def done(directory, deep=False):
    return list(commits_of(directory.states(deep)))


def attempts(directory, shard_id="00001"):
    return sorted(Path(directory.path("attempts")).glob(f"{shard_id}.*"))


def put(path, data):
    """Write a file that no other name leads to: rows that are published have two."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)  # in place: under both of its names


def repair(directory):
    mend(directory.url, plan_repair(verify(directory.url)).shards)


def with_errors(scored, *failed):
    """The same run, of which these images could not be used."""
    return scored(failed=(2, *failed))


# States


def test_what_a_shard_goes_through(small, tmp_path):
    directory = small.create(str(tmp_path))
    assert directory.states() == dict.fromkeys(IDS, Open())
    directory.begin("00001", 1)
    assert isinstance(directory.state("00001"), Running)
    assert directory.latest("00001").is_suspicious
    directory.fail("00001", ValueError("no luck"), 1)
    state = directory.state("00001")
    assert isinstance(state, Failed)
    assert (state.latest.error, state.latest.message) == ("ValueError", "no luck")
    assert not state.latest.is_suspicious
    small.write(directory, "00001")
    state = directory.state("00001")
    assert isinstance(state, Done)
    assert (state.commit.rows, state.commit.ok, state.commit.errors) == (10, 10, 0)
    (attempt,) = attempts(directory)
    assert attempt.name == f"00001.0-{state.commit.sha256[:12]}.parquet"
    assert hashlib.sha256(attempt.read_bytes()).hexdigest() == state.commit.sha256
    assert attempt.samefile(directory.predictions_path("00001")), "nothing is stored twice"
    assert directory.states() == {"00000": Open(), "00001": state, "00002": Open()}
    assert [shard.id for shard in directory.missing()] == ["00000", "00002"]


def test_a_commit_names_the_rows_that_failed(small, finished):
    commit = finished.commits()["00000"]
    assert (commit.rows, commit.ok, commit.errors) == (10, 8, 2)
    assert commit.failed == {"zero_shot": [2], "seraser": [2]}
    assert commit.methods == small.sums(range(5))


@pytest.mark.parametrize("key", ["fingerprint", "plan_hash", "shard"])
def test_a_commit_of_another_run_or_shard_does_not_count(finished, edit, key):
    edit(finished, COMMIT, lambda commit: commit.update({key: "f" * 64}))
    assert done(finished) == ["00000", "00002"]


def test_a_copy_of_another_shard_does_not_count(finished):
    for folder in ("predictions", "commits"):
        first, second = sorted(Path(finished.path(folder)).iterdir())[:2]
        put(second, first.read_bytes())
    assert done(finished) == ["00000", "00002"]


def without_a_method(commit):
    commit["methods"].pop("seraser")


def without_a_sum(commit):
    commit["methods"]["seraser"].pop("confusion")


def with_a_sum_of_another_type(commit):
    commit["methods"]["seraser"]["groups"] = {"0 0": [1, 2]}


def without_a_time(commit):
    commit["timings"].pop("wall_s")


@pytest.mark.parametrize(
    "change", [without_a_method, without_a_sum, with_a_sum_of_another_type, without_a_time]
)
def test_sums_that_cannot_be_merged_do_not_count(finished, edit, change):
    edit(finished, COMMIT, change)
    assert done(finished) == ["00000", "00002"]
    assert f"{COMMIT} is damaged" in status(finished.url)["damaged"]["00001"]


@pytest.mark.parametrize("key", ["write_s", "host", "process", "started", "failed", "sha256", "n"])
@pytest.mark.parametrize("how", ["lacks it", "has another type"])
def test_a_commit_that_lacks_something_does_not_count(finished, edit, key, how):
    def change(commit):
        commit.pop(key) if how == "lacks it" else commit.update({key: [[]]})

    edit(finished, COMMIT, change)
    assert done(finished) == ["00000", "00002"]
    assert status(finished.url)["images"] == {"done": 8, "total": 13}


GARBAGE = [
    b"",
    b"null",
    b"{}",
    b"[" * 100_000,
    b'{"a": "\xff\x80"}',
    b'{"shard": "00001", "n": 0, "methods": {}, "timings": {}}',
    b'{"error": null, "message": 1, "attempt": []}',
]


@pytest.mark.parametrize("data", GARBAGE)
def test_a_shard_with_a_damaged_commit_is_not_done(small, finished, data):
    Path(finished.path(COMMIT)).write_bytes(data)
    assert done(finished) == ["00000", "00002"]
    assert [shard.id for shard in finished.missing()] == ["00001"]
    assert status(finished.url)["shards"] == {"done": 2, "total": 3, "failed": 0}
    with pytest.raises(RunDirectoryError, match="1 of 3 shards are missing, the first is 00001"):
        aggregate(finished.url)
    (problem,) = verify(finished.url).problems
    assert problem.shard == "00001"
    small.write(finished, "00001")
    assert finished.commits()["00001"].n == 1
    assert verify(finished.url).problems == []


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_rows_that_are_nowhere_are_named(finished, damage):
    """No file is read for this."""
    path, (attempt,) = Path(finished.predictions_path("00001")), attempts(finished)
    data = path.read_bytes()
    attempt.unlink()
    path.unlink()
    if damage == "cut off":
        path.write_bytes(data[:-1])
    found = status(finished.url)
    assert not found["finished"]
    assert found["shards"]["done"] == 2
    told = f"{attempt} is missing" if damage == "missing" else f"{path} has"
    assert told in found["damaged"]["00001"]
    with pytest.raises(RunDirectoryError, match=r"00001 \(.*00001"):
        aggregate(finished.url)


def test_a_bit_that_flips_is_found_by_looking_deeply(finished):
    flip(Path(finished.predictions_path("00001")))
    assert done(finished) == IDS
    assert done(finished, deep=True) == ["00000", "00002"]
    state = finished.state("00001", deep=True)
    assert isinstance(state, Damaged)
    assert state.what == "is not the file that its commit names"


def test_a_failure_of_a_shard_that_is_done_does_not_count(finished):
    finished.fail("00001", OSError("throttled"), 1)
    found = status(finished.url)
    assert (found["shards"]["failed"], found["failures"]) == (0, {})
    aggregate(finished.url)
    assert storage.list_files(finished.path("failures")) == []


def test_a_failure_makes_one_look_deeply(finished):
    finished.fail("00001", OSError("throttled"), 1)
    flip(Path(finished.predictions_path("00001")))
    assert done(finished) == ["00000", "00002"]
    assert isinstance(finished.state("00001"), Damaged)
    assert status(finished.url)["failures"] == {"00001": "OSError: throttled (attempt 1)"}


@pytest.mark.parametrize("data", GARBAGE)
def test_a_damaged_record_of_a_failure_is_shown_as_unreadable(finished, data):
    for shard in ("00000", "00001"):
        path = Path(finished.path("failures", f"{shard}.json"))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    Path(finished.path(COMMIT)).unlink()
    (failure,) = status(finished.url)["failures"].values()
    assert failure.startswith("unreadable record: ")
    assert "failures/00001.json is damaged" in failure
    aggregate(finished.url, partial=True)


# Commits


def test_the_same_rows_are_committed_once(small, finished):
    before = {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()}
    small.write(finished, "00001")
    assert {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()} == before


def commit_from(directory, run, state, shard_id="00001"):
    """Write a shard as a worker does that found it in `state`."""
    shard = directory.shard(shard_id)
    places = range(shard.start, shard.stop)
    computed = run.computed(places)
    return directory.write_shard(shard_id, run.predictions(places), computed, state)


@pytest.mark.parametrize(
    ("first", "second", "numbers", "good"),
    [
        ((), (), [0], 10),  # the same rows
        ((), (6,), [0], 10),  # fewer good rows
        ((6,), (), [0, 1], 10),  # all good rows and more
        ((6,), (7,), [0], 8),  # others
        ((6, 7), (7,), [0, 1], 8),
    ],
)
def test_of_two_workers_on_one_shard(scored, tmp_path, first, second, numbers, good):
    """Both found it open; the second comes to its commit when the first has made one."""
    one, other = with_errors(scored, *first), with_errors(scored, *second)
    directory = one.create(str(tmp_path))
    commit_from(directory, one, Open())
    newest = commit_from(directory, other, Open())
    there = sorted(int(p.name.split(".")[1]) for p in Path(directory.path("commits")).iterdir())
    assert there == numbers
    assert newest.n == directory.commits()["00001"].n
    assert newest.ok == good
    rows = Path(directory.predictions_path("00001")).read_bytes()
    assert hashlib.sha256(rows).hexdigest() == newest.sha256


def test_a_commit_is_never_replaced(scored, finished):
    before = Path(finished.path(COMMIT)).read_bytes()
    finished.compute_again("00001")
    assert isinstance(finished.state("00001"), Damaged)
    commit_from(finished, scored(), finished.state("00001"))
    assert Path(finished.path(COMMIT)).read_bytes() == before
    assert finished.commits()["00001"].n == 1
    assert verify(finished.url).problems == []


def test_a_request_is_of_one_commit(scored, finished):
    """Whoever asks twice has it computed once."""
    finished.compute_again("00001")
    finished.compute_again("00001")
    commit_from(finished, scored(), finished.state("00001"))
    assert done(finished) == IDS


@pytest.mark.parametrize("damage", ["none", "commit", "rows", "all"])
def test_error_rows_take_the_place_of_no_good_row(scored, finished, damage):
    finished.compute_again("00001")
    if damage in ("commit", "all"):
        Path(finished.path(COMMIT)).write_bytes(b"{")
    if damage in ("rows", "all"):
        path = attempts(finished)[0]
        path.write_bytes(path.read_bytes()[:-9])
    files = {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()}
    told = "too damaged to tell" if damage == "all" else "1 rows that were good|2 rows that were"
    with pytest.raises(TransientError, match=told) as caught:
        commit_from(finished, with_errors(scored, 6), finished.state("00001"))
    assert {p: p.read_bytes() for p in Path(finished.url).rglob("*") if p.is_file()} == files
    leave = "delete .*again$" if damage == "none" else r"delete .*commits/00001\.\*.* first$"
    assert caught.match(leave)
    commit_from(finished, scored(), finished.state("00001"))
    assert verify(finished.url).problems == []


def stops_before(n, write):
    """Fork a process that stops before its n-th call of the system; its id, or None if it ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it does nothing but write
        child = os.fork()
    if not child:
        calls = itertools.count(1)

        def stop(_, event, function):
            owner = getattr(function, "__self__", None)
            module = getattr(owner, "__name__", type(owner).__module__)
            if event == "c_call" and module in ("posix", "_io") and next(calls) == n:
                os.kill(os.getpid(), signal.SIGSTOP)

        sys.setprofile(stop)
        try:
            write()
        except TransientError:  # to be tried again
            os._exit(0)
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, os.WUNTRACED)[1]
    if os.WIFSTOPPED(status):
        return child
    assert os.waitstatus_to_exitcode(status) == 0
    return None


@pytest.mark.slow
def test_whoever_sleeps_between_two_system_calls_costs_no_good_row(scored, tmp_path):
    """It saw no images, another one commits with them, they go away again, and it wakes up."""
    without, good = with_errors(scored, *range(5, 10)), with_errors(scored)
    # Polars, which counts the sums, does not work in a process that was forked.
    rows, computed = without.predictions(range(5, 10)), without.computed(range(5, 10))
    numbers = set()
    for n in itertools.count(1):
        directory = without.create(str(tmp_path / str(n)))
        write = functools.partial(directory.write_shard, "00001", rows, computed, Open())
        sleeper = stops_before(n, write)
        if sleeper is None:
            break
        commit_from(directory, good, directory.state("00001"))
        published = Path(directory.predictions_path("00001")).read_bytes()
        os.kill(sleeper, signal.SIGCONT)
        assert os.waitstatus_to_exitcode(os.waitpid(sleeper, 0)[1]) == 0
        commit = directory.commits()["00001"]
        numbers.add(commit.n)
        assert (commit.ok, commit.errors) == (10, 0)
        assert hashlib.sha256(published).hexdigest() == commit.sha256
        assert scan(directory.url).collect().filter(status="ok").height == 10
        assert Path(directory.predictions_path("00001")).read_bytes() == published
    assert n > 50
    assert numbers == {0, 1}


# Published rows


def test_rows_that_are_gone_are_restored_from_their_other_file(finished):
    published, (attempt,) = Path(finished.predictions_path("00001")), attempts(finished)
    rows = published.read_bytes()
    for path in (published, attempt):
        path.unlink()
        (problem,) = verify(finished.url).problems
        assert problem.file == str(path.relative_to(finished.url))
        assert finished.missing() == []
        assert published.read_bytes() == attempt.read_bytes() == rows
        assert verify(finished.url).problems == []


@pytest.mark.parametrize("which", ["published", "attempt"])
def test_a_repair_restores_what_is_whole_elsewhere(finished, which):
    published, (attempt,) = Path(finished.predictions_path("00001")), attempts(finished)
    rows = published.read_bytes()
    put(published if which == "published" else attempt, rows[:-1] + b"?")
    found = plan_repair(verify(finished.url))
    assert list(found.shards) == ["00001"]
    assert mend(finished.url, found.shards) == []
    assert published.read_bytes() == attempt.read_bytes() == rows
    assert done(finished, deep=True) == IDS
    assert storage.list_files(finished.path("commits")) == [f"{name}.0.json" for name in IDS]


def test_rows_of_an_older_commit_that_were_published_late(scored, tmp_path):
    """As by a worker that slept between the two names of a file."""
    one, other = with_errors(scored, 6), with_errors(scored)
    directory = one.create(str(tmp_path))
    one.write(directory)
    old = Path(directory.predictions_path("00001")).read_bytes()
    commit_from(directory, other, Open())
    new = Path(directory.predictions_path("00001")).read_bytes()
    put(Path(directory.predictions_path("00001")), old)
    assert scan(directory.url).collect().filter(status="error").height == 2, "only one image"
    aggregate(directory.url)
    assert Path(directory.predictions_path("00001")).read_bytes() == new
    assert len(attempts(directory)) == 1, "what is superseded is removed"
    assert verify(directory.url).problems == []


def test_an_attempt_is_not_restored_from_other_rows_of_its_size(finished):
    published, (attempt,) = Path(finished.predictions_path("00001")), attempts(finished)
    rows = published.read_bytes()
    attempt.unlink()
    put(published, rows[:-1] + b"?")
    finished.restore(finished.states())
    assert attempts(finished) == []
    assert done(finished, deep=True) == ["00000", "00002"]


def test_rows_that_somebody_removed_before_their_commit_are_to_be_computed_again(
    scored, tmp_path, monkeypatch
):
    run = scored()
    directory = run.create(str(tmp_path))
    create = storage.create

    def remove_and_create(url, data):
        for path in attempts(directory):
            path.unlink()
        return create(url, data)

    with monkeypatch.context() as patched:
        patched.setattr(shards.storage, "create", remove_and_create)
        with pytest.raises(TransientError, match="has gone meanwhile"):
            run.write(directory, "00001")
    commit_from(directory, run, directory.state("00001"))
    assert done(directory, deep=True) == ["00001"]


class KilledError(BaseException):
    pass


def test_a_report_removes_no_rows_that_are_about_to_be_committed(scored, tmp_path, monkeypatch):
    """Nor those of a worker that is killed between its commit and publishing them."""
    one, better = with_errors(scored, 6), with_errors(scored)
    directory = one.create(str(tmp_path))
    one.write(directory)
    create = storage.create

    def tidy_and_create(url, data):
        directory.tidy(states)
        create(url, data)
        raise KilledError

    states = directory.states()
    monkeypatch.setattr(shards.storage, "create", tidy_and_create)
    with pytest.raises(KilledError):
        commit_from(directory, better, states["00001"])
    directory.tidy(states)
    assert directory.state("00001", deep=True).commit.errors == 0
    aggregate(directory.url)
    assert verify(directory.url).problems == []
    assert len(attempts(directory)) == 1


def test_rows_of_the_same_size_that_were_published_late_are_found(scored, tmp_path):
    one = scored()
    directory = one.create(str(tmp_path))
    one.write(directory)
    published = Path(directory.predictions_path("00001"))
    late = published.with_name("a second name")
    late.hardlink_to(published)
    for seed in range(100):
        other, noise = scored(), np.random.default_rng(seed).normal(0, 1e-3, (13, 7))
        other.logits["seraser"] = one.logits["seraser"] + noise.astype(np.float32)
        if len(predictions_to_parquet(other.predictions(range(5, 10)))) == late.stat().st_size:
            break
    directory.compute_again("00001")
    commit = commit_from(directory, other, directory.state("00001"))
    aggregate(directory.url)
    assert commit.bytes == late.stat().st_size
    late.replace(published)  # a worker wakes that slept between its two calls of the system
    aggregate(directory.url)
    assert hashlib.sha256(published.read_bytes()).hexdigest() == commit.sha256


# What commits say is kept without them


def test_a_commit_that_is_gone_costs_no_good_row_while_its_rows_are_there(scored, tmp_path):
    one, better = with_errors(scored, 5, 6, 7), with_errors(scored)
    directory = one.create(str(tmp_path))
    one.write(directory)
    commit_from(directory, better, directory.state("00001"))
    aggregate(directory.url)
    Path(directory.path("commits", "00001.1.json")).unlink()
    repair(directory)
    with pytest.raises(TransientError, match="6 rows that were good would become errors"):
        commit_from(directory, one, directory.state("00001"))
    assert commit_from(directory, better, directory.state("00001")).errors == 0


def test_inputs_of_a_commit_that_is_damaged_are_known_from_its_rows(scored, tmp_path):
    run = scored()
    directory = run.create(str(tmp_path))
    run.write(directory)
    mended, places = {6: Input(size=7, version='"a tag"')}, range(5, 10)
    directory.compute_again("00001")
    state = directory.state("00001")
    given = "00001", run.predictions(places), run.computed(places), state, "retry", mended
    assert directory.write_shard(*given).inputs == mended
    assert verify(directory.url).problems == []
    flip(Path(directory.path("commits", "00001.1.json")))
    state = directory.state("00001")
    assert state.commit.n == 0
    items = directory.items_to_read("00001", state).to_pylist()
    assert [(i["item_index"], i["size"]) for i in items if i["version"]] == [(6, 7)]
    assert commit_from(directory, run, state).inputs == mended


# Files in the way


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_in_the_way_of_a_commit_is_named(scored, tmp_path, kind):
    one, better = with_errors(scored, 6), with_errors(scored)
    directory = one.create(str(tmp_path))
    one.write(directory)
    place = Path(directory.path("commits", "00001.1.json"))
    place.mkdir() if kind == "folder" else place.symlink_to("nowhere")
    with pytest.raises(RunDirectoryError, match=rf"{place} .*in the way of a commit; remove it"):
        commit_from(directory, better, directory.state("00001"))


def test_a_folder_in_place_of_rows_is_named(finished):
    published = Path(finished.predictions_path("00001"))
    published.unlink()
    published.mkdir()
    with pytest.raises(RunDirectoryError, match=rf"{published} cannot be written"):
        aggregate(finished.url)


@pytest.mark.parametrize("name", ["00001.5", "00001.007.json", "00001.\u0663.json", "00001.x.json"])
def test_other_names_are_no_commits(finished, name):
    Path(finished.path("commits", name)).write_text("{}")
    assert done(finished) == IDS
    assert any(problem.file == f"commits/{name}" for problem in verify(finished.url).problems)


def test_a_link_that_leads_to_itself_is_no_file(finished):
    Path(finished.path("commits", "00001.1.json")).symlink_to("00001.1.json")
    assert done(finished) == IDS


def test_a_folder_that_cannot_be_listed_is_not_empty(finished, monkeypatch):
    def scandir(path, real=os.scandir):
        if str(path).endswith("commits"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(RunDirectoryError, match=r"commits cannot be read: .*Permission denied"):
        status(finished.url)


# All together


class Life(RuleBasedStateMachine):
    """One shard, and all that may happen to it: workers, damage, repairs, images away and back.

    Every image of the shard was good once its row was good in a commit; it stays so in whatever
    the newest commit names, and no repair may be needed but for rows that are nowhere.
    """

    scored: object
    folder: Path

    @initialize()
    def plan(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.away: frozenset[int] = frozenset()
        self.good: set[tuple[int, str]] = set()
        self.lost = False  # by hand: everything that says what was good
        self.seen = [Open()]
        self.directory = self.scored().create(str(self.folder))
        self.late = Path(self.directory.path("late"))

    @rule(which=st.frozensets(st.integers(5, 9)))
    def images_go_and_come_back(self, which):
        self.away = which

    @rule()
    def look(self):
        """A worker looks at the shard, and may be slow."""
        self.seen.append(self.directory.state("00001"))

    @rule(data=st.data())
    def compute(self, data):
        state = self.seen.pop(data.draw(st.integers(0, len(self.seen) - 1))) if self.seen else None
        state = state or self.directory.state("00001")
        run = with_errors(self.scored, *self.away)
        try:
            commit = commit_from(self.directory, run, state)
        except (TransientError, RunDirectoryError):
            return
        failed = {(i, m) for m, items in commit.failed.items() for i in items}
        self.good |= {(i, m) for i in range(5, 10) for m in commit.methods} - failed

    @rule(data=st.data(), how=st.sampled_from(["flip", "cut", "delete"]))
    def damage(self, data, how):
        """Damage one of the files with its rows."""
        url = Path(self.directory.url)
        files = sorted([*url.glob("attempts/00001.*"), *url.glob("predictions/00001*")])
        if not files:
            return
        path = data.draw(st.sampled_from(files))
        content = path.read_bytes()
        if how == "flip":
            put(path, content[:-1] + bytes([content[-1] ^ 1]))
        elif how == "cut":
            put(path, content[:-1])
        else:
            path.unlink()

    @rule()
    def lose_the_newest_commit(self):
        published = Path(self.directory.predictions_path("00001"))
        newest = self.newest()
        if newest is None or not self.whole_attempt(newest) or not published.exists():
            return
        commit = self.directory.state("00001").commit
        if hashlib.sha256(published.read_bytes()).hexdigest() == commit.sha256:
            newest.unlink()

    @rule()
    def sleep_before_a_rename(self):
        """A worker is about to publish what is published now."""
        published = Path(self.directory.predictions_path("00001"))
        if published.exists():
            self.late.unlink(missing_ok=True)
            self.late.hardlink_to(published)

    @rule()
    def wake_up(self):
        if self.late.exists():
            self.late.replace(self.directory.predictions_path("00001"))

    @rule()
    def damage_the_newest_commit(self):
        newest = self.newest()
        if newest is None or not self.whole_attempt(newest):
            return  # that both are damaged is a case of its own
        flip(newest)

    def newest(self):
        commits = Path(self.directory.url).glob("commits/00001.*.json")
        return max(commits, default=None, key=lambda path: int(path.name.split(".")[1]))

    def whole_attempt(self, newest):
        state = self.directory.state("00001", deep=True)
        return isinstance(state, Done) and state.n == int(newest.name.split(".")[1])

    @rule()
    def repair(self):
        repair(self.directory)

    @rule()
    def report(self):
        try:
            aggregate(self.directory.url, partial=True)
        except RunDirectoryError:
            return

    @rule()
    def restore(self):
        self.directory.missing()

    @invariant()
    def no_good_row_becomes_an_error_row(self):
        state = self.directory.state("00001", deep=True)
        if not isinstance(state, Done):
            return
        failed = {(i, m) for m, items in state.commit.failed.items() for i in items}
        assert not failed & self.good
        table = pa.parquet.read_table(self.directory.path(state.file))
        assert failed_rows(table) == state.commit.failed

    @precondition(lambda self: self.good)
    @rule()
    def all_is_well_again(self):
        """With all images there, one repair and one run make the shard whole."""
        self.repair()
        state = self.directory.state("00001")
        if not isinstance(state, Done):
            commit_from(self.directory, self.scored(), state)
        assert isinstance(self.directory.state("00001", deep=True), Done)
        self.directory.restore(self.directory.states(deep=True))
        problems = verify(self.directory.url).problems
        assert [p for p in problems if p.shard == "00001"] == []


def test_the_number_of_good_rows_never_falls(scored, tmp_path):
    Life.scored, Life.folder = staticmethod(scored), tmp_path / "life"
    machine = Life.TestCase
    machine.settings = settings(
        max_examples=12,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    machine("runTest").runTest()
