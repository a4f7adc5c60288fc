"""TPT against its slow literal twin."""

from __future__ import annotations

import literal_tpt as literal
import pytest
import torch

from seraser_core.config.methods.tpt import TptOptions
from seraser_core.errors import ConfigError
from seraser_core.kinds import IMAGE, crops_view
from seraser_core.methods.context import MethodContext
from seraser_core.methods.tpt import Tpt, tpt_prompts
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.plain import PlainPromptEngine
from seraser_core.models.prompts import build_prompts

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
VIEWS, IMAGES = 24, 5
CROPS = crops_view(VIEWS - 1, (32, 32))


@pytest.fixture
def pictures(tiny_model) -> torch.Tensor:
    """(B, V, 3, H, W) random preprocessed pictures, the image itself first."""
    shape = (IMAGES, VIEWS, 3, *tiny_model.preprocessing.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def features(tiny_model, pictures) -> dict[str, torch.Tensor]:
    encoded = tiny_model.encode_image(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
    return {"image": encoded[:, :1], CROPS.name: encoded[:, 1:]}


def tpt_of(model, options: TptOptions, engine_type=None) -> Tpt:
    length = model.net.context_length
    context = MethodContext(
        model, build_prompts(CLASSES, "an image of {}", model.tokenizer, length)
    )
    method = Tpt(options, context)
    if engine_type is not None:
        prompts = tpt_prompts(options, CLASSES, model.tokenizer, length)
        method.engine = engine_type(model, prompts, prompts.shared - 1)
    return method


@pytest.mark.parametrize("engine_type", [CausalPromptEngine, PlainPromptEngine])
@pytest.mark.parametrize(
    ("given", "context_tokens"),
    [
        ({}, 4),
        ({"selection": 0.5, "steps": 3, "weight_decay": 1.0, "lr": 0.02}, 4),
        ({"selection": 0.01, "context": "art of"}, 2),
    ],
    ids=str,
)
def test_equals_literal_twin(tiny_model, pictures, features, given, context_tokens, engine_type):
    options = TptOptions(views=VIEWS, **given)
    method = tpt_of(tiny_model, options, engine_type)
    assert method.views == (IMAGE, CROPS)
    scores = method.predict(features)
    tokens = tiny_model.tokenizer([f"{options.context} {name}." for name in CLASSES])
    assert len({int(row.argmax()) for row in tokens}) == 3, "classes of different token length"
    untouched = tpt_of(tiny_model, options.model_copy(update={"steps": 0})).predict(features)
    chosen = set()
    for i in range(IMAGES):
        logits, losses, kept = literal.adapt(
            tiny_model.net,
            tokens,
            list(pictures[i]),
            n=context_tokens,
            steps=options.steps,
            lr=options.lr,
            weight_decay=options.weight_decay,
            selection=options.selection,
        )
        assert (scores.logits[i] - logits).abs().max() <= 1e-3
        assert scores.loss_first[i] == pytest.approx(losses[0], abs=1e-4)
        assert scores.loss_last[i] < scores.loss_first[i]
        moved = (logits - untouched.logits[i]).abs().max()
        assert moved > 2e-2, "a comparison in which nothing moved shows nothing"
        chosen.add(tuple(sorted(kept)))
    assert len(chosen) == IMAGES, "a comparison in which all images keep the same views shows less"


def test_result_is_independent_of_batch_and_order(tiny_model, features):
    method = tpt_of(tiny_model, TptOptions(views=VIEWS))
    together = method.predict(features).logits
    order = [3, 0, 4, 2, 1]
    shuffled = method.predict({k: v[order] for k, v in features.items()})
    assert (shuffled.logits - together[order]).abs().max() <= 1e-3
    for i in range(IMAGES):
        alone = method.predict({k: v[i : i + 1] for k, v in features.items()})
        assert (alone.logits[0] - together[i]).abs().max() <= 1e-3


def test_zero_steps_are_zero_shot_with_its_own_prompts(tiny_model, features):
    scores = tpt_of(tiny_model, TptOptions(views=VIEWS, steps=0)).predict(features)
    text = tiny_model.encode_text(tiny_model.tokenizer([f"a photo of a {c}." for c in CLASSES]))
    expected = tiny_model.logit_scale * features["image"][:, 0] @ text.T
    assert (scores.logits - expected).abs().max() <= 1e-4
    assert torch.equal(scores.loss_first, scores.loss_last)


def test_a_context_without_tokens_is_refused(tiny_model):
    with pytest.raises(ConfigError, match=r"(?s)^methods\.tpt\.context: .*nothing to tune"):
        tpt_of(tiny_model, TptOptions(context="&nbsp;"))
