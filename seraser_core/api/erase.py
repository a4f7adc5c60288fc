"""Classifying images with their shortcuts erased."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seraser_core.api.call import call
from seraser_core.api.model import Model
from seraser_core.api.result import Result

_SHOWN = 200
"""Images of which some can be shown with their sides."""


def erase(
    model: Model,
    images: Any,
    classes: Sequence[str],
    *,
    masks: Any = None,
    labels: Iterable[Any] | None = None,
    attributes: Iterable[Any] | None = None,
    method: str | Mapping[str, Any] = "seraser",
    template: str | None = None,
    seed: int = 0,
    batch_size: int | str = "auto",
    progress: bool | None = None,
) -> Result:
    """Classify images after erasing what their surroundings alone say, and before.

    The rows are those that a run over the same images would have: the same code computes them.
    Images that cannot be used become error rows, see `Result.errors`.

    Args:
        model: A model of `load_model`.
        images: The images, n of them: a list of paths, URLs (``https://``, ``s3://`` and other
            schemes of fsspec), PIL images, arrays or bytes of image files, also mixed; one of
            these; an array (n, H, W, 3); or a folder, for all images below it, sorted by path.
            Arrays are (H, W, 3) uint8; grey, RGBA and numbers of other types are converted as
            they are when read from files.
        classes: Names of the C classes, at least two, as they are put into the template.
        masks: Foregrounds, as exact as you have them: the same kinds, one per image, where not 0
            is foreground and None means that the image has none; or a folder with masks of the
            images' names. Without masks, those are used that the model makes itself (`relevance`).
        labels: Name or index of the class of each image, None where unknown. They change no
            prediction.
        attributes: Name or number of the surroundings of each image, None where unknown.
        method: Name of a method, see ``seraser methods``, or its options as a mapping:
            ``{"name": "seraser", "preset": "preserve", "steps": 10}``. Its option ``auxiliary`` is
            ``"mask"`` with masks and ``"relevance"`` without, unless you give it. The demo model
            takes the options of SEraser that were chosen for it.
        template: Prompt with ``{}`` for the class name; ``"a photo of {}"`` by default.
        seed: Seed of all random numbers, with the image's id.
        batch_size: Images adapted at once: a number, or ``"auto"``.
        progress: Whether to show how far it is; by default in notebooks and terminals.

    Returns:
        Predictions of the n images, in their order.

    Raises:
        ConfigError: An argument cannot be used; names it, its value and the remedy.
        TransientError: Storage or the memory of the device failed; trying again may help.

    Source:
        Spurious Feature Eraser, arXiv 2403.00376.
    """
    called = call(
        model,
        images,
        classes,
        masks=masks,
        labels=labels,
        attributes=attributes,
        method=method,
        template=template,
        seed=seed,
        batch_size=batch_size,
        progress=progress,
        sample=_SHOWN,
    )
    limits = called.config.dataset.limits
    return Result(called.run, called.rows, called.sample, called.images, limits)
