"""Lets the tests here import the modules beside them, as Python does where one of them is run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
