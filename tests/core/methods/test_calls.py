"""Calls of methods that break the rules, as those of other packages may: errors name them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
import torch

from seraser_core.config import load_config
from seraser_core.config.methods import offered_methods
from seraser_core.config.methods.vte import VteOptions
from seraser_core.errors import ConfigError, SeraserError, TransientError
from seraser_core.kinds import IMAGE
from seraser_core.methods import Features, Method, MethodContext, Scores
from seraser_core.methods.calls import build_method, fit, named, predict
from seraser_core.methods.method import cosine_logits
from seraser_core.models.prompts import build_prompts
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session

CLASSES = ["a camel", "a deer", "an otter"]


class Theirs(Method):
    """Zero-shot, spoilt by `change`, which gets the method, its features and its scores."""

    views = (IMAGE,)
    change: ClassVar[Callable[..., Any]]
    begin: ClassVar[Callable[[MethodContext], Any]]

    def __init__(self, options: Any, context: MethodContext) -> None:
        super().__init__(options, context)
        self.context, self.calls = context, 0
        type(self).begin(context)

    def predict(self, features: Features) -> Scores:
        self.calls += 1
        context = self.context
        image = features["image"][:, 0]
        logits = cosine_logits(image, context.class_features, context.logit_scale)
        return type(self).change(self, features, Scores(logits))


def unchanged(method: Theirs, features: Features, scores: Scores) -> Scores:
    return scores


@pytest.fixture
def theirs(monkeypatch):
    """Makes the method `vte` one of another package, which is spoilt as given."""
    monkeypatch.setattr(VteOptions, "implementation", f"{__name__}:Theirs")
    monkeypatch.setitem(offered_methods().origins, "vte", "their-methods 1.5")
    monkeypatch.setattr(Theirs, "begin", staticmethod(lambda context: None), raising=False)

    def spoil(change: Callable[..., Any] = unchanged, **more: Callable[..., Any]) -> VteOptions:
        monkeypatch.setattr(Theirs, "change", staticmethod(change), raising=False)
        for name, function in more.items():
            monkeypatch.setattr(Theirs, name, staticmethod(function))
        return VteOptions()

    return spoil


@pytest.fixture
def context(tiny_model) -> MethodContext:
    prompts = build_prompts(CLASSES, "a photo of {}", tiny_model.tokenizer, 77)
    return MethodContext(tiny_model, prompts)


def call(options: VteOptions, context: MethodContext) -> Scores:
    features = {"image": torch.nn.functional.normalize(torch.ones(4, 1, 32), dim=-1)}
    return predict(build_method(options, context), features, len(CLASSES), [context.shared])


def scores_of(**values: Any) -> Callable[..., Scores]:
    """Return the change of scores that replaces some of them, by functions of the logits."""

    def change(method: Theirs, features: Features, scores: Scores) -> Scores:
        given = {k: v(scores.logits) if callable(v) else v for k, v in values.items()}
        return replace(scores, **given)

    return change


def bare_logits(method: Theirs, features: Features, scores: Scores) -> torch.Tensor:
    return scores.logits


SHAPES = {
    "logits as a torch.float32 tensor of shape (3, 3)": scores_of(logits=lambda x: x[1:]),
    "logits as a torch.float32 tensor of shape (5, 3)": scores_of(
        logits=lambda x: torch.cat([x, x[:1]])
    ),
    "logits as a torch.float32 tensor of shape (4, 2)": scores_of(logits=lambda x: x[:, 1:]),
    "logits as a torch.float32 tensor of shape (4, 4)": scores_of(
        logits=lambda x: torch.cat([x, x[:, :1]], 1)
    ),
    "logits as a torch.float32 tensor of shape (4, 3, 1)": scores_of(logits=lambda x: x[..., None]),
    "logits as a torch.int64 tensor of shape (4, 3)": scores_of(logits=lambda x: x.long()),
    "logits as an ndarray": scores_of(logits=lambda x: x.numpy()),
    "logits as None": scores_of(logits=None),
    "loss_first as a torch.float32 tensor of shape (1,)": scores_of(loss_first=lambda x: x[0, :1]),
    "loss_last as a torch.float32 tensor of shape (4, 2)": scores_of(loss_last=lambda x: x[:, :2]),
    "steps as 'many'; it must be an int": scores_of(steps="many"),
    "returns None instead of Scores": lambda *_: None,
    "returns a torch.float32 tensor of shape (4, 3) instead of Scores": bare_logits,
}


def leave(*_: object) -> None:
    raise SystemExit(4)


def turn(method: Theirs, features: Features, scores: Scores) -> Scores:
    features["image"].mul_(-1)
    return scores


@pytest.mark.parametrize("told", SHAPES)
def test_what_is_no_scores_of_these_images_is_told(theirs, context, told):
    with pytest.raises(ConfigError) as raised:
        call(theirs(SHAPES[told]), context)
    assert raised.value.field == "methods.vte"
    assert told in str(raised.value.value)


def test_good_scores_of_any_floating_type_pass(theirs, context):
    change = scores_of(logits=lambda x: x.half(), loss_last=lambda x: x[:, 0].double(), steps=3)
    assert call(theirs(change), context).steps == 3


def test_a_method_that_ends_the_process_only_ends_in_an_error(theirs, context):
    for options in (theirs(leave), theirs(begin=leave)):
        with pytest.raises(SeraserError, match=r"methods\.vte: it ends in SystemExit: 4"):
            call(options, context)


def test_faults_that_others_know_how_to_treat_remain_what_they_are():
    known = [TransientError("again"), MemoryError(), torch.OutOfMemoryError("CUDA out of memory")]
    for fault in [*known, KeyboardInterrupt()]:
        with pytest.raises(type(fault)) as raised, named("vte"):
            raise fault
        assert raised.value is fault


def test_a_change_of_what_is_shared_is_told_wherever_it_happens(theirs, context, monkeypatch):
    def change(method: Theirs, features: Features, scores: Scores) -> Scores:
        method.context.class_features.neg_()
        return scores

    with pytest.raises(ConfigError, match=r"methods\.vte: it changes context\.class_features"):
        call(theirs(change), context)
    other = MethodContext(context.model, context.prompts)
    with pytest.raises(ConfigError, match=r"methods\.vte: it changes context\.black_feature"):
        call(theirs(begin=lambda context: context.black_feature.neg_()), other)
    third = MethodContext(context.model, context.prompts)
    method = build_method(theirs(begin=lambda context: None), third)
    monkeypatch.setattr(Theirs, "fit", lambda self, _: self.context.class_features.zero_())
    with pytest.raises(ConfigError, match=r"methods\.vte: it changes context\.class_features"):
        fit(method, {}, third)


def test_planning_tries_a_method_of_another_package(theirs, tree):
    tree["methods"] = ["vte", "zero_shot"]
    for change, told in (
        (SHAPES["logits as None"], "logits as None"),
        (turn, "it changes the features in place"),
        (lambda method, features, scores: features["crops"], "it ends in KeyError: 'crops'"),
    ):
        theirs(change)
        with pytest.raises(ConfigError, match=r"methods\.vte: ") as raised:
            plan_run(load_config(tree))
        assert told in str(raised.value)


def test_a_trial_that_does_not_fit_into_memory_says_nothing(theirs, tree):
    def change(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    theirs(change)
    tree["methods"] = ["vte"]
    assert plan_run(load_config(tree))


def test_a_shard_fails_rather_than_hold_rows_of_other_images(theirs, tree):
    def change(method: Theirs, features: Features, scores: Scores) -> Scores:
        logits = scores.logits
        if method.calls == 1:
            return Scores(logits[1:])
        return Scores(torch.cat([logits, logits[-1:]]) if method.calls == 2 else logits)

    theirs()
    tree |= {"methods": ["vte", "zero_shot"], "runtime": {"retries": 0, "batch_size": 2}}
    url = plan_run(load_config(tree))
    theirs(change)
    with pytest.raises(SeraserError, match=r"methods\.vte: its predict returns logits"):
        run_local(url)


def test_a_shard_fails_rather_than_lack_losses_of_some_images(theirs, tree):
    def change(method: Theirs, features: Features, scores: Scores) -> Scores:
        return replace(scores, loss_last=scores.logits[:, 0]) if method.calls > 1 else scores

    theirs(change)
    tree |= {"methods": ["vte", "zero_shot"], "runtime": {"retries": 0, "batch_size": 2}}
    with pytest.raises(SeraserError, match=r"it returns none of them at first and loss_last later"):
        run_local(plan_run(load_config(tree)))


def test_a_method_may_use_its_output_again_for_the_next_images(theirs, tree, tmp_path, monkeypatch):
    output = torch.empty(2, len(CLASSES))

    def reuse(method: Theirs, features: Features, scores: Scores) -> Scores:
        count = len(scores.logits)
        return Scores(output[:count].copy_(scores.logits))

    tree["methods"] = ["vte"]
    found = []
    for change in (unchanged, reuse):
        theirs(change)
        tree["output"] = str(tmp_path / change.__name__)
        url = plan_run(load_config(tree))
        monkeypatch.setitem(open_session(url).batch_sizes, "vte", 2)  # as if no more fitted
        run_local(url)
        found.append(pl.read_parquet(f"{url}/predictions/*.parquet").sort("item_id"))
    assert found[0].equals(found[1])


@pytest.mark.parametrize(
    ("change", "told"),
    [(turn, "it changes the features in place"), (leave, "it ends in SystemExit: 4")],
)
def test_what_a_method_does_in_a_shard_is_recorded_under_its_name(theirs, tree, change, told):
    theirs()
    tree |= {"methods": ["vte", "zero_shot"], "runtime": {"retries": 0}}
    url = plan_run(load_config(tree))
    open_session(url)
    theirs(change)
    with pytest.raises(SeraserError, match=rf"methods\.vte: {told}"):
        run_local(url)
    failure = json.loads(Path(url, "failures", "00000.json").read_text())
    assert told in json.dumps(failure)
