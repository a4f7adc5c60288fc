"""Threads that may be left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonPool:
    """A pool whose threads, unlike the standard library's, never keep a process from ending.

    Args:
        threads: Their number.
        name: Theirs, for people who look at the process.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._work: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}_{i}", daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def start(self, work: Callable[..., None], *given: Any) -> None:
        """Queue `work`, which raises nothing, for one of the threads."""
        self._work.put((work, given))

    def submit(self, work: Callable[..., T], *given: Any) -> Future[T]:
        """Queue `work` for one of the threads; the future has what it returns or raises."""
        future: Future[T] = Future()
        self.start(_fulfil, future, work, given)
        return future

    def shutdown(self, wait: bool) -> list[tuple[Any, ...]]:
        """Drop queued work, and perhaps wait for running work.

        Returns:
            What the dropped work was given.
        """
        dropped = []
        with suppress(Empty):
            while (task := self._work.get_nowait()) is not None:
                dropped.append(task[1])
        for _ in self._threads:
            self._work.put(None)
        if wait:
            for thread in self._threads:
                thread.join()
        return dropped

    def _run(self) -> None:
        while (task := self._work.get()) is not None:
            work, given = task
            work(*given)
            del task, work, given  # or they would stay until the next one


def _fulfil(future: Future[T], work: Callable[..., T], given: Any) -> None:
    try:
        future.set_result(work(*given))
    except BaseException as error:  # the future tells it
        future.set_exception(error)
