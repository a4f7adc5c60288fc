"""The shortcut finder: which surroundings decide which class. Arrays in, findings out."""

from __future__ import annotations

from seraser_core.shortcuts.findings import Findings
from seraser_core.shortcuts.sample import Sample, merge

__all__ = ["Findings", "Sample", "merge"]
