"""Methods that are told the contexts, or choose templates, against their slow literal twins."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import literal_contexts as literal
import pytest
import torch
from torch.nn.functional import normalize

from seraser_core.config.methods.orthogonal import OrthCaliOptions, OrthProjOptions
from seraser_core.config.methods.perception import PerceptionOptions
from seraser_core.config.methods.sage import SageOptions, SageRandomOptions
from seraser_core.config.methods.tie import TieOptions
from seraser_core.config.options import ModelOptions
from seraser_core.demo.config import MODEL_JSON, WEIGHTS
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.methods import MethodContext, method_class
from seraser_core.methods import orthogonal as orthogonal_module
from seraser_core.methods import perception as perception_module
from seraser_core.methods import sage as sage_module
from seraser_core.methods.method import SEED
from seraser_core.methods.sage import SageRandom, widest
from seraser_core.models.clip_model import ClipModel, get_model
from seraser_core.models.prompts import build_prompts

CLASSES = ["a camel", "a deer on the lake", "an oxpecker"]
TEMPLATE = "a photo of {}"
TEMPLATES = ["a photo of {}.", "{} seen from above", "a bad drawing of {} in the rain", "the {}"]
CONTEXTS = ["a photo of a desert", "water and nothing else", "the inside of a room"]
PAIRS = [("a camel in the desert", "a camel at sea"), ("an oxpecker, far away", "an oxpecker here")]
DESCRIPTIONS = {"desert": ["in the desert", "on sand"], "sea": ["at sea"], "plain": [""]}
IMAGES = 16


@pytest.fixture(scope="module")
def model() -> ClipModel:
    """The demo's model: the features of a random one are too alike to take a part away from."""
    return get_model(ModelOptions(name=str(MODEL_JSON), pretrained=str(WEIGHTS), device="cpu"))


@pytest.fixture(scope="module")
def context(model) -> MethodContext:
    length = model.context_length
    return MethodContext(model, build_prompts(CLASSES, TEMPLATE, model.tokenizer, length))


@pytest.fixture(scope="module")
def features(model, context) -> dict[str, torch.Tensor]:
    """(B, 1, D) features between those of the contexts, the classes and everything else."""
    generator = torch.Generator().manual_seed(3)
    known = torch.cat([context.class_features, model.encode_text(model.tokenizer(CONTEXTS))])
    known = known - known.mean(0)
    weights = torch.randn(IMAGES, len(known), generator=generator)
    noise = torch.randn(IMAGES, known.shape[1], generator=generator)
    image = normalize(weights @ normalize(known, dim=-1) + 0.3 * noise, dim=-1)
    return {"image": image[:, None], SEED: torch.arange(1000, 1000 + IMAGES)}


@pytest.fixture
def build(context, model):
    """Makes the method of some options, as a run does."""

    def made(options):
        method_class(options).check(options, context.prompts, model)
        return method_class(options)(options, context)

    return made


def assert_near(logits: torch.Tensor, expected: list[list[float]]) -> None:
    assert (logits - torch.tensor(expected)).abs().max() <= 1e-5


def texts_of(model) -> list[torch.Tensor]:
    return literal.class_texts(model.net, model.tokenizer, CLASSES, TEMPLATE)


def zero_shot(context, features) -> torch.Tensor:
    return context.logit_scale * features["image"][:, 0] @ context.class_features.T


@pytest.mark.parametrize("pooled", [False, True])
def test_tie(model, context, features, build, pooled):
    pool = {"sample": 11} if pooled else "self"
    method = build(TieOptions(contexts=CONTEXTS, pool=pool))
    seen = {"image": features["image"][3:14]}
    if pooled:
        assert method.sample == 11
        method.fit(seen)
    found = method.predict(features).logits
    how = model.net, model.tokenizer, texts_of(model), CONTEXTS
    of_pool = list(seen["image"][:, 0]) if pooled else None
    expected, groups = literal.tie(*how, list(features["image"][:, 0]), of_pool)
    assert all(groups) or not pooled
    assert_near(found, expected)
    assert (found - zero_shot(context, features)).abs().max() > 1e-2


