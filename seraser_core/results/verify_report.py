"""Comparing a run's report with the rows that it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

from seraser_core import storage
from seraser_core.errors import RunDirectoryError
from seraser_core.results import records
from seraser_core.results.counted import CountedRun
from seraser_core.results.disagreements import disagreements
from seraser_core.results.problems import Problem
from seraser_core.results.reading import read_report
from seraser_core.results.records import ReportFiles
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import FILES, Tables, is_audit, report_mark
from seraser_core.results.sums import merge
from seraser_core.results.tables import make_tables
from seraser_core.results.verify_shard import CheckedShard, same

_FILES = f"report/{FILES}"


def run_report_problems(
    directory: RunDirectory, checked: Sequence[CheckedShard]
) -> Iterator[Problem]:
    """Yield the problems of RUN/report; none where there is no report.

    Args:
        directory: Where the run is.
        checked: Its shards.
    """
    committed = {shard.id: shard.commit for shard in checked if shard.commit is not None}

    def tables() -> Tables:
        sums = merge([shard.sums for shard in checked if shard.commit is not None])
        made = make_tables(sums, directory.run)
        if is_audit(made["summary"]):
            states = {shard.id: shard.state for shard in checked}
            made["disagreements"] = disagreements([CountedRun(directory, states)])
        return made

    whole = not any(shard.problems for shard in checked if shard.commit is not None)
    mark = report_mark(committed, directory.run)
    yield from report_problems(directory.url, mark, tables if whole else None)


def report_problems(url: str, mark: str, tables: Callable[[], Tables] | None) -> Iterator[Problem]:
    """Yield the problems of the report of a run or a series; none where there is no report.

    Args:
        url: The run or series.
        mark: Of what its report is to be made of.
        tables: Makes the tables that it should have; None where these cannot be known.
    """
    if not storage.list_files(storage.join(url, "report")):
        return
    place = storage.join(url, _FILES)
    try:
        data = records.read(place)
        listed = ReportFiles.parse(data, place)
    except FileNotFoundError:
        yield Problem(_FILES, "is missing, and with it the hashes of the report's files")
        return
    except RunDirectoryError as error:
        yield Problem(_FILES, str(error))
        return
    if fault := records.seal_fault(data):
        yield Problem(_FILES, fault)
        return
    yield from _file_problems(url, listed.files)
    if listed.commits != mark:
        what = "the report was made of other shards or training counts than there are now"
        yield Problem(_FILES, what)
    elif tables is not None:
        yield from _table_problems(url, tables())


def _file_problems(url: str, listed: dict[str, str]) -> Iterator[Problem]:
    for name, mark in listed.items():
        try:
            data = records.read(storage.join(url, "report", name))
        except FileNotFoundError:
            yield Problem(f"report/{name}", "is missing")
            continue
        if hashlib.sha256(data).hexdigest() != mark:
            yield Problem(f"report/{name}", f"is not the file that {_FILES} names")


def _table_problems(url: str, tables: Tables) -> Iterator[Problem]:
    """The tables that should be there, against those that are.

    Those of other versions may have fewer columns, or more.
    """
    for name, expected in tables.items():
        file = f"report/{name}.parquet"
        try:
            table = read_report(url, name)
        except RunDirectoryError:  # said already: it has not its hash
            continue
        if table.height != expected.height:
            yield Problem(file, "has other rows than its run's predictions give")
            continue
        differing = [
            column
            for column in expected.columns
            if column in table.columns
            and not same(table[column].to_list(), expected[column].to_list())
        ]
        if differing:
            yield Problem(file, f"is not what the predictions give: {', '.join(differing)}")
