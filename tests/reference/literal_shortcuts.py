"""The finder's figures as their definitions say, one image at a time."""

from __future__ import annotations

from itertools import product


def literal_pull(p, r, objects, members, cluster, class_index):
    """Mean of p(c) - r(c) over images of other objects in the cluster, minus that outside."""
    inside, outside = [], []
    for i in range(len(objects)):
        if objects[i] != class_index:
            change = float(p[i][class_index]) - float(r[i][class_index])
            (inside if members[i] == cluster else outside).append(change)
    return sum(inside) / len(inside) - sum(outside) / len(outside)


def literal_auc(scores, positive):
    """Share of pairs of a positive and a negative image in the right order; ties count half."""
    ups = [s for s, yes in zip(scores, positive, strict=True) if yes]
    downs = [s for s, yes in zip(scores, positive, strict=True) if not yes]
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(ups, downs))
    return wins / (len(ups) * len(downs))


def literal_discoveries(p_values, rate):
    """Benjamini and Hochberg's step-up rule: which hypotheses are rejected."""
    order = sorted(p_values)
    passed = [k for k in range(1, len(order) + 1) if order[k - 1] <= rate * k / len(order)]
    limit = order[max(passed) - 1] if passed else -1.0
    return [p <= limit for p in p_values]