def test_a_context_without_images_in_the_pool_of_tie_is_told_once(model, features, build, caplog):
    method = build(TieOptions(contexts=CONTEXTS, pool={"sample": 9}))
    u = model.encode_text(model.tokenizer(CONTEXTS))
    nearest = (features["image"][:, 0] @ u.T).argmax(-1)
    pool = features["image"][nearest != 1]
    assert len(pool) < IMAGES
    method.fit({"image": pool})
    found = method.predict(features).logits
    method.predict(features)
    how = model.net, model.tokenizer, texts_of(model), CONTEXTS
    expected, groups = literal.tie(*how, list(features["image"][:, 0]), list(pool[:, 0]))
    assert groups[1] == 0
    assert_near(found, expected)
    told = [line for line in caplog.messages if "no image of the pool" in line]
    assert told == [line for line in told if "'water and nothing else'" in line]
    assert len(told) == 1


def test_tie_with_itself_as_pool_leaves_nothing_of_the_context(model, context, build):
    """An image that is the context's prompt keeps no class: finite, and undecided."""
    method = build(TieOptions(contexts=CONTEXTS))
    u = model.encode_text(model.tokenizer(CONTEXTS))
    assert torch.isfinite(method.predict({"image": u[:, None]}).logits).all()
    with pytest.raises(SeraserError, match="no image of its pool"):
        build(TieOptions(contexts=CONTEXTS, pool={"sample": 2})).predict({"image": u[:, None]})


@pytest.mark.parametrize(("keep", "spread"), [(1, "range"), (3, "range"), (1, "top2"), (2, "top2")])
def test_sage(model, context, features, build, keep, spread):
    found = build(SageOptions(templates=TEMPLATES, keep=keep, spread=spread)).predict(features)
    how = model.net, model.tokenizer, CLASSES, TEMPLATES
    logits, kept = literal.sage(*how, features["image"][:, 0], keep, spread)
    assert len(set(map(tuple, kept))) > 2, "one template for all shows nothing"
    assert_near(found.logits, logits)


def test_of_equal_templates_the_first_is_kept():
    cosines = torch.zeros(2, 70, 3)
    cosines[0, [5, 9, 40], 1] = 0.5
    cosines[1, [60, 3], 2], cosines[1, 60, 1] = 0.25, 0.125
    assert widest(cosines, 4, "range").tolist() == [[5, 9, 40, 0], [3, 60, 0, 1]]
    assert widest(cosines, 3, "top2").tolist() == [[5, 9, 40], [3, 60, 0]]


def test_sage_random_draws_by_the_seed_of_the_image_alone(model, context, features, build):
    options = SageRandomOptions(templates=TEMPLATES, keep=2)
    method = build(options)
    assert isinstance(method, SageRandom)
    drawn = method.choose(features)
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(0))
    shuffled = {"image": features["image"], SEED: features[SEED][order]}
    assert torch.equal(method.choose(shuffled), drawn[order])
    many = method.choose({"image": features["image"], SEED: torch.arange(600)})
    pairs = Counter(tuple(sorted(row)) for row in many.tolist())
    assert set(pairs) == set(combinations(range(4), 2))
    assert min(pairs.values()) > 60, "a hundred of each are expected"
    other = build(options.model_copy(update={"id": "other"}))
    assert not torch.equal(other.choose(features), drawn)
    u = [
        literal.class_texts(model.net, model.tokenizer, CLASSES, template) for template in TEMPLATES
    ]
    expected = [
        literal.mean_of_templates(model.net, u, kept, feature)
        for kept, feature in zip(drawn.tolist(), features["image"][:, 0], strict=True)
    ]
    assert_near(method.predict(features).logits, expected)


def test_orth_proj(model, context, features, build):
    found = build(OrthProjOptions(contexts=CONTEXTS)).predict(features).logits
    how = model.net, model.tokenizer, texts_of(model), CONTEXTS
    assert_near(found, literal.orthogonal(*how, features["image"][:, 0]))
    assert (found - zero_shot(context, features)).abs().max() > 1e-2


