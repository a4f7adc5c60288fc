"""Pictures of the page: an image, its surroundings and its object, with what the model made of it.

The pictures are the rows of the run's sample that keep some, see
`seraser_core.results.samples.read_pictures`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from seraser_core.results.outcomes import softmax
from seraser_core.shortcuts.findings import Findings
from seraser_core.sources.items import group_name

MOST = 60
"""Items with pictures on a page: 3 views of 128 pixels each stay under 5 MB."""
_OF_A_SHORTCUT = 3
_SHORTCUTS = 5
_KINDS = ("broken", "fixed", "wrong", "changed", "drawn")
_VIEWS = {
    "image_webp": "whole image",
    "background_webp": "background",
    "foreground_webp": "object",
}


@dataclass(frozen=True)
class Guess:
    """The likeliest class of a picture.

    Attributes:
        name: Of the class.
        share: Its probability.
        right: True if it is the label; None without a label, and of a background alone.
    """

    name: str
    share: float
    right: bool | None = None


@dataclass(frozen=True)
class View:
    """One of the pictures of an item.

    Attributes:
        title: What it shows.
        source: The picture as a data URI; empty if it was not kept.
        before: What zero-shot makes of it.
        after: What the erasing method makes of it; None of all but the image itself.
    """

    title: str
    source: str
    before: Guess
    after: Guess | None = None


@dataclass(frozen=True)
class Item:
    """An image of the sample with its pictures.

    Attributes:
        name: Its id.
        truth: Its group or label; empty without one.
        kind: ``broken``, ``fixed``, ``wrong`` (before and after), ``changed`` (without labels),
            ``drawn`` (without labels: the object alone is another class) or ``same``.
        views: The image, its surroundings, its object.
        loss: The loss from the first to the last step; empty if it is not known.
    """

    name: str
    truth: str
    kind: str
    views: Sequence[View]
    loss: str


@dataclass(frozen=True)
class Gallery:
    """All pictures of the page, every one once.

    Attributes:
        kinds: Kind -> its items.
        examples: Number of a shortcut -> its examples.
    """

    kinds: Mapping[str, Sequence[Item]]
    examples: Mapping[int, Sequence[Item]]


def make_gallery(
    pictures: pl.DataFrame | None,
    classes: Sequence[str],
    attributes: Sequence[str],
    findings: Findings | None,
) -> Gallery:
    """Choose at most `MOST` items: examples of shortcuts, then of each kind the smallest keys.

    Args:
        pictures: Rows of the sample that have pictures.
        classes: Names of the classes.
        attributes: Names of the attributes.
        findings: Of the shortcut finder.
    """
    if pictures is None or not pictures.height:
        return Gallery({}, {})
    rows = pictures.filter(pl.col("image_webp").is_not_null()).sort("key", "item_id").to_dicts()
    items = {row["item_id"]: make_item(row, classes, attributes) for row in rows}
    examples = _examples(items, findings)
    shown = {item.name for some in examples.values() for item in some}
    rest = [item for name, item in items.items() if name not in shown]
    return Gallery(_by_kind(rest, MOST - len(shown)), examples)


def _examples(items: Mapping[str, Item], findings: Findings | None) -> dict[int, list[Item]]:
    """Examples of the first shortcuts, one of them fixed where there is such a one.

    Broken images stay among the broken ones.
    """
    taken: set[str] = set()
    found = {}
    for number, shortcut in enumerate(findings.shortcuts[:_SHORTCUTS] if findings else ()):
        of_it = [
            items[name]
            for name in shortcut.examples
            if name in items and items[name].kind != "broken" and name not in taken
        ]
        fixed = [item for item in of_it if item.kind == "fixed"][:1]
        of_it = [*fixed, *(item for item in of_it if item not in fixed)][:_OF_A_SHORTCUT]
        taken |= {item.name for item in of_it}
        found[number] = of_it
    return found


def _by_kind(items: Iterable[Item], most: int) -> dict[str, list[Item]]:
    """Up to `most` items, as many of every kind as there are of the rarest, and then more."""
    of_kind: dict[str, list[Item]] = {kind: [] for kind in _KINDS}
    for item in items:
        if item.kind in of_kind:
            of_kind[item.kind].append(item)
    filled = [kind for kind in _KINDS if of_kind[kind]]
    room, chosen = most, {}
    for left, kind in enumerate(sorted(filled, key=lambda kind: len(of_kind[kind]))):
        chosen[kind] = of_kind[kind][: room // (len(filled) - left)]
        room -= len(chosen[kind])
    return {kind: chosen[kind] for kind in filled}


def make_item(row: Mapping[str, Any], classes: Sequence[str], attributes: Sequence[str]) -> Item:
    """Make an item of a row of the sample; its logits of the sides and its pictures may be None.

    Args:
        row: Columns of `SAMPLE_SCHEMA`; with ``loss_first`` and ``loss_last``, those are shown,
            and with ``name``, that in place of the id.
        classes: Names of the classes.
        attributes: Names of the attributes.
    """
    label = row["label"] if row["label"] is not None and row["label"] >= 0 else None
    place = row["attribute"] if row["attribute"] is not None and row["attribute"] >= 0 else None
    truth = "" if label is None else classes[label]
    if label is not None and place is not None:
        truth = group_name(classes, attributes, label, place)
    before, after = _guess(row["whole"], classes, label), _guess(row["erased"], classes, label)
    # No class is right or wrong for the background alone.
    alone = [_guess(row["background"], classes, None), _guess(row["foreground"], classes, label)]
    guesses = [(before, after), *((guess, None) for guess in alone)]
    views = [
        View(title, _source(row[name]), guess, then)
        for (name, title), (guess, then) in zip(_VIEWS.items(), guesses, strict=True)
        if guess is not None
    ]
    first, last = row.get("loss_first"), row.get("loss_last")
    loss = "" if first is None or last is None else f"{first:.2f} → {last:.2f}"
    return Item(
        row.get("name") or row["item_id"], truth, _kind(before, after, alone[1]), views, loss
    )


def _guess(
    logits: Sequence[float] | None, classes: Sequence[str], label: int | None
) -> Guess | None:
    if logits is None:
        return None
    shares = softmax(np.asarray(logits, dtype=np.float32)[None])[0]
    best = int(shares.argmax())
    return Guess(classes[best], float(shares[best]), None if label is None else best == label)


def _kind(before: Guess | None, after: Guess | None, alone: Guess | None) -> str:
    if before is None:
        return "same"
    then = before if after is None else after
    if before.right is None:
        if before.name != then.name:
            return "changed"
        return "drawn" if alone is not None and alone.name != before.name else "same"
    kinds = {(False, True): "fixed", (True, False): "broken", (False, False): "wrong"}
    return kinds.get((before.right, bool(then.right)), "same")


def _source(webp: bytes | None) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}" if webp else ""
