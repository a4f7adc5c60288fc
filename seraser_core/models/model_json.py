"""Reading and checking open_clip's model JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from open_clip.transform import PreprocessCfg

from seraser_core import storage
from seraser_core.errors import ConfigError
from seraser_core.models.json_files import blamed, read_object, refused, three_numbers

_PARTS = ("vision_cfg", "text_cfg")
_SIZES = {
    "vision_cfg": ("image_size", "patch_size", "width", "layers", "head_width"),
    "text_cfg": ("context_length", "vocab_size", "width", "heads", "layers"),
}
_MOST = 2**31
_WORDS = {
    "mode": ("RGB",),
    "interpolation": ("bicubic", "bilinear"),
    "resize_mode": ("shortest", "longest", "squash"),
}
_LEAST_DEVIATION = 1e-6
_BRIGHTEST = 255


def read_model_json(name: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """A model JSON as open_clip has it, or as the Hugging Face hub has it.

    Args:
        name: Path or URL of the file.

    Returns:
        The model's configuration, what is said of preparing pictures, and the file's content.

    Raises:
        ConfigError: It cannot be read, or says what makes no model.
    """
    with blamed("model.name", name):
        content = storage.read_bytes(name)
    document = read_object(content, name)
    model = document.get("model_cfg", document)
    if not isinstance(model, dict):
        raise refused(name, "model_cfg", model, "must be a JSON object")
    for key in ("embed_dim", *_PARTS):
        if key not in model:
            raise ConfigError("model.name", name, f"is not an open_clip model JSON: no {key}")
    _check_model(model, name)
    return model, _preprocessing(document.get("preprocess_cfg", {}), name), content


def check_size(name: str, given: Any, side: Any) -> None:
    """Check that pictures are made as large as the model takes them.

    Args:
        name: Name of the file, for errors.
        given: ``size`` of its ``preprocess_cfg``.
        side: The same of the model, a side or height and width.

    Raises:
        ConfigError: They are not.
    """
    if _both(given) != _both(side):
        raise refused(name, "size", given, f"must be that of the model's input, {side}")


def _check_model(model: dict[str, Any], name: str) -> None:
    _check_number(name, "embed_dim", model["embed_dim"])
    if not isinstance(model.get("quick_gelu", False), bool):
        raise refused(name, "quick_gelu", model["quick_gelu"], "must be true or false")
    for part in _PARTS:
        given = model[part]
        if not isinstance(given, dict):
            raise refused(name, part, given, "must be a JSON object")
        for key in _SIZES[part]:
            # A ResNet has layers in several stages, and no patches.
            values = given.get(key)
            for value in values if isinstance(values, list) else [values]:
                if value is not None:
                    _check_number(name, f"{part}.{key}", value)


def _check_number(place: str, name: str, value: object) -> None:
    if type(value) is not int or not 0 < value < _MOST:
        raise refused(place, name, value, f"must be a whole number above 0 and below {_MOST}")


def _preprocessing(given: Any, name: str) -> dict[str, Any]:
    """Options of the model's input, without those that are null, which open_clip passes over."""
    known = {field.name for field in dataclasses.fields(PreprocessCfg)}
    if not isinstance(given, dict) or not given.keys() <= known:
        raise ConfigError(
            "model.name", name, f"its preprocess_cfg must hold none but {', '.join(sorted(known))}"
        )
    said = {key: value for key, value in given.items() if value is not None}
    for key, words in _WORDS.items():
        if key in said and said[key] not in words:
            raise refused(name, key, said[key], f"must be {' or '.join(words)}")
    for key, least in (("mean", 0.0), ("std", _LEAST_DEVIATION)):
        values = three_numbers(name, key, said[key]) if key in said else [1.0]
        if not all(least <= value <= 1 for value in values):
            raise refused(
                name,
                key,
                said[key],
                f"must be from {least:g} to 1; of pixels from 0 to 255, divide by 255",
            )
    colour = said.get("fill_color", 0)
    if type(colour) is not int or not 0 <= colour <= _BRIGHTEST:
        raise refused(name, "fill_color", colour, f"must be a whole number from 0 to {_BRIGHTEST}")
    return said


def _both(size: Any) -> tuple[Any, ...]:
    return tuple(size) if isinstance(size, list | tuple) else (size, size)
