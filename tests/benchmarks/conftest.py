"""What the benchmarks share: the modules beside them, and the floors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

_HERE = Path(__file__).parent
sys.path.append(str(_HERE))  # as Python does itself where one of them is run


@pytest.fixture(scope="session")
def floors() -> dict[str, Any]:
    """The numbers that must hold."""
    return yaml.safe_load((_HERE / "floors.yaml").read_text())
