"""No key is found in anything that a command prints, writes or tells Prefect, however it fails.

Every place that can hold a key holds one that is nowhere else, and all outputs are searched for it,
byte by byte.
"""

from __future__ import annotations

import http.server
import io
import json
import logging
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest
import s3fs
import yaml
from typer.testing import CliRunner

from seraser_core.cli.main import app

_COMMAND = """
import logging
from seraser_core import backoff
from seraser_core.cli.main import app

backoff.POLICY = backoff.Policy(tries=2, shortest_s=0.1)
for name in ("seraser_core", "flows", "tasks"):
    logging.getLogger(name).setLevel(logging.DEBUG)
app()
"""
_TIMEOUT_S = 250


class Handler(http.server.BaseHTTPRequestHandler):
    """Leads every request for a file to a signed URL, as hubs and content networks do."""

    key = ""
    picture = b""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not url.query:
            self.send_response(302)
            self.send_header("Location", f"{url.path}?X-Amz-Signature={self.key}")
            self.end_headers()
            return
        name = url.path.strip("/").partition(".")[0]
        if name == "reset":
            self.connection.close()
            return
        status = int(name) if name.isdigit() else 200
        body = self.picture if name == "whole" else b"no picture"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def signed(pictures: Path) -> Iterator[tuple[str, str]]:
    """URL of a server that redirects to signed URLs, and the key in them."""
    key = secrets.token_hex(16)
    picture = next(pictures.parent.glob("picture 00*.png")).read_bytes()
    handler = type("Signing", (Handler,), {"key": key, "picture": picture})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", key
        server.shutdown()


