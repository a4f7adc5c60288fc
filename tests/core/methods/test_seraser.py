"""SEraser against its slow literal twin."""

from __future__ import annotations

import literal_seraser as literal
import pytest
import torch
from PIL import Image

from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.methods.seraser_task import SeraserTaskOptions
from seraser_core.errors import SeraserError
from seraser_core.kinds import IMAGE, KINDS
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Scores
from seraser_core.methods.seraser import Seraser
from seraser_core.methods.seraser_task import SeraserTask
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import build_prompts

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]


@pytest.fixture
def pictures(tiny_model):
    """View name -> (B, K, 3, H, W) random preprocessed pictures of five images."""
    generator = torch.Generator().manual_seed(3)
    shape = (5, 1, 3, *tiny_model.preprocessing.size)
    return {
        name: torch.randn(shape, generator=generator)
        for name in ("image", "mask_background", "mask_foreground")
    }


def features_of(model, pictures):
    return {
        name: model.encode_image(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        for name, x in pictures.items()
    }


def context_of(model) -> MethodContext:
    prompts = build_prompts(CLASSES, "a photo of {}", model.tokenizer, model.net.context_length)
    return MethodContext(model, prompts)


def seraser_of(model, options: SeraserOptions, engine_type=None) -> Seraser:
    context = context_of(model)
    method = Seraser(options, context)
    if engine_type is not None:
        method.engine = engine_type(model, context.prompts, options.context_tokens)
    return method


def ours(model, pictures, options: SeraserOptions, engine_type=None) -> Scores:
    return seraser_of(model, options, engine_type).predict(features_of(model, pictures))


@pytest.mark.parametrize("engine_type", [CausalPromptEngine, PlainPromptEngine])
@pytest.mark.parametrize(
    "given",
    [
        {"preset": "paper"},
        {"preset": "reference"},
        {"preset": "preserve"},
        {"preset": "reference", "pseudo_label": True, "context_tokens": 2, "lr": 5e-3},
    ],
    ids=lambda given: "-".join(map(str, given.values())),
)
def test_equals_literal_twin(tiny_model, pictures, given, engine_type):
    options = SeraserOptions(**given)
    scores = ours(tiny_model, pictures, options, engine_type)
    tokens = tiny_model.tokenizer([f"a photo of {c}" for c in CLASSES])
    assert len({int(row.argmax()) for row in tokens}) == 3, "classes of different token length"
    height, width = tiny_model.preprocessing.size
    black = tiny_model.preprocess(Image.new("RGB", (width, height)))
    zero_shot = torch.einsum(
        "bd,cd->bc",
        features_of(tiny_model, pictures)["image"][:, 0],
        context_of(tiny_model).class_features,
    )
    for i in (0, 2, 4):  # of five: the twin takes its time
        logits, losses = literal.adapt(
            tiny_model.net,
            tokens,
            pictures["image"][i, 0],
            [pictures["mask_background"][i, 0], black],
            [pictures["mask_foreground"][i, 0]],
            kl=options.kl,
            foreground_term=options.foreground,
            pseudo_label=options.pseudo_label,
            n=options.context_tokens,
            steps=options.steps,
            lr=options.lr,
        )
        assert (scores.logits[i] - logits).abs().max() <= 1e-3
        assert scores.loss_first[i] == pytest.approx(losses[0], abs=1e-4)
        assert scores.loss_last[i] <= scores.loss_first[i]
        moved = (logits - tiny_model.logit_scale * zero_shot[i]).abs().max()
        assert moved > 2e-2, "a comparison in which nothing moved shows nothing"


def test_one_prompt_for_a_task_equals_literal_twin(tiny_model, pictures):
    options = SeraserTaskOptions(preset="preserve", lr=5e-3, sample=3)
    context = context_of(tiny_model)
    method = SeraserTask(options, context)
    features = features_of(tiny_model, pictures)
    with pytest.raises(SeraserError, match="before its prompt is tuned"):
        method.predict(features)
    assert method.views == (IMAGE,)
    assert {view.name for view in method.sample_views} == set(pictures)
    method.fit({name: x[:3] for name, x in features.items()})
    found = method.predict({"image": features["image"]}).logits

    tokens = tiny_model.tokenizer([f"a photo of {c}" for c in CLASSES])
    height, width = tiny_model.preprocessing.size
    black = tiny_model.preprocess(Image.new("RGB", (width, height)))
    image, background, foreground = (
        pictures[name][:, 0] for name in ("image", "mask_background", "mask_foreground")
    )
    tuned, losses = literal.tune(
        tiny_model.net,
        tokens,
        [(image[i], [background[i], black], [foreground[i]]) for i in range(3)],
        kl=options.kl,
        foreground_term=options.foreground,
        lr=options.lr,
    )
    assert losses[-1] < losses[0]
    text = literal.encode_prompts(tiny_model.net, tokens, tuned).detach()
    expected = torch.stack(
        [literal.probabilities(tiny_model.net, picture, text)[0].detach() for picture in image]
    )
    assert (found - expected).abs().max() <= 1e-3
    zero_shot = context.logit_scale * features["image"][:, 0] @ context.class_features.T
    assert (expected - zero_shot).abs().max() > 2e-2, "nothing moved"


def test_result_is_independent_of_batch_and_order(tiny_model, pictures):
    method = seraser_of(tiny_model, SeraserOptions(lr=5e-3))
    features = features_of(tiny_model, pictures)
    together = method.predict(features).logits
    order = [3, 0, 4, 2, 1]
    shuffled = method.predict({k: v[order] for k, v in features.items()})
    assert (shuffled.logits - together[order]).abs().max() <= 1e-3
    for i in range(5):
        alone = method.predict({k: v[i : i + 1] for k, v in features.items()})
        assert (alone.logits[0] - together[i]).abs().max() <= 1e-3


def test_zero_steps_are_zero_shot(tiny_model, pictures):
    context = context_of(tiny_model)
    features = features_of(tiny_model, pictures)
    scores = Seraser(SeraserOptions(steps=0), context).predict(features)
    expected = context.logit_scale * features["image"][:, 0] @ context.class_features.T
    assert (scores.logits - expected).abs().max() <= 1e-4
    assert torch.equal(scores.loss_first, scores.loss_last)


@pytest.mark.parametrize("name", KINDS)
def test_every_auxiliary_kind_is_a_method(tiny_model, name):
    options = SeraserOptions(auxiliary=name, preset="preserve")
    method = Seraser(options, context_of(tiny_model))
    assert set(method.views) == {IMAGE, *KINDS[name].spurious, KINDS[name].foreground}
