"""Threads that may be left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
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
        self._work: SimpleQueue[tuple[Future[Any], Callable[..., Any], Any] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}_{i}", daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[..., T], *given: Any) -> Future[T]:
        """Queue `work` for one of the threads."""
        future: Future[T] = Future()
        self._work.put((future, work, given))
        return future

    def shutdown(self, wait: bool) -> None:
        """Cancel queued work, and perhaps wait for running work."""
        while True:
            try:
                task = self._work.get_nowait()
            except Empty:
                break
            if task is not None:
                task[0].cancel()
        for _ in self._threads:
            self._work.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while (task := self._work.get()) is not None:
            future, work, given = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work(*given))
            except BaseException as error:  # the future tells it
                future.set_exception(error)
            del task, future, work, given  # or they would stay until the next one
