"""Checking that the tokenizer in a folder of transformers is CLIP's, as in open_clip."""

from __future__ import annotations

from functools import cache
from typing import Any

from open_clip.tokenizer import SimpleTokenizer

from seraser_core import storage
from seraser_core.errors import ConfigError
from seraser_core.models.folders import holds, read_document
from seraser_core.models.json_files import blamed

_MARKS = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
"""open_clip's names of the tokens that begin and end a text -> those of transformers."""
_CLASSES = ("CLIPTokenizer", "CLIPTokenizerFast")


def check_tokenizer(folder: str) -> None:
    """Compare the tokenizer's files in a folder with CLIP's; without any, it is CLIP's.

    Not the token ids of some texts, which would depend on whether transformers is installed.

    Raises:
        ConfigError: Its vocabulary or its merges are others.
    """
    words, merges = _clip()
    if holds(folder, "tokenizer.json"):  # then transformers reads no other
        model = read_document(folder, "tokenizer.json").get("model")
        if not isinstance(model, dict) or model.get("vocab") != words:
            raise _other(folder, "tokenizer.json", "vocabulary")
        if _joined(model.get("merges")) != merges:
            raise _other(folder, "tokenizer.json", "list of merges")
        return
    if holds(folder, "vocab.json") and read_document(folder, "vocab.json") != words:
        raise _other(folder, "vocab.json", "vocabulary")
    if holds(folder, "merges.txt") and _read_merges(folder)[: len(merges)] != merges:
        raise _other(folder, "merges.txt", "list of merges")
    if holds(folder, "tokenizer_config.json"):
        given = read_document(folder, "tokenizer_config.json").get("tokenizer_class", _CLASSES[0])
        if given not in _CLASSES:
            raise _other(folder, "tokenizer_config.json", f"tokenizer_class {given}")


@cache
def _clip() -> tuple[dict[str, int], list[str]]:
    """CLIP's vocabulary and merges, in the words of transformers."""
    clip = SimpleTokenizer()
    words = {_MARKS.get(word, word): number for word, number in clip.encoder.items()}
    return words, [" ".join(pair) for pair in clip.bpe_ranks]


def _joined(merges: Any) -> list[Any]:
    """The merges of a tokenizer.json, which newer releases save as pairs."""
    given = merges if isinstance(merges, list) else []
    return [" ".join(map(str, merge)) if isinstance(merge, list) else merge for merge in given]


def _read_merges(folder: str) -> list[str]:
    """The merges of a merges.txt; transformers reads no more of them than CLIP has."""
    with blamed("model.name", folder):
        lines = storage.read_bytes(storage.join(folder, "merges.txt")).decode().splitlines()
    return lines[1:] if lines and lines[0].startswith("#") else lines


def _other(folder: str, name: str, what: str) -> ConfigError:
    return ConfigError(
        "model.name",
        folder,
        f"its {name} has another {what} than CLIP's tokenizer, which is the one used here; give a "
        "model that was trained with it",
    )
