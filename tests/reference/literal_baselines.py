"""The methods without a gradient, literally: one image, one prompt and one pair at a time.

Written from the descriptions of the methods alone; shares no code with the package.
"""

from __future__ import annotations

import math

import torch


def unit(x):
    """x / |x|."""
    return x / math.sqrt(sum(float(v) ** 2 for v in x))


def text_feature(net, tokenizer, text):
    """Normalised feature of one text."""
    with torch.no_grad():
        return unit(net.encode_text(tokenizer([text]))[0])


def image_feature(net, picture):
    """Normalised feature of one preprocessed picture (3, H, W)."""
    with torch.no_grad():
        return unit(net.encode_image(picture[None])[0])


def logits_of(net, feature, texts):
    """s times the cosine similarities of a feature to a list of them."""
    scale = math.exp(float(net.logit_scale.detach()))
    return [scale * float(feature @ text) for text in texts]


def softmax(logits):
    """Probabilities of a list of logits."""
    top = max(logits)
    exponents = [math.exp(z - top) for z in logits]
    return [e / sum(exponents) for e in exponents]


def entropy_of(p):
    """H(p) in nats."""
    return -sum(x * math.log(x) for x in p if x > 0)


def class_features(net, tokenizer, classes, templates):
    """The normalised mean of the normalised features of all templates, per class."""
    features = []
    for name in classes:
        some = [text_feature(net, tokenizer, t.replace("{}", name)) for t in templates]
        features.append(unit(sum(some) / len(some)))
    return features


def ensemble(net, tokenizer, classes, templates, picture):
    """Logits of one picture."""
    texts = class_features(net, tokenizer, classes, templates)
    return logits_of(net, image_feature(net, picture), texts)


def group_prompt(net, tokenizer, classes, prompts, picture):
    """Logits of one picture: of every class, the largest of its prompts'."""
    feature = image_feature(net, picture)
    return [
        max(logits_of(net, feature, [text_feature(net, tokenizer, t) for t in prompts[name]]))
        for name in classes
    ]


def vte(net, tokenizer, classes, templates, views, selection):
    """Logits of one image and the places of the views that count, of which it is the first."""
    texts = class_features(net, tokenizer, classes, templates)
    features = [image_feature(net, view) for view in views]
    entropies = [entropy_of(softmax(logits_of(net, x, texts))) for x in features]
    count = max(1, int(selection * len(views)))
    kept = sorted(range(len(views)), key=lambda i: entropies[i])[:count]
    return logits_of(net, unit(sum(features[i] for i in kept) / count), texts), kept


def orthonormal(vectors):
    """Gram-Schmidt; the signs do not matter to a projection."""
    basis = []
    for vector in vectors:
        rest = vector.double()
        for _ in range(2):  # twice is enough
            for b in basis:
                rest = rest - (rest @ b) * b
        basis.append(rest / rest.norm())
    return basis


def roboshot(net, tokenizer, classes, template, reject, accept, picture):
    """Logits of one picture after both projections."""

    def directions(pairs):
        with torch.no_grad():
            return orthonormal(
                [
                    net.encode_text(tokenizer([one]))[0] - net.encode_text(tokenizer([other]))[0]
                    for one, other in pairs
                ]
            )

    x = image_feature(net, picture).double()
    for v in directions(reject):
        x = unit(x - (x @ v) * v)
    for v in directions(accept):
        x = unit(x + (x @ v) * v)
    texts = [text_feature(net, tokenizer, template.replace("{}", name)) for name in classes]
    return logits_of(net, x.float(), texts)


def tda(net, features, texts, *, shots=(3, 2), positive=(2.0, 5.0), negative=(0.117, 1.0)):
    """A stream of features through TDA's caches.

    Returns:
        Logits per image, and both caches as they end: class -> places in the stream, in order of
        entropy.
    """
    caches = ({}, {})
    result = []
    classes = len(texts)

    def update(cache, shots, key, place, h, p):
        entries = cache.setdefault(key, [])
        if len(entries) < shots:
            entries.append((h, place, p))
        elif h < entries[-1][0]:
            entries[-1] = (h, place, p)
        entries.sort(key=lambda entry: entry[0])

    for place, feature in enumerate(features):
        logits = logits_of(net, feature, texts)
        p = softmax(logits)
        h = entropy_of(p)
        predicted = max(range(classes), key=lambda c: logits[c])
        update(caches[0], shots[0], predicted, place, h, p)
        if 0.2 < h / math.log2(classes) < 0.5:
            update(caches[1], shots[1], predicted, place, h, p)
        for key, entries in caches[0].items():
            for _, other, _ in entries:
                near = math.exp(-positive[1] * (1 - float(feature @ features[other])))
                logits[key] += positive[0] * near
        for entries in caches[1].values():
            for _, other, q in entries:
                near = math.exp(-negative[1] * (1 - float(feature @ features[other])))
                for c in range(classes):
                    if 0.03 < q[c] < 1:
                        logits[c] -= negative[0] * near
        result.append(logits)
    kept = [{key: [e[1] for e in entries] for key, entries in cache.items()} for cache in caches]
    return result, kept
