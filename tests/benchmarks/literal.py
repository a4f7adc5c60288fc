"""The literal procedure: what the authors' program does per image and step.

It encodes four pictures, the untouched and the tuned prompts over all 77 positions, and goes back,
one image at a time (METHODS, "Known faults"). Two versions of it are timed: *published*, in which
every weight asks for its gradient, and *frozen*, in which the towers are frozen, and pictures and
untouched prompts are encoded without a graph, as a careful user would do.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from machine import seconds
from stages import Stages
from torch import Tensor

from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts

KINDS = ("frozen", "published")
_ORDER = ("image", "mask_background", "black", "mask_foreground")
_KEPT_WIDTHS = {"frozen": 16, "published": 24}


def time_literal(
    model: ClipModel, prompts: Prompts, pictures: Mapping[str, Tensor], steps: int, kind: str
) -> tuple[Tensor, Stages]:
    """Logits (C,) of one image after `steps` steps, and the time that they took.

    Args:
        model: The model.
        prompts: The class prompts.
        pictures: View name, and ``black`` -> (3, H, W) float32, preprocessed.
        steps: Steps, all of them timed.
        kind: ``frozen`` or ``published``.
    """
    model.net.requires_grad_(kind == "published")
    try:
        one = _Literal(model, prompts, pictures, kind == "frozen")
        if model.device.type == "cuda":
            one.step()  # libraries choose their kernels
            one = _Literal(model, prompts, pictures, kind == "frozen")
        tuning = seconds(lambda: [one.step() for _ in range(steps)], model.device)
        final = seconds(one.logits, model.device)
        return one.logits(), Stages(0.0, tuning, final, steps)
    finally:
        model.net.requires_grad_(False)
        model.net.zero_grad(set_to_none=True)


def graph_bytes(model: ClipModel, classes: int, kind: str) -> int:
    """About what a step keeps for the way back.

    In every layer so many widths per token: the inputs of two norms, queries, keys, values, the
    attended values and the activation between; with gradients of weights, the inputs of all
    products too, the graph of the pictures and the gradients themselves.
    """
    net, item, kept = model.net, model.dtype.itemsize, _KEPT_WIDTHS[kind]
    context, width = net.positional_embedding.shape
    total = classes * context * len(net.transformer.resblocks) * width * kept * item
    if kind == "published":
        positions, width = net.visual.positional_embedding.shape
        layers = len(net.visual.transformer.resblocks)
        total += len(_ORDER) * positions * layers * width * kept * item
        total += sum(weight.numel() for weight in net.parameters()) * item
    return total


class _Literal:
    def __init__(
        self, model: ClipModel, prompts: Prompts, pictures: Mapping[str, Tensor], frozen: bool
    ) -> None:
        self._model, self._net, self._frozen = model, model.net, frozen
        self._tokens = prompts.tokens.to(model.device)
        stack = torch.stack([pictures[name] for name in _ORDER])
        self._pictures = stack.to(model.device, model.dtype)
        net = self._net
        self._base = (net.token_embedding(self._tokens) + net.positional_embedding).detach()
        self._prompt = self._base[0, 1:4].float().clone().requires_grad_()
        self._optimiser = torch.optim.AdamW([self._prompt], lr=5e-4, weight_decay=0.01)

    def step(self) -> None:
        """One step of the `reference` preset."""
        with torch.set_grad_enabled(not self._frozen):
            features = self._encode(self._pictures)
            self._text(self._base)
        log_p = (self._model.logit_scale * features @ self._tuned().T).log_softmax(-1)
        uniform = torch.full_like(log_p[1:3], 1 / len(self._tokens))
        erase = (uniform * (uniform.log() - log_p[1:3])).sum(-1).mean()
        loss = erase - (log_p[3].exp() * log_p[3]).sum()
        self._net.zero_grad(set_to_none=True)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()

    @torch.no_grad()
    def logits(self) -> Tensor:
        """(C,) with the prompt as it is."""
        return self._model.logit_scale * (self._encode(self._pictures[:1]) @ self._tuned().T)[0]

    def _encode(self, pictures: Tensor) -> Tensor:
        return F.normalize(self._net.encode_image(pictures).float(), dim=-1)

    def _tuned(self) -> Tensor:
        block = self._prompt.to(self._model.dtype).expand(len(self._tokens), -1, -1)
        return self._text(torch.cat([self._base[:, :1], block, self._base[:, 4:]], dim=1))

    def _text(self, embedded: Tensor) -> Tensor:
        net = self._net
        hidden = net.transformer(embedded, attn_mask=net.attn_mask)
        ends = torch.arange(len(self._tokens)), self._tokens.argmax(-1)
        return F.normalize((net.ln_final(hidden)[ends] @ net.text_projection).float(), dim=-1)
