"""Definitions of benchmark data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from seraser_core.sources.benchmarks.headline import Headline
from seraser_core.sources.benchmarks.readers import Reader
from seraser_core.sources.benchmarks.root import Root

Names = Mapping[str, str] | Callable[[Root, pl.DataFrame], Mapping[str, str]]
"""Stored value of a class or attribute -> its name, in the order of the indices; or what finds
this from the root and the reader's rows of a split."""


@dataclass(frozen=True)
class Counts:
    """Published numbers of images of a split; unknown ones are left out.

    Attributes:
        images: All images.
        of_class: Images of every class.
        of_attribute: Images of every attribute.
        of_group: Images of every (class, attribute), by class first.
    """

    images: int
    of_class: Sequence[int] = ()
    of_attribute: Sequence[int] = ()
    of_group: Sequence[int] = ()


@dataclass(frozen=True)
class Benchmark:
    """A data set that others publish, as they lay it out.

    Attributes:
        name: Its name in configurations.
        what: Description in one line.
        layout: Content of its root, in one line.
        source: Page or paper that publishes it.
        licence: Its terms, as far as known.
        marks: Files and folders by which the root is known; ``{split}`` stands for the split.
        reader: Reads the rows of a split.
        classes: Names of the classes.
        attributes: Names of the attributes; empty where there are none.
        sparse: Whether many of the classes have no image, and can only be mistaken for others.
        template: Prompt template.
        splits: Name of a split -> what stands for it in files, the default first; without splits,
            all images are used. Several parts that make a split are joined by ``+``; each row
            tells its own in the column ``split_part``.
        public: The splits that were published, where others are known of; those need not be there.
        image: Path of the image in the root, from the reader's columns.
        label: Stored value of the class.
        attribute: Stored value of the attribute.
        box: Sides x0, y0, x1, y1 of the foreground box, in pixels.
        mask: Path of the foreground mask in the root.
        masks: Folder of the masks, which need not be there; empty where the reader knows of each.
        table: The table that another one may replace; ``{table}`` stands for it.
        headline: The figure by which papers know it, where that is none of the usual ones.
        counts: Published counts of splits; "" where there are no splits.
        trap: Common mistake with its labels or files.
    """

    name: str
    what: str
    layout: str
    source: str
    licence: str
    marks: Sequence[str]
    reader: Reader
    classes: Names
    attributes: Names = field(default_factory=dict)
    sparse: bool = False
    template: str = "a photo of a {}"
    splits: Mapping[str, str] = field(default_factory=dict)
    public: Sequence[str] = ()
    image: pl.Expr = field(default_factory=lambda: pl.col("image"))
    label: pl.Expr = field(default_factory=lambda: pl.col("label"))
    attribute: pl.Expr | None = None
    box: Sequence[pl.Expr] = ()
    mask: pl.Expr | None = None
    masks: str = ""
    table: str = ""
    headline: Headline | None = None
    counts: Mapping[str, Counts] = field(default_factory=dict)
    trap: str = ""
