"""BLIP-2 (arXiv 2301.12597) as a CLIP: its image tower, Q-Former and projections.

Only what the contrastive loss (ITC) compares is used. The Q-Former reads either the image, through
its query tokens, or the text; the head that matches an image with a text is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONTEXT_LENGTH = 32
"""Positions of a text: ``max_txt_len`` of LAVIS, the authors' program."""
_TEMPERATURE = 0.07


class Blip2Towers(nn.Module):
    """The parts of transformers' ``Blip2ForImageTextRetrieval``, by the names of open_clip.

    `token_embedding` and `positional_embedding` are what its ``Blip2TextEmbeddings`` adds up,
    before the Q-Former's own layer normalisation, so prompts are tuned where those of CLIP are.

    Attributes:
        logit_scale: log(1 / 0.07), where LAVIS starts from. The temperature that was learned is
            not among the weights that transformers saves. Zero-shot predictions do not depend on
            it; confidences, losses and tuned prompts do.
    """

    def __init__(self, net: Any, pad_id: int) -> None:
        """Take over the parts of `net`; `pad_id` is the id of padding."""
        super().__init__()
        self.visual = net.vision_model
        self.query_tokens = net.query_tokens
        self.qformer = net.qformer
        self.token_embedding = net.embeddings.word_embeddings
        self.positional_embedding = net.embeddings.position_embeddings.weight
        self.vision_projection = net.vision_projection
        self.text_projection = net.text_projection
        self.logit_scale = torch.tensor(-math.log(_TEMPERATURE))  # no weight: always fp32
        self.context_length = CONTEXT_LENGTH
        self._pad_id = pad_id

    @property
    def transformer(self) -> SimpleNamespace:
        """The Q-Former's layers, under open_clip's name for those of a text tower."""
        return SimpleNamespace(resblocks=self.qformer.encoder.layer)

    def encode_image(self, images: Tensor) -> Tensor:
        """Image features: the mean of the query tokens' normalised projections.

        A reading of ours, the counterpart of the text's mean. In training, the loss took the query
        token that is most similar to the text, which is no feature of the image alone.

        Args:
            images: (N, 3, H, W), preprocessed.

        Returns:
            (N, D) float32, not normalised.
        """
        patches = self.visual(pixel_values=images, return_dict=True).last_hidden_state
        hidden = self.qformer(
            query_embeds=self.query_tokens.expand(len(images), -1, -1),
            encoder_hidden_states=patches,
            return_dict=True,
        ).last_hidden_state
        return F.normalize(self.vision_projection(hidden).float(), dim=-1).mean(1)

    def cut_padding(self, tokens: Tensor) -> Tensor:
        """Token ids without the last positions that all texts pad, which change no feature."""
        return tokens[:, : int((tokens != self._pad_id).sum(1).max())]

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Text features: the mean of the normalised projections of all that is not padding.

        In training, the loss took the projection of [CLS] alone.

        Args:
            tokens: (N, L) token ids.

        Returns:
            (N, D) float32, not normalised.
        """
        used = tokens != self._pad_id
        hidden = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        # transformers uses a mask of four dimensions as it is; of another, it would look at the
        # values, which recorded steps on a GPU cannot.
        mask = torch.zeros_like(used, dtype=hidden.dtype)
        mask = mask.masked_fill(~used, torch.finfo(mask.dtype).min)[:, None, None]
        hidden = self.qformer(
            query_embeds=hidden,
            query_length=0,
            attention_mask=mask.expand(-1, -1, tokens.shape[1], -1),
            return_dict=True,
        ).last_hidden_state
        directions = F.normalize(self.text_projection(hidden).float(), dim=-1)
        return (directions * used[..., None]).sum(1) / used.sum(1, keepdim=True)


class WordPieces:
    """A tokenizer of transformers in the form of open_clip's.

    Args:
        tokenizer: transformers' ``BertTokenizer``.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Token ids of texts: [CLS], the word pieces, [SEP], padding; longer ones are cut.

        Returns:
            (N, context_length) int64.
        """
        ids: Tensor = self._tokenizer(
            [texts] if isinstance(texts, str) else list(texts),
            padding="max_length",
            truncation=True,
            max_length=context_length or CONTEXT_LENGTH,
            return_tensors="pt",
        ).input_ids
        return ids
