"""TPT, literally: one image at a time, full context, everything encoded again whenever it is used.

Written from the description of the method alone; shares no code with the package.
"""

from __future__ import annotations

import torch


def encode_prompts(net, tokens, context):
    """Text features with the embeddings `context` (n, d) as tokens 1..n; positions are added."""
    n = context.shape[0]
    rows = []
    for row in tokens:
        embedded = net.token_embedding(row)
        embedded = torch.cat([embedded[:1], context, embedded[1 + n :]])
        hidden = net.transformer(
            (embedded + net.positional_embedding)[None], attn_mask=net.attn_mask
        )
        hidden = net.ln_final(hidden)[0, int(row.argmax())] @ net.text_projection
        rows.append(hidden / hidden.norm())
    return torch.stack(rows)


def probabilities(net, picture, text):
    """Logits and softmax probabilities of one preprocessed picture (3, H, W)."""
    feature = net.encode_image(picture[None])[0]
    feature = feature / feature.norm()
    logits = net.logit_scale.exp() * (text @ feature)
    return logits, torch.softmax(logits, dim=0)


def entropy_of(p):
    """H(p) in nats of one distribution."""
    return -sum(float(x) * float(torch.log(x)) for x in p)


def adapt(net, tokens, views, *, n, steps=1, lr=5e-3, weight_decay=0.01, selection=0.1):
    """Tune one prompt on one image; returns (logits, losses of every step, places of the kept).

    Args:
        net: CLIP with open_clip's attribute names.
        tokens: (C, L) token ids of "<context> <class>.", whose context has n tokens.
        views: list of (3, H, W), the image itself first.
    """
    context = torch.nn.Parameter(net.token_embedding(tokens[0, 1 : 1 + n]).detach().clone())
    optimiser = torch.optim.AdamW(
        [context], lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay
    )
    with torch.no_grad():
        text = encode_prompts(net, tokens, context)
        entropies = [entropy_of(probabilities(net, view, text)[1]) for view in views]
    count = max(1, int(selection * len(views)))
    kept = sorted(range(len(views)), key=lambda i: entropies[i])[:count]
    losses = []
    for _ in range(steps):
        text = encode_prompts(net, tokens, context)
        mean = sum(probabilities(net, views[i], text)[1] for i in kept) / count
        loss = -(mean * torch.log(mean)).sum()
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        logits, _ = probabilities(net, views[0], encode_prompts(net, tokens, context))
    return logits, losses, kept
