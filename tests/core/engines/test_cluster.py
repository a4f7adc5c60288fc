"""Shards computed by the workers of a Dask cluster."""

from __future__ import annotations

import sys
import threading

import cloudpickle
import pytest
from distributed import LocalCluster

from seraser_core.config import load_config
from seraser_core.engines import dask, open_engine
from seraser_core.engines.threads import ThreadEngine
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.results.verify import verify
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import tests
HERE = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": "127.0.0.1:0"}


@pytest.fixture
def compute(tree):
    def plan_and_run(execution):
        config = load_config(tree | {"execution": {"engine": "dask", **execution}})
        with open_engine(config) as engine:
            url = plan_run(config, engine=engine)
            run_local(url, engine=engine)
        assert verify(url).problems == []
        return url

    return plan_and_run


@pytest.mark.slow
def test_a_scheduler_that_is_there(compute):
    with LocalCluster(**HERE) as cluster:
        compute({"address": cluster.scheduler_address})
        assert len(cluster.scheduler_info["workers"]) == 1, "it goes on"


@pytest.mark.slow
def test_a_class_that_starts_one(compute):
    compute({"cluster": "distributed.LocalCluster", "cluster_options": HERE})


class Raise:
    """Work that fails with a fault of its own."""

    def __call__(self, run_url, shard_id, progress, attempt):
        raise PermissionError("not yours")


class Wait:
    """Work that begins and does not end."""

    def __init__(self, marker):
        self.marker = marker

    def __call__(self, run_url, shard_id, progress, attempt):
        self.marker.touch()
        threading.Event().wait()


class Close:
    """Progress that closes the cluster as soon as the work has begun."""

    def __init__(self, cluster, marker):
        self.cluster, self.marker = cluster, marker

    def advance(self, images):
        if self.marker.exists():
            self.cluster.close()


@pytest.mark.slow
def test_faults_of_the_work_are_told_from_those_of_the_cluster(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "LOOK_EVERY_S", 0.1)
    with LocalCluster(**HERE) as cluster:
        execution = {"engine": "dask", "address": cluster.scheduler_address}
        with open_engine(load_config(tree | {"execution": execution})) as engine:
            with pytest.raises(PermissionError, match="not yours"):
                engine.compute("", "00000", Close(cluster, tmp_path / "none"), 1, Raise())
            progress = Close(cluster, tmp_path / "begun")
            with pytest.raises(SeraserError, match="the Dask scheduler is gone"):
                engine.compute("", "00000", progress, 1, Wait(tmp_path / "begun"))


@pytest.mark.parametrize(
    ("execution", "told"),
    [
        ({"address": "tcp://127.0.0.1:1", "start_timeout": 2}, "no Dask scheduler answers there"),
        ({"address": "/nowhere/scheduler.json"}, "there is no such scheduler file"),
        ({"cluster": "dask_nowhere.Cluster"}, "cannot be imported .*; install dask-nowhere"),
        ({"cluster": "distributed.Nothing"}, "cannot be imported"),
        (
            {"cluster": "distributed.LocalCluster", "cluster_options": {"nothing": 1}},
            "cannot be started with them",
        ),
    ],
)
def test_a_cluster_that_cannot_be_used(compute, execution, told):
    with pytest.raises(ConfigError, match=rf"(?s)execution\..*{told}"):
        compute(execution)


def test_workers_that_do_not_come_are_not_waited_for_for_ever(compute):
    options = {**HERE, "n_workers": 0}
    with pytest.raises(SeraserError, match=r"no worker has come within .* = 1 s"):
        compute(
            {
                "cluster": "distributed.LocalCluster",
                "cluster_options": options,
                "start_timeout": 1,
            }
        )


@pytest.mark.parametrize(
    ("execution", "told"),
    [
        ({"engine": "dask"}, "has neither address nor cluster"),
        ({"engine": "dask", "address": "tcp://a:1", "cluster": "a.B"}, "has both"),
        ({"address": "tcp://a:1"}, "is of engine: dask"),
        ({"engine": "processes", "workers": 0}, "must be 1 or more"),
        ({"engine": "threads", "workers": 4}, "is not of engine: threads"),
        ({"engine": "dask", "address": "tcp://a:1", "cluster_options": {"cores": 1}}, "cluster"),
        ({"engine": "dask", "address": "tcp://me:secret@a:1"}, "secret|password"),
    ],
)
def test_options_that_do_not_go_together(tree, execution, told):
    with pytest.raises(ConfigError, match=rf"(?s)execution.*({told})"):
        load_config(tree | {"execution": execution})


def test_one_device_is_this_process(tree, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert isinstance(open_engine(load_config(tree, ["model.device=auto"])), ThreadEngine)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4,-1,5")
    config = load_config(tree, ["model.device=cuda"])
    assert open_engine(config).slots(1) == 4, "two processes, two shards each"
    assert isinstance(open_engine(load_config(tree, ["model.device=cuda:3"])), ThreadEngine)
    with pytest.raises(ConfigError, match=r"(?s)workers: 3.*2 CUDA devices here \(3, 4\)"):
        open_engine(load_config(tree, ["model.device=cuda", "execution.workers=3"]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 4,3")
    with pytest.raises(ConfigError, match=r"(?s)CUDA_VISIBLE_DEVICES: 3, 4,3.*once.*\(3\)"):
        open_engine(config)
    assert isinstance(open_engine(load_config(tree, ["model.device=cpu"])), ThreadEngine)
