"""Methods of the project against the shortcuts that were found, as config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from seraser_core.shortcuts.findings import Remedy, Shortcut
from seraser_core.shortcuts.words import Words

_PLACES = ("group", "location", "object", "phenomenon")
_MOST_PROMPTS = 2000
_BOTH = " Both prepositions are tried; the best prompt of a class counts."


def remedies(shortcuts: Sequence[Shortcut], classes: Sequence[str], words: Words) -> list[Remedy]:
    """Write out the methods that use the names of the surroundings.

    Args:
        shortcuts: What was found.
        classes: Class names.
        words: The word table, with the template of the run's prompts.
    """
    found = list(dict.fromkeys(one.words[0] for one in shortcuts if one.words))
    kinds = dict(zip(words.words, words.kinds, strict=True))
    endings = ["", *(end for word in found for end in _endings(word, kinds.get(word, "")))]
    if not found or len(classes) * len(endings) > _MOST_PROMPTS:
        return []
    prompts = {
        name: [words.template.replace("{}", name + ending) for ending in endings]
        for name in classes
    }
    places = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
    return [
        _remedy(
            {"name": "group_prompt", "prompts": prompts},
            f"It needs no masks: every class is also asked with {places}, so that only the class "
            "tells the images there apart."
            + (_BOTH if any(kinds.get(word) in _PLACES for word in found) else ""),
        ),
        _remedy(
            {"name": "orth_cali", **_projection(found, classes, words, kinds)},
            f"It needs no masks either: it takes out of the prompts what they have of {places}.",
            in_line=True,
        ),
    ]


def _projection(
    found: Sequence[str], classes: Sequence[str], words: Words, kinds: Mapping[str, str]
) -> dict[str, Any]:
    """Return the options of `orth_cali`: each class without surroundings, and in each of them."""

    def prompt(text: str) -> str:
        return words.template.replace("{}", text)

    contexts = [prompt(f"the {w}" if kinds.get(w) in _PLACES else w) for w in found]
    endings = [_endings(word, kinds.get(word, ""))[0] for word in found]
    pairs = [[prompt(name), prompt(name + end)] for name in classes for end in endings]
    return {"contexts": contexts, "pairs": pairs}


def _endings(word: str, kind: str) -> list[str]:
    """Return what a prompt that names `word` ends with; the best prompt of a class counts."""
    return [f" in the {word}", f" on the {word}"] if kind in _PLACES else [f" with {word}"]


def _remedy(entry: dict[str, Any], reason: str, in_line: bool = False) -> Remedy:
    """Return the remedy of a method; its innermost lists are written in one line each if asked."""
    config = yaml.safe_dump(
        [entry],
        sort_keys=False,
        allow_unicode=True,
        width=10_000,
        default_flow_style=None if in_line else False,
    )
    return Remedy(method=entry["name"], reason=reason, config=config)
