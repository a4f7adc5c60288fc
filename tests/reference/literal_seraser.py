"""SEraser, literally: one image at a time, full context, everything encoded again in every step.

Written from the description of the method alone; shares no code with the package.
"""

from __future__ import annotations

import math

import torch


def encode_prompts(net, tokens, context):
    """Text features with the block `context` (n, d) in place of positions 1..n of every class."""
    n = context.shape[0]
    rows = []
    for row in tokens:
        hidden = net.token_embedding(row) + net.positional_embedding
        hidden = torch.cat([hidden[:1], context, hidden[1 + n :]])[None]
        hidden = net.transformer(hidden, attn_mask=net.attn_mask)
        hidden = net.ln_final(hidden)[0, int(row.argmax())] @ net.text_projection
        rows.append(hidden / hidden.norm())
    return torch.stack(rows)


def probabilities(net, picture, text):
    """Logits and softmax probabilities of one preprocessed picture (3, H, W)."""
    feature = net.encode_image(picture[None])[0]
    feature = feature / feature.norm()
    logits = net.logit_scale.exp() * (text @ feature)
    return logits, torch.softmax(logits, dim=0)


def loss_of(
    net, text, untouched, image, spurious, foreground, *, kl, foreground_term, pseudo_label
):
    """The loss of one image under the class features `text`."""
    count = len(text)
    loss = 0.0
    for picture in spurious:
        _, p = probabilities(net, picture, text)
        for c in range(count):
            if kl == "u_p":
                loss = loss + (1 / count) * torch.log((1 / count) / p[c]) / len(spurious)
            else:
                loss = loss + p[c] * torch.log(p[c] * count) / len(spurious)
    for picture in foreground:
        _, p = probabilities(net, picture, text)
        if foreground_term == "entropy":
            loss = loss - (p * torch.log(p)).sum() / len(foreground)
        elif foreground_term == "preserve":
            _, p0 = probabilities(net, picture, untouched)
            p0 = p0.detach()
            loss = loss + (p0 * (torch.log(p0) - torch.log(p))).sum() / len(foreground)
    if pseudo_label:
        mean = sum(probabilities(net, f, text)[1] for f in foreground) / len(foreground)
        _, p = probabilities(net, image, text)
        loss = loss - torch.log(p[int(mean.argmax())])
    return loss


def adapt(net, tokens, image, spurious, foreground, **options):
    """Tune one prompt on one image; returns (logits, losses of every step).

    Args:
        net: CLIP with open_clip's attribute names.
        tokens: (C, L) token ids.
        image: (3, H, W), `spurious`: list of (3, H, W), `foreground`: list of (3, H, W).
        options: See `tune`.
    """
    context, losses = tune(net, tokens, [(image, spurious, foreground)], **options)
    with torch.no_grad():
        logits, _ = probabilities(net, image, encode_prompts(net, tokens, context))
    return logits, losses


def tune(
    net,
    tokens,
    images,
    *,
    kl,
    foreground_term,
    pseudo_label=False,
    n=3,
    steps=20,
    lr=5e-4,
    weight_decay=0.01,
):
    """Tune one prompt on the mean loss of `images`; returns it and the losses of every step.

    Args:
        images: (image, spurious, foreground) of each.
    """
    tower = getattr(net, "text", net)
    base = tower.token_embedding(tokens[0]) + tower.positional_embedding[: len(tokens[0])]
    context = torch.nn.Parameter(base[1 : 1 + n].detach().clone())
    untouched = encode_prompts(net, tokens, base[1 : 1 + n].detach()).detach()
    optimiser = torch.optim.AdamW(
        [context], lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay
    )
    how = {"kl": kl, "foreground_term": foreground_term, "pseudo_label": pseudo_label}
    losses = []
    for _ in range(steps):
        text = encode_prompts(net, tokens, context)
        loss = sum(loss_of(net, text, untouched, *image, **how) for image in images) / len(images)
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(math.isfinite(x) for x in losses)
    return context, losses
