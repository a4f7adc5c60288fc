"""The methods that look at many views of an image, literally: one image, view and class at a time.

Written from the descriptions of the methods alone, in float64; shares no code with the package.
"""

from __future__ import annotations

import numpy as np
import torch


def unit(x):
    """x / |x|."""
    return x / np.sqrt((x**2).sum())


def softmax(z):
    """Probabilities of logits."""
    e = np.exp(z - z.max())
    return e / e.sum()


def entropy_of(p):
    """H(p) in nats."""
    return -sum(x * np.log(x) for x in p if x > 0)


def ordered(views, texts, scale):
    """Logits of every view, and the places of the views by rising entropy."""
    logits = [np.array([scale * (view @ text) for text in texts]) for view in views]
    entropies = [entropy_of(softmax(z)) for z in logits]
    return logits, sorted(range(len(views)), key=lambda v: entropies[v])


def zero(views, texts, scale):
    """Votes for every class, and the class that wins, of one image; arguments as of `mta`."""
    logits, order = ordered(views, texts, scale)
    return vote(logits, order, max(1, int(0.3 * len(views))))


def vote(logits, order, count):
    """Votes and the class that wins.

    Args:
        logits: (C,) of every view.
        order: Places of the views by rising entropy.
        count: Views that vote.
    """
    said = [max(range(len(z)), key=lambda c: z[c]) for z in logits]
    votes = [0] * len(logits[0])
    for view in order[:count]:
        votes[said[view]] += 1
    tied = [c for c, n in enumerate(votes) if n == max(votes)]
    if len(tied) == 1:
        return votes, tied[0]
    for view in order[count:]:
        if said[view] in tied:
            return votes, said[view]
    return votes, max(tied, key=lambda c: logits[order[count]][c])


def mta(views, texts, scale, least=1e-10):
    """Logits of one image.

    Args:
        views: (V, D) features, the image first.
        texts: (C, D) class features.
        scale: s.
        least: Lower bound of squared bandwidths.
    """
    count = len(views)
    bandwidths = []
    for p in range(count):
        others = [((views[p] - views[q]) ** 2).sum() for q in range(count) if q != p]
        near = sorted(others)[: max(1, int(0.3 * (count - 1)))]
        bandwidths.append(max(least, np.mean(near) / 2))
    q = [softmax(np.array([scale * (view @ text) for text in texts])) for view in views]
    w = np.array([[a @ b for b in q] for a in q])

    def density(m):
        squares = [((views[p] - m) ** 2).sum() for p in range(count)]
        return np.array([np.exp(-d / (2 * h)) for d, h in zip(squares, bandwidths, strict=True)])

    y, m = np.full(count, 1 / count), views[0]
    for _ in range(5):
        k = density(m)
        for _ in range(5):
            before, y = y, softmax((k + 4 * (w @ y)) / 0.2)
            if np.linalg.norm(y - before) < 1e-6:
                break
        for _ in range(5):
            k = density(m)
            before, m = m, unit(sum(k[p] * y[p] * views[p] for p in range(count)))
            if np.linalg.norm(m - before) < 1e-6:
                break
    return np.array([scale * (m @ text) for text in texts])


def tps(views, texts, scale, lr=5e-3):
    """Logits of one image, by autograd and torch's AdamW; with them the shifts (C, D).

    Args:
        views: (V, D) features, the image first.
        texts: (C, D) class features.
        scale: s.
        lr: Learning rate.
    """
    _, order = ordered(views, texts, scale)
    kept = torch.tensor(views[order[: max(1, int(0.1 * len(views)))]])
    t, shifts = torch.tensor(texts), torch.zeros(texts.shape, dtype=torch.float64)
    shifts.requires_grad_()
    optimiser = torch.optim.AdamW([shifts], lr=lr)

    def classes():
        shifted = t + shifts
        return shifted / shifted.norm(dim=1, keepdim=True)

    mean = sum(torch.softmax(scale * (classes() @ view), dim=0) for view in kept) / len(kept)
    loss = -(mean * mean.log()).sum()
    loss.backward()
    optimiser.step()
    with torch.no_grad():
        logits = scale * (classes() @ torch.tensor(views[0]))
    return logits.numpy(), shifts.detach().numpy()
