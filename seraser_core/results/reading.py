"""Reading predictions and reports with Polars."""

from __future__ import annotations

import io

import polars as pl

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.counted import CountedRun
from seraser_core.results.nights import is_series
from seraser_core.results.schema import PREDICTIONS_SCHEMA
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import Done


def scan(output: str) -> pl.LazyFrame:
    """Return all committed prediction rows of a run, a series, or all runs in an output folder.

    They are the rows that the commits name, whatever is published, and of a series those that
    count. Of runs that are all finished, and where no image was evaluated again,
    ``pl.scan_parquet("<output>/*/predictions/*.parquet")`` gives the same.

    Args:
        output: Path or URL of a run directory, a series or a folder that holds run directories.

    Raises:
        RunDirectoryError: There is no run.
    """
    options = storage.polars_options(output)
    parts = []
    for run in _counted(output):
        paths = [
            run.directory.path(state.file)
            for state in run.states.values()
            if isinstance(state, Done)
        ]
        if paths:
            rows = pl.scan_parquet(paths, glob=False, storage_options=options)
            parts.append(run.that_count(rows))
    return pl.concat(parts) if parts else pl.DataFrame(PREDICTIONS_SCHEMA.empty_table()).lazy()


def _counted(output: str) -> list[CountedRun]:
    if is_series(output):
        return Series(output).counted()
    return [CountedRun(run, run.states()) for run in find_runs(output)]


def find_runs(output: str) -> list[RunDirectory]:
    """The run directory at `output`, or those directly inside it, by name.

    Raises:
        RunDirectoryError: There is none.
    """
    try:
        if storage.exists(storage.join(output, "run.json")):
            return [RunDirectory(output)]
        names = [
            name
            for name in storage.list_folders(output)
            if storage.exists(storage.join(output, name, "run.json"))
        ]
    except (OSError, ValueError, ImportError) as error:
        raise RunDirectoryError(f"{output} cannot be read: {error}") from error
    if not names:
        raise RunDirectoryError(f"{output} is no run directory and holds none")
    return [RunDirectory(storage.join(output, name)) for name in names]


def read_report(run_url: str, name: str) -> pl.DataFrame:
    """A table of a run's report, from wherever the run is.

    Raises:
        RunDirectoryError: It is missing or damaged.
    """
    url = storage.join(run_url, "report", f"{name}.parquet")
    write_again = f"`seraser report {run_url}` writes it"
    try:
        return pl.read_parquet(io.BytesIO(records.read(url)))
    except FileNotFoundError:
        raise RunDirectoryError(f"{url} is missing", write_again) from None
    except pl.exceptions.PolarsError as error:
        raise RunDirectoryError(f"{url} is damaged: {error}", write_again) from None
