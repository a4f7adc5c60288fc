"""Methods: zero-shot, SEraser, and what they are compared with."""

from seraser_core.methods.base import Features, Method, Scores, Setting
from seraser_core.methods.registry import METHODS, build_method, check_method, is_stateful

__all__ = [
    "METHODS",
    "Features",
    "Method",
    "Scores",
    "Setting",
    "build_method",
    "check_method",
    "is_stateful",
]
