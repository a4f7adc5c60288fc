"""Fetching models from other servers, with checks that they answer and clear errors.

Only the attempt to connect is bounded in time: a slow network may fetch as long as it likes.
"""

from __future__ import annotations

import errno
import socket
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from huggingface_hub import constants, errors, try_to_load_from_cache

from seraser_core.errors import ConfigError
from seraser_core.faults import why
from seraser_core.models.json_files import UnreadableError
from seraser_core.proxies import proxy_for
from seraser_core.proxy_check import check_proxy

_CONNECT_S = 8.0
"""Limit for resolving a server's name and trying all of its addresses."""
_PORTS = {"http": 80, "https": 443}
_LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
_LATER = "try again later"
_BUSY, _FORBIDDEN = 429, (401, 403)
_OFFLINE = "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set"


def hub() -> str:
    """URL of the Hugging Face hub, or of what HF_ENDPOINT names in its place."""
    return constants.ENDPOINT


def is_cached(repo: str, *files: str) -> bool:
    """Return whether one of these files of a repository of the hub was fetched before."""
    return any(isinstance(try_to_load_from_cache(repo, file), str) for file in files)


def check_server(url: str, field: str, value: str, remedy: str) -> None:
    """Check that the server of `url` can be reached, before a library tries it for minutes.

    Args:
        url: URL to be fetched, or of a server; only web servers are checked.
        field: Setting for which it is.
        value: The setting's value.
        remedy: Advice for use without a network.

    Raises:
        ConfigError: It cannot be reached within 10 s, or may not be.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS:
        return
    if url.startswith(hub()) and constants.is_offline_mode():
        raise ConfigError(field, value, f"is not on this machine, and {_OFFLINE}; {remedy}")
    check_proxy(url)
    if proxy_for(url) is not None:
        return
    fault = _fault(parts.hostname or "", parts.port or _PORTS[parts.scheme])
    if fault is not None:
        raise UnreadableError(
            field,
            value,
            f"is not on this machine, and {parts.hostname} cannot be reached ({fault}); {remedy}",
        )


@contextmanager
def fetching(field: str, value: str, what: str, remedy: str) -> Iterator[None]:
    """Turn the faults of fetching into faults of a setting.

    Args:
        field: Setting for which something is fetched.
        value: Its value.
        what: Name of the fetched thing, e.g. ``the weights``.
        remedy: Advice if it cannot be fetched.

    Raises:
        ConfigError: The server refuses it, or does not have it.
        UnreadableError: The server cannot be reached, or has too much to do.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # the hub, open_clip and transformers raise their own types
        kind, fault = _meaning(error)
        raise kind(field, value, f"{what} could not be fetched: {fault}; {remedy}") from error


def _fault(host: str, port: int) -> str | None:
    """Return why no connection can be made; None if one can."""
    answer: SimpleQueue[str | None] = SimpleQueue()
    # In a thread, since a name look-up has no time-out.
    threading.Thread(target=lambda: answer.put(_connect(host, port)), daemon=True).start()
    try:
        return answer.get(timeout=_CONNECT_S)
    except Empty:
        return f"no connection within {_CONNECT_S:g} s"


def _connect(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), _CONNECT_S).close()
    except TimeoutError:
        return f"no connection within {_CONNECT_S:g} s"
    except socket.gaierror:
        return "its name is not known here"
    except OSError as error:
        return error.strerror or why(error)
    return None


def _meaning(error: BaseException) -> tuple[type[ConfigError], str]:
    """Translate a library's fault: permanent or passing, and in our own words."""
    chain = [error]
    while (behind := chain[-1].__cause__ or chain[-1].__context__) and behind not in chain:
        chain.append(behind)
    for each in chain:
        if meaning := _known(each):
            return meaning
    return ConfigError, f"{type(chain[-1]).__name__}: {why(chain[-1]).splitlines()[0]}"


def _known(error: BaseException) -> tuple[type[ConfigError], str] | None:
    if isinstance(error, errors.GatedRepoError):
        return ConfigError, (
            "its licence must be accepted on its page at the hub by the account whose token is "
            f"used here; accept it, then {_LOGIN}"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ConfigError, (
            f"the hub has no such repository, or a private one; check its name, or {_LOGIN}"
        )
    if isinstance(error, errors.RevisionNotFoundError | errors.RemoteEntryNotFoundError):
        return ConfigError, "its repository at the hub does not have this file"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return ConfigError, _OFFLINE
    status = _status(error)
    if status in _FORBIDDEN:
        return ConfigError, f"the server refuses it to this account (status {status}); {_LOGIN}"
    if status == _BUSY:
        return UnreadableError, (
            f"the server allows no more requests for now (status {status}); {_LOGIN}, or {_LATER}"
        )
    if status is not None and status >= 500:
        return UnreadableError, f"the server fails (status {status}); {_LATER}"
    if status is not None:
        return ConfigError, f"the server does not give it (status {status})"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ConfigError, "the disk is full; make room, or set HF_HOME to a folder elsewhere"
    if isinstance(error, urllib.error.URLError | ConnectionError | TimeoutError) or (
        type(error).__module__.startswith("httpx")
    ):
        return UnreadableError, f"the connection failed ({why(error).splitlines()[0]})"
    return None


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of a failed request."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) and status >= 400 else None
