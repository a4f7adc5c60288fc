"""A real S3 server (SeaweedFS, on loopback), and a tiny CLIP and pictures that the tests make."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import secrets
import shutil
import socket
import subprocess
import sysconfig
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
from botocore.exceptions import BotoCoreError, ClientError
from PIL import Image

_START_SECONDS = 90
_GCS_BUCKET = "bucket"
_STRAY_SETTINGS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION")


def pytest_configure(config: pytest.Config) -> None:
    """One thread for the small models of the tests, in this process and those it starts.

    Several processes whose threads wait for each other in every product, on as few cores, are
    many times slower. Benchmarks have all threads.
    """
    if config.option.markexpr != "benchmark":
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint URL of a running S3 server; AWS_* in the environment point at it meanwhile."""
    program = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if program is None:
        pytest.fail("the S3 server `weed` is not installed; install the dev dependencies")
    folder = tmp_path_factory.mktemp("seaweedfs")
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    config = folder / "s3.json"
    config.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "tests",
                        "credentials": [{"accessKey": key, "secretKey": secret}],
                        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
                    }
                ]
            }
        )
    )
    with ExitStack() as stack:
        log = stack.enter_context((folder / "server.log").open("wb"))
        # A port that was free may be taken when the server asks for it: try other ones.
        for _ in range(3):
            port, command = _command(program, folder, config)
            server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
            # On SIGTERM it takes 11 s to end.
            stack.callback(server.wait)
            stack.callback(server.kill)
            endpoint = f"http://127.0.0.1:{port}"
            environment = stack.enter_context(pytest.MonkeyPatch.context())
            for name in _STRAY_SETTINGS:
                environment.delenv(name, raising=False)
            environment.setenv("AWS_ACCESS_KEY_ID", key)
            environment.setenv("AWS_SECRET_ACCESS_KEY", secret)
            environment.setenv("AWS_ENDPOINT_URL", endpoint)
            environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
            environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
            environment.setenv("AWS_CONFIG_FILE", os.devnull)
            environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
            # File systems made before this know other credentials.
            s3fs.S3FileSystem.clear_instance_cache()
            if _wait_until_it_stores(server):
                yield endpoint
                s3fs.S3FileSystem.clear_instance_cache()
                return
    text = (folder / "server.log").read_text(errors="replace")
    pytest.fail(f"the S3 server did not start; end of its log:\n{text[-3000:]}")


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


def _command(program: str, folder: Path, config: Path) -> tuple[int, list[str]]:
    """The S3 port and the command of a server whose every port was free just now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(8)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.port": ports[0],
        "master.port.grpc": ports[1],
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 64,
        "volume.port": ports[2],
        "volume.port.grpc": ports[3],
        "volume.max": 200,  # a bucket that is written to takes several
        "filer": "true",
        "filer.port": ports[4],
        "filer.port.grpc": ports[5],
        "filer.localSocket": "filer.sock",
        "s3": "true",
        "s3.port": ports[6],
        "s3.port.grpc": ports[7],
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.localSocket": "s3.sock",
        "s3.config": config,
    }
    return ports[6], [program, "server", *(f"-{name}={value}" for name, value in options.items())]


def _wait_until_it_stores(server: subprocess.Popen[bytes]) -> bool:
    """Whether the server keeps an object before it ends or the time is over."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError, BotoCoreError, ClientError):
            fs = s3fs.S3FileSystem(
                use_listings_cache=False,
                skip_instance_cache=True,
                config_kwargs={"retries": {"max_attempts": 0}, "connect_timeout": 2},
            )
            if not fs.exists("ready"):
                fs.mkdir("ready")
            fs.pipe_file("ready/object", b"kept")
            return bool(fs.cat_file("ready/object") == b"kept")
        time.sleep(0.1)
    return False


CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3},
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
        "model": {"name": tiny_json, "pretrained": None, "device": "cpu"},
        "methods": [
            "zero_shot",
            {"name": "seraser", "preset": "preserve", "lr": 0.005, "steps": 5},
            "foreground",
        ],
        "shard": {"max_items": 5},
        "output": str(tmp_path / "runs"),
        "save_logits": True,
    }


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which nothing listens: bound, so that nobody else takes it."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]
