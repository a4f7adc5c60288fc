"""Groups of images, (label, attribute): their sizes, and their counts in training."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from itertools import product

import polars as pl

from seraser_core.errors import ConfigError
from seraser_core.sources.items import SMALL_GROUP, group_key, group_name
from seraser_core.sources.names import finder
from seraser_core.sources.source import Listing

_MANY_VALUES = 20
_SHOWN = 3
_OPTION = "dataset.train_counts"
_BIN = (
    "if it is a measurement, put it into a few bins in the table; if it is an id, name another "
    "column or leave dataset.attribute out"
)


def check_groups(listing: Listing, report: Callable[[str], None]) -> None:
    """Refuse an attribute that makes no groups, and report how many groups are too small.

    Raises:
        ConfigError: It has many values, and no group has `SMALL_GROUP` images.
    """
    sizes = _sizes(listing.items)
    if not sizes.height:
        return
    small, known = int((sizes["len"] < SMALL_GROUP).sum()), int(sizes["len"].sum())
    values = sizes["attribute"].n_unique()
    spread = f"{values:,} different values for {known:,} images"
    if small == sizes.height and values > _MANY_VALUES:
        some = ", ".join(
            _attribute(listing, place) for place in sizes["attribute"].unique().sort()[:_SHOWN]
        )
        raise ConfigError(
            "dataset.attribute",
            f"{spread} ({some}, ...), so that no group has {SMALL_GROUP} images",
            f"an attribute is one of a few values, such as a place; {_BIN}",
        )
    if small:
        remedy = f"; dataset.attribute has {spread}: {_BIN}" if values > _MANY_VALUES else ""
        report(
            f"WARNING: {small:,} of {sizes.height:,} groups have fewer than {SMALL_GROUP} images "
            f"and are left out of the worst group{remedy}"
        )


def train_counts(
    option: Mapping[str, int] | None, listing: Listing, report: Callable[[str], None]
) -> dict[str, int]:
    """Return the images of every group in the training split, by `group_key`; empty if unknown.

    Args:
        option: ``dataset.train_counts``, which comes before what the data set itself states.
        listing: The data set.
        report: Told why the adjusted average cannot be known.

    Raises:
        ConfigError: The option names other groups than there are.
    """
    sizes = _sizes(listing.items)
    present = set(sizes.select("label", "attribute").rows())
    counts = dict(listing.train_counts) if option is None else _named(option, listing, present)
    for group, images in counts.items():
        if images and group not in present:
            report(
                f"WARNING: there is no adjusted average: no image is of the group "
                f"{_group(listing, *group)!r}, of which training has {images:,}"
            )
            break
    return {group_key(*group): images for group, images in counts.items()}


def _named(
    option: Mapping[str, int], listing: Listing, present: set[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    if not present:
        raise ConfigError(
            _OPTION, "given", "no image has a label and an attribute; name both, or leave it out"
        )
    labels = range(len(listing.classes))
    places = range(len(listing.attributes)) or sorted({place for _, place in present})
    groups = list(product(labels, places))
    names = [_group(listing, *group) for group in groups]
    place_of = finder(names)
    counts: dict[tuple[int, int], int] = {}
    for name, images in option.items():
        place = place_of(name)
        if place is None or names.count(names[place]) > 1:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                _OPTION,
                repr(name),
                f"{'no group has this name' if place is None else 'two groups have this name'}; "
                f"{hint}groups are `class / attribute`: {', '.join(names[:_SHOWN])}, ...",
            )
        if groups[place] in counts:
            raise ConfigError(
                _OPTION,
                repr(name),
                f"the group {names[place]!r} has a count already, under a name that is alike; give "
                "one for each group",
            )
        counts[groups[place]] = images
    lacking = sorted(present - set(counts))
    if lacking:
        raise ConfigError(
            _OPTION,
            f"no count of {_group(listing, *lacking[0])!r}",
            "give one for every group with images, 0 where training has none",
        )
    if not any(counts.values()):
        raise ConfigError(_OPTION, "all 0", "give the number of training images of every group")
    return counts


def _sizes(items: pl.DataFrame) -> pl.DataFrame:
    """Columns label, attribute and len, of every group with images."""
    known = items.select("label", "attribute").drop_nulls()
    return known.group_by("label", "attribute").len().sort("label", "attribute")


def _group(listing: Listing, label: int, place: int) -> str:
    return group_name(listing.classes, listing.attributes, label, place)


def _attribute(listing: Listing, place: int) -> str:
    return listing.attributes[place] if place < len(listing.attributes) else str(place)
