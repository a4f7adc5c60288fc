"""Preparing items ahead of their consumer: in order, in threads, under a budget of bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar, cast

from seraser_core.errors import HangError
from seraser_core.runner.clock import Clock
from seraser_core.runner.threads import DaemonPool

Item = TypeVar("Item")
Data = TypeVar("Data")
Result = TypeVar("Result")
_Item = TypeVar("_Item", contravariant=True)
_Result = TypeVar("_Result", covariant=True)


class Stages(Protocol[_Item, Data, _Result]):
    """The two stages of each item: fetch its data, which waits, and decode it, which computes.

    Both are called in threads. What they raise is raised when the item's turn comes.
    """

    @property
    def result_bytes(self) -> int:
        """Bytes of memory that one result takes."""

    @property
    def decode_timeout(self) -> float | None:
        """Decode time-out in seconds; None if `decode` always ends."""

    def name(self, item: _Item) -> str:
        """Name of an item in messages."""

    def expected_bytes(self, item: _Item) -> int:
        """Return an estimate of the bytes of an item's data."""

    def data_bytes(self, data: Data) -> int:
        """Bytes of fetched data."""

    def fetch(self, item: _Item) -> Data:
        """Fetch the data of an item."""

    def decode(self, item: _Item, data: Data) -> _Result:
        """Make the result of an item."""


@dataclass(frozen=True)
class Bounds:
    """Limits of a look-ahead; at least one item is always in progress.

    Attributes:
        fetch_threads, decode_threads: Items that are fetched, and decoded, at once.
        unfetched: Items whose data is asked for and not there yet.
        bytes: Memory of all data and results that nobody has taken; an item more may begin below.
        items: Items that nobody has taken.
    """

    fetch_threads: int
    decode_threads: int
    unfetched: int
    bytes: int
    items: int


class _Begun(Generic[Item, Data, Result]):
    """An item in progress; plain locks tell that it is ready, at a tenth of the cost of futures.

    Attributes:
        item: The item.
        data: Its data, from fetching to decoding.
        result: Its result.
        error: What a stage raised.
        fetched: Held until the item is fetched, or cannot be.
        decoded: The same of decoding.
    """

    __slots__ = ("data", "decoded", "error", "fetched", "item", "result")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.data: Data | None = None
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.fetched, self.decoded = threading.Lock(), threading.Lock()
        self.fetched.acquire()
        self.decoded.acquire()


class Lookahead(Generic[Item, Data, Result]):
    """Results of some items, in order; the next ones are computed meanwhile.

    Its threads live between ``__enter__`` and ``__exit__``. Of those that decode, none is waited
    for when not all results were taken: it may hang.

    Args:
        items: The items.
        stages: The stages of each item.
        bounds: Limits of the look-ahead.
        clock: Counts ``fetch_wait_s`` and ``decode_wait_s``, in which the next item in order was
            still being fetched, or decoded.
    """

    def __init__(
        self,
        items: Sequence[Item],
        stages: Stages[Item, Data, Result],
        bounds: Bounds,
        clock: Clock,
    ) -> None:
        self._items, self._stages, self._bounds, self._clock = items, stages, bounds, clock
        self._lock = threading.Lock()
        self._unfetched = self._bytes = 0
        self._all_taken = False

    def __enter__(self) -> Self:
        self._fetchers = DaemonPool(self._bounds.fetch_threads, "fetch")
        self._decoders = DaemonPool(self._bounds.decode_threads, "decode")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for (begun,) in self._fetchers.shutdown(wait=True):  # a thread may wait to decode it
            begun.error = RuntimeError("never fetched")
            begun.fetched.release()
        self._decoders.shutdown(wait=self._all_taken)

    def __iter__(self) -> Iterator[Result]:
        """The results, once.

        Raises:
            HangError: The decoding of an item takes longer than it may.
        """
        rest = deque(self._items)
        begun: deque[_Begun[Item, Data, Result]] = deque()
        while rest or begun:
            while rest and (not begun or self._has_room(len(begun))):
                begun.append(self._begin(rest.popleft()))
            yield self._take(begun.popleft())
        self._all_taken = True

    def _has_room(self, items: int) -> bool:
        with self._lock:
            return (
                items < self._bounds.items
                and self._unfetched < self._bounds.unfetched
                and self._bytes < self._bounds.bytes
            )

    def _begin(self, item: Item) -> _Begun[Item, Data, Result]:
        self._count(self._stages.expected_bytes(item) + self._stages.result_bytes, unfetched=1)
        begun: _Begun[Item, Data, Result] = _Begun(item)
        self._fetchers.start(self._fetch, begun)
        self._decoders.start(self._decode, begun)
        return begun

    def _fetch(self, begun: _Begun[Item, Data, Result]) -> None:
        more = 0
        try:
            begun.data = self._stages.fetch(begun.item)
            more = self._stages.data_bytes(begun.data) - self._stages.expected_bytes(begun.item)
        except BaseException as error:  # it is raised when the item's turn comes
            begun.error = error
        self._count(more, unfetched=-1)
        begun.fetched.release()

    def _decode(self, begun: _Begun[Item, Data, Result]) -> None:
        held = self._stages.expected_bytes(begun.item)
        with begun.fetched:
            data, begun.data = begun.data, None  # nobody else keeps it
        try:
            if begun.error is None:
                held = self._stages.data_bytes(cast(Data, data))
                begun.result = self._stages.decode(begun.item, cast(Data, data))
        except BaseException as error:  # as above
            begun.error = error
        self._count(-held)
        begun.decoded.release()

    def _take(self, first: _Begun[Item, Data, Result]) -> Result:
        with self._clock.on("fetch_wait_s"):
            first.fetched.acquire()
            first.fetched.release()
        timeout = self._stages.decode_timeout
        with self._clock.on("decode_wait_s"):
            if not first.decoded.acquire(timeout=-1 if timeout is None else timeout):
                name = self._stages.name(first.item)
                raise HangError(f"the decoding of {name} does not come to an end")
        if first.error is not None:
            raise first.error
        self._count(-self._stages.result_bytes)
        return cast(Result, first.result)

    def _count(self, bytes: int, unfetched: int = 0) -> None:
        with self._lock:
            self._bytes += bytes
            self._unfetched += unfetched
