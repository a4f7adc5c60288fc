"""Thousands of classes: nothing that is made has the classes twice among its sides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seraser_core.config import load_config
from seraser_core.methods import MethodContext, method_class
from seraser_core.methods import context as method_context
from seraser_core.methods.method import SEED
from seraser_core.models import prompts as prompts_module
from seraser_core.models.causal import CausalPromptEngine
from seraser_core.models.engine import build_engine
from seraser_core.models.prompts import (
    build_prompts,
    indistinguishable_classes,
    some_prompts,
    tokenise,
)

COUNT = 211
"""A prime, so that no other side of a tensor is likely to be as long."""
NAMES = [f"thing {i}" for i in range(COUNT - 1)] + ["a thing with quite a long name"]
TEMPLATES = ["a {}", "the {}", "this {}"]
METHODS = [
    "zero_shot",
    "foreground",
    "background",
    "tda",
    {"name": "vte", "templates": TEMPLATES, "views": 8},
    {"name": "zero", "views": 8},
    {"name": "mta", "views": 8},
    {"name": "tps", "views": 8},
    {"name": "ensemble", "templates": TEMPLATES},
    {"name": "tie", "contexts": ["a desert", "a forest"]},
    {"name": "sage", "templates": TEMPLATES, "keep": 2},
    {"name": "sage_random", "templates": TEMPLATES},
    {"name": "orth_proj", "contexts": ["a desert"]},
    {"name": "orth_cali", "contexts": ["a desert", "on and under the sea", "night"]},
    {"name": "perception", "contexts": {"sea": ["at sea", ""], "night": ["at night"]}},
    {"name": "seraser", "steps": 1},
    {"name": "tpt", "steps": 1, "views": 8},
]


class _Shapes(TorchDispatchMode):
    """Keeps the shape of every tensor that an operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        made = (one for one in tree_leaves(result) if isinstance(one, torch.Tensor))
        self.seen |= {tuple(one.shape) for one in made}
        return result


@contextmanager
def no_tables_of_classes(count: int = COUNT) -> Iterator[None]:
    with _Shapes() as shapes:
        yield
    assert any(count in shape for shape in shapes.seen)
    assert [shape for shape in shapes.seen if shape.count(count) > 1] == []


@pytest.fixture
def prompts(tiny_model):
    return build_prompts(NAMES, "a photo of {}", tiny_model.tokenizer, 77)


def test_no_table_of_classes_by_classes_is_made(tiny_model, prompts, monkeypatch):
    monkeypatch.setattr(prompts_module, "_CLASSES_AT_ONCE", 100)
    tree = {"dataset": {"path": "/t.csv", "classes": NAMES, "mask": "m"}, "methods": METHODS}
    options = load_config(tree).methods
    for method in options:
        method_class(method).check(method, prompts, tiny_model)
    generator = torch.Generator().manual_seed(3)
    with no_tables_of_classes():
        context = MethodContext(tiny_model, prompts)
        indistinguishable_classes(context.class_features, NAMES)
        for one in options:
            method = method_class(one)(one, context).for_shard()
            width = context.class_features.shape[1]
            features = {
                view.name: normalize(torch.randn(2, view.count, width, generator=generator), dim=-1)
                for view in method.views
            }
            features[SEED] = torch.arange(2)
            assert method.predict(features).logits.shape == (2, COUNT)


def test_classes_that_are_alike_are_found_in_whatever_part_they_are(monkeypatch):
    features = normalize(torch.randn(50, 6), dim=-1)
    for one, other in ((3, 4), (0, 49), (9, 30)):
        features[other] = features[one]
    names = [str(i) for i in range(50)]
    found = []
    for at_once in (1024, 50, 10, 7, 1):
        monkeypatch.setattr(prompts_module, "_CLASSES_AT_ONCE", at_once)
        found.append(indistinguishable_classes(features, names))
    assert found == [[("0", "49"), ("3", "4"), ("9", "30")]] * 5


def test_engines_are_compared_on_some_classes_the_longest_among_them(tiny_model, prompts):
    some = some_prompts(prompts, 64)
    assert "a thing with quite a long name" in some.classes
    assert len(some.classes) <= 64
    assert some.texts == [f"a photo of {name}" for name in some.classes]
    assert some_prompts(some, 64) is some
    encoded: list[int] = []
    tower = tiny_model.net.transformer
    hook = tower.register_forward_hook(lambda module, given, made: encoded.append(made.shape[0]))
    try:
        engine = build_engine(tiny_model, prompts, 3)
    finally:
        hook.remove()
    assert isinstance(engine, CausalPromptEngine)
    assert 0 < sum(encoded) <= 64  # by the model's own tower, which computes whole contexts
    expected = tiny_model.encode_text(prompts.tokens)
    assert (engine.base_features - expected).abs().max() <= 1e-5


def test_tokens_of_thousands_of_texts_are_those_of_each(tiny_model):
    texts = [f"a photo of {name}" for name in NAMES]
    expected = tiny_model.tokenizer(texts)
    assert torch.equal(tokenise(texts, tiny_model.tokenizer, 77, "dataset.classes"), expected)

    def begins_otherwise(given: list[str], context_length: int = 77) -> torch.Tensor:
        tokens = tiny_model.tokenizer(given, context_length=context_length)
        tokens[:, 0] -= int(context_length > 77)
        return tokens

    found = tokenise(texts[:100], begins_otherwise, 77, "dataset.classes")
    assert torch.equal(found, expected[:100])


def test_an_ensemble_is_the_same_in_parts(tiny_model, prompts, monkeypatch):
    whole = MethodContext(tiny_model, prompts).ensemble_features(TEMPLATES)
    monkeypatch.setattr(method_context, "_TEXTS_AT_ONCE", 100)
    parts = MethodContext(tiny_model, prompts).ensemble_features(TEMPLATES)
    assert (whole - parts).abs().max() <= 1e-6
    features = [
        tiny_model.encode_text(tiny_model.tokenizer([t.format(name) for name in NAMES[-3:]]))
        for t in TEMPLATES
    ]
    expected = normalize(torch.stack(features).mean(0), dim=-1)
    assert (parts[-3:] - expected).abs().max() <= 1e-5
