"""Classes and pictures that the benchmarks make up."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from stages import VIEWS
from torch import Tensor

from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts, build_prompts

_ANIMALS = ("landbird", "waterbird", "camel", "deer", "spider", "crab", "dog", "cat")
_KINDS = ("small", "grey", "red billed", "northern", "young", "striped", "giant", "wild", "black")
_KINDS += ("spotted", "old", "common")


def class_names(count: int) -> list[str]:
    """`count` names of one to five tokens, like those of real data sets; at most 1160."""
    pairs = [f"{one} {other}" for one in _KINDS for other in _KINDS if one != other]
    kinds = ["", *(f"{kind} " for kind in (*_KINDS, *pairs))]
    return [f"a {kind}{animal}" for kind in kinds for animal in _ANIMALS][:count]


def class_prompts(model: ClipModel, count: int) -> Prompts:
    """Prompts of `count` classes."""
    names = class_names(count)
    return build_prompts(names, "a photo of {}", model.tokenizer, model.net.context_length)


def photograph(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A picture that is as hard to compress as a photograph: smooth, with a little noise.

    Args:
        rng: Draws it.
        size: Width and height.
    """
    pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    smooth = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(3))
    return Image.fromarray(np.asarray(smooth) + rng.integers(0, 8, pixels.shape, dtype=np.uint8))


def random_pictures(model: ClipModel, count: int, first: int = 0) -> dict[str, Tensor]:
    """Pictures number `first` and on: view name -> (count, 3, H, W) uint8 on the model's device."""
    pictures = torch.stack([_picture(model, first + i) for i in range(count)], dim=1)
    return dict(zip(VIEWS, pictures, strict=True))


def _picture(model: ClipModel, number: int) -> Tensor:
    """Views (V, 3, H, W) of blots of all sizes: plain noise looks the same whatever its seed.

    Enlarged on the model's device: for thousands, a processor would take minutes.
    """
    generator = torch.Generator().manual_seed(number)
    total = torch.zeros(len(VIEWS), 3, *model.preprocessing.size, device=model.device)
    for cells in (1, 3, 9, 27):
        blots = torch.randn(len(VIEWS), 3, cells, cells, generator=generator).to(model.device)
        total += F.interpolate(blots, total.shape[2:], mode="bilinear") / cells**0.5
    return (128 + 64 * total).clamp(0, 255).byte()
