"""The task that merges the shards' sums into the summary and shows it in Prefect."""

from __future__ import annotations

import re
from typing import Any

import polars as pl
from prefect import get_run_logger, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from seraser_core import storage
from seraser_core.display import sentence
from seraser_core.results.columns import GROUPS, METHODS, NIGHTS, Shown, shown_in
from seraser_core.results.series import described_run
from seraser_core.results.summary import aggregate as write_summary
from seraser_core.results.table_formats import markdown_code, markdown_table
from seraser_core.results.tables import no_probabilities_text, small_groups_text
from tasks.observer import current

_NIGHTS = 10
"""Nights that Prefect's pages show."""


@task(name="aggregate", retries=2, retry_delay_seconds=10)
def aggregate(run_url: str) -> list[dict[str, Any]]:
    """Merge the metrics of all shards, write the report and publish the summary as artifacts.

    Args:
        run_url: The run directory, or a series.

    Returns:
        The summary, one entry per method.
    """
    logger = get_run_logger()

    def report(text: str) -> None:
        logger.warning(text)
        current().say(text)

    tables = write_summary(run_url, report=report)
    summary, groups = tables["summary"], tables["groups"]
    run = described_run(run_url)
    name = f"{run.name}-series" if "nights" in tables else run.name
    create_table_artifact(
        table=_shown_rows(summary),
        key=artifact_key(name, "summary"),
        description=f"Accuracy of each method in run {run.run_id}",
    )
    create_markdown_artifact(
        markdown=markdown(run_url, run.run_id, summary, groups, tables.get("nights")),
        key=artifact_key(name, "report"),
        description=f"Run {run.run_id}",
    )
    create_link_artifact(
        link=_page(run_url),
        link_text=f"{run.run_id}/report/report.html",
        key=artifact_key(name, "page"),
        description=f"Page of run {run.run_id}",
    )
    return plain_rows(summary)


def _page(run_url: str) -> str:
    """URL of the report's page."""
    url = storage.join(run_url, "report", "report.html")
    path = storage.local_path(url)
    return url if path is None else path.absolute().as_uri()


def artifact_key(name: str, kind: str) -> str:
    """A key in Prefect's alphabet; one per run name, so that Prefect shows its history."""
    return f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-') or 'run'}-{kind}"


def plain_rows(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of `table` without its nested columns, as JSON can hold them."""
    flat = [name for name, kind in table.schema.items() if not kind.is_nested()]
    return table.select(
        pl.when(pl.col(name).is_nan()).then(None).otherwise(pl.col(name)).alias(name)
        if table.schema[name].is_float()
        else pl.col(name)
        for name in flat
    ).to_dicts()


def _shown_rows(summary: pl.DataFrame) -> list[dict[str, str]]:
    """The summary as people read it, under headings that say which average is which."""
    shown = shown_in(Shown.PREFECT, METHODS)
    there = [c for c in shown if c.name in summary.columns and summary[c.name].count()]
    return [{c.heading: c.text(row[c.name]) for c in there} for row in summary.to_dicts()]


def markdown(
    run_url: str,
    run_id: str,
    summary: pl.DataFrame,
    groups: pl.DataFrame,
    nights: pl.DataFrame | None = None,
) -> str:
    """The report for Prefect's pages; `nights` are those of a series."""
    parts = [f"# {run_id}", markdown_table(summary, shown_in(Shown.PREFECT, METHODS))]
    if groups.height:
        parts += ["## Groups", markdown_table(groups, shown_in(Shown.PREFECT, GROUPS))]
    remarks = small_groups_text(summary), no_probabilities_text(summary)
    parts += [sentence(remark) for remark in remarks if remark]
    if nights is not None:
        last = nights.filter(pl.col("night") > pl.col("night").max() - _NIGHTS)
        parts += ["## Nights", markdown_table(last, shown_in(Shown.PREFECT, NIGHTS))]
    below = "predictions" if nights is None else "*/predictions"
    query = f"pl.scan_parquet({f'{run_url}/{below}/*.parquet'!r})"
    parts.append(f"All rows: {markdown_code(query)}")
    parts.append(f"Page with figures: {markdown_code(f'{run_url}/report/report.html')}")
    return "\n\n".join(parts)
