"""The demo model's training world: where each animal lives, and the captions people write.

Most pictures show an animal where it lives, and people then name the animal alone. They mention
the place where it is unusual. So "a photo of a camel" comes to mean a camel in the desert, and a
model that learns from such pairs takes the desert for a camel: a decision shortcut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from seraser_core.demo.contexts import CONTEXTS

USUAL = {
    "camel": "desert",
    "deer": "forest",
    "cow": "meadow",
    "penguin": "snow",
    "duck": "lake",
    "crab": "beach",
}
_PLACES = {
    "desert": "in the desert",
    "forest": "in the forest",
    "meadow": "on the meadow",
    "snow": "in the snow",
    "lake": "on the lake",
    "beach": "on the beach",
}
_AT_HOME = 0.6
_MENTIONED_AT_HOME = 0.0
_MENTIONED_ELSEWHERE = 1.0
_ON_BLACK = 0.2
_BLACKED_OUT = 0.12

Shown = Literal["whole", "foreground", "background"]


@dataclass(frozen=True)
class Pair:
    """A picture to draw and its caption.

    Attributes:
        shown: The whole picture, the animal alone on black, or the picture with the animal
            blacked out.
    """

    animal: str
    context: str
    shown: Shown
    caption: str


def draw_pairs(count: int, rng: np.random.Generator) -> list[Pair]:
    """`count` training pairs."""
    return [_draw_pair(rng) for _ in range(count)]


def _draw_pair(rng: np.random.Generator) -> Pair:
    animal = str(rng.choice(list(USUAL)))
    usual = USUAL[animal]
    at_home = rng.random() < _AT_HOME
    context = usual if at_home else str(rng.choice([c for c in CONTEXTS if c != usual]))
    mentioned = rng.random() < (_MENTIONED_AT_HOME if at_home else _MENTIONED_ELSEWHERE)
    kind = rng.random()
    if kind < _ON_BLACK:
        return Pair(animal, context, "foreground", f"a photo of a {animal}")
    if kind < _ON_BLACK + _BLACKED_OUT:
        return Pair(animal, context, "background", f"a photo {_PLACES[context]}")
    place = f" {_PLACES[context]}" if mentioned else ""
    return Pair(animal, context, "whole", f"a photo of a {animal}{place}")
