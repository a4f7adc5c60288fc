"""A proxy between a client and an S3 server that spoils what passes, as told or by chance."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit

_DRIP_S = 0.05
"""Between two bytes of a body that drips."""
_REFUSALS = {
    "slow down": (503, "SlowDown", "Please reduce your request rate."),
    "internal error": (500, "InternalError", "We encountered an internal error."),
    "expired token": (400, "ExpiredToken", "The provided token has expired."),
    "stale key": (403, "InvalidAccessKeyId", "The AWS Access Key Id does not exist."),
    "skewed clock": (403, "RequestTimeTooSkewed", "The difference is too large."),
    "forbidden": (403, "AccessDenied", "Access Denied."),
}
KINDS = (
    *_REFUSALS,
    "reset",  # before the server hears of it
    "no answer",
    "lost answer",  # the server has done what was asked
    "truncated",  # fewer bytes than Content-Length, then the connection closes
    "stalled",  # some bytes, then none
    "dripping",  # byte after byte, none of them late
    "short",  # fewer bytes than were asked for, and a Content-Length that agrees
    "no range",  # what was asked for, as if it were all of the object
)
"""The ways to spoil a request or its answer."""
LACKS = (
    "no conditions",  # refused where a request has one, as by a store that knows none
    "other tag",  # an answer of another object than was asked for, as by a store that ignores them
)
"""What a store may lack; only told, never by chance."""


@dataclass
class Request:
    """One request, as it came in: `head` ends with an empty line."""

    method: str
    path: str
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, empty when it is not there."""
        return _headers(self.head).get(name, "")


@dataclass
class Rule:
    """The next `times` requests of these methods, for a path like this, are spoilt.

    Attributes:
        kind: One of KINDS or LACKS.
        path: Pattern of the path, without its query.
        methods: Those concerned; empty for all.
        times: How many more.
    """

    kind: str
    path: str = "*"
    methods: Sequence[str] = ()
    times: float = 1


