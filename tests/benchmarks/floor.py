"""The fewest multiply-adds that SEraser needs, whoever computes it.

Matrix products only. Left out are the products of queries with keys and of attention with values
in the text tower, where a token sees no more than its own class: some thousandths of the rest.
"""

from __future__ import annotations

from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts

PICTURES = 3
"""Of every image: itself, its background, its foreground. The black one is a constant."""


def floor_macs(model: ClipModel, prompts: Prompts, steps: int, context: int = 3) -> float:
    """Multiply-adds of one image: its pictures, and the prompts forward and back in every step.

    The last prompts go forward only. The way back through a frozen product costs as much as the
    way forward.
    """
    return PICTURES * picture_macs(model) + (2 * steps + 1) * prompts_macs(model, prompts, context)


def prompts_macs(model: ClipModel, prompts: Prompts, context: int = 3) -> float:
    """Multiply-adds of the prompts of all classes, forward.

    The tuned positions once and every class's own, in the layers where they are needed: of the
    first, no projection of the classes' own tokens, which are constants; of the last, keys and
    values of all, and the rest of end-of-text alone.
    """
    net = model.net
    width = net.ln_final.weight.shape[0]
    layers = len(net.transformer.resblocks)
    lengths = prompts.tokens.argmax(-1) + 1
    own = int((lengths - 1 - context).sum())
    classes = len(lengths)
    block, key_value = 12 * width**2, 2 * width**2
    macs = (layers - 1) * (own + context) * block - own * 3 * width**2
    macs += (own + context) * key_value + classes * (block - key_value)
    return macs + classes * width * net.text_projection.shape[1]


def picture_macs(model: ClipModel) -> float:
    """Multiply-adds of one picture through a vision transformer.

    In the last layer keys and values of all tokens, and the rest of the class token alone.
    """
    visual = model.net.visual
    width, tokens = visual.conv1.weight.shape[0], visual.positional_embedding.shape[0]
    patches = (tokens - 1) * visual.conv1.weight.numel()
    layers = len(visual.transformer.resblocks)
    block, key_value, attention = 12 * width**2, 2 * width**2, 2 * tokens * width
    every = (layers - 1) * tokens * (block + attention)
    return patches + every + tokens * key_value + (block - key_value) + attention
