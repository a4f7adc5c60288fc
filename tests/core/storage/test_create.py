"""Files that are created if there is none, and published: whole, by one of many, or not at all."""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import os
import re
import signal
import sys
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import gcsfs
import pytest

from seraser_core import storage
from seraser_core.errors import ConfigError

NEW, OLD, OTHER = b"new" * 1000, b"old" * 900, b"other"
_ROUNDS = 2


@pytest.fixture(params=["local", "s3", "google"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder on a disk or in a store that creates what is not there."""
    if request.param == "local":
        return str(tmp_path / "root")
    return f"{request.getfixturevalue('bucket' if request.param == 's3' else 'generations')}/root"


@pytest.fixture
def generations(gcs_folder: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder of Google's emulator, behind a server that heeds ``ifGenerationMatch=0`` for it."""
    emulator, lock = os.environ["STORAGE_EMULATOR_HOST"], threading.Lock()
    bucket = gcs_folder.split("/")[2]

    class Server(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                status, headers, content = 412, [], b"{}"
                name = re.search(rb'"name": ("[^"]*")', body)
                if "ifGenerationMatch=0" not in self.path or not name or not there(name[1]):
                    status, headers, content = passed_on(self, body)
            self.send_response(status)
            for key, value in headers:
                if key.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    def there(name: bytes) -> bool:
        key = quote(json.loads(name), safe="")
        with opened(urllib.request.Request(f"{emulator}/storage/v1/b/{bucket}/o/{key}")) as answer:
            return answer.status == 200

    def passed_on(asked: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list, bytes]:
        headers = {
            k: v for k, v in asked.headers.items() if k.lower() not in ("host", "connection")
        }
        request = urllib.request.Request(
            emulator + asked.path, body or None, headers, method=asked.command
        )
        with opened(request) as answer:
            return answer.status, answer.headers.items(), answer.read()

    def opened(request: urllib.request.Request):
        try:
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError as refusal:
            return refusal

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        gcsfs.GCSFileSystem.clear_instance_cache()
        yield gcs_folder
        gcsfs.GCSFileSystem.clear_instance_cache()
        server.shutdown()


def refuse(code: int) -> Callable[..., None]:
    """A system call that fails."""

    def call(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


@pytest.fixture(params=["links", errno.EPERM, errno.ENOTSUP])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a disk with hard links, and on those without."""
    if request.param != "links":
        monkeypatch.setattr(os, "link", refuse(request.param))
    return tmp_path


def race(url: str) -> None:
    """See that one of many that create a file does, in each of several rounds."""
    for round_ in range(_ROUNDS):
        together = threading.Barrier(6)

        def create(data: bytes, url: str = f"{url}-{round_}", together=together) -> bool:
            together.wait(30)
            return storage.create(url, data)

        contents = [b"%d %d" % (round_, i) * 99 for i in range(6)]
        with ThreadPoolExecutor(6) as pool:
            created = list(pool.map(create, contents))
        assert created.count(True) == 1
        assert storage.read_bytes(f"{url}-{round_}") == contents[created.index(True)]


def test_a_file_is_created_if_there_is_none(root):
    url = f"{root}/deep/a.json"
    assert storage.create(url, NEW)
    assert not storage.create(url, OTHER)
    assert not storage.create(url, NEW)
    assert storage.read_bytes(url) == NEW
    assert storage.create(f"{root}/deep/empty", b"")
    assert not storage.create(f"{root}/deep/empty", OTHER)
    storage.delete(url)
    assert storage.create(url, OTHER)
    assert storage.read_bytes(url) == OTHER


def test_of_many_that_create_a_file_one_does(root):
    race(f"{root}/a.json")


def test_a_store_shows_whether_it_heeds_the_condition(root):
    assert storage.honours_create(root)
    assert not Path(root).exists() or list(Path(root).iterdir()) == []
    assert storage.find_files(root) == {}


def test_a_store_that_ignores_the_condition_is_found_out(gcs_folder):
    """As the emulator of Google's does."""
    assert not storage.honours_create(gcs_folder)
    assert storage.find_files(gcs_folder) == {}


def test_file_systems_without_the_condition_are_looked_at():
    url = "memory://create/a.json"
    assert not storage.honours_create("memory://create")
    assert storage.create(url, NEW)
    assert not storage.create(url, OTHER)
    assert storage.read_bytes(url) == NEW


def test_disks_without_hard_links_create_as_well(disk):
    race(f"{disk}/a.json")
    assert len(list(disk.iterdir())) == _ROUNDS
    assert storage.honours_create(str(disk))


def test_a_disk_that_cannot_create_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    for ask in (
        lambda: storage.create(f"{tmp_path}/a", NEW),
        lambda: storage.honours_create(str(tmp_path)),
    ):
        with pytest.raises(ConfigError, match="no hard links") as caught:
            ask()
        assert caught.value.field == "output"
    assert list(tmp_path.iterdir()) == []


def test_a_network_disk_that_repeats_what_it_has_done(tmp_path, monkeypatch):
    link = os.link

    def linked_twice(*given, **named):
        link(*given, **named)
        link(*given, **named)

    monkeypatch.setattr(os, "link", linked_twice)
    url = f"{tmp_path}/a.json"
    assert storage.create(url, NEW)
    assert not storage.create(url, OTHER)
    assert storage.read_bytes(url) == NEW


def _asks_the_system(function: object) -> bool:
    owner = getattr(function, "__self__", None)
    return getattr(owner, "__name__", type(owner).__module__) in ("posix", "_io")


def dies_before(n: int, write: Callable[[], object]) -> bool:
    """Fork a process that is killed before its n-th call of the system; False if it ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it does nothing but write
        child = os.fork()
    if not child:
        calls = itertools.count(1)

        def kill(_frame: object, event: str, function: object) -> None:
            if event == "c_call" and _asks_the_system(function) and next(calls) == n:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(kill)
        try:
            write()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


WRITES = {"write": (storage.write_bytes, OLD), "create": (storage.create, None)}
WRITES["publish"] = (lambda url, _: storage.publish(f"{url}-source", url), OLD)


@pytest.mark.parametrize(
    ("kind", "links"),
    [
        ("write", True),
        ("create", True),
        ("publish", True),
        pytest.param("create", False, marks=pytest.mark.slow),
        pytest.param("publish", False, marks=pytest.mark.slow),
    ],
)
def test_whoever_dies_leaves_a_whole_file_or_what_was_there(tmp_path, monkeypatch, kind, links):
    if not links:
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    write, before = WRITES[kind]
    seen = []
    for n in itertools.count(1):
        path = tmp_path / str(n) / "a.json"
        path.parent.mkdir()
        Path(f"{path}-source").write_bytes(NEW)
        if before is not None:
            path.write_bytes(before)
        died = dies_before(n, lambda url=str(path): write(url, NEW))
        seen.append(path.read_bytes() if path.exists() else None)
        assert {*storage.list_files(str(path.parent))} <= {"a.json", "a.json-source"}
        if kind == "create":
            assert storage.create(str(path), OTHER) is (seen[-1] is None)
        if not died:
            break
    named = seen.index(NEW)
    assert seen == [before] * named + [NEW] * (n - named)
    assert named > 5  # of calls until the file has its name
    assert n - named > 4  # until its folder is on the disk
    assert len(list(path.parent.iterdir())) == 2


def test_a_published_file_has_the_content_of_its_source(root):
    source, target = f"{root}/attempts/1", f"{root}/predictions/1"
    storage.write_bytes(source, NEW)
    for _ in range(2):
        storage.publish(source, target)
        assert storage.read_bytes(target) == NEW
    storage.write_bytes(f"{root}/attempts/2", OTHER)
    storage.publish(f"{root}/attempts/2", target)
    assert storage.read_bytes(target) == OTHER
    storage.delete(f"{root}/attempts/2")
    with pytest.raises(FileNotFoundError):
        storage.publish(f"{root}/attempts/2", target)
    assert storage.read_bytes(target) == OTHER
    assert storage.read_bytes(source) == NEW
    assert {*storage.find_files(root)} == {"attempts/1", "predictions/1"}


def test_readers_never_see_half_a_published_file(root):
    contents = [bytes([i]) * 300_000 for i in range(2)]
    for i, content in enumerate(contents):
        storage.write_bytes(f"{root}/{i}", content)
    storage.publish(f"{root}/0", f"{root}/x")
    stop = threading.Event()

    def read() -> set[bytes]:
        seen = set()
        while not stop.is_set():
            seen.add(storage.read_bytes(f"{root}/x"))
        return seen

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            list(pool.map(lambda i: storage.publish(f"{root}/{i % 2}", f"{root}/x"), range(20)))
        finally:
            stop.set()
    for reader in readers:
        assert reader.result() <= {*contents}


def test_a_published_file_is_stored_once_where_there_are_hard_links(disk):
    source, target = disk / "attempts" / "1", disk / "predictions" / "1"
    storage.write_bytes(str(source), NEW)
    for _ in range(2):  # again: a rename would leave both names of one file
        storage.publish(str(source), str(target))
        assert target.read_bytes() == NEW
        assert [path.name for path in target.parent.iterdir()] == ["1"]
    try:
        os.link(source, disk / "x")
    except OSError:
        assert target.stat().st_nlink == 1
    else:
        assert target.samefile(source)


def test_a_file_is_published_from_another_kind_of_storage(bucket, tmp_path):
    storage.write_bytes(f"{tmp_path}/a", NEW)
    storage.publish(f"{tmp_path}/a", f"{bucket}/a")
    storage.publish(f"{bucket}/a", f"{tmp_path}/b")
    assert Path(tmp_path, "b").read_bytes() == NEW
