"""Class prompts: tokenised, checked, and cut where tuning needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seraser_core.errors import ConfigError

_CLASSES_AT_ONCE = 1024
_FEW_TEXTS = 64
_ALIKE = 1e-6  # of cosine similarity: the rounding error of fp32


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts of all classes.

    Attributes:
        classes: Class names.
        texts: One prompt per class.
        tokens: (C, context_length) int64.
        shared: Number of leading positions, start-of-text included, with the same token in all
            classes and inside the template's prefix; context tokens 1..shared-1 may be tuned.
    """

    classes: list[str]
    texts: list[str]
    tokens: Tensor
    shared: int


def build_prompts(
    classes: Sequence[str],
    template: str,
    tokenizer: Callable[..., Tensor],
    context_length: int,
    field: str = "dataset.template",
) -> Prompts:
    """Tokenise `template`, the value of the option `field`, for every class.

    Raises:
        ConfigError: The template or a prompt is longer than the context, or two classes have the
            same one.
    """
    texts = [template.replace("{}", name) for name in classes]
    tokenise([template.replace("{}", "")], tokenizer, context_length, field)
    tokens = tokenise(texts, tokenizer, context_length, "dataset.classes")
    seen: dict[tuple[int, ...], str] = {}
    for name, row in zip(classes, tokens.tolist(), strict=True):
        other = seen.setdefault(tuple(row), name)
        if other is not name:
            raise ConfigError(
                "dataset.classes",
                f"{other!r} and {name!r}",
                "are the same to the tokenizer, which ignores case and spaces; name them apart",
            )
    prefix = tokenizer([template.split("{}")[0]])[0]
    shared = int(_lengths(prefix[None])[0]) - 1
    while shared and not bool((tokens[:, :shared] == prefix[:shared]).all()):
        shared -= 1  # a word piece that runs from the prefix into the class name
    return Prompts(list(classes), texts, tokens, shared)


def tokenise(
    texts: Sequence[str], tokenizer: Callable[..., Tensor], context_length: int, field: str
) -> Tensor:
    """Return the tokens of `texts`, which must fit into the context.

    Returns:
        (N, context_length) int64.

    Raises:
        ConfigError: A text is longer; `field` is where it comes from.
    """
    # Tokenizers cut long texts without a word; a longer context shows which were cut.
    whole = tokenizer(list(texts), context_length=4 * context_length)
    for text, length in zip(texts, _lengths(whole), strict=True):
        if length > context_length:
            raise ConfigError(
                field,
                repr(text if len(text) <= 80 else text[:77] + "..."),
                f"this prompt has {length} tokens and the model's context {context_length}; "
                "shorten the name or the template",
            )
    first = tokenizer(list(texts[:_FEW_TEXTS]))
    if len(texts) <= _FEW_TEXTS:
        return first
    cut = whole[:, : first.shape[1]]
    # With thousands of texts, this doubles the time.
    return cut.clone() if torch.equal(cut[:_FEW_TEXTS], first) else tokenizer(list(texts))


def some_prompts(prompts: Prompts, count: int) -> Prompts:
    """Return at most `count` of the prompts: the longest, and an even sample of the rest."""
    total = len(prompts.texts)
    if total <= count:
        return prompts
    lengths = (prompts.tokens != prompts.tokens[:, -1:]).sum(1)
    longest = lengths.topk(count // 2).indices.tolist()
    places = sorted({*longest, *range(0, total, -(-total // (count // 2)))})
    return Prompts(
        [prompts.classes[i] for i in places],
        [prompts.texts[i] for i in places],
        prompts.tokens[places],
        prompts.shared,
    )


def indistinguishable_classes(features: Tensor, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of classes with equal text features.

    Args:
        features: (C, D) float32, L2-normalised.
        names: The classes.
    """
    pairs = []
    # Not all at once: with 21,000 classes, that is 1.8 GB.
    for start in range(0, len(features), _CLASSES_AT_ONCE):
        similar = features[start : start + _CLASSES_AT_ONCE] @ features.T
        similar.diagonal(start).sub_(1)
        nearest, place = similar.max(dim=1)
        alike = torch.nonzero(nearest >= 1 - _ALIKE)[:, 0].tolist()
        pairs += [(start + i, int(place[i])) for i in alike]
    return [(names[i], names[j]) for i, j in pairs if i < j]


def check_context_tokens(prompts: Prompts, context_tokens: int, field: str) -> None:
    """Refuse to tune more tokens than the template's prefix has.

    Raises:
        ConfigError: The prefix is shorter than the context tokens.
    """
    if prompts.shared - 1 < context_tokens:
        raise ConfigError(
            field,
            context_tokens,
            f"the prefix of dataset.template has {max(0, prompts.shared - 1)} tokens that all "
            "classes share; use a longer prefix or fewer context tokens",
        )


def _lengths(tokens: Tensor) -> list[int]:
    """Tokens up to the last that is not padding (id 0, or the repeated last id), per row."""
    padding = tokens[:, -1:]
    used = tokens != padding
    last = torch.where(used.any(1), used.shape[1] - used.flip(1).int().argmax(1), 1)
    # A row padded with its own end token keeps one of them.
    keep = (padding[:, 0] != 0).int()
    return [int(n) for n in torch.minimum(last + keep, torch.tensor(tokens.shape[1]))]
