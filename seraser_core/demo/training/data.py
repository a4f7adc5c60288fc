"""Pictures as tensors: the training pairs, and groups of validation pictures with their views."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor

from seraser_core.auxiliary import Picture, make_view
from seraser_core.demo.dataset import DemoItem, picture_seed
from seraser_core.demo.drawing import draw_picture
from seraser_core.demo.training.captions import Pair, draw_pairs
from seraser_core.kinds import IMAGE, KINDS

_VIEW_OF = {
    "whole": IMAGE,
    "foreground": KINDS["mask"].foreground,
    "background": KINDS["mask"].spurious[0],
}


@dataclass(frozen=True)
class TrainingSet:
    """Pairs of pictures and captions.

    Attributes:
        pixels: (N, 3, S, S) uint8, resized for the model and not yet normalised.
        captions: Distinct captions.
        caption_of: (N,) int64, index into `captions`.
    """

    pixels: Tensor
    captions: list[str]
    caption_of: Tensor


def make_training_set(count: int, seed: int, cfg: PreprocessCfg) -> TrainingSet:
    """`count` pairs; the same arguments give the same pairs."""
    pairs = draw_pairs(count, np.random.default_rng(seed))
    seeds = [picture_seed(seed, "train", index) for index in range(count)]
    with ProcessPoolExecutor() as pool:
        drawn = list(pool.map(_draw_pixels, pairs, seeds, repeat(cfg), chunksize=64))
    captions = sorted({pair.caption for pair in pairs})
    index_of = {caption: index for index, caption in enumerate(captions)}
    caption_of = torch.tensor([index_of[pair.caption] for pair in pairs])
    return TrainingSet(torch.from_numpy(np.stack(drawn)), captions, caption_of)


def _draw_pixels(pair: Pair, seed: int, cfg: PreprocessCfg) -> np.ndarray:
    torch.set_num_threads(1)
    picture, mask = draw_picture(pair.animal, pair.context, seed)
    shown = Picture(Image.fromarray(picture), mask)
    (image,) = make_view(_VIEW_OF[pair.shown], shown, seed, "")
    plain = image_transform_v2(
        PreprocessCfg(
            size=cfg.size,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            interpolation=cfg.interpolation,
            resize_mode=cfg.resize_mode,
        ),
        is_train=False,
    )
    return (plain(image) * 255).round().to(torch.uint8).numpy()


def draw_items(items: Sequence[DemoItem]) -> list[Picture]:
    """The pictures of `items` with their masks."""
    drawn = [draw_picture(item.animal, item.context, item.seed) for item in items]
    return [Picture(Image.fromarray(picture), mask) for picture, mask in drawn]
