"""TIE, SAGE, orthogonal prompts and PerceptionCLIP, literally: one image and one text at a time.

Written from the descriptions of the methods alone; shares no code with the package.
"""

from __future__ import annotations

import math

import numpy as np
from literal_baselines import logits_of, softmax, text_feature, unit


def class_texts(net, tokenizer, classes, template):
    """The features of all classes in one template."""
    return [text_feature(net, tokenizer, template.replace("{}", name)) for name in classes]


def nearest(feature, contexts):
    """The place of the context of the largest cosine, and that cosine."""
    cosines = [float(feature @ u) for u in contexts]
    place = max(range(len(contexts)), key=lambda a: cosines[a])
    return place, cosines[place]


def tie(net, tokenizer, texts, contexts, features, pool=None):
    """Logits of all images; lambda is the mean of the pool's group, or the image's own cosine.

    Returns:
        The logits, and of every context the number of images of the pool.
    """
    u = [text_feature(net, tokenizer, text) for text in contexts]
    groups = [[] for _ in u]
    for feature in pool if pool is not None else []:
        place, cosine = nearest(feature, u)
        groups[place].append(cosine)
    logits = []
    for feature in features:
        place, share = nearest(feature, u)
        if groups[place]:
            share = sum(groups[place]) / len(groups[place])
        logits.append(logits_of(net, unit(feature - share * u[place]), texts))
    return logits, [len(group) for group in groups]


def sage(net, tokenizer, classes, templates, features, keep, spread):
    """Logits of all images, and of each the templates that are kept, best first."""
    u = [class_texts(net, tokenizer, classes, template) for template in templates]
    logits, choices = [], []
    for feature in features:
        widths = []
        for of_template in u:
            cosines = sorted(float(feature @ text) for text in of_template)
            widths.append(cosines[-1] - (cosines[0] if spread == "range" else cosines[-2]))
        kept = sorted(range(len(templates)), key=lambda j: (-widths[j], j))[:keep]
        logits.append(mean_of_templates(net, u, kept, feature))
        choices.append(kept)
    return logits, choices


def mean_of_templates(net, u, kept, feature):
    """Logits of an image against the normalised mean of these templates."""
    classes = range(len(u[0]))
    return logits_of(net, feature, [unit(sum(u[j][c] for j in kept) / len(kept)) for c in classes])


def orthogonal(net, tokenizer, texts, contexts, features, pairs=None, strength=1000.0):
    """Logits of all images against prompts of which the contexts are taken away.

    Args:
        texts: Features of the prompts.
        pairs: Pairs of prompts that are drawn together before; None for `orth_proj`.
    """
    known = {}

    def array(text):
        if text not in known:
            known[text] = text_feature(net, tokenizer, text).numpy().astype(np.float64)
        return known[text]

    # The projection onto the span of A is that of least squares: A x with the least |A x - t|.
    a = np.stack([array(text) for text in contexts], axis=1)
    size = len(a)
    p0 = np.eye(size)
    for i in range(size):
        p0[:, i] -= a @ np.linalg.lstsq(a, np.eye(size)[:, i])[0]
    drawn = np.eye(size)
    if pairs is not None:
        for one, other in pairs:
            difference = array(one) - array(other)
            drawn += strength / len(pairs) * np.outer(difference, difference)
    scale = math.exp(float(net.logit_scale.detach()))
    changed = []
    for text in texts:
        t = p0 @ np.linalg.inv(drawn) @ text.numpy().astype(np.float64)
        changed.append(t / np.linalg.norm(t))
    return [[scale * float(feature.numpy() @ t) for t in changed] for feature in features]


def perception(net, tokenizer, classes, contexts, features, tau):
    """Logits of all images: log p(y|x)."""
    texts = {}
    for z, descriptions in contexts.items():
        texts[z] = []
        for name in classes:
            prompts = []
            for words in descriptions:
                prompts.append(f"a photo of {name}, {words}." if words else f"a photo of {name}.")
            some = [text_feature(net, tokenizer, prompt) for prompt in prompts]
            texts[z].append(unit(sum(some) / len(some)))
    return [log_p(net, texts, feature, tau) for feature in features]


def log_p(net, texts, feature, tau):
    """Log p(y|x) of one image: the sum over contexts of p(z|x) p(y|x, z)."""
    f = {z: logits_of(net, feature, texts[z]) for z in texts}
    evidence = {z: math.log(sum(math.exp(one) for one in f[z])) for z in f}
    p_context = softmax([evidence[z] / tau for z in f])
    p = [0.0 for _ in f[next(iter(f))]]
    for z, weight in zip(f, p_context, strict=True):
        for y, share in enumerate(softmax(f[z])):
            p[y] += weight * share
    return [math.log(one) for one in p]
