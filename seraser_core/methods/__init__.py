"""Methods: zero-shot, SEraser, and what they are compared with."""

from seraser_core.methods.context import MethodContext
from seraser_core.methods.implementations import method_class
from seraser_core.methods.method import Features, Method, Scores

__all__ = ["Features", "Method", "MethodContext", "Scores", "method_class"]
