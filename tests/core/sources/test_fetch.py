"""Fetching files, within limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seraser_core import storage
from seraser_core.config.options import LimitOptions
from seraser_core.errors import ItemError, TransientError
from seraser_core.sources.fetch import fetch

LIMITS = LimitOptions(max_bytes=10)


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, on disk and in object storage."""
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("bucket")


@pytest.mark.parametrize("content", [b"", b"x", b"0123456789"])
def test_files_within_the_limit(root, content):
    url = storage.join(root, "an image é.png")
    storage.write_bytes(url, content)
    assert fetch(url, {}, LIMITS) == content


@pytest.mark.parametrize(
    ("name", "code"), [("large.png", "too_large"), ("gone.png", "missing"), ("folder", "missing")]
)
def test_faults_that_stay(root, name, code):
    storage.write_bytes(storage.join(root, "large.png"), b"0123456789a")
    storage.write_bytes(storage.join(root, "folder", "a.png"), b"a")
    with pytest.raises(ItemError) as caught:
        fetch(storage.join(root, name), {}, LIMITS)
    assert (caught.value.stage, caught.value.code) == ("fetch", code)
    assert len(caught.value.message) > 10


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(10**12)  # more than there is memory, on no disk
    with pytest.raises(ItemError) as caught:
        fetch(str(tmp_path / "sparse.png"), {}, LimitOptions(max_bytes=2**34))
    assert caught.value.code == "too_large"


def test_a_file_that_may_not_be_read(bucket):
    url = f"{bucket}/a.png"
    storage.write_bytes(url, b"x")
    with pytest.raises(ItemError) as caught:
        fetch(url, {"anon": True}, LIMITS)
    assert (caught.value.stage, caught.value.code) == ("fetch", "forbidden")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_local_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(ItemError) as caught:
        fetch(str(path), {}, LIMITS)
    assert caught.value.code == "forbidden"


@pytest.mark.parametrize(
    "url",
    ["/x/a\0b.png", "rubbish://a/b.png", "/x/" + "a" * 5000, "s3://", "s3://no-such-bucket-here/a"],
)
def test_impossible_locations_are_missing_files(s3, url):
    with pytest.raises(ItemError) as caught:
        fetch(url, {}, LIMITS)
    assert (caught.value.stage, caught.value.code) == ("fetch", "missing")


def test_a_server_that_is_away_may_come_back(s3, unused_port, hasty):
    options = {
        "endpoint_url": f"http://127.0.0.1:{unused_port}",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1},
    }
    with pytest.raises(TransientError):
        fetch("s3://bucket/a.png", options, LIMITS)
