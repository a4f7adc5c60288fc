"""An attempt at computing a shard."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """One attempt at a shard, and how it reads the images.

    Attributes:
        number: Number of the attempt, from 1.
        last: No further attempt follows: an image that a web server does not give is an error row.
        isolated: Decode in child processes, which can be killed, whatever the option says.
    """

    number: int = 1
    last: bool = True
    isolated: bool = False
