"""The methods that tune nothing, against their slow literal twins."""

from __future__ import annotations

import literal_baselines as literal
import pytest
import torch

from seraser_core.config.methods.ensemble import EnsembleOptions
from seraser_core.config.methods.group_prompt import GroupPromptOptions
from seraser_core.config.methods.roboshot import RoboshotOptions
from seraser_core.config.methods.tda import TdaOptions
from seraser_core.config.methods.vte import VteOptions
from seraser_core.errors import ConfigError
from seraser_core.kinds import crops_view
from seraser_core.methods import MethodContext, method_class
from seraser_core.methods.ensemble import Ensemble
from seraser_core.methods.group_prompt import GroupPrompt
from seraser_core.methods.roboshot import Roboshot
from seraser_core.methods.tda import Tda
from seraser_core.methods.vte import Vte
from seraser_core.models.prompts import build_prompts

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
TEMPLATE = "a photo of {}"
TEMPLATES = ["a photo of {}.", "{} seen from above", "a bad drawing of {} in the rain"]
PROMPTS = {
    "a red-billed oxpecker": ["an oxpecker", "a red bird on a buffalo", "a bird"],
    "a camel": ["a camel in a desert", "a camel in a forest"],
    "a deer on the lake": ["a deer on a frozen lake"],
}
PAIRS = [("a desert", "a forest"), ("a photo taken at night", "a photo taken by day")]
IMAGES, VIEWS = 5, 24
CROPS = crops_view(VIEWS - 1, (32, 32))


@pytest.fixture
def context(tiny_model) -> MethodContext:
    length = tiny_model.context_length
    return MethodContext(tiny_model, build_prompts(CLASSES, TEMPLATE, tiny_model.tokenizer, length))


