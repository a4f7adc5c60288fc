"""The plain prompt engine: the model's own `encode_text`, once per (image, class) pair."""

from __future__ import annotations

import threading

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seraser_core.errors import ConfigError
from seraser_core.models.loading import ClipModel
from seraser_core.models.prompts import Prompts

# What a residual attention block keeps per token for the way back, in units of the width.
_KEPT_WIDTHS = 16
_one_at_a_time = threading.Lock()


class PlainPromptEngine:
    """Prompt engine of any open_clip text tower with a token and a positional embedding.

    The tuned tokens are put in place of the token embedding's output at positions 1..n; the rest
    is the model's own code over the whole context, so towers that are not causal, or pool
    elsewhere than at end-of-text, are served as well. The exchange is made in the model itself,
    which threads share: one at a time.
    """

    def __init__(self, model: ClipModel, prompts: Prompts, context_tokens: int) -> None:
        self._net = model.net
        tower = model.net.text if hasattr(model.net, "text") else model.net
        self._net_tower = tower
        if not isinstance(getattr(tower, "token_embedding", None), nn.Embedding):
            raise ConfigError(
                "model.name",
                type(tower).__name__,
                "prompts can only be tuned in text towers with a token embedding of open_clip",
            )
        self._embedding: nn.Embedding = tower.token_embedding
        self._tokens = prompts.tokens.to(model.device)
        self._dtype = model.dtype
        self.recompute = False  # it has no chunks to compute again
        span = slice(1, 1 + context_tokens)
        # The tower adds positions itself, while P already contains them.
        self._positions = tower.positional_embedding[span].detach().float()
        with torch.no_grad():
            embedded = self._embedding(self._tokens[0, span]).float()
            self.initial_prompt = embedded + self._positions
            self.base_features = model.encode_text(self._tokens)

    @property
    def tokens(self) -> int:
        """See `seraser_core.models.engine.PromptEngine.tokens`."""
        return self._tokens.numel()

    def bytes_per_image(self, recompute: bool) -> int:
        """See `seraser_core.models.engine.PromptEngine.bytes_per_image`; a generous estimate."""
        layers = len(self._net_tower.transformer.resblocks)
        width = self.initial_prompt.shape[-1]
        return self.tokens * layers * width * _KEPT_WIDTHS * self._dtype.itemsize

    def text_features(self, prompt: Tensor) -> Tensor:
        """See `seraser_core.models.engine.PromptEngine.text_features`."""
        batch, count, _ = prompt.shape
        classes = self._tokens.shape[0]
        tuned = (prompt - self._positions).repeat_interleave(classes, dim=0)

        def replace(_module: nn.Module, _args: tuple[Tensor, ...], out: Tensor) -> Tensor:
            return torch.cat([out[:, :1], tuned.to(out.dtype), out[:, 1 + count :]], dim=1)

        with _one_at_a_time:
            handle = self._embedding.register_forward_hook(replace)
            try:
                features = self._net.encode_text(self._tokens.repeat(batch, 1))
            finally:
                handle.remove()
        return F.normalize(features.float(), dim=-1).unflatten(0, (batch, classes))
