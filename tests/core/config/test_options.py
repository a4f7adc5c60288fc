"""The options themselves: defaults, presets, sizes, and that every one is described."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from seraser_core.config import describe_options, parse_config
from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.options import parse_size
from seraser_core.errors import ConfigError

DATASET = {"path": "/data/table.csv", "classes": ["a camel", "a deer"]}


def test_every_option_is_described_and_none_twice():
    options = list(describe_options())
    names = [name for name, _, _ in options]
    assert len(set(names)) == len(names)
    assert [name for name, _, text in options if not text] == []
    defaults = {name: default for name, default, _ in options}
    assert defaults["dataset.path"] == "required"
    assert defaults["dataset.limits.max_pixels"] == "100000000"
    assert defaults["dataset.split.values"] == "required"
    assert defaults["model.name"] == "ViT-B-32-quickgelu"
    assert defaults["save_logits"] == "false"
    assert defaults["dataset.id"] == "null"
    assert defaults["methods"] == "[zero_shot, seraser]"


def test_what_is_not_given_has_its_default():
    config = parse_config({"dataset": DATASET})
    assert [(m.name, m.id) for m in config.methods] == [
        ("zero_shot", "zero_shot"),
        ("seraser", "seraser"),
    ]
    assert config.shard.max_bytes == 512 * 2**20
    assert config.seed == 0
    assert not config.save_logits


@pytest.mark.parametrize(
    ("preset", "kl", "foreground"),
    [("paper", "p_u", "none"), ("reference", "u_p", "entropy"), ("preserve", "u_p", "preserve")],
)
def test_presets(preset, kl, foreground):
    config = parse_config({"dataset": DATASET, "methods": [{"name": "seraser", "preset": preset}]})
    method = config.methods[0]
    assert isinstance(method, SeraserOptions)
    assert (method.kl, method.foreground) == (kl, foreground)
    assert not method.pseudo_label


def test_options_beside_a_preset_override_it():
    given_options = {"name": "seraser", "preset": "paper", "foreground": "entropy", "lr": "5e-3"}
    method = parse_config({"dataset": DATASET, "methods": [given_options]}).methods[0]
    assert isinstance(method, SeraserOptions)
    assert (method.kl, method.foreground, method.lr) == ("p_u", "entropy", 0.005)


def test_what_was_resolved_resolves_to_itself():
    methods = ["zero_shot", {"name": "seraser", "id": "p", "preset": "paper", "lr": 1}]
    config = parse_config({"dataset": DATASET, "methods": methods})
    assert parse_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("value", ["inf", "nan", -1, 0])
def test_numbers_that_cannot_be_used(value):
    with pytest.raises(ConfigError, match=r"^methods\.0\.lr: "):
        parse_config({"dataset": DATASET, "methods": [{"name": "seraser", "lr": value}]})


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"dataset": {**DATASET, "limits": {"max_bytes": "1TB"}}}, "dataset.limits.max_bytes"),
        ({"dataset": {**DATASET, "limits": {"max_bytes": "9" * 400}}}, "dataset.limits.max_bytes"),
        ({"dataset": {**DATASET, "limits": {"max_pixels": 2**32}}}, "dataset.limits.max_pixels"),
        ({"shard": {"max_bytes": 10**20}}, "shard.max_bytes"),
        ({"shard": {"max_items": 2**31}}, "shard.max_items"),
        ({"methods": [{"name": "seraser", "steps": 100_001}]}, "methods.0.steps"),
        ({"methods": [{"name": "seraser", "lr": 1e30}]}, "methods.0.lr"),
        ({"runtime": {"retries": 1001}}, "runtime.retries"),
        ({"runtime": {"batch_size": 0}}, "runtime.batch_size"),
        ({"runtime": {"decode_threads": 0}}, "runtime.decode_threads"),
        ({"runtime": {"decode_threads": 10**8}}, "runtime.decode_threads"),
        ({"runtime": {"parallel_shards": 1025}}, "runtime.parallel_shards"),
        ({"seed": 2**63}, "seed"),
    ],
)
def test_numbers_beyond_all_sense(options, field):
    with pytest.raises(ConfigError) as caught:
        parse_config({"dataset": DATASET, **options})
    assert caught.value.field == field


def test_faults_in_a_union_name_the_option_alone():
    split = {"column": "split", "values": [None]}
    with pytest.raises(ConfigError, match=r"^dataset\.split\.values\.0: null\n"):
        parse_config({"dataset": {**DATASET, "split": split}})


def test_options_cannot_be_changed():
    config = parse_config({"dataset": DATASET})
    with pytest.raises(ValidationError):
        config.seed = 1


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512MiB", 512 * 2**20),
        ("512MB", 512 * 10**6),
        ("1.5 GiB", 3 * 2**29),
        (" 2 kb ", 2000),
        ("3 t", 3 * 10**12),
        ("7b", 7),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@given(size=st.integers(0, 2**50))
def test_a_number_is_its_own_size(size):
    assert parse_size(size) == parse_size(str(size)) == size


@pytest.mark.parametrize("text", ["", "MiB", "-5", "5 PiB", "five", "1e6", "5MiBs"])
def test_texts_that_are_no_sizes(text):
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)
