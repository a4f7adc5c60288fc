"""Threads that may be left behind, alone."""

from __future__ import annotations

import threading

from seraser_core.runner.threads import DaemonPool


def test_only_what_no_thread_has_begun_is_dropped():
    begun, go_on, done = threading.Event(), threading.Event(), []
    pool = DaemonPool(1, "x")

    def work(number):
        begun.set()
        go_on.wait(60)
        done.append(number)

    for number in range(3):
        pool.start(work, number)
    begun.wait(60)
    assert pool.shutdown(wait=False) == [(1,), (2,)]
    go_on.set()
    assert pool.shutdown(wait=True) == []
    assert done == [0]
