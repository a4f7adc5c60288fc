"""Decoding in child processes, which are killed if they hang and may crash.

As a program, ``python -m seraser_core.sources.isolated``, this module is such a child.
"""

from __future__ import annotations

import json
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
from PIL import Image

from seraser_core.errors import ItemError, TransientError
from seraser_core.sources.decode import decode_image, decode_mask, decode_reduced

if TYPE_CHECKING:  # see `seraser_core.sources.decode`
    from seraser_core.config.options import LimitOptions

T = TypeVar("T")
_LENGTHS = struct.Struct("<QQ")
_START_S = 300


class Decoder(Protocol):
    """Interface of decoders of files."""

    def image(self, data: bytes, limits: LimitOptions) -> Image.Image:
        """See `decode_image`."""

    def reduced(self, data: bytes, limits: LimitOptions, least: int) -> tuple[Image.Image, float]:
        """See `decode_reduced`."""

    def mask(self, data: bytes, size: tuple[int, int], limits: LimitOptions) -> np.ndarray:
        """See `decode_mask`."""


class PlainDecoder:
    """Decodes in the calling thread."""

    def image(self, data: bytes, limits: LimitOptions) -> Image.Image:
        """See `decode_image`."""
        return decode_image(data, limits)

    def reduced(self, data: bytes, limits: LimitOptions, least: int) -> tuple[Image.Image, float]:
        """See `decode_reduced`."""
        return decode_reduced(data, limits, least)

    def mask(self, data: bytes, size: tuple[int, int], limits: LimitOptions) -> np.ndarray:
        """See `decode_mask`."""
        return decode_mask(data, size, limits)


class IsolatedDecoder:
    """Decodes by the functions of `seraser_core.sources.decode`, in child processes.

    All of its methods raise ItemError too where the decoder hung (``timeout``) or died
    (``crashed``).

    Args:
        processes: Children, started when they are needed.
        seconds: Time-out of a child for one file.
    """

    def __init__(self, processes: int, seconds: float) -> None:
        self._seconds = seconds
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(processes):
            self._idle.put(None)

    def image(self, data: bytes, limits: LimitOptions) -> Image.Image:
        """See `decode_image`."""
        return self._image(data, limits, None)[0]

    def reduced(self, data: bytes, limits: LimitOptions, least: int) -> tuple[Image.Image, float]:
        """See `decode_reduced`."""
        return self._image(data, limits, least)

    def _image(
        self, data: bytes, limits: LimitOptions, least: int | None
    ) -> tuple[Image.Image, float]:
        facts, pixels = self._call({"least": least, "limits": limits.model_dump()}, data)
        return Image.frombytes("RGB", tuple(facts["size"]), pixels), facts["scale"]

    def mask(self, data: bytes, size: tuple[int, int], limits: LimitOptions) -> np.ndarray:
        """See `decode_mask`."""
        _, pixels = self._call({"mask_of": size, "limits": limits.model_dump()}, data)
        return np.frombuffer(pixels, dtype=bool).reshape(size[::-1])

    def close(self) -> None:
        """End the children that are idle."""
        while True:
            try:
                child = self._idle.get_nowait()
            except queue.Empty:
                return
            if child is not None:
                child.end()

    def _call(self, order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        answer, why = self._ask(order, data)
        if answer is None:  # it may have been stopped or killed for no fault of the file
            answer, why = self._ask(order, data)
        if answer is None:
            raise ItemError("decode", *why)
        facts, pixels = answer
        if "code" in facts:
            raise ItemError(facts["stage"], facts["code"], facts["message"])
        if "memory" in facts:
            raise MemoryError(facts["memory"])
        return facts, pixels

    def _ask(
        self, order: dict[str, Any], data: bytes
    ) -> tuple[tuple[dict[str, Any], bytes] | None, tuple[str, str]]:
        """Return a child's answer, or the code and message of its end."""
        child, answer = self._idle.get(), None
        try:
            child = child or _Child()
            answer = child.ask(order | {"seconds": self._seconds}, data, self._seconds)
        finally:
            self._idle.put(None if answer is None or child is None or child.late else child)
        if child.late:
            return answer, ("timeout", f"the decoder took more than {self._seconds:g} s")
        return answer, ("crashed", f"the decoder died (exit code {child.code})")


class _Child:
    """A process that decodes one file after the other."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "seraser_core.sources.isolated"]
        try:
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise TransientError(f"no decoder could be started: {error}") from error
        self.late = False
        if self._in_time(_START_S, lambda: _receive(self._process.stdout)) is None:
            raise TransientError(f"no decoder could be started (exit code {self.code})")

    @property
    def code(self) -> int | None:
        """Exit code of the process."""
        return self._process.returncode

    def ask(
        self, order: dict[str, Any], data: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes] | None:
        """Return its answer; None if it took too long or died, and is gone."""

        def exchange() -> tuple[dict[str, Any], bytes]:
            _send(self._process.stdin, order, data)
            return _receive(self._process.stdout)

        return self._in_time(seconds, exchange)

    def _in_time(self, seconds: float, work: Callable[[], T]) -> T | None:
        alarm = threading.Timer(seconds, self._too_late)
        alarm.start()
        try:
            return work()
        except (OSError, EOFError):
            self.end()
            return None
        finally:
            alarm.cancel()

    def _too_late(self) -> None:
        self.late = True
        self._process.kill()

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.communicate()


def _send(pipe: IO[bytes] | None, header: dict[str, Any], data: bytes) -> None:
    if pipe is None:
        raise EOFError
    text = json.dumps(header).encode()
    pipe.write(_LENGTHS.pack(len(text), len(data)) + text)
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> tuple[dict[str, Any], bytes]:
    if pipe is None:
        raise EOFError
    lengths = _LENGTHS.unpack(_exactly(pipe, _LENGTHS.size))
    header, data = (_exactly(pipe, length) for length in lengths)
    return json.loads(header), data


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _answer(order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    limits = cast("LimitOptions", SimpleNamespace(**order["limits"]))  # as its parent checked them
    # A hanging child ends even if its parent, which would kill it, was killed itself.
    signal.setitimer(signal.ITIMER_REAL, 2 * order["seconds"] + 1)
    try:
        if "mask_of" in order:
            return {}, decode_mask(data, tuple(order["mask_of"]), limits).tobytes()
        if order["least"] is None:
            image, scale = decode_image(data, limits), 1.0
        else:
            image, scale = decode_reduced(data, limits, order["least"])
        return {"size": image.size, "scale": scale}, image.tobytes()
    except ItemError as error:
        return {"stage": error.stage, "code": error.code, "message": error.message}, b""
    except MemoryError as error:
        return {"memory": str(error)}, b""
    except Exception as error:  # whatever it is, the file caused it
        text = f"{type(error).__name__}: {error}"
        return {"stage": "decode", "code": "unexpected", "message": text}, b""


def main() -> None:
    """Answer until the parent closes the pipe."""
    _send(sys.stdout.buffer, {}, b"")  # starting up does not count for a file
    while True:
        try:
            order, data = _receive(sys.stdin.buffer)
        except EOFError:
            return
        answer = _answer(order, data)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(sys.stdout.buffer, *answer)


if __name__ == "__main__":
    main()
