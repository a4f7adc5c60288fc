"""Shards computed by this process: what fails does not stop the rest, an interruption does."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
import torch

from seraser_core.config import load_config
from seraser_core.errors import (
    ConfigError,
    DeviceLostError,
    RunDirectoryError,
    SeraserError,
    TransientError,
)
from seraser_core.methods.seraser import Seraser
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import failures_of
from seraser_core.results.status import status
from seraser_core.results.verify import verify
from seraser_core.runner import feed, missing_shards, scoring, shard
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.shard import run_shard
from seraser_core.sources import fetch as fetching

SHARDS = ["00000", "00001", "00002"]


@pytest.fixture
def planned(tree):
    """URL of a planned run of three shards; none is computed."""
    return plan_run(load_config(tree))


@pytest.fixture
def parallel(tree):
    """URL of a planned run of three shards that are to be computed at once."""
    return plan_run(load_config(tree, ["runtime.parallel_shards=3"]))


@pytest.fixture
def fake(monkeypatch):
    """Puts a function of (shard id, progress, attempt) in the place of `run_shard`."""

    def put(compute):
        monkeypatch.setattr(shard, "run_shard", lambda _, *rest: compute(*rest))

    return put


def test_a_lost_gpu_ends_the_process_and_fails_no_shard_for_good(planned, monkeypatch):
    asked, whole = [], Seraser.predict

    def predict(self, features):
        asked.append(self)
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nand so on")

    monkeypatch.setattr(Seraser, "predict", predict)
    with pytest.raises(DeviceLostError, match=r"memory access was encountered\); end it and run"):
        run_local(planned)
    assert 1 <= len(asked) <= 2, "no shard is tried again here, and none begun after the first"
    failures = failures_of(RunDirectory(planned).states())
    assert {one.error for one in failures.values()} == {"DeviceLostError"}
    monkeypatch.setattr(Seraser, "predict", whole)
    run_local(planned)
    assert RunDirectory(planned).missing() == []


@pytest.mark.parametrize("error", [RuntimeError("device-side assert"), MemoryError("x"), OSError()])
def test_a_fault_of_any_kind_in_one_shard_does_not_stop_the_others(planned, fake, error):
    seen = []

    def compute(shard_id, progress, attempt):
        seen.append(shard_id)
        if shard_id == "00000":
            raise error

    fake(compute)
    expected = rf"1 of 3 shards failed \(00000: {type(error).__name__}: "
    with pytest.raises(SeraserError, match=expected):
        run_local(planned)
    assert seen == SHARDS


def test_a_message_has_one_hint_at_its_end(planned, fake):
    def compute(shard_id, progress, attempt):
        raise ConfigError("model.name", "x", "name another one")

    fake(compute)
    with pytest.raises(SeraserError) as told:
        run_local(planned)
    fault, *hints = str(told.value).splitlines()
    assert fault.startswith("3 of 3 shards failed (00000: ConfigError: model.name: x; name another")
    assert hints == ["hint: run again to retry them"]


def test_shards_are_computed_at_once(parallel, fake):
    together = threading.Barrier(3, timeout=60)
    fake(lambda *_: together.wait())
    run_local(parallel)


def test_one_shard_computes_at_a_time_while_the_next_is_made_ready(planned, monkeypatch):
    fetched: set[str] = set()
    others = threading.Event()
    busy = threading.Lock()
    items = RunDirectory(planned).items().to_pylist()
    shard_of = {item["image"]: item["item_index"] // 5 for item in items}

    def fetch(url, *rest):
        if url in shard_of:
            fetched.add(shard_of[url])
        if len(fetched) > 1:
            others.set()
        return sources_fetch(url, *rest)

    def score(*args):
        assert busy.acquire(blocking=False), "two shards compute at once"
        assert others.wait(60), "no other shard is made ready"
        try:
            return shard_score(*args)
        finally:
            busy.release()

    sources_fetch, shard_score = fetching.fetch, scoring.score
    monkeypatch.setattr(fetching, "fetch", fetch)
    monkeypatch.setattr(scoring, "score", score)
    run_local(planned)


def test_parallel_shards_give_the_same_bytes(tree, tmp_path):
    one = plan_run(load_config(tree, ["shard.max_items=7"]))
    run_local(one)
    tree["output"] = str(tmp_path / "parallel")
    other = plan_run(load_config(tree, ["shard.max_items=7", "runtime.parallel_shards=2"]))
    run_local(other)
    for path in sorted(Path(one, "predictions").iterdir()):
        assert path.read_bytes() == Path(other, "predictions", path.name).read_bytes()


def test_an_interruption_ends_all_shards_after_their_batch(parallel, fake):
    begun = threading.Barrier(3, timeout=60)
    ended = []

    class Impatient:
        def advance(self, images):
            if images == 2:
                raise KeyboardInterrupt

    def compute(shard_id, progress, attempt):
        begun.wait()
        try:
            progress.advance(2 if shard_id == "00002" else 1)
            while True:
                progress.advance(1)
        except KeyboardInterrupt:
            ended.append(shard_id)
            raise

    fake(compute)
    stop = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        run_local(parallel, Impatient(), stop)
    assert sorted(ended) == SHARDS
    assert stop.is_set()


def test_after_a_stop_no_shard_is_begun(planned, fake):
    stop, seen = threading.Event(), []

    def compute(shard_id, progress, attempt):
        seen.append(shard_id)
        stop.set()

    fake(compute)
    run_local(planned, stop=stop)
    assert seen == ["00000"]


def test_a_passing_fault_is_tried_again(planned, fake, monkeypatch):
    monkeypatch.setattr(missing_shards, "BACKOFF_S", (0.0, 0.0))
    attempts = []

    def compute(shard_id, progress, attempt):
        if shard_id == "00001":
            attempts.append(attempt)
            raise TransientError("throttled")

    fake(compute)
    with pytest.raises(
        SeraserError, match=r"1 of 3 shards failed \(00001: TransientError: throttled"
    ):
        run_local(planned)
    assert attempts == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("seraser_core.sources.isolated.decode_image", MemoryError("x")),
        ("seraser_core.sources.fetch.fetch", MemoryError()),
        ("seraser_core.runner.feed.Feed._move", torch.OutOfMemoryError("CUDA out of memory")),
        ("seraser_core.runner.infer.cosine_logits", RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")),
    ],
    ids=lambda value: str(value).rsplit(".", 1)[-1],
)
def test_wherever_memory_runs_out_the_shard_is_tried_again(planned, monkeypatch, place, error):
    monkeypatch.setattr(missing_shards, "BACKOFF_S", (0.0, 0.0))
    owner, _, name = place.rpartition(".")
    owner = feed.Feed if owner.endswith(".Feed") else sys.modules[owner]
    whole, errors = getattr(owner, name), [error]

    def once(*arguments):
        if errors:
            raise errors.pop()
        return whole(*arguments)

    monkeypatch.setattr(owner, name, once)
    run_local(planned)
    assert not errors
    assert verify(planned).problems == []
    assert failures_of(RunDirectory(planned).states()) == {}


def test_the_failure_of_a_slower_worker_is_forgotten(planned):
    """It failed after another had committed the shard."""
    directory = RunDirectory(planned)
    run_local(planned)
    directory.fail("00000", TransientError("throttled"), 1)
    assert status(planned)["failures"] == {}
    run_shard(planned, "00000")
    assert failures_of(directory.states()) == {}


def test_an_interruption_is_no_failure(planned):
    class Impatient:
        def advance(self, images):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_local(planned, Impatient())
    assert failures_of(RunDirectory(planned).states()) == {}


def test_a_failure_that_cannot_be_recorded_does_not_hide_its_cause(planned, monkeypatch, caplog):
    def compute(*_):
        raise RunDirectoryError("the cause")

    def fail(*_):
        raise TransientError("no space left")

    monkeypatch.setattr(shard, "score_items", compute)
    monkeypatch.setattr(RunDirectory, "fail", fail)
    with pytest.raises(RunDirectoryError, match="the cause"):
        run_shard(planned, "00000")
    assert "its failure cannot be recorded: no space left" in caplog.text
