"""Workers to kill, and what an undisturbed run of the same configuration wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
pytest.register_assert_rewrite("harness")

from harness import Undisturbed, Workers  # noqa: E402 - pytest must know of it first


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Starts workers."""
    with Workers(tmp_path_factory.mktemp("workers")) as workers:
        yield workers


@pytest.fixture
def tree(tree: dict[str, Any]) -> dict[str, Any]:
    """The configuration, with several batches in a shard, and at most one process that decodes."""
    return {**tree, "runtime": {"batch_size": 2, "decode_threads": 1}}


@pytest.fixture(scope="session")
def _undisturbed() -> list[Undisturbed]:
    return []


@pytest.fixture
def undisturbed(
    tree: dict[str, Any], tmp_path: Path, workers: Workers, _undisturbed: list[Undisturbed]
) -> Undisturbed:
    """What `tree` leads to when nothing happens, and how long it takes."""
    if not _undisturbed:
        _undisturbed.append(Undisturbed.of(workers, tree, tmp_path / "undisturbed"))
    return _undisturbed[0]
