"""The words that can name a place, with the model's text features of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from seraser_core.models.clip_model import ClipModel

WORD_TEMPLATES = ("a photo of the {}", "a photo in the {}")
_NONSENSE = ("qx", "zq", "zqj", "vjkq", "qzxw")
_LIKE_NONSENSE = 0.995
_PROBED = 200
_KINDS_OF_OBJECTS = ("animal", "body", "food", "person", "plant")
"""Kinds that are dropped whole if most classes are of one: a place is named by none of them."""
_SHORTEST_SUFFIX = 4


@dataclass(frozen=True)
class Noun:
    """A row of the word table.

    Attributes:
        kind: WordNet's kind, e.g. ``location``.
        kin: Other words of the table for the same thing or a broader one.
    """

    kind: str
    kin: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Words:
    """W words that can name a place.

    Attributes:
        words: The words.
        kinds: Kind of each, see `Noun`.
        features: (W, D) float32, L2-normalised text features.
        template: Template of the run's prompts, with {} for the class.
    """

    words: list[str]
    kinds: list[str]
    features: np.ndarray
    template: str


def words_for(model: ClipModel, classes: Sequence[str], templates: Sequence[str]) -> Words:
    """Return the words with which surroundings can be named to `model`.

    Those that would name the classes are left out, as are those of the templates and all that the
    text tower does not know.

    Args:
        model: The model.
        classes: Class names.
        templates: Templates of the run's prompts, at least one.
    """
    words = nameable(classes, templates)
    single = _single_tokens(model, words)
    probe = single[:: max(1, len(single) // _PROBED)]
    if 2 * _known(model, _encode(model, probe)).sum() < len(probe):
        words = single  # a small tower: pieces of words that it does not know mislead
    features = _encode(model, words)
    known = _known(model, features)
    words = [word for word, kept in zip(words, known, strict=True) if kept]
    mean = features[:, known].mean(0)
    mean /= np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
    kinds = [_nouns()[word].kind for word in words]
    return Words(words, kinds, mean.astype(np.float32), templates[0])


def nameable(classes: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Return the words of the table that name neither a class nor its kind, sorted."""
    nouns = _nouns()
    spoken = {word for text in (*classes, *templates) for word in _words_of(text)}
    heads = [head for head in map(_head, classes) if head]
    kinds = [nouns[head].kind if head in nouns else _names()[head] for head in heads]
    dropped = spoken | set(heads)
    for head in heads:
        if head in nouns:
            dropped |= nouns[head].kin
    most, count = Counter(kinds).most_common(1)[0] if kinds else ("", 0)
    objects = most if most in _KINDS_OF_OBJECTS and 2 * count > len(kinds) else None
    return [
        word
        for word, noun in nouns.items()
        if word not in dropped and noun.kind != objects and not noun.kin & set(heads)
    ]


def _head(name: str) -> str:
    """Return the noun of a class name that is in the tables: its last word, or the end of it."""
    words = _words_of(name)
    if not words:
        return ""
    last = words[-1]
    singular = last.removesuffix("s")
    ends = [last[start:] for start in range(1, len(last) - _SHORTEST_SUFFIX + 1)]
    tables = (_nouns(), _names())
    found = (one for one in (last, singular, *ends) if any(one in table for table in tables))
    return next(found, "")


def _words_of(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


@cache
def _nouns() -> Mapping[str, Noun]:
    rows = (line.split() for line in _read("nouns.txt"))
    return MappingProxyType({word: Noun(kind, frozenset(kin)) for word, kind, *kin in rows})


@cache
def _names() -> Mapping[str, str]:
    rows = (line.split() for line in _read("names.txt"))
    return MappingProxyType({row[0]: row[1] for row in rows})


def _read(name: str) -> list[str]:
    return (resources.files("seraser_core.shortcuts.nouns") / name).read_text().splitlines()


def _encode(model: ClipModel, words: Sequence[str]) -> np.ndarray:
    """(T, W, D) float32, L2-normalised features of the words under each template."""
    # Imported where a model, and so torch, is there.
    from seraser_core.models.short_texts import encode_short_texts

    texts = ([one.replace("{}", word) for word in words] for one in WORD_TEMPLATES)
    features = [encode_short_texts(model, model.tokenizer(some)).cpu().numpy() for some in texts]
    return np.stack(features)


def _single_tokens(model: ClipModel, words: Sequence[str]) -> list[str]:
    """Return the words that are one token, as the letter a is."""
    tokens = model.tokenizer(["a", *words])
    used = (tokens != tokens[:, -1:]).sum(1).tolist()
    return [word for word, count in zip(words, used[1:], strict=True) if count == used[0]]


def _known(model: ClipModel, features: np.ndarray) -> np.ndarray:
    """(W,) bool: words that differ from every nonsense string under most of the templates.

    Args:
        model: The model.
        features: Of the words, see `_encode`.
    """
    nonsense = _encode(model, _NONSENSE)
    alike = (features @ nonsense.swapaxes(1, 2)).max(-1) > _LIKE_NONSENSE
    known: np.ndarray = alike.mean(0) < 0.5
    return known