@pytest.mark.parametrize("pairs", [PAIRS, None])
@pytest.mark.parametrize("strength", [1000.0, 3.0])
def test_orth_cali(model, context, features, build, pairs, strength, monkeypatch):
    monkeypatch.setattr(orthogonal_module, "_PAIRS_AT_ONCE", 4)  # in two parts
    found = build(OrthCaliOptions(contexts=CONTEXTS, pairs=pairs, strength=strength))
    every = pairs or [
        (f"{name} {one}", f"{name} {other}")
        for name in CLASSES
        for one, other in combinations(CONTEXTS, 2)
    ]
    how = model.net, model.tokenizer, texts_of(model), CONTEXTS
    images = features["image"][:, 0]
    logits = found.predict(features).logits
    assert_near(logits, literal.orthogonal(*how, images, every, strength))
    uncalibrated = build(OrthProjOptions(contexts=CONTEXTS)).predict(features).logits
    assert (logits - uncalibrated).abs().max() > 1e-2
    nothing = build(OrthCaliOptions(contexts=CONTEXTS, pairs=pairs, strength=0))
    assert (nothing.predict(features).logits - uncalibrated).abs().max() <= 1e-5


@pytest.mark.parametrize("tau", [1.0, 5.0])
def test_perception(model, context, features, build, tau):
    found = build(PerceptionOptions(contexts=DESCRIPTIONS, tau=tau)).predict(features).logits
    how = model.net, model.tokenizer, CLASSES, DESCRIPTIONS
    images = features["image"][:, 0]
    assert_near(found, literal.perception(*how, images, tau))
    assert (found.exp().sum(-1) - 1).abs().max() <= 1e-5
    assert (found - zero_shot(context, features).log_softmax(-1)).abs().max() > 1e-2


def test_the_empty_context_alone_is_zero_shot_with_a_full_stop(model, context, features):
    options = PerceptionOptions(contexts={"nothing": [" "]})
    found = method_class(options)(options, context).predict(features).logits
    texts = literal.class_texts(model.net, model.tokenizer, CLASSES, "a photo of {}.")
    image = features["image"][:, 0]
    expected = (context.logit_scale * image @ torch.stack(texts).T).log_softmax(-1)
    assert (found - expected).abs().max() <= 1e-5


ALL = [
    TieOptions(contexts=CONTEXTS),
    SageOptions(templates=TEMPLATES, keep=2),
    SageRandomOptions(templates=TEMPLATES),
    OrthProjOptions(contexts=CONTEXTS),
    OrthCaliOptions(contexts=CONTEXTS),
    PerceptionOptions(contexts=DESCRIPTIONS),
]


@pytest.mark.parametrize("options", ALL, ids=lambda options: options.name)
def test_images_are_scored_one_by_one(features, build, options, monkeypatch):
    whole = build(options).predict(features).logits
    for module in (sage_module, perception_module):
        monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", 1)
    parts = build(options).predict(features).logits
    assert (whole - parts).abs().max() <= 1e-5
    order = torch.arange(IMAGES).flip(0)
    turned = build(options).predict({name: of[order] for name, of in features.items()}).logits
    assert (turned[order] - whole).abs().max() <= 1e-5


LONG = "hump " * 90


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (TieOptions(contexts=[LONG]), r"tie\.contexts: .*and the model's context 32"),
        (OrthProjOptions(contexts=[LONG]), r"orth_proj\.contexts: .*and the model's context 32"),
        (PerceptionOptions(contexts={"a": [LONG]}), "and the model's context 32"),
        (SageOptions(templates=["{} " + LONG]), "and the model's context 32"),
        (OrthProjOptions(contexts=["a lake", "A  lake"]), "follows from those before it"),
        (
            OrthProjOptions(contexts=[f"{i} seas" for i in range(70)]),
            "follows from those before it",
        ),
        (OrthCaliOptions(contexts=["a lake"]), r"orth_cali\.contexts: .*at least two"),
        (
            OrthCaliOptions(contexts=["a lake"], pairs=[("a lake", "A  lake")]),
            r"orth_cali\.pairs: .*the same text to the tokenizer",
        ),
        (
            OrthCaliOptions(contexts=["a lake"], pairs=[("a lake", LONG)]),
            r"orth_cali\.pairs: .*and the model's context 32",
        ),
        (
            OrthCaliOptions(contexts=["a lake", " ".join(["hump"] * 28)]),
            r"orth_cali\.pairs: .*and the model's context 32",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_do_not_fit_are_refused(model, context, options, message):
    with pytest.raises(ConfigError, match=rf"(?s)^(methods\.|dataset\.classes).*{message}"):
        method_class(options).check(options, context.prompts, model)
