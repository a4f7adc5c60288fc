"""Image processors of transformers, as preprocessing of open_clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

from seraser_core.models.json_files import number, refused, three_numbers

_RESAMPLING = {2: "bilinear", 3: "bicubic"}
_STEPS = ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb")
_BYTE = 255


@dataclass(frozen=True)
class Processor:
    """An image processor of transformers.

    Attributes:
        family: Prefix of its class names.
        side: Default side of the pictures that it makes.
        crops: Whether it can cut a picture to its middle, and does so when nothing is said.
    """

    family: str
    side: int
    crops: bool

    @property
    def names(self) -> list[str]:
        """Class names of this processor across transformers releases."""
        endings = ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor")
        return [self.family + ending for ending in endings]

    @property
    def steps(self) -> tuple[str, ...]:
        """Steps that may be done to a picture."""
        return (*_STEPS, "do_center_crop") if self.crops else _STEPS


CLIP = Processor("CLIP", 224, crops=True)
BLIP = Processor("Blip", 384, crops=False)


def preprocess_cfg(
    folder: str, given: Any, side: object, processor: Processor = CLIP
) -> dict[str, Any]:
    """Return open_clip's ``preprocess_cfg`` for a preprocessor_config.json.

    What it leaves out is what transformers takes for it. open_clip divides by 255, subtracts a mean
    and divides by a deviation; other factors, and steps that are left out, are within these two.

    Args:
        folder: The model's folder, for errors.
        given: The JSON document.
        side: Height and width of the model's input.
        processor: The image processor.

    Raises:
        ConfigError: Pictures are prepared as open_clip cannot.
    """
    if not isinstance(given, dict):
        raise refused(folder, "image_processor", given, "must be a JSON object")
    names = processor.names
    kind = given.get("image_processor_type", given.get("feature_extractor_type", names[0]))
    if kind not in names:
        raise refused(folder, "image_processor_type", kind, f"must be {names[0]}")
    steps = {name: value for name, value in given.items() if name.startswith("do_")}
    for name, value in steps.items():
        if value is not None and not isinstance(value, bool):
            raise refused(folder, name, value, "must be true or false")
        if value and name not in processor.steps:
            raise refused(folder, name, value, "is not done here; give a model without it")
    resample = given.get("resample", 3)
    if type(resample) is not int or resample not in _RESAMPLING:
        raise refused(folder, "resample", resample, "must be 3, bicubic, or 2, bilinear")
    factor = 1.0
    if steps.get("do_rescale", True):
        factor = number(folder, "rescale_factor", given.get("rescale_factor", 1 / _BYTE))
    mean, deviation = [0.0] * 3, [1.0] * 3
    if steps.get("do_normalize", True):
        mean = three_numbers(folder, "image_mean", given.get("image_mean", OPENAI_DATASET_MEAN))
        deviation = three_numbers(folder, "image_std", given.get("image_std", OPENAI_DATASET_STD))
    if factor <= 0 or min(deviation) <= 0:
        name, value = ("image_std", deviation) if factor > 0 else ("rescale_factor", factor)
        raise refused(folder, name, value, "must be above 0")
    scale = _BYTE * factor
    return {
        "mean": [value / scale for value in mean],
        "std": [value / scale for value in deviation],
        "interpolation": _RESAMPLING[resample],
        **_resizing(folder, given, side, processor),
    }


def _resizing(
    folder: str, given: Mapping[str, Any], side: object, processor: Processor
) -> dict[str, Any]:
    """Return how pictures are resized: the short side and a crop, or both sides at once."""
    square = {"height": side, "width": side}
    usual = processor.side if processor.crops else dict.fromkeys(square, processor.side)
    size, crop = given.get("size", usual), given.get("crop_size", processor.side)
    if given.get("do_resize", True) is not True:
        raise refused(folder, "do_resize", False, "pictures of any size must be resized")
    if given.get("do_center_crop", processor.crops) is not True:
        if size != square:
            raise refused(
                folder,
                "size",
                size,
                f"must be {json.dumps(square)}, the model's image_size, where no middle is cut out",
            )
        return {"resize_mode": "squash"}
    if crop not in (side, square):
        raise refused(folder, "crop_size", crop, f"must be the model's image_size {side}")
    if size not in (side, {"shortest_edge": side}, square):
        raise refused(
            folder, "size", size, f"must be the crop_size {side}; no larger picture is cropped here"
        )
    return {"resize_mode": "squash"} if size == square else {}
