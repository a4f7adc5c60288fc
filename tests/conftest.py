"""A real S3 server (SeaweedFS, on loopback), and a tiny CLIP and pictures that the tests make."""

from __future__ import annotations

import csv
import gc
import json
import os
import secrets
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import s3fs
import torch
from PIL import Image
from s3_server import S3Server, forget_clients
from xdist.scheduler import LoadScopeScheduling

from seraser_core import backoff

_START_SECONDS = 90
_GCS_BUCKET = "bucket"
_FAST = (
    "core/auxiliary/test_crops.py",
    "core/auxiliary/test_relevance.py",
    "core/auxiliary/test_views.py",
    "core/cli/test_console.py",
    "core/cli/test_methods.py",
    "core/cli/test_plan.py",
    "core/cli/test_progress.py",
    "core/config",
    "core/demo/test_captions.py",
    "core/demo/test_dataset.py",
    "core/methods/test_baselines.py",
    "core/methods/test_tpt.py",
    "core/models/test_device.py",
    "core/models/test_engine.py",
    "core/results/test_averages.py",
    "core/results/test_run.py",
    "core/runner/test_feed.py",
    "core/runner/test_missing_shards.py",
    "core/runner/test_lookahead.py",
    "core/sources/test_class_files.py",
    "core/sources/test_decode.py",
    "core/sources/test_parquet.py",
    "core/sources/test_pixels.py",
    "core/storage/test_place.py",
    "core/test_display.py",
    "core/test_plugins.py",
    "core/test_redaction.py",
    "tasks",
    "test_security_page.py",
)
"""Files and folders of ``-m fast``, every package once; what needs a server is left out."""
_SERVERS = {"s3", "gcs", "bucket", "gcs_folder"}
_FLOWS = "tests/flows/"
_LONGEST_FIRST = ("flows", "test_pages.py", "faults", "cli", "test_secrets_end_to_end.py", "runner")


def pytest_configure(config: pytest.Config) -> None:
    """A cache of their own, and one thread for the small models, here and in processes they start.

    Several processes whose threads wait for each other in every product, on as few cores, are
    many times slower. Benchmarks have all threads. What is compiled is kept, whatever the
    environment says: torch and Prefect are compiled once, not by each of these processes.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # What is kept for later runs of a person is none of the tests' business.
    kept = tempfile.TemporaryDirectory(prefix="seraser-tests-")
    config.add_cleanup(kept.cleanup)
    os.environ["SERASER_CACHE"] = kept.name
    if config.option.markexpr != "benchmark":
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, servers and killed workers: at the end, all would wait.

    The browser comes last: `.ci/run` installs it in the meantime.
    """

    def place(item: pytest.Item) -> int:
        parts = item.path.parts
        if item.path.name == "test_browser.py":
            return len(_LONGEST_FIRST) + 1
        return next(
            (i for i, part in enumerate(_LONGEST_FIRST) if part in parts), len(_LONGEST_FIRST)
        )

    items.sort(key=place)
    for item in items:
        if _is_fast(item):
            item.add_marker(pytest.mark.fast)


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps a file in one process, and the folder of flows, whose files share a server.

    With pytest 9.2, xdist's own groups have no effect.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _FLOWS if file.startswith(_FLOWS) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _ByFile(config, log)


def _is_fast(item: pytest.Item) -> bool:
    file = item.path.relative_to(Path(__file__).parent).as_posix()
    given = getattr(item, "callspec", None)
    asked = {*getattr(item, "fixturenames", ()), *map(str, given.params.values() if given else ())}
    chosen = any(file == one or file.startswith(f"{one}/") for one in _FAST)
    return chosen and not asked & _SERVERS and not any(item.iter_markers("slow"))


_MANY_MODULES = 100
_spared = 0


def pytest_collection_finish() -> None:
    """Spare the garbage collector what is imported, which takes most of a second to look at."""
    global _spared
    gc.collect()
    gc.freeze()
    _spared = len(sys.modules)


def pytest_runtest_logfinish() -> None:
    """Also what a test imported, e.g. transformers: every model that is loaded looks at it."""
    if len(sys.modules) > _spared + _MANY_MODULES:
        pytest_collection_finish()


