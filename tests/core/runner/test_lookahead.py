"""The look-ahead alone: order, bounds, faults in their turn, and threads that end."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seraser_core.errors import HangError
from seraser_core.runner.clock import Clock
from seraser_core.runner.lookahead import Bounds, Lookahead

RESULT_BYTES = 3
WAIT_S = 60


@dataclass(frozen=True)
class Thing:
    """An item of some bytes, thought to have others, at which a stage may fail."""

    number: int
    size: int = 1
    expected: int = 1
    fails: str = ""


@dataclass
class Data:
    size: int


class Plain:
    """Stages that do nothing but fail where the item says so."""

    result_bytes = RESULT_BYTES
    decode_timeout: float | None = None

    def __init__(self) -> None:
        self.begun: list[int] = []

    def name(self, item: Thing) -> str:
        return f"thing {item.number}"

    def expected_bytes(self, item: Thing) -> int:
        if item.number not in self.begun:  # what is asked first when an item is begun
            self.begin(item)
            self.begun.append(item.number)
        return item.expected

    def begin(self, item: Thing) -> None:
        pass

    def data_bytes(self, data: Data) -> int:
        return data.size

    def fetch(self, item: Thing) -> Data:
        if item.fails == "fetch":
            raise LookupError(item.number)
        return Data(item.size)

    def decode(self, item: Thing, data: Data) -> int:
        assert data.size == item.size
        if item.fails == "decode":
            raise ArithmeticError(item.number)
        return item.number


class Accountant(Plain):
    """Notes what is exceeded when an item is begun.

    Its account is never above the truth: it subtracts what goes before the look-ahead can know of
    it, and of the data, it counts no more than was expected.
    """

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self.bounds, self.exceeded, self.taken = bounds, [], 0
        self._unfetched = self._bytes = 0
        self._lock = threading.Lock()

    def begin(self, item: Thing) -> None:
        with self._lock:
            items = len(self.begun) - self.taken
            account = {"items": items, "unfetched": self._unfetched, "bytes": self._bytes}
            if items:
                self.exceeded += [n for n, v in account.items() if v >= getattr(self.bounds, n)]
            self._unfetched += 1
            self._bytes += item.expected + RESULT_BYTES

    def fetch(self, item: Thing) -> Data:
        arrived = 0 if item.fails == "fetch" else item.size
        with self._lock:
            self._unfetched -= 1
            self._bytes -= max(0, item.expected - arrived)
        return super().fetch(item)

    def decode(self, item: Thing, data: Data) -> int:
        with self._lock:
            self._bytes -= min(item.size, item.expected)
        return super().decode(item, data)

    def take(self) -> None:
        with self._lock:
            self.taken += 1
            self._bytes -= RESULT_BYTES


@contextmanager
def all_threads_end() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=WAIT_S)
        assert not thread.is_alive()


sizes = st.integers(0, 40)
faults = st.sampled_from(["", "", "", "", "", "", "fetch", "decode"])
things = st.lists(st.tuples(sizes, sizes, faults), max_size=40).map(
    lambda rows: [Thing(number, *row) for number, row in enumerate(rows)]
)
several = st.integers(1, 4)
all_bounds = st.builds(Bounds, several, several, st.integers(1, 6), sizes, st.integers(1, 10))


@settings(deadline=None)
@given(things=things, bounds=all_bounds)
def test_order_and_bounds_are_kept_and_the_first_fault_is_raised_in_its_turn(things, bounds):
    first = next((thing for thing in things if thing.fails), None)
    stages, taken, fault = Accountant(bounds), [], None
    with all_threads_end(), Lookahead(things, stages, bounds, Clock()) as ahead:
        try:
            for result in ahead:
                taken.append(result)
                stages.take()
        except (LookupError, ArithmeticError) as error:
            fault = type(error), error.args
    assert stages.exceeded == []
    assert taken == list(range(len(things) if first is None else first.number))
    assert stages.begun == list(range(len(stages.begun)))
    if first is None:
        assert fault is None and len(stages.begun) == len(things)
    else:
        kind = LookupError if first.fails == "fetch" else ArithmeticError
        assert fault == (kind, (first.number,))


class Gated(Plain):
    """Stages that hold the last of three items in its decoding until the next result is waited for.

    Its first items are there by then: the one thread that decodes has ended what came before.
    """

    result_bytes = 30

    def __init__(self) -> None:
        super().__init__()
        self.three_begun, self.held, self.go_on = (threading.Event() for _ in range(3))
        self.data: weakref.ref[Data] | None = None

    def begin(self, item: Thing) -> None:
        if item.number == 2:
            self.three_begun.set()

    def fetch(self, item: Thing) -> Data:
        assert self.three_begun.wait(WAIT_S)
        data = super().fetch(item)
        if item.number == 1:
            self.data = weakref.ref(data)
        return data

    def decode(self, item: Thing, data: Data) -> int:
        if item.number == 2:
            self.held.set()
            assert self.go_on.wait(WAIT_S)
        return super().decode(item, data)


@pytest.mark.parametrize(
    ("size", "held", "begun"),
    [(1000, 1, [0, 1, 2, 3]), (1, 1000, [0, 1, 2]), (1, 1, [0, 1, 2, 3])],
    ids=["decoded", "too many bytes", "few bytes"],
)
def test_data_counts_with_its_real_bytes_until_it_is_decoded(size, held, begun):
    stages = Gated()
    things = [Thing(0), Thing(1, size), Thing(2, held), Thing(3)]
    seen = []

    class Telling(Clock):
        def on(self, name, not_on=None):
            if name == "fetch_wait_s" and stages.held.is_set():
                seen.append(list(stages.begun))
                stages.go_on.set()
            return super().on(name, not_on)

    # Of two results there is room, and of the first three only while nothing more is held.
    bounds = Bounds(fetch_threads=4, decode_threads=1, unfetched=4, bytes=90, items=3)
    with all_threads_end(), Lookahead(things, stages, bounds, Telling()) as ahead:
        results = iter(ahead)
        assert next(results) == 0
        assert stages.held.wait(WAIT_S)
        assert stages.data() is None, "nobody keeps what is decoded"
        assert list(results) == [1, 2, 3]
    assert seen[0] == begun


def test_threads_begin_with_the_block_and_end_with_it_whatever_is_left():
    things = [Thing(number) for number in range(50)]
    before = threading.active_count()
    ahead = Lookahead(things, Plain(), Bounds(2, 2, 4, 100, 10), Clock())
    assert threading.active_count() == before
    with all_threads_end(), ahead:
        assert list(islice(ahead, 2)) == [0, 1]


def test_a_decoding_that_does_not_end_is_left_behind():
    go_on = threading.Event()

    class Hanging(Plain):
        decode_timeout = 0.01

        def decode(self, item, data):
            go_on.wait(WAIT_S)

    bounds = Bounds(1, 1, 1, 1, 1)
    with all_threads_end():
        ahead = Lookahead([Thing(7)], Hanging(), bounds, Clock())
        with pytest.raises(HangError, match="decoding of thing 7 does not come to an end"), ahead:
            list(ahead)
        go_on.set()


def test_a_timeout_that_is_an_items_own_fault_is_no_hang():
    class Late(Plain):
        decode_timeout = WAIT_S

        def decode(self, item, data):
            raise TimeoutError("the server")

    ahead = Lookahead([Thing(0)], Late(), Bounds(1, 1, 1, 1, 1), Clock())
    with pytest.raises(TimeoutError, match="the server"), ahead:
        list(ahead)
