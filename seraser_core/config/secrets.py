"""Keeping secrets out of configurations and tables, and so out of every record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from seraser_core.config.option_group import mistake
from seraser_core.redaction import SECRET_URL, redacted

_SECRET_KEY = re.compile(
    r"secret|pass(word|wd|phrase)|pwd|token|credential|^auth(?!or)|auth$|authorization|bearer|"
    r"connectionstring|connstr|signature(?!version)|header|cookie|^sas|sas$|"
    r"^key$|^pw$|(access|account|shared|private|api)key"
)
_NAMED = re.compile(r"(?<![\w.-])[\w.-]++(?=[\"']?\s*[:=])")
"""A name with a value after it."""
URL_RULE = "a URL must hold no password and no signature, which would be recorded"
PLAIN_URL = (
    "give the plain URL, and credentials in the environment (AWS_ACCESS_KEY_ID, ...), a profile or "
    "a Prefect block"
)


def is_secret_key(key: str) -> bool:
    """Return whether an option of this name holds a secret."""
    return _SECRET_KEY.search(re.sub(r"[_\W]", "", key).lower()) is not None


def names_secret(text: str) -> bool:
    """Return whether a text, such as options without a closing bracket, names a secret."""
    return any(is_secret_key(part) for name in _NAMED.findall(text) for part in name.split("."))


def without_secret(text: str) -> str:
    """Return a text up to its first word that is the name of a secret."""
    for word in re.finditer(r"\w+", text):
        if is_secret_key(word[0]) and text[word.end() :].strip():
            return f"{text[: word.end()]} ***"
    return text


def shown_override(text: str) -> str:
    """Return an override, or any other word of a command, without secrets.

    A configuration with a secret is refused, but a later override may have taken it out again.
    """
    free = "storage_options" in text or "cluster_options" in text
    return f"{text.partition('=')[0]}=***" if free and names_secret(text) else redacted(text)


def refuse_secrets(where: str, options: Any) -> None:
    """Refuse options in which a key, at any depth, looks like a secret, or a URL holds one.

    Raises:
        PydanticCustomError: As of `mistake`, without the secret.
    """
    if isinstance(options, Mapping):
        for key, value in options.items():
            if is_secret_key(str(key)):
                raise mistake(
                    "secrets do not belong in a config",
                    "set them in the "
                    "environment (AWS_ACCESS_KEY_ID, ...), a profile or a Prefect block",
                    f"{where}.{key}",
                )
            refuse_secrets(f"{where}.{key}", value)
    elif isinstance(options, list | tuple):
        for value in options:
            refuse_secrets(where, value)
    elif isinstance(options, str):
        refuse_secret_url(where, options)


def refuse_secret_url(where: str, url: str) -> None:
    """Refuse a URL that holds a password or a signature.

    Raises:
        PydanticCustomError: As of `refuse_secrets`.
    """
    if re.search(SECRET_URL, url):
        raise mistake(URL_RULE, PLAIN_URL, where)