@dataclass
class Proxy:
    """Passes requests on to `upstream` and answers back, Host and signature unchanged.

    S3 signs the Host header that the client sent, which is this proxy's, and a server compares
    with the Host that it received: the same, as nothing is rewritten.

    Attributes:
        upstream: URL of the server.
        rate: Part of the requests that are spoilt by chance.
        kinds: Those that chance takes.
        seed: Of chance. What becomes of a request depends on it and on how often the same was
            asked before, not on what is asked beside it.
        rules: What is told; the first that fits is followed, before chance.
        seen: Requests that came, by method and path.
        spoilt: By kind.
    """

    upstream: str
    rate: float = 0.0
    kinds: Sequence[str] = ()
    seed: int = 0
    rules: list[Rule] = field(default_factory=list)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    spoilt: Counter[str] = field(default_factory=Counter)
    url: str = ""
    _asked: Counter[str] = field(default_factory=Counter)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def tell(self, kind: str, path: str = "*", *methods: str, times: float = 1) -> Rule:
        """Spoil what fits next, see `Rule`."""
        assert kind in KINDS + LACKS, kind
        self.rules.append(Rule(kind, path, methods, times))
        return self.rules[-1]

    def count(self, method: str, path: str = "*") -> int:
        """Requests of this method, and a path like this, that came."""
        return sum(n for (m, p), n in self.seen.items() if m == method and fnmatchcase(p, path))

    def forget(self) -> None:
        """Begin anew, with nothing told and nothing seen."""
        self.rules.clear()
        self.seen.clear()
        self.spoilt.clear()

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Serve on a free port of 127.0.0.1, see `url`."""
        loop, ready = asyncio.new_event_loop(), Future[int]()
        thread = threading.Thread(target=loop.run_until_complete, args=[self._serve(ready)])
        thread.start()
        try:
            self.url = f"http://127.0.0.1:{ready.result(30)}"
            yield self
        finally:
            loop.call_soon_threadsafe(self._end.set)
            thread.join()
            loop.close()

    async def _serve(self, ready: Future[int]) -> None:
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=2**24)
        ready.set_result(server.sockets[0].getsockname()[1])
        await self._end.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while (request := await _receive(reader, writer)) is not None:
                    if not await self._answer(request, reader, writer):
                        break
        except asyncio.CancelledError:
            _reset(writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; returns whether the connection can go on."""
        self.seen[request.method, request.path] += 1
        kind = self._chosen(request)
        if kind == "no conditions" and not _is_conditional(request):
            kind = None
        if kind is not None:
            self.spoilt[kind] += 1
        if kind in _REFUSALS:
            writer.write(_refusal(request, *_REFUSALS[kind]))
        elif kind == "no conditions":
            writer.write(_refusal(request, 501, "NotImplemented", "It is not implemented."))
        elif kind == "reset":
            _reset(writer)
            return False
        elif kind == "no answer":
            await reader.read()  # until the client has had enough
            return False
        elif kind is None:
            writer.write(b"".join(await self._pass_on(request)))
        else:
            return await self._spoil(kind, request, reader, writer)
        await writer.drain()
        return True

    def _chosen(self, request: Request) -> str | None:
        for rule in self.rules:
            fits = not rule.methods or request.method in rule.methods
            if fits and rule.times > 0 and fnmatchcase(request.path, rule.path):
                rule.times -= 1
                return rule.kind
        # Without the bucket, whose name is drawn anew for every test.
        key = "/".join(request.path.split("/")[2:])
        same = f"{request.method} {key} {request.header('range')}"
        self._asked[same] += 1
        mark = hashlib.sha256(f"{self.seed} {same} {self._asked[same]}".encode()).digest()
        chance, which = struct.unpack(">QQ", mark[:16])
        return self.kinds[which % len(self.kinds)] if chance < self.rate * 2**64 else None

    async def _spoil(
        self,
        kind: str,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        head, body = await self._pass_on(request)
        if kind == "no range":
            head = _without(head, "content-range").replace(b" 206 Partial Content", b" 200 OK", 1)
            writer.write(head + body)
            await writer.drain()
            return True
        if kind == "other tag":
            writer.write(_without(head, "etag")[:-2] + b'ETag: "other"\r\n\r\n' + body)
            await writer.drain()
            return True
        if kind == "short" and len(body) > 1:
            body = body[: len(body) // 2]
            head = _without(head, "content-length")[:-2]
            writer.write(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            return True
        if len(body) < 2 or kind == "lost answer":
            _reset(writer)
            return False
        writer.write(head)
        if kind == "dripping":
            for i in range(len(body)):
                writer.write(body[i : i + 1])
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    if not await asyncio.wait_for(reader.read(1), _DRIP_S):
                        return False  # the client has had enough
            return True
        writer.write(body[: len(body) // 2])
        await writer.drain()
        if kind == "stalled":
            await reader.read()
        return False

    async def _pass_on(self, request: Request) -> tuple[bytes, bytes]:
        """Head and body of the server's answer.

        Raises:
            OSError: The server is away.
        """
        place = urlsplit(self.upstream)
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=2**24)
        try:
            writer.write(request.head + request.body)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            if answer.split(b" ", 2)[1] == b"100":
                answer = await reader.readuntil(b"\r\n\r\n")
            bodiless = request.method == "HEAD" or answer.split(b" ", 2)[1] in (b"204", b"304")
            return answer, b"" if bodiless else await _body(reader, answer)
        finally:
            writer.close()


async def _receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request of a connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = head.split(b" ", 2)
    if "expect" in _headers(head):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = _without(head, "expect")
    path = unquote(urlsplit(target.decode()).path)
    return Request(method.decode(), path, head, await _body(reader, head))


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """What follows a head, as it is on the wire."""
    headers = _headers(head)
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    found = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        found += size + await reader.readexactly(int(size, 16) + 2)
        if not int(size, 16):
            return found


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    parts = [line.partition(":") for line in lines if line]
    return {name.lower(): value.strip() for name, _, value in parts}


def _without(head: bytes, *names: str) -> bytes:
    lines = head.split(b"\r\n")
    kept = [line for line in lines if line.partition(b":")[0].decode().lower() not in names]
    return b"\r\n".join(kept)


def _is_conditional(request: Request) -> bool:
    return bool(request.header("if-match") or request.header("if-none-match"))


def _refusal(request: Request, status: int, code: str, message: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + (b"" if request.method == "HEAD" else body)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: all that is on its way is lost."""
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    writer.transport.abort()
