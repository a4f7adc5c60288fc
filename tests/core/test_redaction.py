"""What is taken for a key in texts and logs, and what is not."""

from __future__ import annotations

import io
import logging

import pytest

from seraser_core.errors import ConfigError, ItemError, TransientError
from seraser_core.redaction import redact_logs, redacted

KEY = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"cannot read https://me:{KEY}@host/x: no",
        f"cannot read simplecache::https://{KEY}@host/x",
        f"url='https://host/x?X-Amz-Date=1&X-Amz-Signature={KEY}'",
        f"https://host/x?sv=1&amp;sig={KEY}&amp;se=2",
        f"https://host/x?X-Amz-Security-Token={KEY}, https://host/y?access_token={KEY}",
        f"DefaultEndpointsProtocol=https;AccountName=me;AccountKey={KEY};EndpointSuffix=x",
        f"SharedAccessSignature={KEY}",
        f"cannot read s3://AKIA:ab/{KEY}@host/x, s3://AKIA:/{KEY}@host/x",
        f"ftp://me:a/{KEY}@host/x",
        f"https://host/x?bearer={KEY}",
        f"unknown {{'name': 1, 'aws_secret_access_key': 'my {KEY}'}}",
    ],
)
def test_keys_in_texts(text):
    assert KEY not in redacted(text)
    assert "***" in redacted(text)
    for error in (TransientError(text), ConfigError("x", text, text)):
        assert KEY not in str(error)
    assert KEY not in ItemError("fetch", "missing", text).message


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN"])
def test_keys_of_the_environment(monkeypatch, name):
    monkeypatch.setenv(name, KEY)
    assert redacted(f"the server says {KEY} is wrong") == "the server says *** is wrong"


@pytest.mark.parametrize(
    "text",
    [
        "https://host:80/a@b.png?v=1&tokens=3",
        "abfs://box@account.dfs.core.windows.net/a.csv",
        "model.name: 'a photo of a key'",
        "token: unknown key\nhint: must be a group of options, as {key: value}",
        "http://[::1]:8080/a@b.png",
        "s3://bucket/a:b@c.png",
        "file:///C:/a@b.png",
        "methods.1.steps=3",
        "/data/monkey=1/x.png",
    ],
)
def test_other_texts_stay(text):
    assert redacted(text) == text


@pytest.fixture
def log():
    """A logger and what it writes, with every record redacted."""
    make, text = logging.getLogRecordFactory(), io.StringIO()
    handler, logger = logging.StreamHandler(text), logging.getLogger("tests.redaction")
    logger.addHandler(handler)
    redact_logs()
    yield logger, text
    logger.removeHandler(handler)
    logging.setLogRecordFactory(make)


def test_logs_and_the_faults_behind_a_traceback(log):
    logger, text = log
    logger.error("asked %s for %d", f"https://me:{KEY}@host", 3)
    try:
        try:
            raise OSError(f"https://host/x?sig={KEY}")
        except OSError as error:
            raise RuntimeError("it failed") from error
    except RuntimeError:
        logger.exception("no luck")
    assert "asked https://me:***@host for 3" in text.getvalue()
    assert "RuntimeError: it failed" in text.getvalue()
    assert "OSError: https://host/x?sig=***" in text.getvalue()
    assert KEY not in text.getvalue()


def test_logs_are_redacted_once(log):
    make = logging.getLogRecordFactory()
    redact_logs()
    assert logging.getLogRecordFactory() is make


@pytest.mark.parametrize(
    "text",
    [
        "there is no file /data/key=1/x.png",
        "dataset.key=3: bad",
    ],
)
def test_honest_texts_stay(text):
    assert redacted(text) == text


@pytest.mark.parametrize(
    "text", ["a" * 300_000, "access_" * 40_000, "a://" * 60_000, "key=" * 60_000]
)
def test_long_texts_are_no_work(text):
    """Where the work grew with the square of the length, this took longer than tests may."""
    redacted(text)
