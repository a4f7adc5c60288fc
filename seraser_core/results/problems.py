"""Problems of a run directory, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: Path in the run directory, or of the weights.
        what: What is wrong with it.
        shard: The shard that it belongs to; computing it again mends it.
    """

    file: str
    what: str
    shard: str | None = None

    def __str__(self) -> str:
        where = "" if self.shard is None else f"shard {self.shard}: "
        return f"{where}{self.file}: {self.what}"


@dataclass
class VerifyReport:
    """Result of `verify`.

    Attributes:
        run: URL of the run directory.
        problems: Empty when all is as planned.
        unchecked: What could not be looked at, and why.
        shards: Planned shards.
        done: Shards with a valid commit.
        rows: Prediction rows that valid commits count.
        images: Planned images.
    """

    run: str
    problems: list[Problem] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    shards: int = 0
    done: int = 0
    rows: int = 0
    images: int = 0
