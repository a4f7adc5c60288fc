"""Grids of runs: what they expand to, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from seraser_core.config import load_comparison, load_config
from seraser_core.config.methods.ensemble import EnsembleOptions
from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.errors import ConfigError

BIRDS = {"path": "birds.csv", "label": "y", "classes": ["a landbird", "a waterbird"]}


@pytest.fixture
def tree() -> dict[str, Any]:
    """A grid of two data sets and two models."""
    return {
        "name": "study",
        "grid": {
            "datasets": {
                "birds": dict(BIRDS),
                "pets": {"format": "folder", "path": "/data/pets", "classes": "pets.txt"},
            },
            "models": {
                "tiny": {"name": "m/tiny.json", "pretrained": "w.safetensors"},
                "b32": {"name": "ViT-B-32", "precision": "fp32"},
            },
            "methods": ["zero_shot", {"name": "seraser", "auxiliary": "augment", "steps": 7}],
        },
        "seed": 3,
        "shard": {"max_items": 5},
    }


@pytest.fixture
def file(tmp_path: Path, tree: dict[str, Any]) -> Path:
    """The same as a YAML file."""
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


@pytest.fixture
def single(tmp_path: Path):
    """Writes an ordinary configuration and returns its path."""

    def write(name: str, **options: Any) -> str:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "dataset": BIRDS, **options}))
        return str(path)

    return write


def refused(*arguments: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_comparison(*arguments)
    return caught.value


def test_every_pair_is_a_run_and_those_of_a_model_follow_each_other(file, tmp_path):
    comparison = load_comparison([file])
    assert (comparison.name, comparison.output) == ("study", f"{tmp_path}/runs")
    assert [(cell.dataset, cell.model, cell.config.name) for cell in comparison.cells] == [
        ("birds", "tiny", "study-birds-tiny"),
        ("pets", "tiny", "study-pets-tiny"),
        ("birds", "b32", "study-birds-b32"),
        ("pets", "b32", "study-pets-b32"),
    ]
    for cell in comparison.cells:
        config = cell.config
        assert (config.seed, config.shard.max_items, config.output) == (3, 5, f"{tmp_path}/runs")
        assert [method.id for method in config.methods] == ["zero_shot", "seraser"]
        assert isinstance(config.methods[1], SeraserOptions)
        assert config.methods[1].steps == 7


def test_a_cell_is_what_the_same_ordinary_configuration_is(file, tree, tmp_path):
    grid = tree.pop("grid")
    tree |= {"name": "study-birds-tiny", "methods": grid["methods"]}
    tree |= {"dataset": grid["datasets"]["birds"], "model": grid["models"]["tiny"]}
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(tree))
    assert load_comparison([file]).cells[0].config == load_config(path)


def test_paths_are_relative_to_the_file(file, tmp_path):
    tiny, pets = load_comparison([file]).cells[:2]
    assert tiny.config.dataset.path == f"{tmp_path}/birds.csv"
    assert tiny.config.model.name == f"{tmp_path}/m/tiny.json"
    assert tiny.config.model.pretrained == f"{tmp_path}/w.safetensors"
    assert (pets.config.dataset.path, pets.config.dataset.classes) == (
        "/data/pets",
        f"{tmp_path}/pets.txt",
    )


def test_files_of_methods_are_read(tree, tmp_path):
    (tmp_path / "templates.txt").write_text("a photo of {}\n{} at night\n")
    tree["grid"]["methods"] = [{"name": "ensemble", "templates": "templates.txt"}]
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tree))
    (method,) = load_comparison([path]).cells[3].config.methods
    assert isinstance(method, EnsembleOptions)
    assert method.templates == ["a photo of {}", "{} at night"]


def test_overrides_reach_every_part_and_count_from_the_current_folder(file, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    overrides = [
        "name=other",
        "seed=9",
        "grid.methods.1.steps=2",
        "grid.methods.0.id=untouched",
        "grid.models.tiny.pretrained=w2.pt",
        "grid.datasets.birds.label=z",
        "grid.datasets.more={path: more.csv, classes: [a, b]}",
    ]
    cells = load_comparison([file], overrides).cells
    assert len(cells) == 6
    config = cells[0].config
    assert (config.name, config.seed, config.dataset.label) == ("other-birds-tiny", 9, "z")
    assert config.methods[0].id == "untouched"
    assert isinstance(config.methods[1], SeraserOptions)
    assert config.methods[1].steps == 2
    assert config.model.pretrained == "/w2.pt"
    assert cells[2].config.dataset.path == "/more.csv"


def test_methods_that_are_not_given_are_those_of_a_run(tree):
    del tree["grid"]["methods"], tree["name"]
    comparison = load_comparison([tree])
    assert comparison.name == "run"
    config = comparison.cells[0].config
    assert [method.id for method in config.methods] == ["zero_shot", "seraser"]


def test_the_tree_that_is_given_is_not_changed(tree):
    before = yaml.safe_dump(tree)
    load_comparison([tree], ["grid.models.b32.precision=bf16"])
    assert yaml.safe_dump(tree) == before


def test_several_configurations(single, file):
    given = [
        single("birds", model={"name": "m/small.json"}),
        single("camels"),
        single("deer", model={"name": "m/small.json"}),
    ]
    comparison = load_comparison(given)
    assert comparison.name == "birds"
    assert [(cell.dataset, cell.model) for cell in comparison.cells] == [
        ("birds", "small"),
        ("deer", "small"),
        ("camels", "ViT-B-32-quickgelu"),
    ]
    assert len(load_comparison([file, *given]).cells) == 4 + 3
    assert {cell.config.seed for cell in load_comparison(given, ["seed=8"]).cells} == {8}


def test_the_methods_of_a_data_set_and_a_model_may_come_from_several(single):
    first = single("birds", methods=["zero_shot"])
    second = single("more", methods=["tpt"])
    assert len(load_comparison([first, second], ["name=birds"]).cells) == 2
    error = refused([first, single("more", methods=["zero_shot", "tpt"])], ["name=birds"])
    assert error.field == "name"
    assert error.value == "zero_shot on birds with ViT-B-32-quickgelu appears more than once"


def test_different_data_or_models_of_one_name_are_refused(single):
    first = single("birds", methods=["zero_shot"], model={"name": "a/tiny.json"})
    second = single("more", methods=["tpt"], model={"name": "b/tiny.json"})
    error = refused([first, second], ["name=birds"])
    assert (error.field, error.value) == ("name", "birds with tiny")


def test_the_same_run_twice(single, file):
    assert refused([single("birds"), single("birds")]).field == "name"
    assert refused([file, file]).field == "name"


@pytest.mark.parametrize(
    ("override", "field", "value", "remedy"),
    [
        ("grid.models.b32.preytrained=x", "grid.models.b32.preytrained", "unknown", "`pretrained`"),
        ("grid.datasets.birds.lable=x", "grid.datasets.birds.lable", "unknown", "`label`"),
        (
            "grid.datasets.birds.limits.max_byte=1",
            "grid.datasets.birds.limits.max_byte",
            "unknown key",
            "`max_bytes`",
        ),
        ("grid.methods.1.stesp=2", "grid.methods.1.stesp", "unknown key", "`steps`"),
        ("grid.methods.1.name=serazer", "grid.methods.1", "'serazer'", "`seraser`"),
        ("grid.model={}", "grid.model", "unknown key", "`models`"),
        ("grid.dataset={}", "grid.dataset", "unknown key", "`datasets`"),
        ("seeed=1", "seeed", "unknown key", "`seed`"),
        ("dataset.path=x", "dataset", "given beside `grid`", "grid.datasets"),
        ("model.name=x", "model", "given beside `grid`", "grid.models"),
        ("methods=[tpt]", "methods", "given beside `grid`", "grid.methods"),
        ("grid=3", "grid", "3", "must be a group of options"),
        ("grid={}", "grid.datasets", "missing", "required"),
        ("grid.models=null", "grid.models", "null", "must be a mapping"),
        ("grid.models={}", "grid.models", "{}", "at least 1"),
        ("grid.models.b32=ViT-B-32", "grid.models.b32", "'ViT-B-32'", "must be a group of options"),
        ("grid.models={a/b: {}}", "grid.models.a/b", "'a/b'", "letters, digits"),
        ("grid.datasets={1: {}}", "grid.datasets.1", "1", "must be a text"),
        ("grid.methods={}", "grid.methods", "{}", "list"),
        ("grid.methods=[]", "grid.methods", "[]", "at least 1"),
        ("grid.methods=[tpt, tpt]", "grid.methods", "'tpt' appears", "set `id`"),
        ("grid.datasets.birds.classes=null", "grid.datasets.birds.classes", "missing", "label"),
        ("grid.datasets.birds.path=~nobody-here/x", "grid.datasets.birds.path", "~nobody", "whole"),
        ("grid.datasets.birds.path='\\ud800'", "grid.datasets.birds.path", "", "Unicode"),
        (
            "grid.methods.1={name: ensemble, templates: no.txt}",
            "grid.methods.1.templates",
            "",
            "no",
        ),
        ("name=[a]", "name", "['a']", "must be a text"),
        ("name=a b", "name", "'a b-birds-tiny'", "letters, digits"),
        ("grid.methods.5.steps=1", "--set", "grid.methods.5", "0 to 1"),
    ],
)
def test_wrong_values_name_their_place_in_the_grid(file, override, field, value, remedy):
    override = override.replace("'\\ud800'", '"\\ud800"')
    error = refused([file], [override])
    assert error.field == field
    assert value in str(error.value)
    assert remedy in error.remedy


def test_of_several_configurations_the_wrong_one_is_named(single, file):
    wrong = single("wrong", sed=1)
    assert refused([single("birds"), wrong]).field == f"{wrong}: sed"
    other = yaml.safe_load(file.read_text())
    other["grid"]["models"]["b32"]["preytrained"] = "x"
    file.write_text(yaml.safe_dump(other))
    assert refused([single("birds"), file]).field == f"{file}: grid.models.b32.preytrained"
    assert refused([single("birds"), "gone.yaml"]).field == "gone.yaml: config"


def test_a_secret_is_not_repeated(file):
    error = refused([file], ["grid.datasets.birds.storage_options.secret=hunter2"])
    assert error.field == "grid.datasets.birds.storage_options.secret"
    assert "hunter2" not in str(error)


def test_a_grid_is_no_single_run(file):
    with pytest.raises(ConfigError, match="seraser compare"):
        load_config(file)


def test_null_leaves_a_data_set_or_a_model_out(file):
    both = load_comparison([file], ["grid.datasets.more={path: more.csv, classes: [a, b]}"])
    assert {cell.dataset for cell in both.cells} >= {"birds", "more"}
    left = load_comparison(
        [file],
        ["grid.datasets.more={path: more.csv, classes: [a, b]}", "grid.datasets.birds=null"],
    )
    assert {cell.dataset for cell in left.cells} == {c.dataset for c in both.cells} - {"birds"}
