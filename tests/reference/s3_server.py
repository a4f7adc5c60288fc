"""A real S3 server (SeaweedFS, on loopback) that can be killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sysconfig
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
import s3fs
from botocore.exceptions import BotoCoreError, ClientError

from seraser_core.storage.s3_client import Store

_START_SECONDS = 90
_STRAY_SETTINGS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION")


class S3Server:
    """A server whose objects are in a folder; every port of it was free just now.

    Args:
        folder: Its own.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
        if program is None:
            pytest.fail("the S3 server `weed` is not installed; install the dev dependencies")
        self._key, self._secret = secrets.token_hex(8), secrets.token_hex(16)
        self._folder, self._server = folder, None
        config = folder / "s3.json"
        credentials = [{"accessKey": self._key, "secretKey": self._secret}]
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        identity = {"name": "tests", "credentials": credentials, "actions": actions}
        config.write_text(json.dumps({"identities": [identity]}))
        port, self._command = _command(program, folder, config)
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, on the same ports and with the same objects as before."""
        with (self._folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                self._command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        """Kill it; on SIGTERM it takes 11 s to end."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def log(self) -> str:
        """The end of what it wrote."""
        return (self._folder / "server.log").read_text(errors="replace")[-3000:]

    def announce(self, environment: pytest.MonkeyPatch) -> None:
        """Let the AWS_* of the environment point at it."""
        for name in _STRAY_SETTINGS:
            environment.delenv(name, raising=False)
        environment.setenv("AWS_ACCESS_KEY_ID", self._key)
        environment.setenv("AWS_SECRET_ACCESS_KEY", self._secret)
        environment.setenv("AWS_ENDPOINT_URL", self.url)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        forget_clients()

    def stores(self) -> bool:
        """Wait until it keeps an object; False when it ends before, or the time is over."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._server and self._server.poll() is None:
            with contextlib.suppress(OSError, BotoCoreError, ClientError):
                fs = s3fs.S3FileSystem(
                    use_listings_cache=False,
                    skip_instance_cache=True,
                    key=self._key,
                    secret=self._secret,
                    endpoint_url=self.url,
                    config_kwargs={"retries": {"max_attempts": 0}, "connect_timeout": 2},
                )
                if not fs.exists("ready"):
                    fs.mkdir("ready")
                fs.pipe_file("ready/object", b"kept")
                return bool(fs.cat_file("ready/object") == b"kept")
            time.sleep(0.1)
        return False


def forget_clients() -> None:
    """Those made before know another endpoint or other credentials."""
    s3fs.S3FileSystem.clear_instance_cache()
    Store.clear_instance_cache()


def _command(program: str, folder: Path, config: Path) -> tuple[int, list[str]]:
    """The S3 port and the command of a server."""
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
