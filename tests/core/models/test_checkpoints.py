"""Weights files of all kinds: they are loaded whole, or refused by what they hold."""

from __future__ import annotations

import argparse
import copy
import gzip
import os
import pickle
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError
from seraser_core.models.clip_model import get_model

CLS = "vision_model.embeddings.class_embedding"
ATTENTION = "vision_model.encoder.layers.0.self_attn"
MOBILE = "image_encoder.model.patch_emb.0.block.conv.weight"


@pytest.fixture
def state(tiny_model):
    return {name: tensor + 0.01 for name, tensor in tiny_model.net.state_dict().items()}


@pytest.fixture
def load(tiny_json, tmp_path):
    """Loads the tiny model with what torch has saved of an object."""

    def loaded(content):
        path = tmp_path / "weights.pt"
        torch.save(content, path)
        return get_model(ModelOptions(name=tiny_json, pretrained=str(path), device="cpu"))

    return loaded


def refused(load, content):
    with pytest.raises(ConfigError) as caught:
        load(content)
    assert caught.value.field == "model.pretrained"
    assert "weights.pt" in caught.value.value
    return caught.value.remedy


def changed(state, change):
    return {name: change(tensor) if tensor.ndim else tensor for name, tensor in state.items()}


def test_the_model_of_a_training_programs_checkpoint_is_found(load, state):
    expected = load(state).weights_hash
    beside = {"epoch": 3, "args": None, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}}
    for content in [
        {"state_dict": state},
        {"state_dict": state, **beside},
        {"model": state, **beside},
        {f"module.{name}": tensor for name, tensor in state.items()},
        {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
    ]:
        assert load(content).weights_hash == expected


def test_a_checkpoint_of_several_models_is_refused(load, state):
    found = refused(load, {"model": state, "model_ema": state, "epoch": 3})
    assert "model (dict), model_ema (dict), epoch (int)" in found
    assert "save the model's tensors alone" in found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no tensor"),
        ([1], "holds a list"),
        (torch.zeros(3), "holds a Tensor"),
        ({"state_dict": None}, "state_dict (NoneType)"),
        ({"state_dict": {}}, "state_dict (dict)"),
        ({"stuff": {"a": torch.zeros(1)}, "epoch": 3}, "stuff (dict), epoch (int)"),
        ({1: torch.zeros(1)}, "1 (Tensor)"),
        ({"params": 1}, "params (int)"),
        ({CLS: torch.zeros(4), 1: torch.zeros(1)}, "1 (Tensor)"),
        ({CLS: torch.zeros(4), "text_projection.weight": 3}, "text_projection.weight (int)"),
        ({MOBILE: torch.zeros(1)}, f"holds {MOBILE}, which are not of this model"),
        (
            {
                CLS: torch.zeros(4),
                f"{ATTENTION}.q_proj.weight": torch.zeros(3, 2),
                f"{ATTENTION}.k_proj.weight": torch.zeros(3, 5),
            },
            "which are not of this model",
        ),
        ({CLS: torch.zeros(4), f"{ATTENTION}.q_proj.weight": torch.tensor(1.0)}, "of this model"),
    ],
    ids=range(13),
)
def test_what_is_no_model_is_named(load, content, message):
    assert message in refused(load, content)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"x": [1]}, "it holds x (list) beside"),
        ({"epoch": 3}, "it holds epoch (int) beside"),
        ({"logit_scale": 4.6}, "it holds logit_scale (float) beside"),
        ({1: torch.zeros(1)}, "it holds 1 (Tensor) beside"),
        ({"logit_scale": torch.zeros(2)}, "logit_scale: file (2,), model ()"),
        ({"visual.trunk.x": torch.zeros(1)}, "1 unexpected (visual.trunk.x (1,))"),
    ],
)
def test_what_is_too_much_beside_a_model_is_named(load, state, more, message):
    assert message in refused(load, state | more)
    assert message in refused(load, {"state_dict": state | more})


def test_tensors_that_are_no_weights_are_named(load, state):
    for change, message in [
        (lambda t: t.to(torch.int8), "file torch.int8, model torch.float32"),
        (lambda t: t.to(torch.complex64), "positional_embedding is complex"),
        (lambda t: t.to_sparse(), "positional_embedding is sparse_coo"),
        (lambda t: t.to("meta"), "positional_embedding is without values"),
    ]:
        assert message in refused(load, changed(state, change))


def test_half_precision_is_loaded(load, state):
    assert load(changed(state, torch.Tensor.half)).net.visual.proj.dtype == torch.float32


def test_bf16_is_loaded(load, state):
    model = load(changed(state, torch.Tensor.bfloat16))
    assert torch.equal(model.net.visual.proj, state["visual.proj"].bfloat16().float())


