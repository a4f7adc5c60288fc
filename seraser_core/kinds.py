"""Kinds of auxiliary images: their views, and the foregrounds that those need.

Declarations alone, without what makes the pictures: planning, options and commands ask them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A foreground of an image.

    Attributes:
        name: Name of it, and of the data set's option and column if the data set has it.
        made: Whether a run makes it of the image; else the data set must have it.
        check: Function that refuses a model which cannot make it, given the model and the option
            that asks for it, as ``package.module:function``; empty if there is nothing to refuse.
    """

    name: str
    made: bool = False
    check: str = ""


@dataclass(frozen=True)
class View:
    """Pictures of one image that methods look at.

    Attributes:
        name: Key of the pictures and of their features.
        make: Their maker, as ``package.module:function``, see `seraser_core.auxiliary.Maker`;
            empty if they are made of the view ``image`` where the model is.
        count: Number of pictures.
        region: Foreground that they take.
        size: Height and width of the pictures; None if they are as large as the image.
        stream: Name of their random numbers, if it is another: fewer pictures of one stream are
            the first of more.
    """

    name: str
    make: str
    count: int = 1
    region: Region | None = None
    size: tuple[int, int] | None = None
    stream: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of auxiliary images (METHODS table "Auxiliary images" of arXiv 2403.00376).

    Attributes:
        spurious: Views that hold only the spurious part; the all-black image always joins them.
        foreground: View that holds the foreground.
    """

    spurious: tuple[View, ...]
    foreground: View

    @property
    def regions(self) -> tuple[Region, ...]:
        """Foregrounds that its views need."""
        views = (*self.spurious, self.foreground)
        return tuple(dict.fromkeys(view.region for view in views if view.region is not None))


_MAKERS = "seraser_core.auxiliary.views"
_COPIES = 15

MASK, BOX, SEGMENT = Region("mask"), Region("box"), Region("segment", made=True)
RELEVANCE = Region("relevance", made=True, check="seraser_core.auxiliary.relevance:check_relevance")


def _sides(region: Region) -> Kind:
    """Return the kind of a region whose views are the image without it, and it alone."""
    return Kind(
        (View(f"{region.name}_background", f"{_MAKERS}:background", region=region),),
        View(f"{region.name}_foreground", f"{_MAKERS}:foreground", region=region),
    )


IMAGE = View("image", f"{_MAKERS}:whole")
AUGMENTED_IMAGE = View("augmented_image", f"{_MAKERS}:augmented_image", _COPIES)
AUGMENTED_BACKGROUND = View(
    "augmented_background", f"{_MAKERS}:augmented_background", _COPIES, MASK
)
NOISY_IMAGE = View("noisy_image", f"{_MAKERS}:noisy_image")
RELEVANCE_BACKGROUND = View("relevance_background", "", region=RELEVANCE)
RELEVANCE_FOREGROUND = View("relevance_foreground", "", region=RELEVANCE)


def crops_view(count: int, size: tuple[int, int]) -> View:
    """Return the view of `count` random crops of `size`, height and width, as TPT has them."""
    height, width = size
    return View(
        f"random_crops:{count}:{height}x{width}",
        f"{_MAKERS}:crops",
        count,
        size=size,
        stream="random_crops",
    )


KINDS: Mapping[str, Kind] = {
    "mask": _sides(MASK),
    "box": _sides(BOX),
    "segment": _sides(SEGMENT),
    "relevance": Kind((RELEVANCE_BACKGROUND,), RELEVANCE_FOREGROUND),
    "augment": Kind((IMAGE, AUGMENTED_IMAGE), IMAGE),
    "mask+augment": Kind((*_sides(MASK).spurious, AUGMENTED_BACKGROUND), _sides(MASK).foreground),
    "noise": Kind((NOISY_IMAGE,), IMAGE),
    "black": Kind((), IMAGE),
}
REGIONS: Mapping[str, Region] = {one.name: one for one in (MASK, BOX, SEGMENT, RELEVANCE)}
"""All foregrounds by name; a kind of the same name consists of its two sides."""
MADE_MASKS = sorted(name for name, region in REGIONS.items() if region.made)
"""Kinds of masks that are made, not read."""
