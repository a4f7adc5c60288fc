"""Files on disk and in a real S3 server."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import gcsfs
import google.auth.exceptions
import polars as pl
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.parsers import ResponseParserError
from s3_server import forget_clients

from seraser_core import backoff, storage
from seraser_core.backoff import Backoff, Policy
from seraser_core.errors import ChangedError, TransientError
from seraser_core.faults import sorted_faults


@pytest.fixture(autouse=True)
def policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few tries that follow each other at once."""
    monkeypatch.setattr(backoff, "POLICY", Policy(tries=3, shortest_s=0.001))


@pytest.fixture(params=["local", "s3", "gcs"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, on disk and in object storage."""
    if request.param == "local":
        return str(tmp_path / "root")
    bucket = "bucket" if request.param == "s3" else "gcs_folder"
    return f"{request.getfixturevalue(bucket)}/root"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("/data/a.png", True),
        ("data/a.png", True),
        ("file:///data/a.png", True),
        ("/data/odd::name.png", True),
        ("/data/odd://name.png", True),
        ("odd::name.png", True),
        ("s3://bucket/a.png", False),
        ("simplecache::s3://bucket/a.png", False),
    ],
)
def test_local_paths(url, local):
    path = Path(url.removeprefix("file://")) if local else None
    assert storage.local_path(url) == path


@pytest.mark.parametrize(
    ("url", "base", "expected"),
    [
        ("a/b.csv", "/data", "/data/a/b.csv"),
        ("../b.csv", "/data/set", "/data/b.csv"),
        ("/x/b.csv", "/data", "/x/b.csv"),
        ("file:///x/b.csv", "/data", "/x/b.csv"),
        ("a/b.csv", "file:///data", "/data/a/b.csv"),
        ("a/b.csv", "s3://bucket/set", "s3://bucket/set/a/b.csv"),
        ("s3://other/b.csv", "s3://bucket/set", "s3://other/b.csv"),
        ("/x/b.csv", "s3://bucket/set", "/x/b.csv"),
    ],
)
def test_absolute(url, base, expected):
    assert storage.absolute(url, base) == expected


def test_homes_of_users_that_are_not_known():
    with pytest.raises(ValueError, match="~no-such-user; write the whole path"):
        storage.absolute("~no-such-user/x", "/data")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/data/set/t.csv", "/data/set"),
        ("s3://bucket/t.csv", "s3://bucket"),
        ("s3://b/c/t", "s3://b/c"),
    ],
)
def test_parent(url, expected):
    assert storage.parent(url) == expected


NAMES = ["plain.bin", "with space.bin", "é ü 名.bin", "a::b.bin", "50% #1?.bin", "[x]*.bin"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read(root, name):
    url = storage.join(root, "deep", name)
    assert not storage.exists(url)
    storage.write_bytes(url, b"first")
    storage.write_bytes(url, b"second, longer")
    assert storage.exists(url)
    assert storage.read_bytes(url) == b"second, longer"
    assert storage.read_bytes(url, most=6) == b"second"
    assert storage.read_bytes(url, most=10_000) == b"second, longer"
    assert storage.read_bytes(url, most=2**60) == b"second, longer"  # more than there is memory
    assert storage.list_files(storage.join(root, "deep")) == [name]
    found = storage.find_files(root)
    assert {name: file.size for name, file in found.items()} == {f"deep/{name}": 14}
    assert storage.find_files(root, prefix=f"deep/{name[:1]}") == found
    assert storage.find_files(storage.join(root, "deep"), prefix="other") == {}
    storage.delete(url)
    storage.delete(url)
    assert not storage.exists(url)


def test_an_empty_file_has_no_bytes_whatever_the_limit(root):
    url = storage.join(root, "empty")
    storage.write_bytes(url, b"")
    assert storage.read_bytes(url) == b""
    assert storage.read_bytes(url, most=100) == b""


def test_what_is_not_there(root):
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(root, "gone"))
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(root, "gone"), most=5)
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(root, "long" * 1000))
    assert storage.list_files(storage.join(root, "nothing")) == []
    assert storage.find_files(storage.join(root, "nothing")) == {}


def test_what_killed_writers_left_is_not_listed_and_removed_when_it_is_old(tmp_path):
    storage.write_bytes(str(tmp_path / "a" / "b.bin"), b"x")
    left = tmp_path / "a" / ".b.bin.1f2e3d4c.tmp"
    left.write_bytes(b"half")
    assert storage.list_files(str(tmp_path / "a")) == ["b.bin"]
    assert {name: one.size for name, one in storage.find_files(str(tmp_path)).items()} == {
        "a/b.bin": 1
    }
    folder = storage.at(str(tmp_path / "a"))
    os.utime(left, (0, 0))  # as a new name of an old file, which is about to be published
    assert folder.remove_unfinished() == 0
    assert folder.remove_unfinished(age_s=-1) == 1
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.bin"]


def test_a_folder_whose_files_are_gone_is_empty(root):
    storage.write_bytes(f"{root}/again/00001", b"")
    assert storage.list_files(f"{root}/again") == ["00001"]
    storage.delete(f"{root}/again/00001")
    assert storage.list_files(f"{root}/again") == []
    assert storage.find_files(f"{root}/again") == {}


def test_folders_are_not_listed_as_files(root):
    for name in ("b", "a", "c/d"):
        storage.write_bytes(storage.join(root, name), b"x")
    assert storage.list_files(root) == ["a", "b"]


def test_readers_never_see_half_a_write(root):
    url = storage.join(root, "whole")
    versions = {bytes([i]) * 300_000 for i in range(8)}
    storage.write_bytes(url, bytes([0]) * 300_000)
    stop = threading.Event()

    def read() -> set[bytes]:
        seen = set()
        while not stop.is_set():
            seen.add(storage.read_bytes(url))
        return seen

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        try:
            list(pool.map(lambda data: storage.write_bytes(url, data), sorted(versions) * 3))
        finally:
            stop.set()
    for reader in readers:
        assert reader.result() <= versions


def test_a_failed_local_write_leaves_the_old_file_and_nothing_else(tmp_path):
    url = str(tmp_path / "a.bin")
    storage.write_bytes(url, b"old")

    with pytest.raises(TypeError):
        storage.write_bytes(url, object())  # type: ignore[arg-type]
    assert storage.read_bytes(url) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_what_a_killed_write_leaves_is_not_listed(tmp_path):
    (tmp_path / ".a.json.x1y2.tmp").write_bytes(b"ha")
    (tmp_path / "a.json").write_bytes(b"{}")
    assert storage.list_files(str(tmp_path)) == ["a.json"]


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FileNotFoundError, match="not a file"):
        storage.read_bytes(str(tmp_path / "pipe.png"))


def test_a_name_cannot_lead_to_another_file_system(bucket, tmp_path):
    (tmp_path / "secret").write_bytes(b"local")
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{bucket}/a::file://{tmp_path}/secret")


def test_forbidden_and_stale_credentials_differ(bucket, monkeypatch):
    url = f"{bucket}/a"
    storage.write_bytes(url, b"x")
    with pytest.raises(PermissionError):
        storage.read_bytes(url, {"anon": True}, most=10)
    # A wrong secret says nothing about the object: the images of a run must not become errors.
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    forget_clients()
    with pytest.raises(TransientError):
        storage.read_bytes(url, most=10)
    monkeypatch.undo()
    forget_clients()


def test_a_missing_bucket_and_an_impossible_name(s3):
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("s3://no-such-bucket-here/a")
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("s3://no such bucket!/a")


def test_a_server_that_is_away_is_a_passing_fault(s3, unused_port):
    options = {
        "endpoint_url": f"http://127.0.0.1:{unused_port}",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1},
    }
    with pytest.raises(TransientError, match="cannot read s3://"):
        storage.read_bytes("s3://bucket/a", options)


def test_unknown_schemes_are_no_passing_fault():
    with pytest.raises(ValueError, match="rubbish"):
        storage.read_bytes("rubbish://a/b")


class Web:
    """A web server that answers with these statuses, and from then on with a file.

    Attributes:
        url: Of the file.
        statuses: What it answers next.
        asked: Requests that came.
        ranges: Whether it gives parts of files.
    """

    content = bytes(range(200))

    def __init__(self) -> None:
        self.url, self.asked, self.ranges = "", 0, True
        self.statuses: list[int] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        status, content = self.statuses.pop(0) if self.statuses else 200, self.content
        wanted = handler.headers.get("Range", "").removeprefix("bytes=")
        if status >= 300:
            content = b""
        elif wanted and self.ranges:
            first, last = map(int, wanted.split("-"))
            status, content = 206, content[first : last + 1]
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.answer(self)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web.url = f"http://127.0.0.1:{server.server_port}/a.png"
        yield web
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "expected", "tries"),
    [
        (404, FileNotFoundError, 1),
        (403, PermissionError, 1),
        (410, FileNotFoundError, 1),
        (429, TransientError, 3),
        (503, TransientError, 3),
    ],
)
def test_web_servers(web, status, expected, tries):
    web.statuses = [status] * 100
    with pytest.raises(expected):
        storage.read_bytes(web.url)
    assert web.asked == tries


def test_a_web_server_that_is_overloaded_for_a_moment(web):
    for read, expected in (
        (lambda: storage.read_bytes(web.url), web.content),
        (lambda: storage.read_bytes(web.url, most=9), web.content[:9]),
        (lambda: storage.read_range(web.url, 10, 20), web.content[10:30]),
        (lambda: storage.exists(web.url), True),
    ):
        web.statuses = [503, 502]
        assert read() == expected


def test_what_a_web_server_cannot_say_now_is_not_missing(web):
    web.statuses = [503] * 100
    with pytest.raises(TransientError):
        storage.exists(web.url)
    with pytest.raises(TransientError), storage.open_file(web.url):
        pass
    web.statuses = [404]
    assert not storage.exists(web.url)


def test_a_web_server_that_gives_no_parts_of_files(web):
    web.ranges = False
    assert storage.read_bytes(web.url, most=9) == web.content[:9]
    with pytest.raises(ValueError, match="gives no parts"):
        storage.read_range(web.url, 10, 20)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (gcsfs.retry.HttpError({"code": 503, "message": "Backend Error"}), TransientError),
        (gcsfs.retry.ChecksumError("another hash"), TransientError),
        (google.auth.exceptions.RefreshError("no answer"), TransientError),
        (ResponseParserError("no element found"), TransientError),
        (NoCredentialsError(), TransientError),
        (aiohttp.InvalidURL("http://"), FileNotFoundError),
        (ValueError("no such option"), ValueError),
        (RuntimeError("a mistake of ours"), RuntimeError),
        (ChangedError("not the file"), ChangedError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_the_faults_of_every_client_are_sorted(fault, expected):
    with pytest.raises(expected), sorted_faults("read", "there"):
        raise fault


def test_retries_are_told_once_in_a_hundred_and_without_the_url(web, monkeypatch, caplog):
    monkeypatch.setattr(backoff, "_retries", itertools.count(1))
    for _ in range(60):
        web.statuses = [503, 503]
        storage.read_bytes(f"{web.url}?signature=hunter2")
    assert [record.args[0] for record in caplog.records] == [1, 101]
    assert "hunter2" not in caplog.text


def test_pauses_grow_are_drawn_and_end(monkeypatch):
    monkeypatch.setattr(backoff, "POLICY", Policy(tries=6, shortest_s=1, longest_s=4, total_s=99))
    drawn = []
    for _ in range(200):
        tries = Backoff()
        drawn.append([tries.after(ConnectionError()) for _ in range(6)])
    *pauses, last = zip(*drawn, strict=True)
    assert set(last) == {None}
    for bound, some in zip((1, 2, 4, 4, 4), pauses, strict=True):
        assert 0 <= min(some) < bound / 10
        assert bound * 0.9 < max(some) <= bound
    monkeypatch.setattr(backoff, "POLICY", Policy(shortest_s=1e9, longest_s=1e9))
    assert Backoff().after(ConnectionError()) is None


@pytest.mark.parametrize("root", ["local", "s3"], indirect=True)
def test_polars_reads_what_storage_wrote(root, tmp_path):
    frame = pl.DataFrame({"a": [1, 2, 3]})
    frame.write_parquet(tmp_path / "a.parquet")
    url = storage.join(root, "x", "a.parquet")
    storage.write_bytes(url, (tmp_path / "a.parquet").read_bytes())
    pattern = storage.join(root, "*", "*.parquet")
    found = pl.scan_parquet(pattern, storage_options=storage.polars_options(url)).collect()
    assert found.equals(frame)


def test_polars_options_follow_the_environment(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert storage.polars_options("s3://bucket") is None
    assert storage.polars_options("/data") is None
    assert storage.polars_options("s3://bucket", {"anon": True}) == {"aws_skip_signature": "true"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    assert storage.polars_options("gs://bucket") is None
    found = storage.polars_options("s3://bucket")
    assert found is not None
    assert found["aws_access_key_id"] == "me"
    assert found["aws_endpoint_url"] == "http://127.0.0.1:1"
    assert found["aws_allow_http"] == "true"
    given = storage.polars_options("s3://b", {"client_kwargs": {"endpoint_url": "https://x"}})
    assert given is not None
    assert given["aws_endpoint_url"] == "https://x"
    assert "aws_allow_http" not in given


@pytest.mark.parametrize("header", ["ETag", "Last-Modified", None])
def test_a_file_of_a_web_server_that_changed(header):
    content = [b"first", "Wed, 25 Nov 2026 10:00:00 GMT"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            data = content[0]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            if header:
                self.send_header(header, content[1])
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/x.tar"
        before = storage.version(url)
        assert storage.version(url) == before
        content[:] = [b"other" if header else b"longer", "Wed, 25 Nov 2026 11:00:00 GMT"]
        assert storage.version(url) != before
        with pytest.raises(ChangedError):
            storage.read_range(url, 0, 5, version=before)
    finally:
        server.shutdown()
