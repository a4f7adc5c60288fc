"""Classifying images with their shortcuts erased."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seraser_core.api.compute import GivenImages, check_options, compute
from seraser_core.api.given import given_images, given_masks
from seraser_core.api.model import Model
from seraser_core.api.result import Result
from seraser_core.config.methods import method_options
from seraser_core.errors import ConfigError
from seraser_core.kinds import KINDS

ZERO_SHOT = "zero_shot"
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
) -> Result:
    """Classify images after erasing what their surroundings alone say, and before.

    The same as a run over the same images: equal rows, of the same code. Images that cannot be
    used become error rows, see `Result.errors`.

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

    Returns:
        Predictions of the n images, in their order.

    Raises:
        ConfigError: An argument cannot be used; names it, its value and the remedy.
        TransientError: Storage or the memory of the device failed; trying again may help.

    Source:
        Spurious Feature Eraser, arXiv 2403.00376.
    """
    check_model_argument(model)
    names = class_names(classes)
    given = given_images(images)
    foregrounds = given_masks(masks, given)
    options = with_auxiliary(method, model, masks is not None)
    before = [] if options["name"] == ZERO_SHOT else [ZERO_SHOT]
    tree: dict[str, Any] = {
        "name": "python",
        "dataset": {"classes": names, "mask": None if masks is None else "mask"},
        "methods": [options, *before],
        "seed": seed,
        "runtime": {"batch_size": batch_size},
        "shortcuts": {"sample": _SHOWN},
    }
    if template is not None:
        tree["dataset"]["template"] = template
    config = check_options(tree, model)
    known, values = attribute_indices(attributes, len(given))
    items = GivenImages(
        given, foregrounds, label_indices(labels, names, len(given)), known, config.dataset.limits
    )
    run, scored = compute(model, config, names, values, items)
    return Result(run, scored.predictions, scored.sample, given, config.dataset.limits)


def check_model_argument(model: object) -> None:
    """Refuse a model that is none of `load_model`.

    Raises:
        ConfigError: It is none.
    """
    if not isinstance(model, Model):
        raise ConfigError("model", repr(model), 'give a model, as load_model("demo") returns it')


def class_names(classes: object) -> list[str]:
    """Return the names of the classes.

    Raises:
        ConfigError: They are not at least two texts.
    """
    remedy = 'name at least two classes, as ["a camel", "a deer"]'
    if isinstance(classes, str | Mapping) or not isinstance(classes, Iterable):
        raise ConfigError("classes", repr(classes), remedy)
    names = list(classes)
    if len(names) < 2:
        raise ConfigError("classes", names, remedy)
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError("classes", repr(name), "every class needs a name, as text")
    return names


def with_auxiliary(
    method: str | Mapping[str, Any], model: Model, has_masks: bool
) -> dict[str, Any]:
    """Return the options of a method with the auxiliary images that there can be.

    Raises:
        ConfigError: It needs masks, and there are none.
    """
    given = {"name": method} if isinstance(method, str) else method
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ConfigError("method", repr(method), 'give a name, or {"name": ..., options}')
    name = given["name"]
    options = {**model.method_options.get(name, {}), **given}
    group = method_options().get(name)
    if group is None or "auxiliary" not in group.model_fields:
        return options
    if "auxiliary" not in options:
        options["auxiliary"] = _best_auxiliary(name, model, has_masks)
    kind = KINDS.get(str(options["auxiliary"]))
    for region in kind.regions if kind else ():
        if region.made or (region.name == "mask" and has_masks):
            continue
        if region.name == "mask":
            raise ConfigError(
                "masks",
                None,
                f"method {name!r} has auxiliary {options['auxiliary']!r} and needs them; give "
                'masks, or choose auxiliary "relevance"',
            )
        raise ConfigError(
            "method.auxiliary",
            repr(options["auxiliary"]),
            f"images have no {region.name} here; draw it into masks and choose 'mask'",
        )
    return options


def _best_auxiliary(name: str, model: Model, has_masks: bool) -> str:
    if has_masks:
        return "mask"
    if model.makes_relevance:
        return "relevance"
    raise ConfigError(
        "masks",
        None,
        f"method {name!r} needs foregrounds, and this model makes none: its image tower is no "
        "plain vision transformer; give masks, or another auxiliary, as "
        f'method={{"name": "{name}", "auxiliary": "segment"}}',
    )


def label_indices(labels: object, classes: list[str], n: int) -> list[int | None]:
    """Return the index of the class of every image, None where unknown.

    Raises:
        ConfigError: They are not as many as the images, or one is no class.
    """
    values = _one_each("labels", labels, n)
    indices: list[int | None] = []
    for value in values:
        index = classes.index(value) if value in classes else _as_index(value)
        if value is not None and (index is None or not 0 <= index < len(classes)):
            raise ConfigError(
                "labels",
                repr(value),
                f"give the name of a class or its index, 0 to {len(classes) - 1}; None if unknown",
            )
        indices.append(index)
    return indices


def attribute_indices(attributes: object, n: int) -> tuple[list[int | None], list[str]]:
    """Return the index of the attribute of every image, None where unknown, and their names.

    Raises:
        ConfigError: They are not as many as the images, or one is neither text nor number.
    """
    values = _one_each("attributes", attributes, n)
    for value in values:
        if value is not None and not isinstance(value, str) and _as_index(value) is None:
            raise ConfigError("attributes", repr(value), "give texts or whole numbers, or None")
    known = {value for value in values if value is not None}
    if all(not isinstance(value, str) for value in known):
        ordered = sorted(known)
    else:
        ordered = sorted(known, key=str)
    place = {value: index for index, value in enumerate(ordered)}
    return [place.get(value) for value in values], [str(value) for value in ordered]


def _one_each(argument: str, values: object, n: int) -> list[Any]:
    if values is None:
        return [None] * n
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise ConfigError(argument, repr(values), "give a list with one value per image")
    listed = [None if _is_nan(value) else value for value in values]
    if len(listed) != n:
        raise ConfigError(
            argument, f"{len(listed)} for {n} images", "give one per image, None where unknown"
        )
    return listed


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and value != value


def _as_index(value: object) -> int | None:
    try:
        return None if isinstance(value, str | bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return int(value) if isinstance(value, float) and value.is_integer() else None