@pytest.fixture
def pictures(tiny_model) -> torch.Tensor:
    """(B, V, 3, H, W) random preprocessed pictures, the image itself first."""
    shape = (IMAGES, VIEWS, 3, *tiny_model.preprocessing.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def features(tiny_model, pictures) -> dict[str, torch.Tensor]:
    encoded = tiny_model.encode_image(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
    return {"image": encoded[:, :1], CROPS.name: encoded[:, 1:]}


def assert_near(logits: torch.Tensor, expected: list[list[float]]) -> None:
    assert (logits - torch.tensor(expected)).abs().max() <= 1e-5


def test_ensemble(tiny_model, context, pictures, features):
    found = Ensemble(EnsembleOptions(templates=TEMPLATES), context).predict(features).logits
    how = tiny_model.net, tiny_model.tokenizer, CLASSES, TEMPLATES
    expected = [literal.ensemble(*how, views[0]) for views in pictures]
    assert_near(found, expected)
    zero_shot = context.logit_scale * features["image"][:, 0] @ context.class_features.T
    assert (found - zero_shot).abs().max() > 1e-2


@pytest.mark.parametrize(("name", "count"), [("imagenet7", 7), ("imagenet80", 80)])
def test_published_template_sets(name, count):
    templates = EnsembleOptions(templates=name).templates
    assert len(templates) == count
    assert "a photo of the small {}." in templates or count == 80
    assert all(t.count("{}") == 1 for t in templates)


def test_group_prompt(tiny_model, context, pictures, features):
    options = GroupPromptOptions(prompts=PROMPTS)
    method_class(options).check(options, context.prompts, tiny_model)
    found = GroupPrompt(options, context).predict(features).logits
    how = tiny_model.net, tiny_model.tokenizer, CLASSES, PROMPTS
    expected = [literal.group_prompt(*how, views[0]) for views in pictures]
    assert_near(found, expected)


def test_contexts_stand_for_group_prompts(tiny_model, context, features):
    places = {"sea": ["at sea", "on a ship"], "none": [""]}
    prompts = {
        name: [text, f"{text} at sea", f"{text} on a ship"]
        for name, text in zip(CLASSES, context.prompts.texts, strict=True)
    }
    named = GroupPromptOptions(contexts=places)
    method_class(named).check(named, context.prompts, tiny_model)
    found = GroupPrompt(named, context).predict(features).logits
    expected = GroupPrompt(GroupPromptOptions(prompts=prompts), context).predict(features).logits
    assert_near(found, expected.tolist())


def test_contexts_stand_for_insights(tiny_model, context, features):
    contexts = ["a photo of a desert", "a photo of a forest", "a photo of the sea"]
    pairs = [(contexts[0], other) for other in contexts[1:]]
    named = RoboshotOptions(contexts=contexts)
    method_class(named).check(named, context.prompts, tiny_model)
    found = Roboshot(named, context).predict(features).logits
    expected = Roboshot(RoboshotOptions(reject=pairs), context).predict(features).logits
    assert torch.equal(found, expected)


@pytest.mark.parametrize("selection", [0.1, 0.5, 0.01])
def test_vte(tiny_model, context, pictures, features, selection):
    options = VteOptions(templates=TEMPLATES, views=VIEWS, selection=selection)
    found = Vte(options, context).predict(features).logits
    how = tiny_model.net, tiny_model.tokenizer, CLASSES, TEMPLATES
    expected, chosen = zip(
        *(literal.vte(*how, views, selection) for views in pictures), strict=True
    )
    assert_near(found, list(expected))
    assert len({tuple(sorted(kept)) for kept in chosen}) > 1


@pytest.mark.parametrize(("reject", "accept"), [(PAIRS, []), ([], PAIRS), (PAIRS, PAIRS[:1])])
def test_roboshot(tiny_model, context, pictures, features, reject, accept):
    options = RoboshotOptions(reject=reject, accept=accept)
    method_class(options).check(options, context.prompts, tiny_model)
    found = Roboshot(options, context).predict(features).logits
    how = tiny_model.net, tiny_model.tokenizer, CLASSES, TEMPLATE, reject, accept
    expected = [literal.roboshot(*how, views[0]) for views in pictures]
    assert_near(found, expected)
    zero_shot = context.logit_scale * features["image"][:, 0] @ context.class_features.T
    assert (found - zero_shot).abs().max() > 1e-2


@pytest.fixture
def stream(context) -> torch.Tensor:
    """(400, 1, D) features between the class features: some decided, some not."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(400, 3, generator=generator) ** 3
    noise = torch.randn(400, context.class_features.shape[1], generator=generator)
    mixed = weights @ context.class_features + 0.05 * noise
    return torch.nn.functional.normalize(mixed, dim=-1)[:, None]


@pytest.fixture
def far_apart(context) -> MethodContext:
    """The context with class features that a random model would not have: far from each other."""
    generator = torch.Generator().manual_seed(2)
    shape = context.class_features.shape
    context.class_features = torch.nn.functional.normalize(
        torch.randn(shape, generator=generator), dim=-1
    )
    return context


def test_tda(tiny_model, far_apart, stream):
    method = Tda(TdaOptions(), far_apart).for_shard()
    found = method.predict({"image": stream}).logits
    texts = list(far_apart.class_features)
    expected, kept = literal.tda(tiny_model.net, list(stream[:, 0]), texts)
    assert_near(found, expected)
    for cache, places in zip((method.positive, method.negative), kept, strict=True):
        assert sum(map(len, places.values())) > 3, "an empty cache shows nothing"
        for c in range(len(CLASSES)):
            held = cache.features[c][cache.entropies[c] < torch.inf]
            assert torch.equal(held, stream[places.get(c, []), 0])
    zero_shot = far_apart.logit_scale * stream[:, 0] @ far_apart.class_features.T
    assert (found - zero_shot).abs().max() > 0.5


def test_tda_goes_on_between_batches_and_begins_anew_with_a_shard(far_apart, stream):
    method = Tda(TdaOptions(), far_apart)
    whole = method.for_shard().predict({"image": stream}).logits
    shard = method.for_shard()
    parts = [shard.predict({"image": part}).logits for part in stream.split(37)]
    assert (torch.cat(parts) - whole).abs().max() <= 1e-4
    again = method.for_shard().predict({"image": stream}).logits
    assert torch.equal(again, whole)
    assert (method.positive.entropies == torch.inf).all(), "the session's own has seen nothing"


@pytest.mark.parametrize("shots", [{"positive_shots": 0}, {"negative_shots": 0}])
def test_tda_without_a_cache(far_apart, stream, shots):
    method = Tda(TdaOptions(**shots), far_apart).for_shard()
    assert torch.isfinite(method.predict({"image": stream}).logits).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (GroupPromptOptions(prompts=PROMPTS | {"a camle": ["x"]}), "did you mean 'a camel'"),
        (GroupPromptOptions(prompts={"a camel": ["x"]}), "no prompts for 'a deer on the lake'"),
        (
            GroupPromptOptions(prompts=PROMPTS | {"a camel": ["hump " * 90]}),
            "and the model's context 77",
        ),
        (EnsembleOptions(templates=["{} " + "hump " * 90]), "and the model's context 77"),
        (VteOptions(templates=["{} " + "hump " * 90]), "and the model's context 77"),
        (TdaOptions(negative_entropy=(0.5, 0.2)), "the smaller number first"),
        (RoboshotOptions(reject=[("a lake", "A  lake")]), "the same text to the tokenizer"),
        (
            RoboshotOptions(reject=[("a", "b"), ("b", "c"), ("a", "c")]),
            r"\['a', 'c'\].*follows from those before it",
        ),
        (RoboshotOptions(accept=[("a", "b"), ("b", "a")]), "follows from those before it"),
        (
            RoboshotOptions(accept=[("a lake", f"{i} seas") for i in range(33)]),
            "follows from those before it",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_do_not_fit_are_refused(tiny_model, context, options, message):
    with pytest.raises(ConfigError, match=rf"(?s)^(methods\.|dataset\.classes).*{message}"):
        method_class(options).check(options, context.prompts, tiny_model)
