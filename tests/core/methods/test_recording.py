"""Recorded steps: what is recorded at a time, what fails, and what is given back."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import pytest
import torch

from seraser_core.methods import recording, tuning
from seraser_core.methods.recording import GraphRecorder, release_memory
from seraser_core.methods.tuning import PromptTuner
from seraser_core.models import device
from seraser_core.runner.infer import in_batches

STEPS, LR, DECAY = 3, 0.05, 0.1


def losses(prompt, inputs):
    return (prompt.tanh() * inputs["target"]).sum((1, 2)) + prompt.square().sum((1, 2))


def batch(seed: int, count: int = 4):
    generator = torch.Generator().manual_seed(seed)
    initial, target = (torch.randn(count, 2, 4, generator=generator) for _ in range(2))
    return initial, {"target": target}


def assert_equal_eager(tuned, seed, count=4):
    expected = PromptTuner(losses, STEPS, LR, DECAY).tune(*batch(seed, count))
    assert torch.equal(tuned.prompt, expected.prompt)
    assert torch.equal(tuned.loss_first, expected.loss_first)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """As if nothing had been recorded in this process yet."""
    monkeypatch.setattr(tuning, "_unrecordable", threading.Event())


def test_what_cannot_be_recorded_is_done_step_by_step_with_one_warning(caplog):
    attempts = []

    def record(step):
        step()
        attempts.append(step)
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    tuners = [PromptTuner(losses, STEPS, LR, DECAY, record) for _ in range(2)]
    for seed in range(4):
        for tuner in tuners:
            assert_equal_eager(tuner.tune(*batch(seed)), seed)
    assert len(attempts) == 1, "another tuner of the process does not try it again"
    (message,) = [record.getMessage() for record in caplog.records]
    assert "cannot be recorded" in message and "when stream is capturing);" in message


def test_faults_of_the_step_itself_are_raised():
    def wrong(prompt, inputs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    tuner = PromptTuner(wrong, STEPS, LR, DECAY, lambda step: step)
    for seed in range(3):
        with pytest.raises(RuntimeError, match="shapes"):
            tuner.tune(*batch(seed))


def test_a_lost_device_is_no_reason_to_go_on_without_recording():
    def record(step):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    tuner = PromptTuner(losses, STEPS, LR, DECAY, record)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        tuner.tune(*batch(1))
    assert not tuning._unrecordable.is_set()


def test_where_recording_takes_too_much_memory_the_batch_is_done_without():
    recorded = []

    def record(step):
        recorded.append(step)
        raise torch.OutOfMemoryError("CUDA out of memory")

    tuner = PromptTuner(losses, STEPS, LR, DECAY, record)
    for seed in range(6):
        sizes = {"seraser": 4}
        initial, inputs = batch(seed)

        def work(part, initial=initial, inputs=inputs):
            return tuner.tune(initial[part], {k: v[part] for k, v in inputs.items()})

        (tuned,) = in_batches(work, 4, sizes, "seraser")
        assert_equal_eager(tuned, seed)
        assert sizes == {"seraser": 4}, "it was the recording that did not fit"
    assert len(recorded) == 1, "not tried again with as many images"


def test_a_batch_that_does_not_fit_is_halved_after_recorded_steps_are_dropped(caplog):
    kept = PromptTuner(losses, STEPS, LR, DECAY, lambda step: step)
    kept.tune(*batch(0))
    assert kept._recorded
    tried = []

    def work(part):
        tried.append((part.stop - part.start, bool(kept._recorded)))
        if part.stop - part.start > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    assert in_batches(work, 4, {"tpt": 4}, "tpt") == [slice(0, 2), slice(2, 4)]
    assert tried == [(4, True), (4, False), (2, False), (2, False)]
    assert caplog.text.count("going on with 2") == 1


def test_memory_that_recorded_steps_held_is_enough(caplog):
    kept = PromptTuner(losses, STEPS, LR, DECAY, lambda step: step)
    kept.tune(*batch(0))
    sizes = {"tpt": 4}

    def work(part):
        if kept._recorded:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    assert in_batches(work, 8, sizes, "tpt") == [slice(0, 4), slice(4, 8)]
    assert sizes == {"tpt": 4}
    assert not caplog.records
    assert_equal_eager(kept.tune(*batch(5)), 5)


def test_steps_at_work_in_another_thread_are_kept():
    tuner = PromptTuner(losses, STEPS, LR, DECAY, lambda step: step)
    tuner.tune(*batch(0))
    with tuner._lock:  # as while a batch is tuned
        release_memory()
    assert tuner._recorded


def test_a_tuner_and_its_recorded_step_go_without_the_garbage_collector():
    class Graph:
        """A recorded step, with gigabytes."""

        def __call__(self):
            return None

    def record(step):
        step()
        graph = Graph()
        alive.append(weakref.ref(graph))
        return graph

    alive = []
    tuner = PromptTuner(losses, STEPS, LR, DECAY, record)
    gc.disable()
    try:
        tuner.tune(*batch(0))
        tuner.tune(*batch(1, 2))
        assert alive[0]() is not None and alive[1]() is not None
        tuner.drop()
        assert alive[0]() is None and alive[1]() is None
        tuner.tune(*batch(0))
        del tuner
        assert alive[2]() is None
    finally:
        gc.enable()


@pytest.fixture
def cuda(monkeypatch):
    """Stands for torch.cuda; tells what happened."""
    seen, pools = [], []

    class Stream:
        def __init__(self, index=0, priority=0):
            self.name = f"stream {index} {priority}"

        def wait_stream(self, other):
            seen.append(f"{self.name} waits for {other.name}")

    class Graph:
        memory = None

        def replay(self):
            seen.append("replay")

        def pool(self):
            return self.memory

    @contextmanager
    def graph(graph, pool, stream, capture_error_mode):
        assert isinstance(graph, Graph)
        assert recording._recording.locked()
        graph.memory = pool or (0, len(pools))
        pools.append(graph.memory)
        seen.append(f"begin on {stream.name}, {capture_error_mode}")
        yield
        seen.append("end")

    def empty_cache():
        assert recording._recording.locked(), "or it would spoil what is being recorded"
        seen.append("empty cache")

    current = Stream()
    current.name = "current"
    monkeypatch.setattr(device, "_streams", {})
    for name, stand_in in {
        "Stream": Stream,
        "CUDAGraph": Graph,
        "graph": graph,
        "stream": nullcontext,
        "current_stream": lambda: current,
        "current_device": lambda: 0,
        "is_available": lambda: True,
        "empty_cache": empty_cache,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return seen


def test_all_is_recorded_on_one_stream_after_a_warm_up_beside_the_work(cuda):
    steps = []
    record = GraphRecorder()
    for _ in range(2):
        replay = record(lambda: steps.append(len(cuda)))
    replay()
    once = [
        "stream 0 0 waits for current",
        "current waits for stream 0 0",
        "begin on stream 0 0, thread_local",
        "end",
    ]
    assert cuda == [*once, *once, "replay"]
    assert steps == [1, 1, 3, 5, 5, 7], "two steps of warm-up, one that is recorded"


def test_the_steps_of_a_recorder_share_their_memory(cuda):
    one, other = GraphRecorder(), GraphRecorder()
    for record in (one, other, one):
        record(lambda: None)
    assert one._pool == (0, 0) and other._pool == (0, 1)


def test_nothing_is_recorded_or_given_back_while_something_is_recorded(cuda):
    """Whoever comes meanwhile waits: `busy` is set by the thread that would not."""
    busy = threading.Event()

    def step():
        if "begin on stream 0 0, thread_local" in cuda[-1:]:
            waiting.append(pool.submit(release_memory))
            waiting.append(pool.submit(GraphRecorder(), busy.set))
            assert not busy.is_set() and "empty cache" not in cuda

    waiting = []
    with ThreadPoolExecutor(2) as pool:
        GraphRecorder()(step)
        for one in waiting:
            one.result()
    assert cuda.index("end") < cuda.index("empty cache")
    assert len(waiting) == 2 and busy.is_set()


def test_a_fault_while_recording_lets_others_record(cuda):
    def step():
        raise RuntimeError("cannot be recorded")

    with pytest.raises(RuntimeError, match="cannot be recorded"):
        GraphRecorder()(step)
    GraphRecorder()(lambda: None)
    release_memory()
    assert cuda[-1] == "empty cache"
