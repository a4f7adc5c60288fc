"""Comparisons: the summaries of several runs as one table, and its files.

A comparison's folder beside its runs holds::

    comparison.json       the runs, with the names of their data sets and models
    report/comparison.*   the page (html), and the table as parquet, csv, md and tex (for LaTeX with
                          booktabs)
    report/headlines.csv  where there are any: the headlines of benchmark data sets
    report/published.csv  where there are any: published figures, and ours beside them
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.display import sentence
from seraser_core.errors import ConfigError, RunDirectoryError
from seraser_core.report.compared import Compared, make_comparison
from seraser_core.results.columns import HEADLINES, METHODS, Shown, mean_rank_columns, shown_in
from seraser_core.results.fingerprints import fingerprint
from seraser_core.results.headlines import headline_of
from seraser_core.results.names import dataset_name, model_name
from seraser_core.results.published import PUBLISHED, beside_published, published_table
from seraser_core.results.reading import read_report
from seraser_core.results.records import ComparedRecord, ComparisonRecord
from seraser_core.results.shards import RunDirectory
from seraser_core.results.significance import holm
from seraser_core.results.status import costs, status
from seraser_core.results.table_formats import csv_table, latex_table, markdown_table
from seraser_core.results.tables import no_probabilities_text, small_groups_text
from seraser_core.sources.benchmarks.headline import Headline, Misled
from seraser_core.sources.items import SMALL_GROUP

_AVERAGES = """\
Averages: *pooled* over all images; *adjusted*, the groups weighted by their images in the training
split, where these are known; *group mean*, all groups alike.
"""


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Attributes:
        dataset: Name of its data set in the tables.
        model: Name of its model in the tables.
        url: Of its run directory.
    """

    dataset: str
    model: str
    url: str

    @property
    def run_id(self) -> str:
        """Name of its run directory."""
        return self.url.rsplit("/", 1)[-1]


def create_comparison(output: str, name: str, runs: Sequence[ComparedRun]) -> str:
    """Write comparison.json of planned runs; the same runs are the same comparison.

    Args:
        output: Folder or URL under which the comparison's folder is made.
        name: First part of that folder's name.
        runs: In the order of the tables.

    Returns:
        URL of the comparison's folder.

    Raises:
        ConfigError: A run is there more than once.
    """
    ids = [run.run_id for run in runs]
    repeated = sorted({run_id for run_id in ids if ids.count(run_id) > 1})
    if repeated:
        raise ConfigError("name", f"{repeated[0]} is there more than once", "give every run once")
    url = storage.join(output, f"{name}-compare-{fingerprint(sorted(ids))[:12]}")
    listed = [
        ComparedRecord(dataset=run.dataset, model=run.model, run_id=run.run_id, run=run.url)
        for run in runs
    ]
    storage.write_bytes(_record(url), ComparisonRecord(name=name, runs=listed).encode())
    return url


def comparison_of(run_urls: Sequence[str]) -> str:
    """Write comparison.json of runs that exist, beside the first one.

    Runs of the same data set and model, which differ in something else, have their ids beside the
    model's name.

    Args:
        run_urls: At least two run directories.

    Returns:
        URL of the comparison's folder.

    Raises:
        ConfigError: A run is there more than once.
        RunDirectoryError: One is no run directory.
    """
    configs = [RunDirectory(url).run.config.document() for url in run_urls]
    names = [(dataset_name(one["dataset"]), model_name(one["model"])) for one in configs]
    runs = [
        ComparedRun(dataset, model, url)
        for (dataset, model), url in zip(names, run_urls, strict=True)
    ]
    runs = [
        run
        if names.count((run.dataset, run.model)) == 1
        else replace(run, model=f"{run.model} ({run.run_id})")
        for run in runs
    ]
    return create_comparison(storage.parent(run_urls[0].rstrip("/")), "runs", runs)


