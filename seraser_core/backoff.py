"""Retries of requests to storage that failed."""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from seraser_core.faults import passes_soon, s3_code

logger = logging.getLogger(__name__)
T = TypeVar("T")
_LOGGED_EVERY = 100


@dataclass(frozen=True)
class Policy:
    """Limits on the tries of one request.

    The n-th pause is drawn evenly from 0 to ``min(longest_s, shortest_s * 2**n)`` seconds ("full
    jitter"): of many that failed together, few come again together.

    Attributes:
        tries: At most, with the first.
        shortest_s, longest_s: Bounds of the longest pause.
        total_s: Since the first try, after which no other is begun.
    """

    tries: int = 7
    shortest_s: float = 0.5
    longest_s: float = 20.0
    total_s: float = 120.0


POLICY = Policy()
_retries = itertools.count(1)


class Backoff:
    """The tries of one request; the first begins now."""

    def __init__(self) -> None:
        self._began, self._tried = time.monotonic(), 0

    def after(self, error: Exception) -> float | None:
        """Seconds to wait before the next try; None when there is to be none."""
        self._tried += 1
        if self._tried >= POLICY.tries or not passes_soon(error):
            return None
        bound = min(POLICY.longest_s, POLICY.shortest_s * 2 ** (self._tried - 1))
        pause = random.uniform(0, bound)  # noqa: S311
        if time.monotonic() - self._began + pause > POLICY.total_s:
            return None
        count = next(_retries)
        if count % _LOGGED_EVERY == 1:
            # Not the text of the fault, which may hold a signed URL.
            name = s3_code(error) or type(error).__name__
            logger.warning("storage: made %d requests again so far, now after %s", count, name)
        return pause


def with_retries(attempt: Callable[[], T]) -> T:
    """Call `attempt`, with retries after faults that may pass soon; return its result.

    Raises:
        As `attempt`, when it is no use to go on.
    """
    backoff = Backoff()
    while True:
        try:
            return attempt()
        except Exception as error:
            pause = backoff.after(error)
            if pause is None:
                raise
        time.sleep(pause)
