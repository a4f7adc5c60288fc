"""Calls of methods, which may be those of other packages: what goes wrong names the method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from seraser_core.config.methods import MethodOptions
from seraser_core.display import kind_of
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.methods.context import MethodContext
from seraser_core.methods.implementations import method_class
from seraser_core.methods.method import Features, Method, Scores
from seraser_core.methods.shared import Shared
from seraser_core.models.device import is_lost
from seraser_core.models.memory import is_out_of_memory

_OPTIONAL = ("loss_first", "loss_last", "steps")
_REMEDY = "repair or update the method, or leave it out"


def build_method(options: MethodOptions, context: MethodContext) -> Method:
    """Build the method of these options.

    Raises:
        ConfigError: It cannot be built, or changes what is shared.
    """
    with named(options.id):
        method = method_class(options)(options, context)
    context.shared.check(options.id)
    return method


def fit(method: Method, features: Features, context: MethodContext) -> None:
    """Let a method learn from a sample of the images.

    Raises:
        ConfigError: It cannot, or changes what is shared.
    """
    with named(method.id):
        method.fit(features)
    context.shared.check(method.id)


def predict(method: Method, features: Features, classes: int, shared: Sequence[Shared]) -> Scores:
    """Return the scores of B images, which are as they must be.

    Args:
        method: The method.
        features: Name of a view -> (B, K, D).
        classes: C.
        shared: Tensors that it must not change.

    Raises:
        ConfigError: It fails, changes one of them, or returns something else than `Scores` says.
    """
    with named(method.id):
        scores = method.predict(features)
    for tensors in shared:
        tensors.check(method.id)
    check_scores(method.id, scores, len(features["image"]), classes)
    return scores


@contextmanager
def named(method_id: str) -> Iterator[None]:
    """Name the method in errors that are not known here, and when it ends the process.

    Memory that ran out and a GPU that is lost remain what they are: others know what to do.
    """
    try:
        yield
    except SeraserError:
        raise
    except (Exception, SystemExit) as error:  # anything can go wrong in the code of others
        if is_out_of_memory(error) or is_lost(error):
            raise
        found = f"it ends in {type(error).__name__}: {error}"
        raise ConfigError(f"methods.{method_id}", found, _REMEDY) from error


def check_scores(method_id: str, scores: object, images: int, classes: int) -> None:
    """Refuse what a method must not return as the scores of some images.

    Raises:
        ConfigError: Says what was found, and what is expected.
    """
    wanted = {"logits": (images, classes), "loss_first": (images,), "loss_last": (images,)}
    found = None
    if not isinstance(scores, Scores):
        found = f"{_kind(scores)} instead of Scores"
    elif not isinstance(scores.steps, int | None):
        found = f"steps as {scores.steps!r:.50}; it must be an int or None"
    else:
        for name, shape in wanted.items():
            given = getattr(scores, name)
            if given is None and name != "logits":
                continue
            if _shape(given) != shape:
                found = (
                    f"{name} as {_kind(given)}; for {images} images and {classes} classes it must "
                    f"be a floating-point tensor of shape {shape}"
                )
                break
    if found is not None:
        raise ConfigError(f"methods.{method_id}", f"its predict returns {found}", _REMEDY)


def check_alike(method_id: str, scores: Scores, tells: dict[str, tuple[str, ...]]) -> None:
    """Refuse scores that hold losses or steps when those of other images did not.

    Args:
        method_id: The method.
        scores: Some of its scores.
        tells: Id of a method -> what its scores hold; the first ones are added.

    Raises:
        ConfigError: They hold others.
    """
    given = tuple(name for name in _OPTIONAL if getattr(scores, name) is not None)
    before = tells.setdefault(method_id, given)
    if given != before:
        names = [", ".join(some) or "none of them" for some in (before, given)]
        found = f"of {', '.join(_OPTIONAL)} it returns {names[0]} at first and {names[1]} later"
        raise ConfigError(f"methods.{method_id}", found, _REMEDY)


def _shape(value: object) -> tuple[int, ...] | None:
    """Return the shape of a tensor of floating numbers."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return tuple(value.shape)
    return None


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    return kind_of(value)
