"""Accuracy of a stateful method in other orders of the images."""

from __future__ import annotations

from types import SimpleNamespace

import literal_baselines as literal
import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from seraser_core.config.methods.tda import TdaOptions
from seraser_core.methods import MethodContext
from seraser_core.methods.method import SEED
from seraser_core.methods.tda import Tda
from seraser_core.methods.zero_shot import ZeroShot
from seraser_core.models.prompts import build_prompts
from seraser_core.results.shards import RunDirectory
from seraser_core.results.sums import merge
from seraser_core.results.tables import make_tables
from seraser_core.results.verify import verify
from seraser_core.runner.orders import Orders, shuffled

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
IMAGES = 120


@pytest.fixture
def context(tiny_model) -> MethodContext:
    """A context whose class features are far from each other."""
    prompts = build_prompts(CLASSES, "a photo of {}", tiny_model.tokenizer, 77)
    made = MethodContext(tiny_model, prompts)
    made.class_features = normalize(torch.randn(made.class_features.shape, generator=seeded(2)))
    return made


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_other_orders_agree_with_a_literal_stream(tiny_model, context):
    weights = torch.rand(IMAGES, 3, generator=seeded(1)) ** 3
    width = context.class_features.shape[1]
    noise = 0.05 * torch.randn(IMAGES, width, generator=seeded(3))
    stream = normalize(weights @ context.class_features + noise)[:, None]
    seeds = torch.randint(0, 2**63 - 1, (IMAGES,), generator=seeded(4))
    labels = torch.randint(0, 3, (IMAGES,), generator=seeded(5)).tolist()
    labels[7] = None
    methods = [ZeroShot(SimpleNamespace(id="zero_shot"), context)]
    methods.append(Tda(TdaOptions(orders=3), context))
    given = {"model": tiny_model, "context": context, "batch_sizes": {"tda": 16}}
    orders = Orders(SimpleNamespace(methods=methods, run=SimpleNamespace(classes=CLASSES), **given))
    for part in torch.arange(IMAGES).split(37):
        orders.keep({"image": stream[part], SEED: seeds[part]})
    orders.score(labels)
    assert list(orders.right) == ["tda"], "only of methods that ask for it"
    texts = list(context.class_features)
    for number in range(3):
        places = shuffled(seeds, number)
        logits, _ = literal.tda(tiny_model.net, list(stream[places, 0]), texts)
        answers = dict(zip(places.tolist(), np.argmax(logits, 1).tolist(), strict=True))
        right = [answers[place] == labels[place] for place in range(IMAGES)]
        assert orders.right["tda"][number].tolist() == right
    assert len(set(orders.right["tda"].sum(1).tolist())) > 1, "equal orders would show nothing"
    finite = np.arange(IMAGES) % 2 == 0
    outcomes = [SimpleNamespace(method=name, finite=finite) for name in ("zero_shot", "tda")]
    expected = tuple(orders.right["tda"][:, ::2].sum(1).tolist())
    assert orders.counts(outcomes) == {"tda": expected}


def test_an_order_is_that_of_the_images_however_they_come():
    seeds = torch.randint(0, 2**63 - 1, (50,), generator=seeded(0))
    mixed = seeds[torch.randperm(50, generator=seeded(1))]
    for number in range(2):
        assert torch.equal(seeds[shuffled(seeds, number)], mixed[shuffled(mixed, number)])
    assert not np.array_equal(shuffled(seeds, 0), shuffled(seeds, 1))


def test_a_run_reports_the_spread_over_orders_and_predicts_as_before(run, tree):
    tda = {"name": "tda", "positive_alpha": 50}
    tree["methods"] = ["zero_shot", tda]
    _, expected = run(tree)
    tree["methods"] = ["zero_shot", tda | {"orders": 4}]
    url, rows = run(tree)
    assert rows["prediction"].equals(expected["prediction"])
    assert rows["confidence"].equals(expected["confidence"])
    assert verify(url).problems == []
    directory = RunDirectory(url)
    parts = [commit.methods for commit in directory.commits().values()]
    assert len(parts) > 1
    sums = merge(parts)
    in_orders = [
        sum(right) for right in zip(*(part["tda"].in_orders for part in parts), strict=True)
    ]
    assert list(sums["tda"].in_orders) == in_orders
    assert len(in_orders) == 4
    untouched, found = make_tables(sums, directory.run)["summary"].to_dicts()
    assert (untouched["orders_low"], untouched["orders_high"]) == (None, None)
    assert found["orders_low"] == min(in_orders) / 14
    assert found["orders_high"] == max(in_orders) / 14
    small_batches, _ = run(tree, "runtime.batch_size=2")
    again = merge([one.methods for one in RunDirectory(small_batches).commits().values()])
    assert again["tda"].in_orders == sums["tda"].in_orders
    alone, _ = run(tree, "shard.max_items=1")
    own = merge([one.methods for one in RunDirectory(alone).commits().values()])["tda"]
    assert own.in_orders == (own.correct,) * 4, "one image has one order"
