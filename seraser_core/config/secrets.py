"""Keeping secrets out of configurations, tables and with them out of every record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SECRET_KEY = re.compile(
    r"secret|pass(word|wd|phrase)|pwd|token|credential|^auth(?!or)|auth$|authorization|bearer|"
    r"connectionstring|connstr|signature(?!version)|header|cookie|^sas|sas$|"
    r"^key$|^pw$|(access|account|shared|private|api)key"
)
REFUSED_URL = r"(?i)[a-z][a-z0-9+.-]*://[^/@\s]*:[^/\s]*@|[?&;]((x-amz-|x-goog-)?(signature|sig|security-token)|((access|auth|api)[_-]?)?(token|key))="
"""Matches URLs with ``user:password@`` and presigned ones; for `re` and for Polars."""
PLAIN_URL_REMEDY = (
    "a URL must hold no password and no signature, which would be recorded; give the plain URL, "
    "and credentials in the environment (AWS_ACCESS_KEY_ID, ...), a profile or a Prefect block"
)


def refuse_secrets(where: str, options: Any) -> None:
    """Refuse options in which a key, at any depth, looks like a secret, or a URL holds one.

    Raises:
        ValueError: ``<option>: <what was found>; <remedy>``, without the secret.
    """
    if isinstance(options, Mapping):
        for key, value in options.items():
            if _SECRET_KEY.search(re.sub(r"[_\W]", "", str(key)).lower()):
                raise ValueError(
                    f"{where}.{key}: secrets do not belong in a config; set them in the "
                    "environment (AWS_ACCESS_KEY_ID, ...), a profile or a Prefect block"
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
        ValueError: As of `refuse_secrets`.
    """
    if re.search(REFUSED_URL, url):
        found, _, remedy = PLAIN_URL_REMEDY.rpartition("; ")
        raise ValueError(f"{where}: {found}; {remedy}")
