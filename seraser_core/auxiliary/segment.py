"""Foreground masks from a text-prompted detector and a segmenter.

Grounding DINO (arXiv 2303.05499) finds boxes of what the prompt names, SAM (arXiv 2304.02643) gives
each box a mask, and the foreground is their union. Both come from `transformers`, which the extra
`segment` installs and which is imported when the first `Segmenter` is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import nms

from seraser_core.config.auxiliary import SegmentOptions
from seraser_core.errors import ConfigError, ItemError
from seraser_core.models.clip_model import hash_weights
from seraser_core.models.folders import import_transformers, without_origin
from seraser_core.models.hub import check_server, fetching, hub, is_cached

_BOXES_AT_ONCE = 16  # the mask decoder takes about 50 MB for each
_FOLDER = (
    "without a network, give a folder with config.json, model.safetensors and the files of the "
    "processor"
)
_GREATEST_ASPECT = 40  # beyond it, the detector's feature maps have fewer places than its queries


class Segmenter:
    """Foreground masks of a text-prompted detector (Grounding DINO) and a segmenter (SAM).

    The models are frozen, in fp32 on `device`. A mask depends on the image and the options alone.

    Attributes:
        identity: SHA-256 of each model's configuration with its preprocessing, of its weights (see
            `hash_weights`), and of the prompt's token ids.

    Args:
        options: Models, prompt and thresholds.
        classes: Class names; the prompt when the options give none.
        device: Device of the models.

    Raises:
        ConfigError: `transformers` is missing, a model cannot be loaded or is of another kind, or
            the prompt is longer than the detector can read.
    """

    identity: dict[str, str]

    def __init__(
        self, options: SegmentOptions, classes: Sequence[str], device: torch.device
    ) -> None:
        library = import_transformers("segment", "`auxiliary: segment`", "segment")
        self._options = options
        self._device = device
        self._prompt = _prompt(options, classes)
        self._detector, self._read_for_detector = _load(
            "segment.detector",
            options.detector,
            library.GroundingDinoForObjectDetection,
            library.GroundingDinoProcessor,
        )
        tokens = self._tokenize()
        self._segmenter, self._read_for_segmenter = _load(
            "segment.segmenter", options.segmenter, library.SamModel, library.SamProcessor
        )
        self.identity = {
            "detector_config": _hash_config(self._detector, self._read_for_detector),
            "detector_weights": hash_weights(self._detector),
            "prompt_tokens": hashlib.sha256(json.dumps(tokens).encode()).hexdigest(),
            "segmenter_config": _hash_config(self._segmenter, self._read_for_segmenter),
            "segmenter_weights": hash_weights(self._segmenter),
        }
        self._detector.to(device)
        self._segmenter.to(device)

    @torch.no_grad()
    def mask(self, image: Image.Image) -> np.ndarray:
        """The foreground of `image`.

        Args:
            image: RGB.

        Returns:
            (H, W) bool, True on the foreground; all False when the detector finds nothing.

        Raises:
            ItemError: The image is more than 40 times as long as it is wide, or as wide as long.
        """
        if max(image.size) > _GREATEST_ASPECT * min(image.size):
            raise ItemError(
                "validate",
                "too_narrow",
                f"an image of {image.width} x {image.height} pixels cannot be segmented",
            )
        boxes = self._find(image)
        if not len(boxes):
            return np.zeros((image.height, image.width), dtype=bool)
        return self._unite(image, boxes).numpy()

    def _tokenize(self) -> list[int]:
        """Token ids of the prompt.

        Raises:
            ConfigError: The detector has no tokenizer, or would drop the end of the prompt.
        """
        tokenizer = self._read_for_detector.tokenizer
        if tokenizer.convert_tokens_to_ids(".") == tokenizer.unk_token_id:
            # Without its files, transformers silently makes one without a vocabulary.
            raise ConfigError(
                "segment.detector",
                repr(self._options.detector),
                "it has no tokenizer; fetch or save its files again",
            )
        tokens: list[int] = tokenizer(self._prompt).input_ids
        most = self._detector.config.max_text_len
        if len(tokens) > most:
            raise ConfigError(
                "segment.prompt",
                f"{len(tokens)} tokens: {self._prompt[:60]!r}...",
                f"the detector reads {most} at most; give a shorter prompt, such as the "
                "superclass of the classes, e.g. `bird.`",
            )
        return tokens

    def _find(self, image: Image.Image) -> Tensor:
        """Return the boxes of the things that the prompt names, in pixels.

        The text threshold only decides what a box is called.

        Returns:
            (N, 4) float32 left, top, right, bottom, best score first; they may reach beyond the
            image.
        """
        inputs = self._read_for_detector(images=image, text=self._prompt, return_tensors="pt")
        tokens = inputs.input_ids
        outputs = self._detector(**inputs.to(self._device))
        options = self._options
        for box, text in ((options.box_threshold, options.text_threshold), (0.0, 0.0)):
            (detections,) = self._read_for_detector.post_process_grounded_object_detection(
                outputs,
                tokens,
                threshold=box,
                text_threshold=text,
                target_sizes=[(image.height, image.width)],
            )
            if len(detections["boxes"]):
                break
        boxes, scores = detections["boxes"].cpu(), detections["scores"].cpu()
        return boxes[nms(boxes, scores, options.nms)]

    def _unite(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """Union of each box's mask of best predicted IoU: (N, 4) pixels -> (H, W) bool, on CPU."""
        inputs = self._read_for_segmenter(
            images=image, input_boxes=[boxes.tolist()], return_tensors="pt"
        )
        sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
        embedding = self._segmenter.get_image_embeddings(inputs["pixel_values"].to(self._device))
        union = torch.zeros(image.height, image.width, dtype=torch.bool, device=self._device)
        prompts = inputs["input_boxes"].to(self._device, torch.float32)
        for part in prompts.split(_BOXES_AT_ONCE, dim=1):
            outputs = self._segmenter(
                image_embeddings=embedding, input_boxes=part, multimask_output=True
            )
            best = outputs.iou_scores[0].argmax(dim=-1)
            masks = outputs.pred_masks[0, torch.arange(len(best)), best]
            for mask in masks:  # many full-size masks of a large image would need gigabytes
                (full,) = self._read_for_segmenter.post_process_masks(
                    mask[None, None, None], *sizes
                )
                union |= full[0, 0]
        return union.cpu()


