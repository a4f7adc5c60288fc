"""Pages that name tests name those that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "SECURITY.md", *(ROOT / "docs" / "operations").glob("*.md")]
NAMED = [
    named for page in PAGES for named in re.findall(r"`(tests/[^`:]+)::(\w+)`", page.read_text())
]


def test_it_names_some():
    assert len(NAMED) > 30


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_promise_has_its_test(path, name):
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
