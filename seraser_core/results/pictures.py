"""Statistics of a run's pictures and foregrounds, as sums that merge across shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

CONSTANT_STD = 5.0
"""Standard deviation, of 255, below which in every colour a picture shows nothing."""
_MOST_CONSTANT = 0.05
_LEAST_SHARE, _MOST_SHARE = 0.01, 0.95
_MOST_BARE = 0.5
Sums = dict[str, Any]


@dataclass(frozen=True)
class PictureFacts:
    """Statistics of one image.

    Attributes:
        constant: Whether the model sees almost one colour.
        foregrounds: ``mask``, ``box``, ``segment`` or ``relevance`` -> share of the foreground.
    """

    constant: bool = False
    foregrounds: Mapping[str, float] = field(default_factory=dict)


def picture_sums(facts: Iterable[PictureFacts]) -> Sums:
    """The sums of some images: ``images``, ``constant``, and of every kind of ``foregrounds``
    the images, the sum of their shares, and how many are foreground nowhere and everywhere."""
    facts = list(facts)
    kinds = sorted({kind for one in facts for kind in one.foregrounds})
    shares = {
        kind: [one.foregrounds[kind] for one in facts if kind in one.foregrounds] for kind in kinds
    }
    return {
        "images": len(facts),
        "constant": sum(one.constant for one in facts),
        "foregrounds": {
            kind: [len(some), math.fsum(some), some.count(0.0), some.count(1.0)]
            for kind, some in shares.items()
        },
    }


def merge_pictures(parts: Iterable[Mapping[str, Any]]) -> Sums:
    """The sums in the metrics of several shards as one; those without any count for nothing."""
    known = [part["pictures"] for part in parts if "pictures" in part]
    kinds = sorted({kind for sums in known for kind in sums["foregrounds"]})
    merged = {}
    for kind in kinds:
        rows = [sums["foregrounds"][kind] for sums in known if kind in sums["foregrounds"]]
        images, shares, nowhere, everywhere = zip(*rows, strict=True)
        merged[kind] = [sum(images), math.fsum(shares), sum(nowhere), sum(everywhere)]
    return {
        "images": sum(sums["images"] for sums in known),
        "constant": sum(sums["constant"] for sums in known),
        "foregrounds": merged,
    }


def describe_pictures(sums: Sums) -> dict[str, Any]:
    """The sums as a document for people and scripts; shares of the foreground are means."""
    return {
        "images": sums["images"],
        "almost_constant": sums["constant"],
        "foregrounds": {
            kind: {
                "images": images,
                "mean_share": share / images,
                "nowhere": nowhere,
                "everywhere": everywhere,
            }
            for kind, (images, share, nowhere, everywhere) in sums["foregrounds"].items()
        },
    }


def picture_warnings(sums: Sums) -> Iterator[str]:
    """Warn of pictures or foregrounds that are unlikely to be those that were meant."""
    images, constant = sums["images"], sums["constant"]
    if images and constant >= _MOST_CONSTANT * images:
        yield (
            f"{constant:,} of {images:,} pictures are almost of one colour: they may not decode to "
            "what they show; look at some of them"
        )
    for kind, (count, share, nowhere, everywhere) in sums["foregrounds"].items():
        mean = share / count
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