def write_comparison(comparison_url: str) -> dict[str, pl.DataFrame]:
    """Make the table of a comparison from its runs' reports, and write its files.

    Returns:
        ``comparison``, see `compare_runs`; ``ranks``, see `mean_ranks`; ``headlines``, see
        `HEADLINES`; and ``published``, see `PUBLISHED`.

    Raises:
        RunDirectoryError: There is no comparison, or a run has no report.
    """
    comparison = _read(comparison_url)
    runs = [_compared(run) for run in comparison.runs]
    table = compare_runs(comparison.runs)
    headlines, published = _headlines(runs), _published(runs)
    ranks = mean_ranks(table)
    small, lacking = left_out(table), no_probabilities_text(table)
    columns = shown_in(Shown.COMPARISON_TEXT, METHODS)
    if not small:
        columns = [column for column in columns if column.name != "small_groups"]
    parquet = io.BytesIO()
    table.write_parquet(parquet)
    page = [f"# Comparison {comparison.name}\n", markdown_table(table, columns)]
    page += [_AVERAGES] if table["accuracy"].count() else []
    page += [f"{sentence(remark)}\n" for remark in (small, lacking) if remark]
    if ranks["pairs"].sum():
        page += [
            "Mean ranks over all data sets and models:\n",
            markdown_table(ranks, mean_rank_columns()),
        ]
    for name, title, columns_of, beside in (
        ("headlines", "Headlines", HEADLINES, headlines),
        ("published", "Published figures", PUBLISHED, published),
    ):
        if beside.height:
            page += [f"{title}:\n", markdown_table(beside, columns_of)]
            file = storage.join(comparison_url, "report", f"{name}.csv")
            storage.write_bytes(file, csv_table(beside).encode())
    for ending, content in {
        "parquet": parquet.getvalue(),
        "csv": csv_table(table).encode(),
        "md": "\n".join(page).encode(),
        "tex": latex_table(table, columns).encode(),
        "html": make_comparison(
            comparison.name,
            runs,
            table,
            ranks,
            headlines,
            published,
            sentence(small) if small else "",
            sentence(lacking) if lacking else "",
        ),
    }.items():
        url = storage.join(comparison_url, "report", f"comparison.{ending}")
        storage.write_bytes(url, content)
    return {
        "comparison": table,
        "ranks": ranks,
        "headlines": headlines,
        "published": published,
    }


def _headlines(runs: Sequence[Compared]) -> pl.DataFrame:
    """The headlines of runs over benchmark data sets that have one."""
    rows = [
        {"dataset": run.dataset, "model": run.model, **row}
        for run in runs
        for row in _rows_of(run.url, "headline")
    ]
    return pl.DataFrame(rows, schema={column.name: column.kind for column in HEADLINES})


def _published(runs: Sequence[Compared]) -> pl.DataFrame:
    """The runs' figures of which there are published ones."""
    return published_table(
        [
            (run.dataset, run.model, one)
            for run in runs
            for one in beside_published(run.record, run.summary, run.groups)
        ]
    )


def _compared(run: ComparedRecord) -> Compared:
    """A run as the page shows it."""
    groups, answers = (_rows_of(run.run, name) for name in ("groups", "answers"))
    return Compared(
        dataset=run.dataset,
        model=run.model,
        run_id=run.run_id,
        url=run.run,
        record=RunDirectory(run.run).run,
        summary=read_report(run.run, "summary").to_dicts(),
        groups=groups,
        answers=answers,
    )


def _rows_of(run_url: str, name: str) -> list[dict[str, Any]]:
    """The rows of a table of a run's report; none where it is lost, or the run has none."""
    try:
        return read_report(run_url, name).to_dicts()
    except RunDirectoryError:
        return []


def compare_runs(runs: Sequence[ComparedRecord]) -> pl.DataFrame:
    """One row per data set, model and method, those of a data set after each other.

    Beside the columns of the runs' summaries, of which absent ones are null:
    ``mcnemar_p_holm``, Holm's adjusted ``mcnemar_p`` over all rows that have one (zero-shot, with
    which the others are compared, has none); ``seconds_per_image`` of the method and its views, and
    ``peak_mib``, see `status`; ``rank_accuracy`` and ``rank_worst_group``, from 1 for the best
    method of a data set and model, where equal ones share their mean rank. Where a higher
    accuracy is none, as on Spurious ImageNet, there are no ranks.

    Args:
        runs: As in comparison.json.

    Raises:
        RunDirectoryError: A run has no report.
    """
    datasets = list(dict.fromkeys(run.dataset for run in runs))
    rows = [row for run in runs for row in _rows(run)]
    rows.sort(key=lambda row: datasets.index(row["dataset"]))
    tested = [row for row in rows if row["mcnemar_p"] is not None]
    for row, adjusted in zip(tested, holm([row["mcnemar_p"] for row in tested]), strict=True):
        row["mcnemar_p_holm"] = adjusted
    columns = shown_in(Shown.COMPARISON_DATA, METHODS)
    table = pl.DataFrame(rows, schema={column.name: column.kind for column in columns})
    descending = {column.name: column.better == "higher" for column in columns}
    known = pl.col("run_id").is_in(
        [run.run_id for run in runs if not isinstance(_headline(run), Misled)]
    )
    return table.with_columns(
        pl.when(known)
        .then(pl.col(of).rank("average", descending=descending[of]).over("dataset", "model"))
        .alias(name)
        for name, of in ((column.name, column.ranks) for column in columns)
        if of is not None
    )


