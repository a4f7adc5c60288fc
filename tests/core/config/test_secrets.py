"""What is taken for a secret among storage options, and what is not."""

from __future__ import annotations

import pytest

from seraser_core.config.secrets import refuse_secrets


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
