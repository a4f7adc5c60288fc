"""Inputs that decide the rows of a run: prompts, model, methods and masks.

Imports torch, which takes seconds: planning does so only after all that needs no model is checked.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import PIL
import torch

from seraser_core.config.options import RunConfig
from seraser_core.kinds import RELEVANCE, SEGMENT
from seraser_core.methods import method_class
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts, build_prompts
from seraser_core.runner.plan import ALGORITHM_VERSION, DEFAULT_TEMPLATE
from seraser_core.runner.segmenting import get_segmenter
from seraser_core.sources.decode import DECODER_VERSION


def build_run_prompts(config: RunConfig, classes: list[str], model: ClipModel) -> Prompts:
    """The prompts of the run's classes, tokenised for `model`."""
    template = config.dataset.template or DEFAULT_TEMPLATE
    return build_prompts(classes, template, model.tokenizer, model.context_length)


def fingerprint_inputs(
    config: RunConfig,
    classes: list[str],
    attributes: list[str],
    prompts: Prompts,
    model: ClipModel,
    hashed: str,
    pools: Mapping[str, str],
) -> dict[str, Any]:
    """Return everything that can change a row; given the hashes of the plan and of the pools."""
    inputs = {
        "algorithm": ALGORITHM_VERSION,
        "plan": hashed,
        "architecture": model.architecture,
        "weights": model.weights_hash,
        "classes": classes,
        "attributes": attributes,
        "prompts": prompts.texts,
        "methods": [
            {
                "id": method.id,
                "name": method.name,
                "options": method.model_dump(mode="json", exclude={"id", "name"}),
                "stateful": method_class(method).stateful,
            }
            for method in config.methods
        ],
        "precision": model.precision,
        "preprocessing": model.preprocessing.describe(),
        "decoder": f"pillow {PIL.__version__}, {DECODER_VERSION}, {config.dataset.decode}",
        "limits": config.dataset.limits.model_dump(mode="json"),
        "auxiliary": _auxiliary_inputs(config, classes, model),
        "box_format": config.dataset.box_format,
        "seed": config.seed,
        "save_logits": config.save_logits,
        "save_masks": config.save_masks,
    }
    origins = config.origins()
    also = {"plugins": origins, "pools": dict(pools)}
    return inputs | {name: value for name, value in also.items() if value}


def _auxiliary_inputs(
    config: RunConfig, classes: list[str], model: ClipModel
) -> dict[str, dict[str, Any]]:
    """Inputs that decide the masks that the run makes."""
    inputs = {}
    if config.needs(RELEVANCE):
        inputs["relevance"] = config.relevance.model_dump(mode="json")
    if config.needs(SEGMENT):
        segmenter = get_segmenter(config.segment, classes, model.device)
        thresholds = config.segment.model_dump(mode="json", exclude={"detector", "segmenter"})
        inputs["segment"] = thresholds | segmenter.identity
    return inputs


def describe_device(device: torch.device) -> dict[str, str | int]:
    """The machine and device that work is done on, for the record."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "type": device.type,
        "name": name or platform.machine(),
        "threads": torch.get_num_threads(),
        "host": platform.node(),
    }
