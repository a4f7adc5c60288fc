"""A model JSON that makes no model is refused before there is a run, and what it says named."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from PIL import Image

from seraser_core import storage
from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.models.clip_model import get_model

HALF = [0.5, 0.5, 0.5]


@pytest.fixture
def tiny(tiny_json):
    return json.loads(Path(tiny_json).read_text())


@pytest.fixture
def load(tmp_path):
    """Loads the model of a JSON document, or of a text."""

    def loaded(document):
        path = tmp_path / "model.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return get_model(ModelOptions(name=str(path), pretrained=None, device="cpu"))

    return loaded


def refused(load, document):
    with pytest.raises(ConfigError) as caught:
        load(document)
    assert caught.value.field == "model.name"
    assert "model.json" in caught.value.value
    return str(caught.value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (5, "is no JSON object"),
        ([], "is no JSON object"),
        (None, "is no JSON object"),
        ({"model_cfg": None}, "model_cfg null"),
        ({"model_cfg": 5}, "model_cfg 5"),
        ({"model_cfg": "embed_dim vision_cfg text_cfg"}, "must be a JSON object"),
        ({}, "no embed_dim"),
        ("[" * 200_000, "is no JSON"),
        ('{"a":' * 200_000, "is no JSON"),
        ('{"embed_dim": ' + "9" * 5000 + "}", "is no JSON"),
        ("{", "is no JSON"),
        ("\x00", "is no JSON"),
    ],
    ids=range(12),
)
def test_documents_without_a_model(load, document, message):
    assert message in refused(load, document)


@pytest.mark.parametrize("value", [0, -1, 2**40, 10**400, "8", 1.5, True])
@pytest.mark.parametrize(
    ("part", "name"),
    [
        (None, "embed_dim"),
        ("vision_cfg", "patch_size"),
        ("vision_cfg", "head_width"),
        ("vision_cfg", "width"),
        ("vision_cfg", "layers"),
        ("vision_cfg", "image_size"),
        ("text_cfg", "context_length"),
        ("text_cfg", "heads"),
        ("text_cfg", "layers"),
        ("text_cfg", "width"),
        ("text_cfg", "vocab_size"),
    ],
)
def test_sizes_that_are_none(load, tiny, part, name, value):
    (tiny[part] if part else tiny)[name] = value
    found = refused(load, tiny)
    assert f"{part + '.' if part else ''}{name} {json.dumps(value)}" in found
    assert "must be a whole number above 0" in found


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        (None, {"vision_cfg": []}, "vision_cfg []"),
        (None, {"text_cfg": None}, "text_cfg null"),
        (None, {"quick_gelu": "no"}, "must be true or false"),
        (None, {"multimodal_cfg": {}}, "makes no model"),
        ("vision_cfg", {"image_size": 4}, "cannot compute a feature"),
        ("vision_cfg", {"timm_model_name": "nope"}, "makes no model"),
        ("vision_cfg", {"width": 10**9}, "makes no model"),
        ("vision_cfg", {"layers": [1, 1]}, "makes no model"),
        ("vision_cfg", {"head_width": 640}, "makes no model"),
        ("text_cfg", {"tokenizer_kwargs": {"x": 1}}, "its tokenizer cannot be made"),
        ("text_cfg", {"tokenizer_kwargs": 3}, "its tokenizer cannot be made"),
        ("text_cfg", {"hf_tokenizer_name": "/no/such/folder"}, "could not be fetched"),
        ("text_cfg", {"pool_type": "none"}, "they must be vectors of one length"),
        ("text_cfg", {"pool_type": "foo"}, "makes no model: AssertionError"),
        ("text_cfg", {"act_kwargs": {"a": 1}}, "makes no model"),
    ],
    ids=str,
)
def test_configurations_that_compute_nothing(load, tiny, part, changes, message):
    document = copy.deepcopy(tiny)
    (document[part] if part else document).update(changes)
    assert message in refused(load, document)


@pytest.mark.parametrize(
    "given",
    [
        {"mean": HALF, "std": HALF, "size": 32, "mode": "RGB"},
        {"size": [32, 32], "fill_color": 127, "resize_mode": "longest"},
        {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear", "resize_mode": "squash"},
        {"mean": None, "std": None, "interpolation": None, "size": None},
    ],
)
def test_what_may_be_said_of_pictures(load, tiny, given):
    model = load({"model_cfg": tiny, "preprocess_cfg": given})
    described = model.preprocessing.describe()
    for name in given.keys() & described.keys():
        assert given[name] is None or described[name] == given[name]
    assert model.preprocess(Image.new("RGB", (50, 40), (200, 10, 90))).isfinite().all()


@pytest.mark.parametrize(
    "given",
    [
        {"std": [0, 0, 0]},
        {"std": [0.2, 0.2, -0.2]},
        {"std": [1e-300] * 3},
        {"std": [58.4, 57.1, 57.4]},
        {"mean": [128, 128, 128]},
        {"mean": [float("nan")] * 3},
        {"mean": [float("inf")] * 3},
        {"mean": [0.5, 0.5]},
        {"mean": "abc"},
        {"mean": 0.5},
        {"mean": [0.5, 0.5, "0.5"]},
        {"interpolation": "random"},
        {"interpolation": "nearest"},
        {"interpolation": ["bicubic"]},
        {"resize_mode": "crop"},
        {"mode": "L"},
        {"size": 64},
        {"size": [32, 48]},
        {"size": "x"},
        {"size": 0},
        {"fill_color": "red"},
        {"fill_color": 300},
    ],
    ids=str,
)
def test_what_must_not_be_said_of_pictures(load, tiny, given):
    (name,) = given
    assert f"{name} " in refused(load, {"model_cfg": tiny, "preprocess_cfg": given})


def test_what_cannot_be_read_now_ends_planning_and_may_be_tried_again(monkeypatch):
    """A dead server is a fault of the setting, and for a worker one that may pass."""

    def dead(url, *_, **__):
        raise TransientError(f"cannot reach {url}")

    for name in ("read_bytes", "version", "exists", "fetch_file"):
        monkeypatch.setattr(storage, name, dead)
    for field, options in [
        ("model.name", {"name": "http://dead/m.json", "pretrained": None}),
        ("model.name", {"name": "http://dead/clip"}),
    ]:
        with pytest.raises(ConfigError, match="cannot be read: cannot reach") as caught:
            get_model(ModelOptions(**options, device="cpu"))
        assert caught.value.field == field
        assert isinstance(caught.value, TransientError)


@pytest.mark.parametrize("url", ["foo://x/m.json", "foo://x/m"])
def test_unknown_kinds_of_storage_are_named(url):
    with pytest.raises(ConfigError, match="foo") as caught:
        get_model(ModelOptions(name=url, pretrained=None, device="cpu"))
    assert caught.value.field == "model.name"
