"""Named steps in the life of a shard, which a listener can hear of.

Nobody does but tests, which stop or kill a worker at a step.
"""

from __future__ import annotations

from collections.abc import Callable

listeners: list[Callable[[str, str | None], None]] = []
"""Called with the arguments of every `reached`, in the thread that reaches the step."""


def reached(step: str, url: str | None = None) -> None:
    """Announce a step.

    Args:
        step: ``taken`` (a shard is begun), ``fetched`` (an image's file is there), ``decoded`` (an
            image is a sample or an error), ``tuned`` (one step of one batch) or ``scored`` (one
            batch). Of a file: ``before`` and ``after`` it is written; on a local disk also
            ``opened`` (a temporary file, still empty), ``unrenamed`` (a whole one, or a second name
            of the file that is published) and ``named`` (a file that is created has its name, and
            the temporary one still).
        url: The file, when it is a step of one.
    """
    for listen in listeners:
        listen(step, url)
