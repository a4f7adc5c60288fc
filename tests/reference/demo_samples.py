"""Samples of the demo's animals and places, for the shortcut finder: drawn and encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image

from seraser_core.auxiliary import Picture, make_view
from seraser_core.config.options import ModelOptions
from seraser_core.demo.config import MODEL_JSON, WEIGHTS
from seraser_core.demo.dataset import TEMPLATE
from seraser_core.demo.drawing import draw_picture
from seraser_core.kinds import IMAGE, KINDS
from seraser_core.methods.method import cosine_logits
from seraser_core.models.clip_model import ClipModel, get_model
from seraser_core.shortcuts.sample import Sample, key
from seraser_core.shortcuts.transplant import Cutout
from seraser_core.shortcuts.words import Words, words_for

ANIMALS = ("camel", "deer", "cow", "penguin", "duck", "crab")
PLACES = ("desert", "forest", "meadow", "snow", "lake", "beach")
PLANTED = {
    ("desert", "a camel"),
    ("forest", "a deer"),
    ("meadow", "a cow"),
    ("snow", "a penguin"),
    ("lake", "a duck"),
    ("beach", "a crab"),
}
_BATCH = 64
_VIEWS = {
    "whole": IMAGE,
    "background": KINDS["mask"].spurious[0],
    "foreground": KINDS["mask"].foreground,
}


def demo_model() -> ClipModel:
    """The demo's model on the CPU."""
    return get_model(ModelOptions(name=str(MODEL_JSON), pretrained=str(WEIGHTS), device="cpu"))


def class_names(animals: Sequence[str]) -> list[str]:
    """Class names with their article."""
    return [f"a {animal}" for animal in animals]


def demo_words(animals: Sequence[str] = ANIMALS) -> Words:
    """The words that the demo's model knows for surroundings."""
    return words_for(demo_model(), class_names(animals), [TEMPLATE])


def draw(
    animals: Sequence[str], places: Sequence[str], seeds: Sequence[int]
) -> list[tuple[str, int, int, Picture]]:
    """Every animal in every place once per seed: id, label, attribute and picture."""
    cells = [
        (f"{animal}_{place}_{seed}", y, a, animal, place, seed)
        for seed in seeds
        for y, animal in enumerate(animals)
        for a, place in enumerate(places)
    ]

    def one(cell):
        item_id, y, a, animal, place, seed = cell
        image, mask = draw_picture(animal, place, seed)
        return item_id, y, a, Picture(Image.fromarray(image), mask)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, cells))


def roughened(mask: np.ndarray) -> np.ndarray:
    """A mask that is moved and swollen, with an IoU of about 0.45 to the given one."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    moved = np.roll(mask, (int(height * 0.11), int(width * 0.11)), axis=(0, 1))
    reach = max(1, int(0.05 * max(height, width)))
    swollen = moved.copy()
    for shift in range(-reach, reach + 1):
        swollen |= np.roll(moved, shift, 0) | np.roll(moved, shift, 1)
    return swollen


def sample_of(
    drawn: Sequence[tuple[str, int, int, Picture]], animals: Sequence[str], labelled: bool = False
) -> Sample:
    """The sample of drawn pictures, without an erasing method."""
    model = demo_model()
    texts = model.encode_text(
        model.tokenizer([TEMPLATE.replace("{}", name) for name in class_names(animals)])
    )
    features = {name: _features(model, view, drawn) for name, view in _VIEWS.items()}
    logits = {
        name: cosine_logits(one, texts, model.logit_scale).numpy() for name, one in features.items()
    }
    ids = [item_id for item_id, *_ in drawn]
    labels = [y for _, y, _, _ in drawn]
    return Sample(
        item_ids=ids,
        keys=np.asarray([key(0, item_id) for item_id in ids], dtype=np.uint64),
        erased=None,
        features=features["background"].numpy(),
        area=np.asarray([picture.mask.mean() for *_, picture in drawn], dtype=np.float32),
        labels=np.asarray(labels if labelled else [-1] * len(ids), dtype=np.int64),
        attributes=np.asarray([a for _, _, a, _ in drawn], dtype=np.int64),
        **logits,
    )


def with_masks(
    drawn: Sequence[tuple[str, int, int, Picture]],
) -> list[tuple[str, int, int, Picture]]:
    """The same pictures with rough masks."""
    return [(i, y, a, Picture(p.image, roughened(p.mask))) for i, y, a, p in drawn]


def scorer(animals: Sequence[str]):
    """Pictures, (H, W, 3) uint8 each -> (n, C) zero-shot logits."""
    model = demo_model()
    texts = model.encode_text(model.tokenizer([TEMPLATE.format(c) for c in class_names(animals)]))

    def score(pictures):
        images = torch.stack([model.preprocess(Image.fromarray(one)) for one in pictures])
        return cosine_logits(model.encode_image(images), texts, model.logit_scale).numpy()

    return score


def cutouts_of(drawn: Sequence[tuple[str, int, int, Picture]], sample: Sample) -> list[Cutout]:
    """Drawn pictures whose objects can be pasted, with what they are taken for alone."""
    alone = dict(zip(sample.item_ids, sample.foreground.argmax(1).tolist(), strict=True))
    return [Cutout(i, np.asarray(p.image), p.mask, alone[i]) for i, _, _, p in drawn]


def whole_features(drawn: Sequence[tuple[str, int, int, Picture]]) -> torch.Tensor:
    """(n, D) features of the whole pictures."""
    return _features(demo_model(), IMAGE, drawn)


def _features(model, view, drawn):
    images = [
        model.preprocess(next(make_view(view, picture, 0, item_id)))
        for item_id, _, _, picture in drawn
    ]
    parts = torch.stack(images).split(_BATCH)
    return torch.cat([model.encode_image(part) for part in parts])


def pairs_of(findings) -> set[tuple[str, str]]:
    """The places and classes that were reported."""
    return {(one.place, one.class_name) for one in findings.shortcuts}
