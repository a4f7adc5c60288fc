"""The nights of a series: which of its runs count, in order."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.records import Record

_FOLDER = "series"
_NAME = re.compile(r"(0|[1-9][0-9]*)\.json")
_SHOWN = 5


class Night(Record):
    """series/<n>.json.

    Attributes:
        n: From 0.
        run_id: Name of the run's directory, in that of the series.
        fingerprint: That of the run.
        images: Number of its images.
        planned: When it was planned, ISO 8601 in UTC.
        again: Number of its images that an earlier night has, too: their rows there count no more.
    """

    n: int
    run_id: str
    fingerprint: str
    images: int
    planned: str
    again: int = 0


def night_file(n: int) -> str:
    """Path of a night, in the folder of the series."""
    return f"{_FOLDER}/{n}.json"


def read_nights(series_url: str) -> list[Night]:
    """All nights of a series, in order; none where there is no series.

    Raises:
        RunDirectoryError: One is missing or damaged, or they cannot be read.
    """
    numbers = _numbers(series_url)
    lacking = set(range(len(numbers))) - set(numbers)
    if lacking:
        url = storage.join(series_url, night_file(min(lacking)))
        raise RunDirectoryError(
            f"{url} is missing, and there are later nights; bring it back, or remove them if they "
            f"are none: {max(numbers)}.json"
        )
    with ThreadPoolExecutor(records.READERS) as pool:
        return list(pool.map(lambda n: _read(series_url, n), range(len(numbers))))


def is_series(url: str) -> bool:
    """Return whether a series is at `url`."""
    try:
        return bool(_numbers(url))
    except (OSError, ValueError, ImportError, RunDirectoryError):
        return False


def name_one(nights: list[Night]) -> str:
    """Tell whoever took a series for a run which runs there are, the newest first."""
    *most, last = [night.run_id for night in reversed(nights)][:_SHOWN]
    names = f"{', '.join(most)} or {last}" if most else last
    more = f"; {len(nights) - _SHOWN} are older" if len(nights) > _SHOWN else ""
    return f"is a series; name one of its runs: {names}{more}"


def _read(series_url: str, n: int) -> Night:
    url = storage.join(series_url, night_file(n))
    try:
        data = records.read(url)
    except FileNotFoundError:
        raise RunDirectoryError(f"{url} is gone; it was there a moment ago") from None
    night = Night.parse(data, url)
    fault = records.seal_fault(data)
    if fault is None and night.n != n:
        fault = f"is of night {night.n}"
    if fault is not None:
        raise RunDirectoryError(f"{url} {fault}")
    return night


def _numbers(series_url: str) -> list[int]:
    folder = storage.join(series_url, _FOLDER)
    with records.reading(folder):
        names = storage.list_files(folder)
    return [int(match[1]) for match in map(_NAME.fullmatch, names) if match]
