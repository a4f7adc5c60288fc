"""Prefect servers: checking that one answers, and starting one."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seraser_core.cli.children import Children
from seraser_core.errors import SeraserError

HOST = "127.0.0.1"
_START_S = 180
_ANSWER_S = 10
_TEMPORARY_END_S = 5
_TEMPORARY = {
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # What Prefect sets for its own temporary servers: no scheduler and no other service that
    # would act on the deployments of this person's database.
    "PREFECT__SERVER_EPHEMERAL": "1",
}


def api_url(port: int) -> str:
    """The API of a server on this machine."""
    return f"http://{HOST}:{port}/api"


def answers(url: str) -> bool:
    """Return whether a server answers at the API `url`; any answer to HTTP counts."""
    import httpx  # as Prefect does, so by the same route

    try:
        # Nothing secret is sent and the answer is not used, so certificates do not matter.
        httpx.get(f"{url.rstrip('/')}/health", timeout=_ANSWER_S, verify=False)  # noqa: S501
        return True
    except httpx.TransportError as error:
        return _is_tls(error)  # Prefect has its own settings for those
    except (ValueError, httpx.InvalidURL):
        return False


def _is_tls(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def start_server(children: Children, port: int, end_s: float) -> None:
    """Start a server on loopback.

    Raises:
        SeraserError: The port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise SeraserError(
                f"port {port} is taken ({error.strerror})", "give another with --port"
            ) from None
    children.start("server", "server", "start", "--host", HOST, "--port", str(port), end_s=end_s)


def wait_for_server(
    children: Children, port: int, pause: Callable[[float], object] = time.sleep
) -> None:
    """Wait until the server that `start_server` started answers.

    Args:
        children: The processes that it belongs to.
        port: Its port.
        pause: Waits for some seconds.

    Raises:
        SeraserError: The server ended or did not answer in time.
    """
    deadline = time.monotonic() + _START_S
    while not answers(api_url(port)):
        children.check()
        if time.monotonic() > deadline:
            raise SeraserError(f"the server did not answer in {_START_S} s")
        pause(0.2)


@contextmanager
def temporary_server() -> Iterator[Callable[[], str]]:
    """Start a server with Prefect's usual home on a free port; it ends with the block.

    Not Prefect's own temporary server: a Ctrl-C reaches that one before the flow has ended, and
    the flow then waits for it in vain.

    Yields:
        Waits until the server answers, and returns the URL of its API.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="seraser-") as logs:
        children = Children({**os.environ, **_TEMPORARY}, Path(logs))

        def ready() -> str:
            wait_for_server(children, port)
            return api_url(port)

        try:
            start_server(children, port, _TEMPORARY_END_S)
            yield ready
        finally:
            children.end()
