"""Methods on features of a real CLIP model against their slow twins.

The environment variable SERASER_FEATURES names an NPZ file with ``image`` (N, D), ``labels`` (N,)
and ``classes`` (C, D), and, where there are some, ``contexts`` (K, D), ``templates`` (M, C, D),
``views`` (N, V, D) and ``scale``; see `recorded_features.Recorded`. Without one, features with the
geometry of CLIP's are made: all of them lie in a narrow cone.
"""

from __future__ import annotations

import os
from pathlib import Path

import literal_baselines
import literal_contexts
import literal_views
import numpy as np
import pytest
import torch
from recorded_features import Recorded
from torch.nn.functional import normalize

from seraser_core.config.methods.mta import MtaOptions
from seraser_core.config.methods.orthogonal import OrthCaliOptions, OrthProjOptions
from seraser_core.config.methods.perception import PerceptionOptions
from seraser_core.config.methods.roboshot import RoboshotOptions
from seraser_core.config.methods.sage import SageOptions
from seraser_core.config.methods.tda import TdaOptions
from seraser_core.config.methods.tie import TieOptions
from seraser_core.config.methods.tps import TpsOptions
from seraser_core.config.methods.zero import ZeroOptions
from seraser_core.config.methods.zero_shot import ZeroShotOptions
from seraser_core.kinds import IMAGE
from seraser_core.methods import MethodContext, method_class
from seraser_core.methods.method import SEED
from seraser_core.models.prompts import build_prompts

IMAGES = 12
"""Images that the twins compute, one after the other."""


def make(path: Path) -> None:
    """Write features of 60 images of 6 classes in 3 contexts."""
    generator = torch.Generator().manual_seed(5)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, 64, generator=generator) / 8

    cone, kinds, places = noise(), noise(6), noise(3)
    labels, where = torch.arange(60) % 6, torch.arange(60) % 3
    text = normalize(2 * cone + kinds, dim=-1)
    templates = normalize(text + 0.3 * noise(4, 1) + 0.2 * noise(4, 6), dim=-1)
    image = kinds[labels] + places[where] + noise(60) - 2 * cone
    views = torch.cat([image[:, None], image[:, None] + 0.5 * noise(60, 19)], dim=1)
    np.savez(
        path,
        image=image,
        labels=labels,
        classes=text,
        contexts=normalize(2 * cone + places, dim=-1),
        templates=templates,
        views=views,
    )


@pytest.fixture(scope="module", params=["made", "real"])
def recorded(request, tmp_path_factory) -> Recorded:
    if request.param == "real":
        if "SERASER_FEATURES" not in os.environ:
            pytest.skip("SERASER_FEATURES names no file of CLIP's features")
        return Recorded(Path(os.environ["SERASER_FEATURES"]))
    path = tmp_path_factory.mktemp("features") / "made.npz"
    make(path)
    return Recorded(path)


@pytest.fixture
def model(recorded, tiny_model):
    return recorded.model(tiny_model)


@pytest.fixture
def predict(recorded, model):
    """Logits of the images, or of one alone, by a method of these options."""
    names = [f"class {c}" for c in range(len(recorded.classes))]
    prompts = build_prompts(names, "a photo of {}", model.tokenizer, model.context_length)
    context = MethodContext(model, prompts)

    def predicted(options, chosen=slice(0, IMAGES)) -> torch.Tensor:
        method_class(options).check(options, prompts, model)
        method = method_class(options)(options, context)
        features = {IMAGE.name: recorded.image[chosen, None]}
        features[SEED] = torch.arange(len(recorded.image))[chosen]
        for view in method.views:
            if view is not IMAGE:
                features[view.name] = recorded.views[chosen, 1 : 1 + view.count]
        return method.predict(features).logits

    return predicted


