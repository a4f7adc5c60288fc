"""The prompt engine: class features as a function of each image's own tuned prompt.

SEraser tunes a block P of n prompt tokens per image. `PromptEngine.text_features` maps P of shape
(B, n, d) to features (B, C, D) with gradients for P alone. It returns what the model's own
`encode_text` would return for every (image, class) pair.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from seraser_core.models.batches import kept_size_below
from seraser_core.models.causal import CausalPromptEngine, has_causal_blocks
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import Prompts, some_prompts

_FEW_IMAGES = 8
_COMPARED = 64
"""Number of classes whose features are compared between two engines."""
_MOST_TOKENS = {"cpu": 4096, "cuda": 131072}
"""Positions in a batch; larger batches are no faster."""
_AGREEMENT = {torch.float32: 1e-3, torch.bfloat16: 5e-2}


class PromptEngine(Protocol):
    """Interface with which methods tune prompts.

    Attributes:
        initial_prompt: (n, d) float32; token plus positional embedding of positions 1..n.
        base_features: (C, D) float32, L2-normalised features of the untouched prompts.
        memory: Bytes that the graph of a batch may keep. Of a batch that would take more, classes
            are computed in parts, and a second time on the way back.
    """

    initial_prompt: Tensor
    base_features: Tensor
    memory: int

    @property
    def tokens(self) -> int:
        """Positions that are computed per image and step."""
        ...

    def bytes_per_image(self, recompute: bool) -> int:
        """Bytes that one image's graph keeps for the backward pass, of all classes or of a part."""
        ...

    def text_features(self, prompt: Tensor) -> Tensor:
        """Class features under each image's prompt.

        Args:
            prompt: (B, n, d) float32.

        Returns:
            (B, C, D) float32, L2-normalised; differentiable in `prompt`.
        """
        ...


def build_engine(
    model: ClipModel,
    prompts: Prompts,
    context_tokens: int,
    memory: int | None = None,
    kernels: str = "standard",
) -> PromptEngine:
    """Return the fastest engine that agrees with the model's own `encode_text`.

    The choice is made by comparing features of the untouched prompts, so a tower that is not
    causal, or does not pool at end-of-text, gets the plain engine.

    Args:
        model: The model.
        prompts: Class prompts.
        context_tokens: Tuned tokens n.
        memory: Bytes that a batch may take; by default what the device has for it.
        kernels: See `seraser_core.config.options.RuntimeOptions`.
    """
    fused = kernels == "fused" and model.device.type == "cuda"
    engine = _choose(model, prompts, context_tokens, fused)
    if memory is not None:
        engine.memory = memory
    return engine


def images_at_once(engine: PromptEngine, device: torch.device) -> int:
    """Return how many images to tune together: as many as fit into memory and speed it up.

    Nothing is computed twice unless only less than a few images would fit. On a CUDA device, it is
    a size that need not be filled up, see `seraser_core.models.batches.kept_size`.
    """
    most = max(1, _MOST_TOKENS[device.type] // engine.tokens)
    once = engine.bytes_per_image(False)
    twice = min(most, _FEW_IMAGES) * once > engine.memory
    fitting = engine.memory // (engine.bytes_per_image(True) if twice else once)
    images = max(1, min(most, fitting))
    return kept_size_below(images) if device.type == "cuda" else images


def _choose(model: ClipModel, prompts: Prompts, context_tokens: int, fused: bool) -> PromptEngine:
    if has_causal_blocks(model.text_tower) and _agree(
        model, some_prompts(prompts, _COMPARED), context_tokens
    ):
        return CausalPromptEngine(model, prompts, context_tokens, fused=fused)
    return PlainPromptEngine(model, prompts, context_tokens)


def _agree(model: ClipModel, prompts: Prompts, context_tokens: int) -> bool:
    """Return whether the fast engine computes the same features as the model."""
    plain = PlainPromptEngine(model, prompts, context_tokens).base_features
    fast = CausalPromptEngine(model, prompts, context_tokens).base_features
    return float((fast - plain).abs().max()) <= _AGREEMENT[model.dtype]
