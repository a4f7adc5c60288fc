"""Prompts without what they share with contexts (arXiv 2302.00070); the image stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from seraser_core.config.methods.orthogonal import OrthCaliOptions, OrthProjOptions
from seraser_core.errors import ConfigError
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits
from seraser_core.methods.roboshot import follows_from_others
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts, some_prompts, tokenise

_PAIRS_AT_ONCE = 16384
"""Pairs of prompts whose features are kept until their products are summed."""
_CHECKED = 2048
Pair = tuple[str, str]


class _Projected(Method):
    """Compares images with prompts that are projected away from those of the contexts.

    Args:
        options: Its options.
        context: The model and the prompts.
        text: (D, C) float64 on the CPU, the features of the prompts as columns.
    """

    views = (IMAGE,)

    def __init__(
        self, options: OrthProjOptions | OrthCaliOptions, context: MethodContext, text: Tensor
    ) -> None:
        super().__init__(options, context)
        projected = normalize((projection(options.contexts, context.model) @ text).T, dim=-1)
        self._text, self._scale = projected.to(context.class_features), context.logit_scale

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        return Scores(cosine_logits(features["image"][:, 0], self._text, self._scale))


class OrthProj(_Projected):
    """Prompts projected onto what is orthogonal to those of the contexts."""

    def __init__(self, options: OrthProjOptions, context: MethodContext) -> None:
        super().__init__(options, context, _double(context.class_features).T)

    @classmethod
    def check(cls, options: OrthProjOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        _check_contexts(options, model)


class OrthCali(_Projected):
    """The same, after the prompts of a class in two contexts are drawn together."""

    def __init__(self, options: OrthCaliOptions, context: MethodContext) -> None:
        text = _double(context.class_features).T
        identity = torch.eye(len(text), dtype=torch.float64)
        drawn = identity + options.strength * spread_of_pairs(options, context)
        super().__init__(options, context, torch.linalg.solve(drawn, text))

    @classmethod
    def check(cls, options: OrthCaliOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        _check_contexts(options, model)
        field = f"methods.{options.id}.pairs"
        if options.pairs is None:
            if len(options.contexts) < 2:
                remedy = "give at least two contexts, or pairs, or use orth_proj"
                raise ConfigError(f"methods.{options.id}.contexts", options.contexts, remedy)
            names = some_prompts(prompts, _CHECKED).classes
            texts = _in_contexts(names, options.contexts)
            tokenise(texts, model.tokenizer, model.context_length, field)
            return
        tokens = tokenise(_flat(options.pairs), model.tokenizer, model.context_length, field)
        for pair, (one, other) in zip(options.pairs, tokens.unflatten(0, (-1, 2)), strict=True):
            if torch.equal(one, other):
                raise ConfigError(field, list(pair), "are the same text to the tokenizer")


def spread_of_pairs(options: OrthCaliOptions, context: MethodContext) -> Tensor:
    """M, the mean over pairs of (z_i - z_j) (z_i - z_j)^T: (D, D) float64 on the CPU."""
    width = context.class_features.shape[1]
    products, count = torch.zeros(width, width, dtype=torch.float64), 0
    for differences in _differences(options, context):
        products += differences.T @ differences
        count += len(differences)
    return products / count


def projection(contexts: Sequence[str], model: ClipModel) -> Tensor:
    """I - V V^T for an orthonormal basis V of the contexts' features: (D, D) float64 on the CPU."""
    features = _double(model.encode_text(model.tokenizer(list(contexts))))
    basis, _ = torch.linalg.qr(features.T)
    return torch.eye(len(basis), dtype=torch.float64) - basis @ basis.T


def _differences(options: OrthCaliOptions, context: MethodContext) -> Iterator[Tensor]:
    """Yield the (N, D) float64 differences of pairs' features, for parts of the pairs."""
    model, contexts = context.model, options.contexts
    if options.pairs is not None:
        for start in range(0, len(options.pairs), _PAIRS_AT_ONCE):
            texts = _flat(options.pairs[start : start + _PAIRS_AT_ONCE])
            features = _double(model.encode_text(model.tokenizer(texts))).unflatten(0, (-1, 2))
            yield features[:, 0] - features[:, 1]
        return
    one, other = map(list, zip(*combinations(range(len(contexts)), 2), strict=True))
    classes = context.prompts.classes
    at_once = max(1, _PAIRS_AT_ONCE // len(one))
    for start in range(0, len(classes), at_once):
        names = classes[start : start + at_once]
        features = _double(model.encode_text(model.tokenizer(_in_contexts(names, contexts))))
        of_class = features.unflatten(0, (len(names), -1))
        yield (of_class[:, one] - of_class[:, other]).flatten(0, 1)


def _in_contexts(names: Sequence[str], contexts: Sequence[str]) -> list[str]:
    return [f"{name} {context}" for name in names for context in contexts]


def _check_contexts(options: OrthProjOptions | OrthCaliOptions, model: ClipModel) -> None:
    """Refuse contexts that are too long, or of which QR would make rounding noise.

    Raises:
        ConfigError: They are.
    """
    field = f"methods.{options.id}.contexts"
    tokens = tokenise(options.contexts, model.tokenizer, model.context_length, field)
    place = follows_from_others(model.encode_text(tokens))
    if place is not None:
        raise ConfigError(
            field,
            repr(options.contexts[place]),
            "the feature of this prompt follows from those before it; leave it out",
        )


def _flat(pairs: Sequence[Pair]) -> list[str]:
    return [text for pair in pairs for text in pair]


def _double(features: Tensor) -> Tensor:
    return features.detach().cpu().double()