def twins(recorded, model):
    """Name -> options of a method and the literal logits of the first images, where they can be."""
    net, tokenizer = model.net, model.tokenizer
    images, texts = list(recorded.image[:IMAGES]), list(recorded.classes)
    names = [f"class {c}" for c in range(len(texts))]
    found = {
        "zero_shot": (
            ZeroShotOptions(),
            lambda: [literal_baselines.logits_of(net, image, texts) for image in images],
        ),
        "tda": (TdaOptions(), lambda: literal_baselines.tda(net, images, texts)[0]),
    }
    if recorded.contexts is not None:
        contexts = [f"context {k}" for k in range(len(recorded.contexts))]
        pair = (contexts[0], contexts[1])
        found |= {
            "tie": (
                TieOptions(contexts=contexts),
                lambda: literal_contexts.tie(net, tokenizer, texts, contexts, images)[0],
            ),
            "orth_proj": (
                OrthProjOptions(contexts=contexts),
                lambda: literal_contexts.orthogonal(net, tokenizer, texts, contexts, images),
            ),
            "orth_cali": (
                OrthCaliOptions(contexts=contexts, pairs=[pair]),
                lambda: literal_contexts.orthogonal(
                    net, tokenizer, texts, contexts, images, [pair]
                ),
            ),
            "roboshot": (
                RoboshotOptions(reject=[pair], accept=[]),
                lambda: [
                    literal_baselines.roboshot(
                        net, tokenizer, names, "a photo of {}", [pair], [], image
                    )
                    for image in images
                ],
            ),
        }
    if recorded.templates is not None:
        templates = [f"template {j} of {{}}" for j in range(len(recorded.templates))]
        places = {f"place {j}": [f"context {j}"] for j in range(len(templates))}
        found |= {
            "sage": (
                SageOptions(templates=templates),
                lambda: literal_contexts.sage(net, tokenizer, names, templates, images, 1, "range")[
                    0
                ],
            ),
            "perception": (
                PerceptionOptions(contexts=places),
                lambda: literal_contexts.perception(net, tokenizer, names, places, images, 1.0),
            ),
        }
    if recorded.views is not None:
        count = recorded.views.shape[1]
        given = [
            (views, recorded.classes.double().numpy(), recorded.scale)
            for views in recorded.views[:IMAGES].double().numpy()
        ]
        found |= {
            "mta": (MtaOptions(views=count), lambda: [literal_views.mta(*one) for one in given]),
            "tps": (TpsOptions(views=count), lambda: [literal_views.tps(*one)[0] for one in given]),
        }
    return found


METHODS = (
    "zero_shot",
    "tda",
    "tie",
    "orth_proj",
    "orth_cali",
    "roboshot",
    "sage",
    "perception",
    "mta",
    "tps",
)


def test_zero_shot_knows_the_labels(recorded, predict):
    """Labels in another order than the classes would be worse than chance."""
    found = predict(ZeroShotOptions(), slice(None)).argmax(1)
    share = float((found == recorded.labels).float().mean())
    print(f"zero-shot: {100 * share:.2f} % of {len(found)} images")
    assert share > 2 / len(recorded.classes)


@pytest.mark.parametrize("name", METHODS)
def test_equals_literal_twin(recorded, model, predict, name):
    possible = twins(recorded, model)
    if name not in possible:
        pytest.skip("the file has no features for it")
    options, literal = possible[name]
    found = predict(options)
    expected = torch.tensor(np.array(literal()), dtype=torch.float64)
    assert (found - expected).abs().max() <= 1e-6 * max(10.0, recorded.scale)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "tda"])
def test_an_image_alone_has_the_same_logits(recorded, model, predict, name):
    possible = twins(recorded, model)
    if name not in possible:
        pytest.skip("the file has no features for it")
    together = predict(possible[name][0])
    alone = torch.cat([predict(possible[name][0], slice(i, i + 1)) for i in range(IMAGES)])
    assert (together - alone).abs().max() <= 1e-6 * max(10.0, recorded.scale)


def test_votes_of_views(recorded, predict):
    if recorded.views is None:
        pytest.skip("the file has no features for it")
    count = recorded.views.shape[1]
    found = predict(ZeroOptions(views=count)).argmax(1).tolist()
    views = recorded.views[:IMAGES].double().numpy()
    texts = recorded.classes.double().numpy()
    assert found == [literal_views.zero(one, texts, recorded.scale)[1] for one in views]
