"""Keeping keys out of output, logs and records."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from typing import Any

from seraser_core.display import printable

_NAMES = (
    r"(?:x-amz-|x-goog-)?(?:(?:access|account|api|auth|client|id|refresh|secret|session|shared)"
    r"[_-]?){0,4}(?:authorization|bearer|credentials?|jwt|key|pass|passphrase|passwd|password|pwd|"
    r"secret|security-token|sig|signature|token)"
)
# A secret with a slash in it, which is no port with a path after it.
_SLASHED = (
    r"(?:s3[an]?|gc?s|az|abfss?)://[^/@\s]+:[^@\s]*@",
    r"[a-z][a-z0-9+.-]{0,30}://[^/@\s\[]+:[0-9]*[^0-9/@\s][^@\s]*@",
)
SECRET_URL = (
    rf"(?i)[a-z][a-z0-9+.-]{{0,30}}://[^/@\s]*:[^/\s]*@|{'|'.join(_SLASHED)}|"
    rf"https?://[^/@?#\s]+@|[?&;#](?:{_NAMES})="
)
"""Matches URLs with ``user:password@`` or ``token@``, presigned ones, and connection strings; for
`re` and for Polars."""
_PARTS = (
    (re.compile(r"(?i)([a-z][a-z0-9+.-]{0,30}://[^/@\s:]*:)[^/\s@]*@"), r"\1***@"),
    *((re.compile(rf"(?i)({one.replace(':[', ':)[', 1)}"), r"\1***@") for one in _SLASHED),
    (re.compile(r"(?i)(https?://)[^/@?#\s:]+@"), r"\1***@"),
    (re.compile(rf"(?i)(?<![a-z0-9/.])({_NAMES})=[^\s&;#'\"<>]+"), r"\1=***"),
    # Groups of options, as YAML and Python write them; `{key: value}` is how we describe them.
    (
        re.compile(
            rf"(?i)([{{,]\s*['\"]?(?!key\b)[\w.-]{{0,40}}?{_NAMES}['\"]?\s*:\s*)"
            r"(?:'[^']*'|\"[^\"]*\"|[^\s,{}][^,{}\n]*)"
        ),
        r"\1***",
    ),
)
_VARIABLE = re.compile(r"(^|_)(KEY|SECRET|TOKEN|PASSWORD|CONNECTION_STRING|AUTH_STRING)$")
_SHORTEST = 16
"""Shortest value of an environment variable that is taken for a key."""


def redacted(text: str) -> str:
    """`text` with ``***`` for what is secret in URLs, and for keys of the environment."""
    for pattern, shown in _PARTS:
        text = pattern.sub(shown, text)
    for name, value in os.environ.items():
        if _VARIABLE.search(name) and len(value) >= _SHORTEST:
            text = text.replace(value, "***")
        elif name.lower().endswith("_proxy") and "@" in value:  # also without a scheme before it
            login = value.rpartition("://")[2].rpartition("@")[0]
            text = text.replace(f"{login}@", "***@")
    return text


def redact_logs() -> None:
    """Redact everything that this process logs from now on.

    Control characters, which may be those of names in the data, become visible.

    Tracebacks too: the fault behind ours has its own text, such as a URL that a server led to.
    """
    make = logging.getLogRecordFactory()
    if not isinstance(make, _Redacting):
        logging.setLogRecordFactory(_Redacting(make))


class _Redacting:
    """Makes the records of the `logging` module."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        try:
            text = record.getMessage()
        except Exception:  # wrong arguments, which `logging` reports later
            return record
        if (clean := printable(redacted(text))) != text:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = printable(
                redacted(logging.Formatter().formatException(record.exc_info))
            )
        return record
