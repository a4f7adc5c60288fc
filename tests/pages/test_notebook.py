"""The notebook runs from a clean kernel, and shows what its text says."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from markdown_pages import ROOT
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[NotebookNode, Path]:
    """The notebook with its outputs, and the folder in which it ran."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)
    place = {"metadata": {"path": str(folder)}}
    return NotebookClient(notebook, timeout=300, resources=place).execute(), folder


def outputs(notebook: NotebookNode, kind: str) -> list[str]:
    """Output of its cells of a kind, such as ``text/html``, as text; ``stream`` is printed."""
    shown = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    if kind == "stream":
        return [one["text"] for one in shown if one["output_type"] == "stream"]
    return [one["data"][kind] for one in shown if kind in one.get("data", {})]


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_it_names_the_shortcuts_and_erases_one(executed):
    notebook, folder = executed
    cells = [html for html in outputs(notebook, "text/html") if "seraser-cell" in html]
    found, result = cells
    for place, animal in (("desert", "camel"), ("forest", "deer"), ("snow", "penguin")):
        assert re.search(rf'"place">{place}</span>.*?"class">a {animal}</span>', found)
    assert result.count("<img") >= 30
    text = " ".join(outputs(notebook, "stream"))
    plain, prompts, foreground = (
        float(share) for share in re.findall(r"([\d.]+) % (?:rightly|after)", text)
    )
    assert plain < 75
    assert min(prompts, foreground) > 90
    page = (folder / "shortcuts.html").read_text()
    assert page.count('<article class="card"') == found.count('<article class="card"')
