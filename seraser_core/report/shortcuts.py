"""The page of shortcuts alone: what was found in some images, without a run's report."""

from __future__ import annotations

import polars as pl

from seraser_core.report.page import render
from seraser_core.report.pictures import make_gallery
from seraser_core.results.records import RunRecord
from seraser_core.shortcuts.findings import Findings


def shortcuts_page(findings: Findings, run: RunRecord, pictures: pl.DataFrame | None) -> bytes:
    """Make the page, self-contained.

    Args:
        findings: What was found.
        run: How it was computed.
        pictures: Rows of the sample that have pictures; None if there are none.
    """
    gallery = make_gallery(pictures, run.classes, run.attributes, findings)
    return render("found.html.jinja", findings=findings, run=run, gallery=gallery)
