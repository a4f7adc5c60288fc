"""Storage that answers late: what many fetches at once and the next shard made ready are worth."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from floors import FLOORS

from seraser_core.config import load_config
from seraser_core.demo.config import demo_config
from seraser_core.demo.dataset import write_dataset
from seraser_core.runner import missing_shards
from seraser_core.runner.clock import Clock
from seraser_core.runner.lookahead import Bounds, Lookahead
from seraser_core.runner.plan import plan_run
from seraser_core.sources import fetch as fetching

pytestmark = pytest.mark.benchmark
DELAY_S = 0.03
ITEMS = 5000
FLOOR = FLOORS["feeding"]


@pytest.fixture
def seconds(tmp_path, monkeypatch):
    """Seconds of the demo in twelve shards, when every file takes 30 ms longer."""
    table = write_dataset(tmp_path / "data")
    fetch = fetching.fetch

    def late(*arguments, **options):
        time.sleep(DELAY_S)  # the distance that is measured, no wait for something
        return fetch(*arguments, **options)

    monkeypatch.setattr(fetching, "fetch", late)

    def run(fetch_threads: int, ahead: int = 1) -> float:
        name = f"runs-{fetch_threads}-{ahead}-{time.time_ns()}"
        tree = demo_config(str(table), str(tmp_path / name))
        tree["methods"] = ["zero_shot", {"name": "seraser", "steps": 2}]
        tree["shard"] = {"max_items": 40}
        tree["runtime"] = {"fetch_threads": fetch_threads}
        url = plan_run(load_config(tree))
        with monkeypatch.context() as patch:
            patch.setattr(
                missing_shards,
                "ThreadPoolExecutor",
                lambda threads, **options: ThreadPoolExecutor(threads - 1 + ahead, **options),
            )
            start = time.perf_counter()
            missing_shards.run_local(url)
            return time.perf_counter() - start

    run(32)  # warm
    return run


def test_many_files_are_read_at_once(seconds):
    one, many = seconds(1), seconds(32)
    print(f"one file at a time {one:.1f} s, 32 at once {many:.1f} s")
    assert one >= FLOOR["many_fetches"] * many


class _Nothing:
    """Stages that take no time, so that only the look-ahead does."""

    result_bytes = 1
    decode_timeout = None

    def name(self, item: int) -> str:
        return str(item)

    def expected_bytes(self, item: int) -> int:
        return 1

    def data_bytes(self, data: int) -> int:
        return 1

    def fetch(self, item: int) -> int:
        return item

    def decode(self, item: int, data: int) -> int:
        return data


def test_an_item_costs_the_same_however_many_wait():
    def cost(most: int) -> float:
        bounds = Bounds(fetch_threads=8, decode_threads=4, unfetched=most, bytes=2**40, items=most)
        start = time.process_time()
        with Lookahead(range(ITEMS), _Nothing(), bounds, Clock()) as ahead:
            assert sum(1 for _ in ahead) == ITEMS
        return (time.process_time() - start) / ITEMS

    few, many = (min(cost(most) for _ in range(3)) for most in (10, 1000))
    print(f"{few * 1e6:.0f} us an item with 10 ahead, {many * 1e6:.0f} us with 1,000")
    assert many <= FLOOR["ahead"] * few


def test_the_next_shard_is_made_ready(seconds):
    without, with_it = (min(seconds(32, ahead) for _ in range(2)) for ahead in (0, 1))
    print(f"one shard after the other {without:.1f} s, the next one made ready {with_it:.1f} s")
    assert without >= FLOOR["next_shard"] * with_it
