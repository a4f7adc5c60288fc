"""Guessing the options of a data set from what is there, for a first configuration."""

from __future__ import annotations

from seraser_core.sources.guessing.guess import Guess, guess

__all__ = ["Guess", "guess"]
