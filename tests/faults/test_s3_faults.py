"""Object storage that misbehaves, seen through a proxy: what passes costs time, and nothing else.

SeaweedFS is the server. The proxy spoils requests as told, or by chance.
"""

from __future__ import annotations

import os
import random

import pytest
from proxy import KINDS, Proxy
from s3_server import forget_clients

from seraser_core import backoff, s3, storage
from seraser_core.backoff import Policy
from seraser_core.errors import ChangedError, TransientError
from seraser_core.runner import local

TRIES = 6
CREDENTIALS = ("expired token", "stale key", "skewed clock")
SLOW = ("no answer", "stalled", "dripping")
PASSING = [kind for kind in KINDS if kind not in (*CREDENTIALS, "forbidden", "no range")]
BODILESS = [kind for kind in PASSING if kind not in ("truncated", "stalled", "dripping", "short")]
CONTENT = random.Random(5).randbytes(50_000)
WRITES = ("predictions", "metrics", "commits")


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    """Tries that follow each other soon, and little time for each."""
    monkeypatch.setattr(backoff, "POLICY", Policy(tries=TRIES, shortest_s=0.01, longest_s=0.1))
    monkeypatch.setattr(local, "_BACKOFF_S", (0.01, 0.1))
    monkeypatch.setattr(s3, "ANSWER_S", 2.0)
    monkeypatch.setattr(s3, "SLOWEST", 10**6)
    monkeypatch.setitem(s3._CONFIG, "read_timeout", 1)
    forget_clients()


@pytest.fixture
def proxy(s3, monkeypatch):
    """A proxy that spoils nothing yet, before the server of the environment."""
    with Proxy(s3).running() as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        forget_clients()
        yield proxy
    forget_clients()


@pytest.fixture
def url(bucket, proxy):
    """URL of an object with CONTENT."""
    storage.write_bytes(f"{bucket}/a.png", CONTENT)
    proxy.forget()
    return f"{bucket}/a.png"


def open_and_read(url):
    with storage.open_file(url) as file:
        file.seek(1000)
        return file.read(2000)


READS = {
    "whole": (storage.read_bytes, CONTENT),
    "most": (lambda url: storage.read_bytes(url, most=1000), CONTENT[:1000]),
    "range": (lambda url: storage.read_range(url, 1000, 2000), CONTENT[1000:3000]),
    "end": (lambda url: storage.read_range(url, len(CONTENT) - 9, 99), CONTENT[-9:]),
    "opened": (open_and_read, CONTENT[1000:3000]),
}


def times_of(kind):
    return 1 if kind in SLOW else 2


@pytest.mark.parametrize("kind", PASSING)
def test_every_way_to_read_outlasts_every_fault_that_passes(proxy, url, kind):
    tag = storage.version(url)
    tagged = (lambda url: storage.read_range(url, 1000, 2000, version=tag), CONTENT[1000:3000])
    ways = READS | {"tagged": tagged}
    for name in ("opened", "tagged") if kind in SLOW else ways:
        read, expected = ways[name]
        proxy.forget()
        proxy.tell(kind, "*/a.png", "GET", times=times_of(kind))
        assert read(url) == expected
        assert proxy.spoilt[kind] == times_of(kind)


@pytest.mark.parametrize("kind", BODILESS)
def test_every_other_request_outlasts_every_fault_that_passes(proxy, url, bucket, kind):
    folder = f"{bucket}/set"
    requests = {
        "PUT": lambda: storage.write_bytes(f"{folder}/b.bin", b"x" * 3000),
        "HEAD": lambda: storage.version(url),
        "GET": lambda: storage.list_files(folder),
        "DELETE": lambda: storage.delete(url),
    }
    for method, ask in requests.items():
        proxy.tell(kind, "*", method, times=times_of(kind))
        ask()
    assert proxy.spoilt[kind] == 4 * times_of(kind)
    assert not storage.exists(url)
    assert storage.find_files(folder) == {"b.bin": 3000}


@pytest.mark.parametrize("kind", ["truncated", "short", "reset"])
def test_large_objects_are_fetched_in_parts(proxy, url, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(s3, "_PART", 4000)
    proxy.tell(kind, "*/a.png", "GET", times=4)
    storage.fetch_file(url, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == CONTENT
    proxy.tell(kind, "*/a.png", "GET", times=4)
    assert storage.read_bytes(url, most=9999) == CONTENT[:9999]
    assert proxy.spoilt[kind] == 8


def test_an_answer_without_a_range_is_believed_if_it_is_all_of_the_object(proxy, url):
    proxy.tell("no range", "*/a.png", "GET", times=1e9)
    assert storage.read_bytes(url) == CONTENT
    assert proxy.count("GET") == 1
    for read in (READS["most"][0], READS["range"][0]):
        with pytest.raises(TransientError, match="bytes from byte 0 on came"):
            read(url)


def test_an_open_object_that_is_replaced(url):
    with pytest.raises(TransientError), storage.open_file(url) as file:
        storage.write_bytes(url, CONTENT[::-1])
        file.read(10)
    tag = storage.version(url)
    storage.write_bytes(url, CONTENT)
    with pytest.raises(ChangedError):
        storage.read_range(url, 0, 10, version=tag)


@pytest.mark.parametrize("kind", ["slow down", "internal error", "truncated", "short"])
def test_a_fault_that_stays_is_asked_a_bounded_number_of_times(proxy, url, kind):
    for read, _ in READS.values():
        proxy.forget()
        proxy.tell(kind, "*/a.png", "GET", times=1e9)
        with pytest.raises(TransientError, match=r"cannot read s3://"):
            read(url)
        assert proxy.count("GET") == TRIES


def test_a_body_that_drips_is_given_up_although_no_byte_is_late(proxy, url, monkeypatch):
    monkeypatch.setattr(backoff, "POLICY", Policy(tries=2, shortest_s=0.01))
    proxy.tell("dripping", "*/a.png", "GET", times=1e9)
    with pytest.raises(TransientError, match="no whole answer in 2 s"):
        storage.read_bytes(url, most=1000)
    assert proxy.count("GET") == 2


def test_what_is_forbidden_or_missing_is_asked_once(proxy, url, bucket):
    proxy.tell("forbidden", "*/a.png", times=1e9)
    with pytest.raises(PermissionError):
        storage.read_bytes(url)
    with pytest.raises(PermissionError):
        storage.write_bytes(url, b"x")
    assert (proxy.count("GET"), proxy.count("PUT")) == (1, 1)
    for gone in (f"{bucket}/gone.png", "s3://no-such-bucket-here/gone.png"):
        proxy.forget()
        with pytest.raises(FileNotFoundError):
            storage.read_bytes(gone)
        assert proxy.count("GET") == 1


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_stale_credentials_are_taken_anew_and_asked_with_once_more(proxy, url, kind):
    for ask in (
        lambda: storage.read_bytes(url),
        lambda: storage.version(url),  # a HEAD is refused without a code
        lambda: storage.write_bytes(url, CONTENT),
    ):
        proxy.forget()
        proxy.tell(kind, "*/a.png", times=1e9)
        with pytest.raises(TransientError):
            ask()
        assert proxy.spoilt[kind] <= 4  # a HEAD and a GET, twice


def test_credentials_that_were_replaced_are_found(url, monkeypatch, tmp_path):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    right = [os.environ[name] for name in names]
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for name in names:
        monkeypatch.delenv(name)

    def write(key, secret):
        text = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        file.write_text(text)

    write("old", "old")
    forget_clients()
    with pytest.raises(TransientError):
        storage.read_bytes(url)
    write(*right)
    assert storage.read_bytes(url) == CONTENT