def _headline(run: ComparedRecord) -> Headline | None:
    return headline_of(RunDirectory(run.run).run)


def _rows(run: ComparedRecord) -> list[dict[str, Any]]:
    """The rows of one run, without what takes all runs to know."""
    url = run.run
    facts = status(url)
    methods = RunDirectory(url).run.methods
    untouched = [method.id for method in methods if method.name == "zero_shot"]
    named = {"dataset": run.dataset, "model": run.model, "run_id": run.run_id}
    columns = shown_in(Shown.COMPARISON_DATA, METHODS)
    rows = []
    for summary in read_report(url, "summary").to_dicts():
        method = summary["method"]
        row = {column.name: summary.get(column.name) for column in columns} | named
        row |= costs(facts, method)
        if method in untouched:
            row["mcnemar_p"] = None
        rows.append(row)
    return rows


def mean_ranks(table: pl.DataFrame) -> pl.DataFrame:
    """Mean ranks of every method over the data sets and models on which all methods ran.

    ``pairs`` are those with labels; a rank among fewer methods is no rank among all.
    """
    methods = table["method"].n_unique()
    together = (pl.len().over("dataset", "model") == methods).alias("together")
    means = (
        pl.col(column.name).filter(pl.col("together")).mean().alias(f"mean_{column.name}")
        for column in METHODS
        if column.ranks
    )
    pairs = pl.col("rank_accuracy").filter(pl.col("together")).count().cast(pl.Int64)
    grouped = table.with_columns(together).group_by("method", maintain_order=True)
    return grouped.agg(pairs.alias("pairs"), *means)


def is_comparison(url: str) -> bool:
    """Return whether a comparison's folder is at `url`."""
    try:
        return storage.exists(_record(url))
    except (OSError, ValueError, ImportError):
        return False


def compared_runs(comparison_url: str) -> list[ComparedRun]:
    """The runs of a comparison, in its order.

    Raises:
        RunDirectoryError: There is no comparison.
    """
    listed = _read(comparison_url).runs
    return [ComparedRun(run.dataset, run.model, run.run) for run in listed]


def left_out(table: pl.DataFrame) -> str | None:
    """Name the data sets with groups that are left out of the worst group."""
    sizes = table.group_by("dataset", maintain_order=True).agg(pl.col("small_groups").max())
    if sizes.height == 1:
        return small_groups_text(table)
    counts = ", ".join(f"{n} of {name}" for name, n in sizes.iter_rows() if n)
    groups = f"groups of fewer than {SMALL_GROUP} images"
    return f"left out of the worst group: {groups} ({counts})" if counts else None


def _record(comparison_url: str) -> str:
    return storage.join(comparison_url, "comparison.json")


def _read(comparison_url: str) -> ComparisonRecord:
    try:
        comparison = ComparisonRecord.read(_record(comparison_url))
    except FileNotFoundError:
        lacking = f"it has no {_record(comparison_url)}"
        raise RunDirectoryError(f"{comparison_url} is no comparison: {lacking}") from None
    beside = storage.parent(comparison_url.rstrip("/"))
    runs = [
        run.model_copy(update={"run": _existing(run.run, storage.join(beside, run.run_id))})
        for run in comparison.runs
    ]
    return comparison.model_copy(update={"runs": runs})


def _existing(url: str, beside: str) -> str:
    """Return the URL of a run: as written, or beside the comparison if both were moved."""
    if url != beside and not storage.exists(storage.join(url, "run.json")):
        return beside if storage.exists(storage.join(beside, "run.json")) else url
    return url
