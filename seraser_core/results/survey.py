"""What is done of a run, found without reading its Parquet files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from seraser_core.errors import RunDirectoryError
from seraser_core.results import documents
from seraser_core.results.run_directory import RunDirectory


@dataclass
class Survey:
    """What is done of a run, by its JSON documents and the sizes of its Parquet files.

    Attributes:
        commits: Shard id -> commit, of the shards that are done.
        metrics: Shard id -> metrics, of the same shards.
        damaged: Shard id -> what is wrong, of those that have a commit and yet are not done.
    """

    commits: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)


def survey(directory: RunDirectory) -> Survey:
    """Read all commits and metrics of a run.

    Raises:
        RunDirectoryError: There is no run.
    """
    run, commits = directory.run(), directory.commits()
    found = Survey(damaged=directory.parquet_faults(commits))

    def read(name: str) -> dict[str, Any] | str:
        try:
            return directory.committed_metrics(name, commits[name], run)
        except RunDirectoryError as error:
            return str(error)

    names = [name for name in commits if name not in found.damaged]
    with ThreadPoolExecutor(documents.READERS) as pool:
        for name, metrics in zip(names, pool.map(read, names), strict=True):
            if isinstance(metrics, str):
                found.damaged[name] = metrics
            else:
                found.commits[name], found.metrics[name] = commits[name], metrics
    return found
