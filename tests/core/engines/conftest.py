"""Lets the workers of an engine have the work of `sabotage`, which they cannot import."""

from __future__ import annotations

import sys
from pathlib import Path

import cloudpickle

sys.path.append(str(Path(__file__).parent))

import sabotage

cloudpickle.register_pickle_by_value(sabotage)
