"""Methods: zero-shot, SEraser, and what they are compared with."""

from seraser_core.methods.base import Features, Method, MethodContext, Scores
from seraser_core.methods.registry import method_class

__all__ = ["Features", "Method", "MethodContext", "Scores", "method_class"]
