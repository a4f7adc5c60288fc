"""How the CLIP image processor of transformers prepares pictures, in open_clip's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

from seraser_core.errors import ConfigError

_KINDS = (
    "CLIPImageProcessor",
    "CLIPImageProcessorFast",
    "CLIPImageProcessorPil",
    "CLIPFeatureExtractor",
)
_RESAMPLING = {2: "bilinear", 3: "bicubic"}
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
_SIDE = 224
_BYTE = 255
_MOST = 1e30


def preprocess_cfg(folder: str, given: Any, side: int) -> dict[str, Any]:
    """open_clip's ``preprocess_cfg`` of what preprocessor_config.json says.

    What it leaves out is what transformers takes for it. open_clip divides by 255, subtracts a mean
    and divides by a deviation; other factors, and steps that are left out, are within these two.

    Args:
        folder: The model's folder, for errors.
        given: The JSON document.
        side: Height and width of the model's input.

    Raises:
        ConfigError: Pictures are prepared as open_clip cannot.
    """
    if not isinstance(given, dict):
        raise refused(folder, "image_processor", given, "must be a JSON object")
    kind = given.get("image_processor_type", given.get("feature_extractor_type", _KINDS[0]))
    if kind not in _KINDS:
        raise refused(folder, "image_processor_type", kind, f"must be that of CLIP, {_KINDS[0]}")
    steps = {name: value for name, value in given.items() if name.startswith("do_")}
    for name, value in steps.items():
        if value is not None and not isinstance(value, bool):
            raise refused(folder, name, value, "must be true or false")
        if value and name not in _STEPS:
            raise refused(folder, name, value, "is not done here; give a model without it")
    resample = given.get("resample", 3)
    if type(resample) is not int or resample not in _RESAMPLING:
        raise refused(folder, "resample", resample, "must be 3, bicubic, or 2, bilinear")
    factor = 1.0
    if steps.get("do_rescale", True):
        factor = _number(folder, "rescale_factor", given.get("rescale_factor", 1 / _BYTE))
    mean, deviation = [0.0] * 3, [1.0] * 3
    if steps.get("do_normalize", True):
        mean = _three(folder, "image_mean", given.get("image_mean", OPENAI_DATASET_MEAN))
        deviation = _three(folder, "image_std", given.get("image_std", OPENAI_DATASET_STD))
    if factor <= 0 or min(deviation) <= 0:
        name, value = ("image_std", deviation) if factor > 0 else ("rescale_factor", factor)
        raise refused(folder, name, value, "must be above 0")
    scale = _BYTE * factor
    return {
        "mean": [value / scale for value in mean],
        "std": [value / scale for value in deviation],
        "interpolation": _RESAMPLING[resample],
        **_resizing(folder, given, side),
    }


def refused(folder: str, name: str, value: object, remedy: str) -> ConfigError:
    """That a model's folder says what cannot be used.

    Args:
        folder: The folder.
        name: What is said of, as its JSON file calls it.
        value: What is said.
        remedy: What would be possible.
    """
    return ConfigError("model.name", f"{folder}: {name} {json.dumps(value)}", remedy)


def _resizing(folder: str, given: Mapping[str, Any], side: int) -> dict[str, Any]:
    """How pictures come to the model's size: the short side and a crop, or both sides at once."""
    size, crop = given.get("size", _SIDE), given.get("crop_size", _SIDE)
    square = {"height": side, "width": side}
    if given.get("do_resize", True) is not True:
        raise refused(folder, "do_resize", False, "pictures of any size must be resized")
    if given.get("do_center_crop", True) is not True:
        if size != square:
            raise refused(
                folder,
                "size",
                size,
                f"must be {json.dumps(square)}, the model's image_size, where do_center_crop is "
                "false",
            )
        return {"resize_mode": "squash"}
    if crop not in (side, square):
        raise refused(folder, "crop_size", crop, f"must be the model's image_size {side}")
    if size not in (side, {"shortest_edge": side}, square):
        raise refused(
            folder, "size", size, f"must be the crop_size {side}; no larger picture is cropped here"
        )
    return {"resize_mode": "squash"} if size == square else {}


def _number(folder: str, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST:
        raise refused(folder, name, value, "must be a number")
    return float(value)


def _three(folder: str, name: str, values: object) -> list[float]:
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise refused(folder, name, values, "must be three numbers")
    return [_number(folder, name, value) for value in values]
