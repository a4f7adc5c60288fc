"""What is taken for a secret among storage options, and what is not."""

from __future__ import annotations

import pytest

from seraser_core.config.secrets import refuse_secret_url, refuse_secrets, shown_override


@pytest.mark.parametrize(
    "key",
    [
        *("auth", "Authorization", "proxy_auth", "pwd", "sas", "sas_token", "connection_string"),
        *("connectionString", "signature", "headers", "extra-header", "cookie", "cookies"),
        *("bearer", "key", "AccountKey", "aws_secret_access_key", "api_key", "passphrase"),
    ],
)
def test_keys_of_secrets(key):
    for options in ({key: "hunter2"}, {"a": {key: "hunter2"}}, {"a": [[{key: "hunter2"}]]}):
        with pytest.raises(ValueError, match=r"^storage_options\..*; ") as caught:
            refuse_secrets("storage_options", options)
        assert "hunter2" not in str(caught.value)


def test_urls_with_secrets_among_the_options():
    options = {"client_kwargs": {"proxies": ["http://me:hunter2@proxy"]}}
    with pytest.raises(ValueError, match=r"^storage_options\.client_kwargs\.proxies: ") as caught:
        refuse_secrets("storage_options", options)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://host/x.png?access_token=hunter2",
        "https://host/x.png?a=1&token=hunter2",
        "https://host/x.png?api_key=hunter2",
        "https://host/x.png?X-Amz-Security-Token=hunter2",
    ],
)
def test_urls_with_tokens(url):
    with pytest.raises(ValueError, match="must hold no password") as caught:
        refuse_secret_url("dataset.path", url)
    assert "hunter2" not in str(caught.value)
    refuse_secret_url("dataset.path", url.replace("hunter2", "").partition("?")[0])
    refuse_secret_url("dataset.path", "https://host/x.png?tokens=3&keyword=x")


def test_other_options():
    options = {
        "anon": True,
        "author": "me",
        "keyword": 1,
        "requester_pays": False,
        "endpoint_url": "http://127.0.0.1:9000",
        "config_kwargs": {"signature_version": "s3v4", "retries": {"max_attempts": 3}},
    }
    refuse_secrets("storage_options", options)


def test_a_long_text_that_names_nothing_is_read_once():
    """Each of its places once: else this would take minutes."""
    long = "storage_options " + "a" * 200_000
    assert shown_override(long) == long
    assert shown_override(f"{long}.token=b") == f"{long}.token=***"
