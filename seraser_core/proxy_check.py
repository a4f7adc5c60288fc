"""Checking that the proxy of a URL answers, before anything is fetched through it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from queue import Empty, SimpleQueue

from seraser_core.errors import ConfigError
from seraser_core.proxies import Proxy, host_of, proxy_for

_ANSWER_S = 5.0
"""Limit for finding a proxy, connecting to it and its first answer."""
_KEPT_S = 10.0
_asked: dict[str, tuple[float, str | None]] = {}
"""URL of a proxy -> when it was asked, and what was wrong with it."""
_lock = threading.Lock()


def check_proxy(url: str, fresh: bool = False) -> None:
    """Check that the proxy for `url`, if it has one, answers.

    One that answered once is not asked again.

    Args:
        url: A URL of that server, ``http`` or ``https``.
        fresh: Ask it again, unless that was just done.

    Raises:
        ConfigError: It does not answer within 10 s, or its variable holds no URL of a proxy.
    """
    proxy = proxy_for(url)
    if proxy is None:
        return
    with _lock:  # one of many threads asks
        asked, fault = _asked.get(proxy.url, (0.0, None))
        recent = proxy.url in _asked and time.monotonic() < asked + _KEPT_S
        lasting = proxy.url in _asked and fault is None and not fresh
        if not (recent or lasting):
            fault = _fault(proxy)
            _asked[proxy.url] = time.monotonic(), fault
    if fault is not None:
        raise ConfigError(
            proxy.variable,
            proxy,
            f"{fault}, and {host_of(url)} is to be reached through this proxy; start it, correct "
            f"{proxy.variable}, or name {host_of(url)} in NO_PROXY to reach it without",
        )


def _fault(proxy: Proxy) -> str | None:
    """Describe the fault of a proxy; None if it answers."""
    answer: SimpleQueue[str | None] = SimpleQueue()
    # In a thread, since a name look-up has no time-out.
    threading.Thread(target=lambda: answer.put(_ask(proxy)), daemon=True).start()
    try:
        return answer.get(timeout=_ANSWER_S)
    except Empty:
        return f"does not answer within {_ANSWER_S:g} s"


def _ask(proxy: Proxy) -> str | None:
    """Send a proxy one request; any answer will do."""
    host, port = proxy.address
    try:
        with socket.create_connection((host, port), _ANSWER_S) as plain:
            if proxy.parts.scheme == "https":
                # Its certificate is checked when it is used.
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                one: socket.socket = context.wrap_socket(plain, server_hostname=host)
            else:
                one = plain
            hello = f"OPTIONS * HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
            socks = proxy.parts.scheme.startswith("socks")
            one.sendall(b"\x05\x02\x00\x02" if socks else hello.encode())
            one.recv(1)
    except TimeoutError:
        return f"does not answer within {_ANSWER_S:g} s"
    except ConnectionRefusedError:
        return "refuses connections"
    except ConnectionResetError:
        return None  # it did not like the question
    except ssl.SSLError:
        return "does not speak TLS, as its https:// says; most proxies are written http://"
    except socket.gaierror:
        return "has a name that is not known"
    except OSError as error:
        return f"cannot be reached ({error.strerror or type(error).__name__})"
    return None