def _prompt(options: SegmentOptions, classes: Sequence[str]) -> str:
    """Return the text as in Grounding DINO's training: lower case, a full stop after each name."""
    text = options.prompt or ". ".join(name.strip().rstrip(".") for name in classes)
    text = text.lower().strip()
    return text if text.endswith(".") else f"{text}."


def _load(field: str, name: str, model: Any, processor: Any) -> tuple[Any, Any]:
    """Return a frozen model in fp32 on the CPU, and its processor.

    Args:
        field: Setting that names the model.
        name: Id on the hub, or a folder.
        model: Class of the model in transformers.
        processor: Class of its processor.

    Raises:
        ConfigError: The model cannot be loaded, or is of another kind.
    """
    wanted = model.config_class.model_type
    here = Path(name).is_dir()
    common = {"local_files_only": here, "trust_remote_code": False}
    if not here and not is_cached(name, "config.json"):
        check_server(hub(), field, repr(name), _FOLDER)
    with fetching(field, repr(name), "the model", _FOLDER) if not here else _loading(field, name):
        config, _ = model.config_class.get_config_dict(name, **common)
        kind = config.get("model_type", "nameless")
        if kind != wanted:
            raise ConfigError(
                field, repr(name), f"is a model of kind {kind!r}; give one of kind {wanted!r}"
            )
        net, report = model.from_pretrained(
            name, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **common
        )
        reader = processor.from_pretrained(name, **common)
    missing = sorted(report["missing_keys"])
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise ConfigError(
            field, repr(name), f"its weights lack {missing[0]}{more}; fetch or save them again"
        )
    return net.eval().requires_grad_(False), reader


@contextmanager
def _loading(field: str, name: str) -> Iterator[None]:
    """Turn the faults of loading a folder into faults of a setting."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # safetensors and transformers raise their own types
        raise ConfigError(
            field, repr(name), f"the model could not be loaded ({error}); {_FOLDER}"
        ) from error


def _hash_config(net: Any, reader: Any) -> str:
    config = json.loads(net.config.to_json_string(use_diff=False))
    content = {
        "model": without_origin(config),
        "preprocessing": json.loads(reader.image_processor.to_json_string()),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
