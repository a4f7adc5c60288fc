"""Proxies of the environment: loopback never goes through one, and one that is gone is named."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp.helpers
import botocore.utils
import httpx
import polars as pl
import pytest
import websockets.proxy
import websockets.uri
import yarl
from http_proxy import HttpProxy
from s3_server import forget_clients

from seraser_core import proxies, proxy_check, storage
from seraser_core.cli.execute import _server
from seraser_core.cli.server import answers
from seraser_core.config import load_config
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.redaction import redacted
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

VARIABLES = [name for kind in ("http", "https", "all", "no") for name in (f"{kind}_proxy",)]
VARIABLES += [name.upper() for name in VARIABLES]
LOOPBACK = "localhost,127.0.0.1,::1"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without proxies, and nothing known of any."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is put back at the end, whoever sets it
        monkeypatch.delenv(name)
    proxy_check._asked.clear()
    forget_clients()
    yield
    forget_clients()


@pytest.fixture
def proxy() -> Iterator[HttpProxy]:
    with HttpProxy().running() as one:
        yield one


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Place of a web server of the files in ``tmp_path / "www"``."""
    (tmp_path / "www").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "www"))

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()


@pytest.fixture
def silent() -> Iterator[str]:
    """URL of a port that takes connections and says nothing."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield f"http://127.0.0.1:{one.getsockname()[1]}"


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("prefect.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("127.1", True),
        ("0.0.0.0", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost.example", False),
        ("mylocalhost", False),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("::2", False),
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_what_is_loopback(host, meant):
    assert proxies.is_loopback(host) is meant


@pytest.mark.parametrize(
    ("before", "lower", "upper"),
    [
        ({}, LOOPBACK, LOOPBACK),
        ({"NO_PROXY": "corp.example"}, f"corp.example,{LOOPBACK}", f"corp.example,{LOOPBACK}"),
        ({"no_proxy": ".a"}, f".a,{LOOPBACK}", f".a,{LOOPBACK}"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, f"a,{LOOPBACK}", f"b,{LOOPBACK}"),
        ({"no_proxy": "", "NO_PROXY": "b"}, LOOPBACK, f"b,{LOOPBACK}"),
        ({"NO_PROXY": "*"}, "*", "*"),
        ({"NO_PROXY": "127.0.0.1, x"}, "127.0.0.1,x,localhost,::1", "127.0.0.1,x,localhost,::1"),
        ({"NO_PROXY": "[::1]"}, "::1,localhost,127.0.0.1", "::1,localhost,127.0.0.1"),
        (
            {"PREFECT_API_URL": "http://127.0.0.9:4200/api"},
            f"{LOOPBACK},127.0.0.9",
            f"{LOOPBACK},127.0.0.9",
        ),
        ({"AWS_ENDPOINT_URL": "https://store.example"}, LOOPBACK, LOOPBACK),
        (
            {"AWS_ENDPOINT_URL": "http://10.1.2.3:9000", "NO_PROXY": "10.0.0.0/8"},
            f"10.0.0.0/8,{LOOPBACK},10.1.2.3",
            f"10.0.0.0/8,{LOOPBACK},10.1.2.3",
        ),
    ],
)
def test_loopback_is_added_and_all_else_kept(monkeypatch, before, lower, upper):
    for name in ("PREFECT_API_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HTTPS_PROXY": "http://proxy.example:3128", **before}.items():
        monkeypatch.setenv(name, value)
    proxies.prepare()
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (lower, upper)
    proxies.prepare()
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (lower, upper)
    assert os.environ["HTTPS_PROXY"] == "http://proxy.example:3128"


def test_nothing_changes_without_a_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "corp.example")
    proxies.prepare()
    assert os.environ["NO_PROXY"] == "corp.example"
    assert "no_proxy" not in os.environ


@pytest.mark.parametrize("variable", [n for n in VARIABLES if not n.lower().startswith("no")])
@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:42/api", "https://localhost:42/", "http://[::1]:42/", "http://127.0.0.9:42"],
)
def test_every_client_asks_loopback_directly(monkeypatch, variable, url):
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("PREFECT_API_URL", url)
    proxies.prepare()
    parts = urlsplit(url)
    assert proxies.proxy_for(url) is None
    with httpx.Client() as client:
        assert client._transport_for_url(httpx.URL(url)) is client._transport
    socket_uri = websockets.uri.parse_uri(url.replace("http", "ws", 1))
    assert websockets.proxy.get_proxy(socket_uri) is None
    with pytest.raises(LookupError):
        aiohttp.helpers.get_env_proxy_for_url(yarl.URL(url))
    if parts.hostname != "::1":  # for the others, s3fs is told by us
        assert urllib.request.proxy_bypass(parts.netloc)
        assert botocore.utils.get_environ_proxies(url) == {}


@pytest.mark.parametrize(
    ("environment", "url", "used"),
    [
        ({"HTTP_PROXY": "http://p:1"}, "http://a.example/x", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://a.example/x", None),
        ({"HTTPS_PROXY": "p:1"}, "https://a.example/x", "http://p:1"),
        ({"ALL_PROXY": "HTTP://p:1"}, "https://a.example/x", "http://p:1"),
        ({"all_proxy": "http://p", "https_proxy": "http://q"}, "https://a.example", "http://q"),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "http://q"}, "http://a.example", "http://q"),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": ""}, "http://a.example/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "example"}, "http://a.example/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": ".example"}, "http://a.example/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*.example"}, "http://a.example/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "b.example"}, "http://ab.example", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://a.example/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://10.2.3.4/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://11.2.3.4", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "fd00::/8"}, "http://[fd00::5]:9/x", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:80"}, "http://a.example:80", None),
        (
            {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:81"},
            "http://a.example",
            "http://p:1",
        ),
    ],
)
def test_the_proxy_of_a_server(monkeypatch, environment, url, used):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxies.proxy_for(url)
    assert (found and found.url) == used


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("ftp://me:secret@proxy.example:1", "proxies are http://"),
        ("socks4://proxy.example:1", "proxies are http://"),
        ("http://me:secret@proxy.example:door", "is no URL of a proxy"),
        ("http://", "names no host"),
        ("http:///proxy.example", "names no host"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(monkeypatch, value, fault):
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConfigError, match=fault) as refusal:
        proxies.refuse_unusable()
    assert refusal.value.field == "HTTPS_PROXY"
    assert "secret" not in str(refusal.value)
    with pytest.raises(ConfigError, match=fault):
        storage.read_bytes("https://a.example/x")


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:9", " socks://127.0.0.1:9/ ", "socks5h://h"])
def test_a_socks_proxy_hinders_no_client(monkeypatch, value):
    monkeypatch.setenv("ALL_PROXY", value)
    proxies.prepare()
    proxies.refuse_unusable()
    with httpx.Client() as client:
        own = client._transport_for_url(httpx.URL("http://127.0.0.1:4200"))
        assert own is client._transport
        assert client._transport_for_url(httpx.URL("http://a.example")) is not own
    with pytest.raises(ConfigError, match=r"ALL_PROXY: socks5h?://.*\n.*http:// proxies only"):
        storage.read_bytes("http://a.example/x")


def test_a_proxy_that_refuses_is_named(monkeypatch, unused_port):
    monkeypatch.setenv("HTTP_PROXY", f"http://me:very%20secret@127.0.0.1:{unused_port}")
    for url in ("http://a.example/x.png", "http://b.example/y.png"):
        with pytest.raises(ConfigError, match="refuses connections") as refusal:
            storage.read_bytes(url)
        assert str(refusal.value).startswith(f"HTTP_PROXY: http://127.0.0.1:{unused_port}\n")
        assert urlsplit(url).hostname in str(refusal.value)
        assert "secret" not in str(refusal.value)


def test_a_proxy_that_says_nothing_is_named_and_asked_once(monkeypatch, silent):
    monkeypatch.setattr(proxy_check, "_ANSWER_S", 0.2)
    monkeypatch.setenv("ALL_PROXY", silent)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store.example")
    for url in ("https://a.example/x.png", "s3://bucket/x.png"):
        with pytest.raises(ConfigError, match="does not answer") as refusal:
            storage.read_bytes(url)
        assert refusal.value.field == "ALL_PROXY"
    assert len(proxy_check._asked) == 1


def test_a_proxy_that_ends_in_the_middle_of_a_run_is_named(monkeypatch):
    """When an image could not be had after all tries."""
    monkeypatch.setattr(proxy_check, "_KEPT_S", 0)
    with HttpProxy().running() as one:
        monkeypatch.setenv("HTTP_PROXY", one.url)
        proxy_check.check_proxy("http://a.example/x.png")
    proxy_check.check_proxy("http://a.example/x.png")
    with pytest.raises(ConfigError, match="refuses connections"):
        proxy_check.check_proxy("http://a.example/x.png", fresh=True)


def test_the_time_for_a_proxy_is_within_ten_seconds():
    assert proxy_check._ANSWER_S < 10


def test_a_proxy_without_tls_is_named(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http", "https"))
    with pytest.raises(ConfigError, match="does not speak TLS"):
        storage.read_bytes("https://a.example/x.png")


def test_a_proxy_whose_name_is_not_known_is_named(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    with pytest.raises(ConfigError, match="name that is not known"):
        storage.read_bytes("https://a.example/x.png")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_the_web_is_read_through_the_proxy_and_loopback_is_not(
    monkeypatch, proxy, web, tmp_path, variable
):
    (tmp_path / "www" / "x").write_bytes(b"content")
    proxy.servers["images.example"] = web
    proxy.login = "me:s p@ce"
    url = proxy.url.replace("//", "//me:s%20p%40ce@")
    monkeypatch.setenv(variable, url)
    assert storage.read_bytes("http://images.example/x") == b"content"
    assert storage.read_range("http://images.example/x", 0, 7) == b"content"
    with storage.open_file("http://images.example/x") as file:
        assert file.read() == b"content"
    assert {target for _, target in proxy.seen} == {"http://images.example/x"}
    proxy.seen.clear()
    for host in ("127.0.0.1", "localhost"):
        assert storage.read_bytes(f"http://{host}:{web[1]}/x") == b"content"
    assert proxy.seen == []


@pytest.mark.parametrize("url", ["http://images.example/x", "https://images.example/x"])
def test_a_proxy_that_asks_for_a_password_is_no_missing_image(monkeypatch, proxy, url):
    proxy.login = "me:secret"
    monkeypatch.setenv("ALL_PROXY", proxy.url.replace("//", "//me:wrongpass@"))
    with pytest.raises(ConfigError, match="asks for a user and a password") as refusal:
        storage.read_bytes(url)
    assert "wrongpass" not in str(refusal.value)


def test_s3_goes_through_the_proxy_and_loopback_does_not(monkeypatch, proxy, s3, bucket):
    place = urlsplit(s3)
    storage.write_bytes(f"{bucket}/t.csv", b"a\n1\n")
    proxy.servers["store.example"] = ("127.0.0.1", int(place.port or 0))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    proxies.prepare()
    forget_clients()
    for host in ("127.0.0.1", "localhost"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{place.port}")
        forget_clients()
        assert storage.read_bytes(f"{bucket}/t.csv") == b"a\n1\n"
        options = storage.polars_options(bucket)
        assert pl.read_csv(f"{bucket}/t.csv", storage_options=options).rows() == [(1,)]
    assert proxy.seen == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://store.example:{place.port}")
    forget_clients()
    assert storage.read_bytes(f"{bucket}/t.csv") == b"a\n1\n"
    assert {urlsplit(target).hostname for _, target in proxy.seen} == {"store.example"}


def test_s3_of_a_profile_on_this_machine_needs_no_proxy(
    monkeypatch, tmp_path, s3, bucket, unused_port
):
    storage.write_bytes(f"{bucket}/x", b"content")
    config = tmp_path / "config"
    config.write_text(f"[default]\nservices = ours\n[services ours]\ns3 =\n  endpoint_url = {s3}\n")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{unused_port}")
    forget_clients()
    assert storage.read_bytes(f"{bucket}/x") == b"content"


def test_images_through_a_dead_proxy_are_refused_when_a_run_is_planned(
    monkeypatch, tree, pictures, tmp_path, unused_port
):
    """And in the run, where it is no fault of the images."""
    table = pl.read_csv(pictures).with_columns(file="http://images.example/" + pl.col("file"))
    table.write_csv(tmp_path / "t.csv")
    tree["dataset"] |= {"path": str(tmp_path / "t.csv"), "allow_outside": True, "mask": None}
    tree["methods"] = ["zero_shot"]
    url = plan_run(load_config(tree))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port}")
    with pytest.raises(ConfigError, match=r"HTTP_PROXY: .*\n.*images\.example"):
        plan_run(load_config(tree))
    with pytest.raises(SeraserError, match="HTTP_PROXY"):
        run_local(url)
    assert not Path(url, "commits").exists() or not list(Path(url, "commits").iterdir())


def test_a_prefect_server_behind_a_dead_proxy(monkeypatch, unused_port):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port}")
    with (
        pytest.raises(ConfigError, match=r"HTTP_PROXY: .*\n.*prefect\.example"),
        _server("http://prefect.example/api", None),
    ):
        pytest.fail("it was found")


def test_a_prefect_server_is_looked_for_through_the_proxy(monkeypatch, proxy, web, tmp_path):
    proxy.servers["prefect.example"] = web
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    proxies.prepare()
    assert answers("http://prefect.example/api")
    assert proxy.seen == [("GET", "http://prefect.example/api/health")]
    assert answers(f"http://127.0.0.1:{web[1]}/api")
    assert len(proxy.seen) == 1
    assert not answers("http://[::1")


@pytest.mark.parametrize(
    "text",
    ["cannot reach me:s3cretword@proxy.example", "at http://me:s3cretword@proxy.example:1/"],
)
def test_passwords_of_proxies_are_redacted(monkeypatch, text):
    monkeypatch.setenv("HTTPS_PROXY", "me:s3cretword@proxy.example:1")
    assert "s3cretword" not in redacted(text)


def test_flows_and_tasks_prepare_their_process(tmp_path):
    code = "import os, tasks, sys; sys.stdout.write(os.environ['NO_PROXY'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HTTP_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == LOOPBACK
