"""Named steps in the life of a shard, announced to whoever listens.

Nobody does but tests, which stop or kill a worker at a step.
"""

from __future__ import annotations

from collections.abc import Callable

listeners: list[Callable[[str], None]] = []
"""Called with the name of every step that this process reaches, in the thread that reaches it."""


def reached(step: str) -> None:
    """Announce a step.

    Args:
        step: ``taken`` (a shard is begun), ``fetched`` (an image's file is there), ``decoded`` (an
            image is a sample or an error), ``tuned`` (one step of one batch) or ``scored`` (one
            batch).
    """
    for listen in listeners:
        listen(step)