PREFIXES = [
    "module.",
    "_orig_mod.",
    "model.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model.clip.module.",
    "a.b.c.d.",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_all_names_are_taken_off_and_said(load, state, prefix, caplog):
    expected = load(state).weights_hash
    assert not caplog.records
    assert load({f"{prefix}{k}": v for k, v in state.items()}).weights_hash == expected
    (said,) = [record.getMessage() for record in caplog.records]
    assert "weights.pt: took " in said
    assert all(part in said for part in prefix.split(".") if part)


def test_what_compiling_and_sharding_put_into_names_is_taken_out(load, state):
    expected = load(state).weights_hash
    inside = {
        k.replace("visual.", "visual._orig_mod.").replace("mlp.", "_fsdp_wrapped_module.mlp."): v
        for k, v in state.items()
    }
    assert inside.keys() != state.keys()
    assert load(inside).weights_hash == expected
    average = {f"module.{k}": v for k, v in state.items()} | {"n_averaged": torch.tensor(7)}
    assert load(average).weights_hash == expected
    openai = state | {k: torch.tensor(77) for k in ("context_length", "input_resolution")}
    assert load(openai).weights_hash == expected


def test_a_prefix_of_some_names_is_shown(load, state):
    first, *rest = state
    mixed = {f"module.{first}": state[first]} | {k: state[k] for k in rest}
    message = refused(load, mixed)
    assert f"1 missing ({first} " in message and f"1 unexpected (module.{first} " in message


def test_tensors_beside_a_prefixed_model_are_shown_alone(load, state):
    """As Lightning saves a module that holds a model and a loss."""
    beside = {"loss.weight": torch.zeros(3), "loss.module.bias": torch.zeros(1)}
    for more in ({"loss.weight": torch.zeros(3)}, beside):
        content = {f"model.{k}": v for k, v in state.items()} | more
        for given in (content, {"state_dict": content, "epoch": 3}):
            message = refused(load, given)
            assert f"{len(more)} unexpected (loss.weight (3,)" in message
            assert "missing" not in message


def test_no_tensor_is_lost_where_names_become_the_same(load, state):
    twice = {f"_orig_mod.{k}": v for k, v in state.items()} | {"ln_final.bias": torch.ones(24)}
    assert "unexpected (" in refused(load, twice)
    twice = {f"model.{k}": v for k, v in state.items()} | {
        "model.loss.x": torch.zeros(1),
        "loss.x": torch.zeros(1),
    }
    assert "model: 2 unexpected (model.loss.x (1,), loss.x (1,));" in refused(load, twice)


def test_checkpoints_that_hold_themselves_are_refused(load):
    one: dict = {}
    one["model"] = one
    two: dict = {}
    two["state_dict"] = {"model": two, "epoch": 1}
    many = {"model": {"epoch": 1}}
    for _ in range(40):  # two to the power of 40 ways through it
        many = {"model": many, "net": many}
    deep = {"model": torch.zeros(1)}
    for _ in range(100):
        deep = {"model": deep}
    for content, message in [
        (one, "it holds model (dict)"),
        (two, "it holds state_dict (dict)"),
        (many, "it holds model (dict), net (dict)"),
        (deep, "it holds model (dict)"),
    ]:
        assert message in refused(load, content)


def test_a_tensor_expanded_to_any_size_is_refused(load, state):
    state["ln_final.bias"] = torch.zeros(1).expand(10**15)
    assert "its tensor ln_final.bias is one of fewer values" in refused(load, state)


def test_half_of_a_model_is_told_by_its_number(load, state):
    """Also where the half that is there shares a prefix, which is none of a wrapper."""
    visual = {k: v for k, v in state.items() if k.startswith("visual.")}
    missing = len(state) - len(visual)
    assert f"does not fit the model: {missing} missing (" in refused(load, visual)
    visual = {f"module.{k}": v for k, v in visual.items()}
    message = refused(load, visual)
    assert f"{missing} missing (positional_embedding (77, 24), " in message
    assert message.count("(77, 24)") == 1 and ", ...)" in message and "unexpected" not in message


def test_all_kinds_of_faults_are_shown_together(load, state):
    del state["ln_final.bias"]
    state |= {"extra.a": torch.zeros(2), "visual.proj": torch.zeros(3, 4)}
    message = refused(load, state)
    for part in [
        "1 missing (ln_final.bias (24,))",
        "1 unexpected (extra.a (2,))",
        "1 of another shape (visual.proj: file (3, 4), model (64, 32))",
    ]:
        assert part in message


@pytest.mark.parametrize("name", ["model_state_dict", "net", "ema", "state_dict_ema", "module"])
def test_containers_of_training_programs(load, state, name):
    expected = load(state).weights_hash
    optimiser = {"state": {0: {"step": torch.zeros(1)}}, "param_groups": [{"lr": 0.1}]}
    beside = {"epoch": 3, "optimizer": optimiser, "best_acc": 0.5}
    wrapped = {f"module.{k}": v for k, v in state.items()}
    assert load({name: state, **beside}).weights_hash == expected
    assert load({"checkpoint": {name: wrapped, "step": 1}, **beside}).weights_hash == expected
    assert "holds the state of an optimiser" in refused(load, optimiser)
    assert "epoch (int), optimizer (dict)" in refused(load, {"epoch": 3, "optimizer": optimiser})


class _Towers(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, image, text):
        return self.net.encode_image(image) @ self.net.encode_text(text).T


@pytest.fixture
def torchscript(tiny_model, tmp_path):
    """A TorchScript archive of the tiny model, as OpenAI's program saves one."""
    net = copy.deepcopy(tiny_model.net)
    for parameter in net.parameters():
        parameter.data += 0.01
    towers = _Towers(net)
    text = tiny_model.tokenizer(["a cat"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(towers, (torch.zeros(1, 3, 32, 32), text), check_trace=False)
        traced.save(str(tmp_path / "script.pt"))
    return tmp_path / "script.pt"


def test_torchscript_is_read_without_running_it(load, state, torchscript, monkeypatch, tiny_json):
    expected = load(state).weights_hash
    monkeypatch.setattr(torch.jit, "load", None)
    options = ModelOptions(name=tiny_json, pretrained=str(torchscript), device="cpu")
    assert get_model(options).weights_hash == expected


def test_torchscript_with_code_or_damage_is_refused(torchscript, tiny_json, tmp_path, capsys):
    def rewrite(change, name):
        with zipfile.ZipFile(torchscript) as old, zipfile.ZipFile(tmp_path / name, "w") as new:
            for entry in old.namelist():
                content = change(entry, old.read(entry))
                if content is not None:
                    new.writestr(entry, content)
        return ModelOptions(name=tiny_json, pretrained=str(tmp_path / name), device="cpu")

    def evil(entry, content):
        is_data = entry.endswith("/data.pkl")
        return pickle.dumps(_Evil(), protocol=2) if is_data else content

    with pytest.raises(ConfigError, match=r"holds more than tensors \(\S*print\), which may run"):
        get_model(rewrite(evil, "evil.pt"))
    assert "must not run" not in capsys.readouterr().out
    for name, change in {
        "short.pt": lambda entry, content: content[:5] if "/data/0" in entry else content,
        "less.pt": lambda entry, content: None if "/data/0" in entry else content,
        "noise.pt": lambda entry, content: b"\x80\x02X" if "data.pkl" in entry else content,
    }.items():
        with pytest.raises(ConfigError, match="not a readable weights file"):
            get_model(rewrite(change, name))


class _Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("ending", [".pt", ".safetensors", ".bin", ".ckpt"])
def test_the_content_counts_and_not_the_ending(state, load, tiny_json, tmp_path, ending):
    expected = load(state).weights_hash
    path = tmp_path / f"other{ending}"
    options = ModelOptions(name=tiny_json, pretrained=str(path), device="cpu")
    for save in (save_file, torch.save):
        save(state, path)
        assert get_model(options).weights_hash == expected


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 605\n"
NO_WEIGHTS = {
    "LFS": (LFS, "pointer of Git LFS; run `git lfs pull`"),
    "page": (b"\n<!DOCTYPE html><html><body>Not found", "is a web page"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied", "is a web page"),
    "json": (b'{"error": "Repository not found"}', "is a JSON text"),
    "gzip": (gzip.compress(b"weights"), "is compressed; unpack it"),
    "numpy": (b"\x93NUMPY\x01\x00v\x00", "is an array of NumPy"),
    "nothing": (b"", "it is empty"),
    "text": (b"Entry not found", "it is a text"),
    "zeros": (bytes(5000), "(RuntimeError); fetch it again"),
    "noise": (bytes(range(256)) * 9, "or holds more than tensors"),
}


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_files_that_are_no_weights_are_told_by_what_they_are(tiny_json, tmp_path, kind, ending):
    content, message = NO_WEIGHTS[kind]
    path = tmp_path / f"weights{ending}"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        get_model(ModelOptions(name=tiny_json, pretrained=str(path), device="cpu"))
    assert "is not a readable weights file" in caught.value.remedy
    assert message in caught.value.remedy
    assert "weights_only" not in str(caught.value), "torch's advice is to load it without care"


@pytest.mark.parametrize("save", [save_file, torch.save])
@pytest.mark.parametrize("part", [0.001, 0.5, 0.999])
def test_files_that_are_cut_off_are_told(state, tiny_json, tmp_path, save, part):
    path = tmp_path / "weights.pt"
    save(state, path)
    kept = path.read_bytes()[: int(path.stat().st_size * part)]
    path.write_bytes(kept)
    with pytest.raises(ConfigError, match=f"it is cut off after {len(kept)} bytes; fetch"):
        get_model(ModelOptions(name=tiny_json, pretrained=str(path), device="cpu"))


def test_objects_of_a_training_program_are_named(load, state):
    found = refused(load, {"state_dict": state, "hyper_parameters": argparse.Namespace(lr=1)})
    assert "holds more than tensors (argparse.Namespace), which may run code" in found


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_pipes_and_folders_are_no_weights(tiny_json, tmp_path, ending):
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    for name in ("pipe", "folder"):
        options = ModelOptions(
            name=tiny_json, pretrained=str(tmp_path / f"{name}{ending}"), device="cpu"
        )
        with pytest.raises(ConfigError, match="a folder or a pipe is none"):
            get_model(options)
