"""The plain prompt engine: the model's own `encode_text`, once per (image, class) pair."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seraser_core.errors import ConfigError
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.memory import memory_budget
from seraser_core.models.prompts import Prompts

# What a residual attention block keeps per token for the way back, in units of the width.
_KEPT_WIDTHS = 16
_CLASSES_AT_ONCE = 32
"""Classes that are recomputed together in the backward pass."""


class PlainPromptEngine:
    """Prompt engine of any open_clip text tower with a token and a positional embedding.

    The tuned tokens are put in place of the token embedding's output at positions 1..n; the rest
    is the model's own code over the whole context, so towers that are not causal, or pool
    elsewhere than at end-of-text, are served as well. A tower with `cut_padding` says which
    positions change nothing.
    """

    def __init__(self, model: ClipModel, prompts: Prompts, context_tokens: int) -> None:
        tower = model.text_tower
        if not isinstance(getattr(tower, "token_embedding", None), nn.Embedding):
            raise ConfigError(
                "model.name",
                type(tower).__name__,
                "prompts can only be tuned in text towers with a token embedding of open_clip",
            )
        # Other threads may encode texts with the model, so it is not changed.
        self._embedding = _TunedEmbedding(tower.token_embedding)
        tuned = _with_module(tower, "token_embedding", self._embedding)
        self._net = tuned if tower is model.net else _with_module(model.net, "text", tuned)
        self._layers = len(tower.transformer.resblocks)
        cut = getattr(tower, "cut_padding", lambda tokens: tokens)
        self._tokens = cut(prompts.tokens).to(model.device)
        self._dtype = model.dtype
        self.memory = memory_budget(model.device)
        span = slice(1, 1 + context_tokens)
        # The tower adds positions itself, while P already contains them.
        self._positions = tower.positional_embedding[span].detach().float()
        with torch.no_grad():
            embedded = tower.token_embedding(self._tokens[0, span]).float()
            self.initial_prompt = embedded + self._positions
            self.base_features = model.encode_text(self._tokens)

    @property
    def tokens(self) -> int:
        """See `seraser_core.models.engine.PromptEngine.tokens`."""
        return self._tokens.numel()

    def bytes_per_image(self, recompute: bool) -> int:
        """See `seraser_core.models.engine.PromptEngine.bytes_per_image`; a generous estimate."""
        classes, length = self._tokens.shape
        used = min(classes, _CLASSES_AT_ONCE) if recompute else classes
        kept = self._layers * self.initial_prompt.shape[-1] * _KEPT_WIDTHS
        return used * length * kept * self._dtype.itemsize

    def text_features(self, prompt: Tensor) -> Tensor:
        """See `seraser_core.models.engine.PromptEngine.text_features`."""
        too_large = len(prompt) * self.bytes_per_image(False) > self.memory
        if not (too_large and torch.is_grad_enabled()):
            return self._features(prompt, self._tokens)
        parts = [
            checkpoint(self._features, prompt, part, use_reentrant=False, preserve_rng_state=False)
            for part in self._tokens.split(_CLASSES_AT_ONCE)
        ]
        return torch.cat(parts, dim=1)

    def _features(self, prompt: Tensor, tokens: Tensor) -> Tensor:
        """Features (B, c, D) of the classes with these tokens, (c, context_length)."""
        tuned = (prompt - self._positions).repeat_interleave(len(tokens), dim=0)
        with self._embedding.tuned_to(tuned):
            features = self._net.encode_text(tokens.repeat(len(prompt), 1))
        return F.normalize(features.float(), dim=-1).unflatten(0, (len(prompt), len(tokens)))


class _TunedEmbedding(nn.Module):
    """A token embedding with replaceable output at positions 1..n, per thread."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self._embedding = embedding
        self._here = threading.local()

    @contextmanager
    def tuned_to(self, tuned: Tensor) -> Iterator[None]:
        """Put `tuned`, (N, n, d), in place of the tokens 1..n of N texts."""
        self._here.tuned = tuned
        try:
            yield
        finally:
            del self._here.tuned

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L) token ids -> (N, L, d)."""
        out = self._embedding(tokens)
        tuned = self._here.tuned
        return torch.cat([out[:, :1], tuned.to(out.dtype), out[:, 1 + tuned.shape[1] :]], dim=1)


def _with_module(module: Any, name: str, child: nn.Module) -> Any:
    """`module` with another child; all that is not replaced is shared."""
    changed = copy.copy(module)
    changed._modules = {**module._modules, name: child}
    return changed
