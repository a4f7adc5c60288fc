"""Runs of random scores: without pictures and without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from random_scores import Scored, build

from seraser_core.results.records import encode, seal
from seraser_core.results.shards import RunDirectory


@pytest.fixture(scope="session")
def scored() -> Callable[..., Scored]:
    """Makes the scores of a small run; see `build`."""
    return build


@pytest.fixture
def small(scored: Callable[..., Scored]) -> Scored:
    """13 images in three shards, one of which failed, under two methods."""
    return scored()


@pytest.fixture
def finished(small: Scored, tmp_path: Path) -> RunDirectory:
    """The finished run of `small`."""
    directory = small.create(str(tmp_path / "runs"))
    small.write(directory)
    return directory


@pytest.fixture
def edit() -> Callable[..., None]:
    """Changes the JSON document ``<run>/<name>`` by a function of it, and its seal with it."""

    def change(directory: RunDirectory, name: str, how: Callable[[Any], object]) -> None:
        path = Path(directory.path(name))
        document = json.loads(path.read_text())
        how(document)
        path.write_bytes(encode(seal(document) if "seal" in document else document))

    return change
