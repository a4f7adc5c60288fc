"""Text features with a tuned block, one class at a time, of text towers of several families."""

from __future__ import annotations

import torch


def encode_prompts(net, tokens, context):
    """Features with the block `context` (n, d) in place of positions 1..n of every class.

    Args:
        net: An open_clip model, with its text tower in ``text`` or in itself.
        tokens: (C, L) token ids.
        context: (n, d), positions added.
    """
    tower = getattr(net, "text", net)
    n = len(context)
    rows = []
    for row in tokens:
        length = len(row)
        hidden = tower.token_embedding(row) + tower.positional_embedding[:length]
        hidden = torch.cat([hidden[:1], context, hidden[1 + n :]])
        mask = None if tower.attn_mask is None else tower.attn_mask[:length, :length]
        cls = getattr(tower, "cls_emb", None)
        if cls is not None:  # CoCa: one more token; nothing looks at padding
            hidden = torch.cat([hidden, (cls + tower.positional_embedding[length])[None]])
            mask = tower.attn_mask[: length + 1, : length + 1].clone()
            seen = torch.cat([torch.ones(1, dtype=torch.bool), row != tower.pad_id])
            mask[:, ~seen] = float("-inf")
            mask = mask[None].repeat(tower.heads, 1, 1)
        hidden = tower.transformer(hidden[None], attn_mask=mask)[0]
        if cls is not None:
            feature = tower.ln_final(hidden[-1])
        elif getattr(tower, "pool_type", "argmax") == "last":
            feature = tower.ln_final(hidden)[-1]
        else:
            feature = tower.ln_final(hidden)[int(row.argmax())]
        projection = tower.text_projection
        feature = projection(feature) if callable(projection) else feature @ projection
        rows.append(feature / feature.norm())
    return torch.stack(rows)
