"""Micro-batches: what happens when memory runs out, and that nothing is lost or done twice."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seraser_core.config import load_config
from seraser_core.errors import TransientError
from seraser_core.methods.seraser import Seraser
from seraser_core.results.shards import RunDirectory
from seraser_core.runner import session
from seraser_core.runner.infer import in_batches
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_every_image_is_worked_on_once_in_order(count, first_size, fits):
    sizes = {"stage": first_size}

    def work(part: slice) -> list[int]:
        if part.stop - part.start > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(range(part.start, part.stop))

    parts = in_batches(work, count, sizes, "stage")
    assert [i for part in parts for i in part] == list(range(count))
    assert sizes["stage"] <= max(first_size, 1)
    before = dict(sizes)
    in_batches(work, count, sizes, "stage")
    assert sizes == before, "what fitted is remembered: memory runs out once, not every time"


def test_a_single_image_that_does_not_fit_is_a_passing_fault():
    def work(part: slice) -> None:
        raise MemoryError

    with pytest.raises(TransientError, match="adapt: out of memory with a single image"):
        in_batches(work, 5, {"adapt": 4}, "adapt")


def test_work_that_cannot_be_repeated_is_begun_anew_with_fewer_images():
    done = []

    def work(part: slice) -> None:
        done.append(part)
        if part.stop - part.start > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    sizes = {"tda": 4}
    with pytest.raises(TransientError, match="its state is lost"):
        in_batches(work, 5, sizes, "tda", repeatable=False)
    assert done == [slice(0, 4)]
    in_batches(work, 5, sizes, "tda", repeatable=False)
    assert done[1:] == [slice(0, 2), slice(2, 4), slice(4, 5)]


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def work(part: slice) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        in_batches(work, 5, {"adapt": 4}, "adapt")


def test_a_run_goes_on_with_smaller_batches(tree, monkeypatch, caplog):
    monkeypatch.setattr(session, "_batch_sizes", {})
    expected = plan_run(load_config(tree))
    run_local(expected)
    whole = Seraser.predict

    def small_device(self, features):
        if len(features["image"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, features)

    monkeypatch.setattr(Seraser, "predict", small_device)
    tree["output"] += "-small"
    url = plan_run(load_config(tree))
    run_local(url)
    assert caplog.text.count("out of memory") == 1
    assert open_session(url).batch_sizes["seraser"] == 2
    run_local(plan_run(load_config({**tree, "seed": 1})))
    assert caplog.text.count("out of memory") == 1, "another run of the same methods remembers it"
    for shard in RunDirectory(url).commits():
        metrics = [RunDirectory(where).commits()[shard].methods for where in (expected, url)]
        assert metrics[0]["seraser"].confusion == metrics[1]["seraser"].confusion


@pytest.mark.gpu
def test_the_most_memory_of_a_gpu_is_kept_of_every_method(tree):
    tree["model"] = {**tree["model"], "device": "cuda"}
    url = plan_run(load_config(tree))
    run_local(url)
    net = open_session(url).model.net
    weights = sum(one.nbytes for one in net.parameters())
    for commit in RunDirectory(url).commits().values():
        peaks = commit.timings.peak_bytes
        assert list(peaks) == list(commit.methods)
        assert min(peaks.values()) >= weights
        assert peaks["seraser"] > peaks["zero_shot"]
