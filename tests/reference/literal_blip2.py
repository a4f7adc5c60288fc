"""BLIP-2's features by transformers' own forward pass, one text at a time and without padding."""

from __future__ import annotations

import math

import torch


class LiteralBlip2:
    """transformers' ``Blip2ForImageTextRetrieval`` by the names that `literal_seraser` uses."""

    def __init__(self, net):
        self.net = net
        self.token_embedding = net.embeddings.word_embeddings
        self.positional_embedding = net.embeddings.position_embeddings.weight
        self.logit_scale = torch.tensor(math.log(1 / 0.07))

    def encode_image(self, pictures):
        """Mean over the query tokens: (N, 3, H, W) -> (N, D)."""
        any_text = torch.zeros(len(pictures), 2, dtype=torch.long)
        outputs = self.net(pictures, any_text, attention_mask=torch.ones_like(any_text))
        return outputs.image_embeds.mean(dim=1)


def encode_prompts(literal, tokens, context):
    """Features with the block `context` (n, d) in place of positions 1..n of every class.

    Args:
        literal: A `LiteralBlip2`.
        tokens: (C, L) token ids, padded with 0.
        context: (n, d), positions added.
    """
    rows = []
    for row in tokens:
        row = row[row != 0]
        hidden = literal.net.embeddings(row[None])[0]
        hidden = torch.cat([hidden[:1], context, hidden[1 + len(context) :]])
        outputs = literal.net.qformer(query_embeds=hidden[None], query_length=0)
        projected = literal.net.text_projection(outputs.last_hidden_state[0])
        feature = sum(vector / vector.norm() for vector in projected) / len(row)
        rows.append(feature / feature.norm())
    return torch.stack(rows)
