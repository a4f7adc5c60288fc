"""A proxy for HTTP that tells what reached it, as companies have between a desk and the web."""

from __future__ import annotations

import base64
import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_GONE_S = 30
_HOP = ("proxy-authorization", "proxy-connection", "connection", "keep-alive")


@dataclass
class HttpProxy:
    """Passes requests on, by ``CONNECT`` and as they are.

    Attributes:
        servers: Host name -> host and port where its requests really go; others it does not know.
        login: ``user:password`` that it asks for; None for nobody's.
        seen: Of every request its method and its target, but for questions about itself.
        url: Its own, without the login.
    """

    servers: dict[str, tuple[str, int]] = field(default_factory=dict)
    login: str | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[HttpProxy]:
        """Serve on a free port of 127.0.0.1, see `url`."""
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = _GONE_S

            def pass_on(self) -> None:
                proxy.answer(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_CONNECT = pass_on  # noqa: N815

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield self
            server.shutdown()

    def answer(self, asked: http.server.BaseHTTPRequestHandler) -> None:
        """Pass one request on."""
        self.seen.append((asked.command, asked.path))
        asked.close_connection = True
        given = asked.headers.get("Proxy-Authorization", "")
        if self.login and given != f"Basic {base64.b64encode(self.login.encode()).decode()}":
            asked.send_response(407)
            asked.send_header("Proxy-Authenticate", "Basic")
            asked.send_header("Content-Length", "0")
            asked.end_headers()
            return
        target = asked.path if "://" in asked.path else f"//{asked.path}"
        place = self.servers.get(urlsplit(target).hostname or "")
        if place is None:
            asked.send_error(502)
            return
        with socket.create_connection(place) as other:
            if asked.command == "CONNECT":
                asked.send_response(200)
                asked.end_headers()
            else:
                length = int(asked.headers.get("Content-Length", 0))
                other.sendall(_head(asked) + asked.rfile.read(length))
            back = threading.Thread(target=_pump, args=[other, asked.connection])
            back.start()
            if asked.command == "CONNECT":
                _pump(asked.connection, other)
            back.join()


def _head(asked: http.server.BaseHTTPRequestHandler) -> bytes:
    parts = urlsplit(asked.path)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [f"{k}: {v}" for k, v in asked.headers.items() if k.lower() not in _HOP]
    lines = [f"{asked.command} {path} HTTP/1.1", *kept, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
