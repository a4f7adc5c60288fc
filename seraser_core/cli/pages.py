"""Pages of reports in the browser of the person at the terminal."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from seraser_core.cli.console import errors

OpenOption = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def page_of(url: str) -> str:
    """Return the location of the page of a run, a series or a comparison."""
    from seraser_core.results.comparison import is_comparison

    return f"{url}/report/{'comparison.html' if is_comparison(url) else 'report.html'}"


def open_page(page: str) -> None:
    """Open a page in the browser; one that is in a bucket is copied to a temporary folder.

    Raises:
        FileNotFoundError: There is no such page.
    """
    from seraser_core import storage

    path = storage.local_path(page)
    if path is None:
        folder = Path(tempfile.mkdtemp(prefix="seraser-report-"))
        path = folder / page.rsplit("/", 1)[-1]
        path.write_bytes(storage.read_bytes(page))
    if not webbrowser.open(path.absolute().as_uri()):
        errors.print(f"WARNING: no browser could be started; the page is {path}")
