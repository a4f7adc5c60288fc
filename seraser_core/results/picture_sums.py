"""Statistics of a run's pictures and foregrounds, as sums that merge across shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

CONSTANT_STD = 5.0
"""Standard deviation, of 255, below which in every colour a picture shows nothing."""
_MOST_CONSTANT = 0.05
_LEAST_SHARE, _MOST_SHARE = 0.01, 0.95
_MOST_BARE = 0.5
_STRICT = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class PictureFacts:
    """Statistics of one image.

    Attributes:
        constant: Whether the model sees almost one colour.
        foregrounds: ``mask``, ``box``, ``segment`` or ``relevance`` -> share of the foreground.
    """

    constant: bool = False
    foregrounds: Mapping[str, float] = field(default_factory=dict)


class ForegroundSums(BaseModel):
    """The sums of the foregrounds of one kind.

    Attributes:
        images: Number of images that have one.
        share: Sum of their shares of the picture.
        nowhere: Number of images of which nothing is foreground.
        everywhere: Number of images of which all is.
    """

    model_config = _STRICT

    images: int
    share: float
    nowhere: int
    everywhere: int


class PictureSums(BaseModel):
    """The sums of some images that could be used.

    Attributes:
        images: Number of images.
        constant: Number of those that are almost of one colour.
        foregrounds: Kind -> its sums, of the kinds that there are.
    """

    model_config = _STRICT

    images: int = 0
    constant: int = 0
    foregrounds: dict[str, ForegroundSums] = {}

    @classmethod
    def count(cls, facts: Iterable[PictureFacts]) -> Self:
        """Count some images."""
        facts = list(facts)
        kinds = sorted({kind for one in facts for kind in one.foregrounds})
        shares = {
            kind: [one.foregrounds[kind] for one in facts if kind in one.foregrounds]
            for kind in kinds
        }
        return cls(
            images=len(facts),
            constant=sum(one.constant for one in facts),
            foregrounds={
                kind: ForegroundSums(
                    images=len(some),
                    share=math.fsum(some),
                    nowhere=some.count(0.0),
                    everywhere=some.count(1.0),
                )
                for kind, some in shares.items()
            },
        )

    @classmethod
    def total(cls, parts: Iterable[PictureSums]) -> Self:
        """Merge the sums of some parts, in any order."""
        known = list(parts)
        kinds = sorted({kind for part in known for kind in part.foregrounds})
        merged = {}
        for kind in kinds:
            some = [part.foregrounds[kind] for part in known if kind in part.foregrounds]
            merged[kind] = ForegroundSums(
                images=sum(one.images for one in some),
                share=math.fsum(one.share for one in some),
                nowhere=sum(one.nowhere for one in some),
                everywhere=sum(one.everywhere for one in some),
            )
        return cls(
            images=sum(part.images for part in known),
            constant=sum(part.constant for part in known),
            foregrounds=merged,
        )


def describe_pictures(sums: PictureSums) -> dict[str, Any]:
    """Describe them for people and scripts; shares of the foreground are means."""
    return {
        "images": sums.images,
        "almost_constant": sums.constant,
        "foregrounds": {
            kind: {
                "images": of_kind.images,
                "mean_share": of_kind.share / of_kind.images,
                "nowhere": of_kind.nowhere,
                "everywhere": of_kind.everywhere,
            }
            for kind, of_kind in sums.foregrounds.items()
        },
    }


def picture_warnings(sums: PictureSums) -> Iterator[str]:
    """Warn of pictures or foregrounds that are unlikely to be those that were meant."""
    images, constant = sums.images, sums.constant
    if images and constant >= _MOST_CONSTANT * images:
        yield (
            f"{constant:,} of {images:,} pictures are almost of one colour: they may not decode to "
            "what they show; look at some of them"
        )
    for kind, of_kind in sums.foregrounds.items():
        count, nowhere, everywhere = of_kind.images, of_kind.nowhere, of_kind.everywhere
        mean = of_kind.share / count
        seen = f"{kind} foregrounds: on average {100 * mean:.1f} % of a picture"
        if mean > _MOST_SHARE:
            yield f"{seen} ({everywhere:,} of {count:,} are all of it): {_REMEDIES[kind]}"
        elif mean < _LEAST_SHARE:
            yield f"{seen} ({nowhere:,} of {count:,} are empty): {_REMEDIES[kind]}"
        elif max(nowhere, everywhere) > _MOST_BARE * count:
            what = "empty" if nowhere > everywhere else "the whole picture"
            yield f"{max(nowhere, everywhere):,} of {count:,} {kind} foregrounds are {what}"


_REMEDIES = {
    "mask": "non-zero is foreground; see whether the masks are inverted or mean something else",
    "box": "see whether dataset.box_format is that of the boxes",
    "segment": "see whether segment.prompt names what is in the pictures",
    "relevance": "see relevance.threshold and relevance.neutral",
}