class Outputs:
    """What commands print and write, with the keys that must not be in it.

    Args:
        folder: Whose files are outputs: run directories and Prefect's home.
        config: File that the test writes its configuration to, which holds keys and is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder / "runs", folder / "prefect"
        self.config = folder / "config.yaml"
        self.printed: list[str] = []
        self.keys: dict[str, str] = {}

    def plant(self, place: str) -> str:
        """A new key."""
        return self.keys.setdefault(place, secrets.token_hex(16))

    def run(self, tree: dict[str, Any], *arguments: str, **environment: str) -> int:
        """Run a configuration as a command, with every kind of log at its most talkative."""
        self.config.write_text(yaml.safe_dump({"output": str(self.folder)} | tree))
        known = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        talkative = {
            "PREFECT_HOME": str(self.home),
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "PREFECT_LOGGING_EXTRA_LOGGERS": "seraser_core,flows,tasks",
            "COLUMNS": "200",
        }
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND, "--verbose", "run", str(self.config), *arguments],
            env=known | talkative | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        self.printed += [done.stdout, done.stderr]
        return done.returncode

    def found(self) -> list[str]:
        """Where keys are, e.g. ``the password of dataset.path in prefect/prefect.db``."""
        contents = {f"output {i}": text.encode() for i, text in enumerate(self.printed)}
        for place in (self.folder, self.home):
            for path in sorted(place.rglob("*")):
                if path.is_file():
                    contents[str(path.relative_to(place.parent))] = path.read_bytes()
        return [
            f"{place} in {name}: {_near(content, key)}"
            for name, content in contents.items()
            for place, key in self.keys.items()
            if key.encode() in content
        ]


def _near(content: bytes, key: str) -> str:
    at = content.index(key.encode())
    return content[max(0, at - 200) : at + 60].decode(errors="replace")


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path)


@pytest.fixture
def environment(outputs: Outputs) -> dict[str, str]:
    """Keys in the environment that no server knows."""
    return {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": outputs.plant("AWS_SECRET_ACCESS_KEY"),
        "AWS_SESSION_TOKEN": outputs.plant("AWS_SESSION_TOKEN"),
    }


@pytest.fixture
def of_web(tree: dict[str, Any], signed: tuple[str, str], outputs: Outputs, tmp_path: Path) -> Any:
    """Makes the tree of a run over images of these names, each behind a signed URL."""
    url, outputs.keys["signature of a redirect"] = signed

    def make(names: list[str]) -> dict[str, Any]:
        table = tmp_path / "web.csv"
        pl.DataFrame({"image": [f"{url}/{name}.png" for name in names]}).write_csv(table)
        dataset = {"path": str(table), "allow_outside": True}
        dataset["classes"] = tree["dataset"]["classes"]
        once = {"shard": {"max_items": 100}, "runtime": {"retries": 0}}
        return tree | once | {"dataset": dataset, "methods": ["zero_shot"]}

    return make


PREFECT = pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="prefect", marks=pytest.mark.slow),
        pytest.param(["--no-prefect"], id="alone"),
    ],
)
pytestmark = pytest.mark.timeout(300)


@PREFECT
def test_images_that_cannot_be_used(outputs, environment, of_web, options):
    web = of_web(["whole", "404", "403", "401", "410", "503", "reset", "text"])
    assert outputs.run(web, *options, **environment) == 0
    (run,) = outputs.folder.glob("small-*")
    rows = pl.read_parquet(run / "predictions" / "*.parquet")
    assert rows["error_message"].null_count() == 1
    assert "503.png?X-Amz-Signature=***" in "".join(rows["error_message"].drop_nulls())
    assert (run / "report" / "report.html").exists()
    assert (outputs.home / "prefect.db").exists() == (not options)
    assert outputs.found() == []


@PREFECT
@pytest.mark.slow
def test_a_server_that_fails(outputs, environment, of_web, options):
    web = of_web([f"503.{number}" for number in range(40)])
    assert outputs.run(web, *options, **environment) == 1
    (run,) = outputs.folder.glob("small-*")
    (failure, *_) = (run / "failures").iterdir()
    assert "X-Amz-Signature=***" in json.loads(failure.read_text())["message"]
    assert outputs.found() == []


@pytest.mark.slow
@PREFECT
def test_weights_that_cannot_be_used(outputs, environment, signed, tree, options):
    url, outputs.keys["signature of a redirect"] = signed
    for name in ("503", "text") if options else ("503",):  # a server takes its time
        weights = tree["model"] | {"pretrained": f"{url}/{name}.safetensors"}
        code = outputs.run(tree | {"model": weights}, *options, **environment)
        assert code in (1, 2), outputs.printed[-1]
    assert outputs.found() == []


@pytest.mark.slow
@PREFECT
def test_storage_that_refuses_or_is_not_there(
    outputs, environment, tree, bucket, unused_port, options
):
    s3fs.S3FileSystem().pipe_file(f"{bucket}/metadata.csv", b"file,y\n1.png,0\n")
    far = tree["dataset"] | {"path": f"{bucket}/metadata.csv"}
    assert outputs.run(tree | {"dataset": far}, *options, **environment) in (1, 2)
    if options:  # a server takes its time
        assert outputs.run(tree | {"output": f"{bucket}/runs"}, *options, **environment) in (1, 2)
    password = outputs.plant("the password of AWS_ENDPOINT_URL")
    environment["AWS_ENDPOINT_URL"] = f"http://someone:{password}@127.0.0.1:{unused_port}"
    assert outputs.run(tree | {"dataset": far}, *options, **environment) in (1, 2)
    assert outputs.found() == []


URLS = {
    "password": "https://someone:{}@127.0.0.1:9/x{}",
    "name": "https://{}@127.0.0.1:9/x{}",
    "presigned": "https://127.0.0.1:9/x{1}?X-Amz-Expires=60&X-Amz-Signature={0}",
    "SAS": "https://127.0.0.1:9/x{1}?sv=1&sig={0}",
    "token": "https://127.0.0.1:9/x{1}#access_token={0}",
}
OPTIONS = {
    "dataset.path": ".csv",
    "dataset.image": "",
    "dataset.classes": ".txt",
    "dataset.storage_options.endpoint_url": "",
    "model.name": ".json",
    "model.pretrained": ".safetensors",
    "methods.0.templates": ".txt",
    "segment.detector": "",
    "output": "",
}
SECRETS = ("key", "secret", "token", "account_key", "connection_string", "sas_token", "password")


def refused(tree, tmp_path, *arguments):
    """All that a command says of a configuration that it refuses before anything is made."""
    config = tmp_path / "config.yaml"
    config.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree))
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["run", str(config), *arguments])
    assert done.exit_code == 2, done.output
    assert not list((tmp_path / "runs").rglob("*.*"))
    return done.output


@pytest.mark.parametrize("kind", URLS)
@pytest.mark.parametrize("option", OPTIONS)
def test_urls_with_keys_are_refused(tree, tmp_path, kind, option):
    key = secrets.token_hex(16)
    url = URLS[kind].format(key, OPTIONS[option])
    said = refused(tree, tmp_path, "--set", f"{option}={url}")
    assert option.rpartition(".")[0] in said
    assert "no password and no signature" in " ".join(said.split())
    assert key not in said


@pytest.mark.parametrize("name", SECRETS)
def test_storage_options_with_keys_are_refused(tree, tmp_path, name):
    key = secrets.token_hex(16)
    for options in ({name: key}, {"client_kwargs": {name: key}}, f"{name}={key}", [{name: key}]):
        tree["dataset"]["storage_options"] = options
        said = refused(tree, tmp_path)
        assert "dataset.storage_options" in said
        assert key not in said


@pytest.mark.parametrize(
    "override",
    [
        "dataset.path.secret={}",
        "model.name.token={}",
        "methods.9.key={}",
        "seed.storage_options={}",
    ],
)
def test_keys_in_overrides_that_cannot_be_set(tree, tmp_path, override):
    key = secrets.token_hex(16)
    tree["seed"] = 1
    said = refused(tree, tmp_path, "--set", override.format(key))
    assert override.format("***") in said
    assert key not in said


def test_a_key_in_a_line_that_is_no_yaml(tmp_path):
    key = secrets.token_hex(16)
    said = refused(f"dataset:\n  storage_options: {{secret: {key}: x\n", tmp_path)
    assert "line 2" in said
    assert key not in said


@pytest.mark.parametrize("kind", URLS)
def test_a_key_in_the_url_of_the_configuration(kind):
    """Prefect would keep it as a parameter."""
    key = secrets.token_hex(16)
    done = CliRunner().invoke(app, ["run", URLS[kind].format(key, ".yaml")])
    assert done.exit_code == 2
    assert "config" in done.output
    assert key not in done.output


@pytest.mark.parametrize("kind", URLS)
def test_keys_in_tables(tree, tmp_path, kind):
    key = secrets.token_hex(16)
    table = tmp_path / "table.csv"
    pl.DataFrame({"file": [URLS[kind].format(key, ".png")], "y": [0]}).write_csv(table)
    tree["dataset"] = {"path": str(table), "image": "file", "classes": ["a", "b"]}
    assert key not in refused(tree, tmp_path, "--no-prefect", "--set", "dataset.allow_outside=true")


def test_an_unexpected_error_shows_its_traceback_without_keys(tree, tmp_path, monkeypatch):
    key = secrets.token_hex(16)

    def fail(*_: Any) -> None:
        try:
            raise OSError(f"https://127.0.0.1/x?sig={key}")
        except OSError as error:
            raise RuntimeError("what nobody thought of") from error

    monkeypatch.setattr("seraser_core.cli.plan.load_config", fail, raising=False)
    monkeypatch.setattr("seraser_core.config.load_config", fail)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(tree))
    text, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(text)
    root.addHandler(handler)
    try:
        done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["plan", str(config)])
    finally:
        root.removeHandler(handler)
    assert done.exit_code == 1
    assert "what nobody thought of" in text.getvalue()
    assert "sig=***" in text.getvalue()
    assert key not in text.getvalue() + done.output
