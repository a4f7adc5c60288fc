"""Trying methods of other packages when a run is planned, before hours of work."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from seraser_core.config.methods import MethodOptions
from seraser_core.kinds import IMAGE
from seraser_core.methods.calls import build_method, named, predict
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import SEED
from seraser_core.methods.recording import release_memory
from seraser_core.methods.shared import Shared
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.memory import is_out_of_memory
from seraser_core.models.prompts import Prompts

_IMAGES = 2
_MOST_CLASSES = 100
"""Classes whose prompts are encoded for a trial alone; of more, that takes too long."""


def try_method(options: MethodOptions, prompts: Prompts, model: ClipModel) -> None:
    """Build a method and let it predict two images of random features.

    One that learns from a sample of the images is only built, as there is none yet.

    Raises:
        ConfigError: It cannot do that.
    """
    if len(prompts.classes) > _MOST_CLASSES:
        return
    try:
        _try(options, MethodContext(model, prompts))
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    release_memory()


def _try(options: MethodOptions, context: MethodContext) -> None:
    method = build_method(options, context)
    if method.sample:
        return
    generator = torch.Generator().manual_seed(0)
    width = context.class_features.shape[-1]
    given, features = Shared(), {}
    with named(options.id):
        features[SEED] = given.add("the features", torch.arange(_IMAGES))
        for view in {IMAGE, *method.views}:
            random = torch.randn(_IMAGES, view.count, width, generator=generator)
            pictures = normalize(random, dim=-1).to(context.class_features.device)
            features[view.name] = given.add("the features", pictures)
        method = method.for_shard()
    predict(method, features, len(context.prompts.classes), [given, context.shared])
