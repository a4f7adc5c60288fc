"""Spawrious: the test pictures of its six challenges."""

from __future__ import annotations

import polars as pl

from seraser_core.sources.benchmarks.benchmark import Benchmark, Counts
from seraser_core.sources.benchmarks.published_names import same
from seraser_core.sources.benchmarks.readers import Tree

_LOCATIONS = ("beach", "desert", "dirt", "jungle", "mountain", "snow")
_BREEDS = ("bulldog", "corgi", "dachshund", "labrador")
_ORDER = ("bulldog", "dachshund", "labrador", "corgi")
"""Order of the breeds in the challenges, which is not that of the class indices."""
_TEST = {
    "o2o_easy": ("dirt", "snow", "desert", "jungle"),
    "o2o_medium": ("jungle", "dirt", "beach", "snow"),
    "o2o_hard": ("mountain", "snow", "desert", "jungle"),
    "m2m_easy": ("dirt", "jungle", "mountain", "desert"),
    "m2m_medium": ("desert", "mountain", "beach", "snow"),
    "m2m_hard": ("snow", "beach", "dirt", "jungle"),
}
"""The place of every breed in the test. In m2m the first two breeds share the first two places,
and the others the other two."""
_PER_CELL = 3168
"""Images of every part, location and breed."""


def _challenge(name: str) -> Benchmark:
    places = _TEST[name]
    one_to_one = name.startswith("o2o")
    seen = {
        breed: {places[i]} if one_to_one else set(places[i // 2 * 2 : i // 2 * 2 + 2])
        for i, breed in enumerate(_ORDER)
    }
    cells = [(breed, place) for breed in _BREEDS for place in _LOCATIONS if place in seen[breed]]
    of_cell = 2 * _PER_CELL if one_to_one else _PER_CELL
    keep = pl.lit(False)
    for breed, place in cells:
        keep |= (pl.col("label") == breed) & (pl.col("attribute") == place)
    if not one_to_one:
        keep &= pl.col("part") == "0"
    # Unknown breeds and locations stay, to be refused.
    keep |= ~pl.col("label").is_in(_BREEDS) | ~pl.col("attribute").is_in(_LOCATIONS)
    return Benchmark(
        name=f"spawrious-{name}",
        what=f"four dog breeds in other places than in training (challenge {name}, test)",
        layout="{0,1}/<location>/<breed>/<image> (spawrious224)",
        source="Lynch et al., Spawrious, arXiv 2303.05470",
        licence="see the authors' page",
        marks=[
            f"{part}/{place}"
            for part in ("01" if one_to_one else "0")
            for place in dict.fromkeys(place for _, place in cells)
        ],
        reader=Tree("{part}/{attribute}/{label}/*", keep=keep),
        classes=same(*_BREEDS),
        attributes=same(*_LOCATIONS),
        attribute=pl.col("attribute"),
        counts={
            "": Counts(
                len(cells) * of_cell,
                of_group=[
                    of_cell if (breed, place) in cells else 0
                    for breed in _BREEDS
                    for place in _LOCATIONS
                ],
            )
        },
        trap="many to many challenges use part 0 only, one to one both parts",
    )


SPAWRIOUS = [_challenge(name) for name in _TEST]
