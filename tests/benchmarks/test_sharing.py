"""What methods that share pictures and image features cost together, beyond what each computes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from floors import FLOORS

from seraser_core.config import load_config
from seraser_core.demo.config import demo_config
from seraser_core.demo.dataset import write_dataset
from seraser_core.results.status import status
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]
IMAGES, TURNS = 4, 2
VIEW_METHODS = ["vte", "tpt", "zero", "mta", "tps"]
CONFIGS = Path(__file__).parents[2] / "deployments" / "configs"


def test_all_methods_over_the_demo(tmp_path):
    table = write_dataset(tmp_path / "data")
    overrides = [f"dataset.path={table}", f"output={tmp_path}"]
    every = load_config(str(CONFIGS / "demo-shortcut.yaml"), overrides)
    wall, model, _ = seconds(plan_run(every))
    plain = demo_config(str(table), str(tmp_path / "plain")) | {"methods": ["zero_shot"]}
    decode = seconds(plan_run(load_config(plain)))[2]
    print(f"all methods {wall:.1f} s, model time {model:.1f} s, one decode {decode:.1f} s")
    assert wall <= FLOORS["sharing"]["all_methods"] * (model + decode)


def test_methods_that_share_views_cost_hardly_more_than_one(tmp_path):
    """By the processor's time, which other work on the machine changes least."""
    table = str(write_dataset(tmp_path / "data", test=IMAGES, validation=4))

    def cost(turn: int, methods: list[str]) -> float:
        tree = demo_config(table, str(tmp_path / f"runs{turn}")) | {"methods": methods}
        tree |= {"model": {"name": "ViT-B-32", "pretrained": None}}
        url = plan_run(load_config(tree))
        started = time.process_time()
        run_local(url)
        return time.process_time() - started

    cost(0, ["zero_shot"])  # loads the model
    turns = [(cost(turn, ["vte"]), cost(turn, VIEW_METHODS)) for turn in range(TURNS)]
    one, five = map(min, zip(*turns, strict=True))
    print(f"vte {one:.1f} s, {', '.join(VIEW_METHODS)} {five:.1f} s: {five / one:.3f} times")
    assert five <= FLOORS["sharing"]["views"] * one


def seconds(url: str) -> tuple[float, float, float]:
    """Wall time without loading, time of the model, and decoding."""
    run_local(url)
    spent = status(url)["seconds"]
    return spent["wall"] - spent["load"], spent["model"], spent["decode"]