def pytest_sessionfinish() -> None:
    """Let it end as it would have."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint URL of a running S3 server; AWS_* in the environment point at it meanwhile."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    with ExitStack() as stack:
        # A port that was free may be taken when the server asks for it: try other ones.
        for _ in range(3):
            server = stack.enter_context(S3Server(folder))
            server.start()
            if server.stores():
                server.announce(stack.enter_context(pytest.MonkeyPatch.context()))
                stack.callback(forget_clients)
                yield server.url
                return
    pytest.fail(f"the S3 server did not start; end of its log:\n{server.log()}")


@pytest.fixture
def bucket(s3: str) -> Iterator[str]:
    """URL of a new, empty bucket, e.g. ``s3://tests-1a2b3c4d``."""
    assert urlsplit(s3).hostname == "127.0.0.1"
    name = f"tests-{secrets.token_hex(4)}"
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    fs.mkdir(name)
    yield f"s3://{name}"
    fs.rm(name, recursive=True)


@pytest.fixture(scope="session")
def gcs() -> Iterator[None]:
    """A Google Cloud Storage emulator runs, and the environment points at it."""
    with ExitStack() as stack:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        program = str(Path(sysconfig.get_path("scripts")) / "gcp-storage-emulator")
        command = [program, "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
        command.append(f"--default-bucket={_GCS_BUCKET}")
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(server.wait)
        stack.callback(server.kill)
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        # The emulator has no gRPC, with which gcsfs would ask for the kind of a bucket.
        environment.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and server.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                yield
                return
    pytest.fail("the emulator of Google Cloud Storage did not start")


@pytest.fixture
def gcs_folder(gcs: None) -> str:
    """URL of a new, empty folder of a bucket, e.g. ``gs://bucket/tests-1a2b3c4d``."""
    return f"gs://{_GCS_BUCKET}/tests-{secrets.token_hex(4)}"


CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 24, "heads": 4, "layers": 3},
}


@pytest.fixture(scope="session")
def tiny_json(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of an open_clip model JSON of a tiny CLIP."""
    path = tmp_path_factory.mktemp("model") / "tiny.json"
    path.write_text(json.dumps(TINY_CLIP))
    return str(path)


def write_pictures(folder: Path, count: int = 14) -> Path:
    """Write `count` random pictures with masks and a table; returns the table."""
    rng = np.random.default_rng(11)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        width, height = (int(n) for n in rng.integers(30, 80, 2))
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[height // 4 : height // 2, width // 4 : -width // 4] = 255
        Image.fromarray(pixels).save(folder / f"picture {i:02}é.png")
        Image.fromarray(mask).save(folder / f"mask{i}.png")
        rows.append(
            {
                "id": f"item-{i:02}",
                "file": f"picture {i:02}é.png",
                "mask": f"mask{i}.png",
                "y": i % 3,
                "a": i % 2,
            }
        )
    table = folder / "metadata.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return table


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Table of a data set of 14 pictures."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def tree(pictures: Path, tiny_json: str, tmp_path: Path) -> dict[str, Any]:
    """A configuration tree over `pictures` with three shards and three methods."""
    return small_tree(pictures, tiny_json, tmp_path / "runs")


def small_tree(pictures: Path, model: str, output: Path) -> dict[str, Any]:
    """See `tree`."""
    return {
        "name": "small",
        "dataset": {
            "path": str(pictures),
            "id": "id",
            "image": "file",
            "label": "y",
            "attribute": "a",
            "mask": "mask",
            "classes": CLASSES,
            "attributes": ["land", "water"],
        },
        "model": {"name": model, "pretrained": None, "device": "cpu"},
        "methods": [
            "zero_shot",
            {"name": "seraser", "preset": "preserve", "lr": 0.005, "steps": 5},
            "foreground",
        ],
        "shard": {"max_items": 5},
        "output": str(output),
        "save_logits": True,
    }


@pytest.fixture(scope="session")
def finished_once(pictures: Path, tiny_json: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of `tree` with its report, to be copied by `cp -a`: never change it."""
    from seraser_core.config import load_config
    from seraser_core.results.summary import aggregate
    from seraser_core.runner.missing_shards import run_local
    from seraser_core.runner.plan import plan_run

    url = plan_run(load_config(small_tree(pictures, tiny_json, tmp_path_factory.mktemp("once"))))
    run_local(url)
    aggregate(url)
    return Path(url)


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nothing listens: bound, so that nobody else takes it."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to storage that fail are made again once, at once."""
    monkeypatch.setattr(backoff, "POLICY", backoff.Policy(tries=2, shortest_s=0.001))
