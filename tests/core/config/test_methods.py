"""The options of methods, and the files that they may come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from seraser_core.config import load_comparison, load_config, method_options, parse_config
from seraser_core.config.methods.contexts import CONTEXT_SETS
from seraser_core.errors import ConfigError
from seraser_core.sources.benchmarks.registry import BENCHMARKS

REJECT = [["a desert", "a forest"]]
DELIVERED = Path(__file__).parents[3] / "deployments" / "configs"


def tree(*methods: Any) -> dict[str, Any]:
    return {"dataset": {"path": "/x.csv", "classes": ["a", "b"]}, "methods": list(methods)}


def test_what_files_hold_becomes_part_of_the_configuration(tmp_path):
    (tmp_path / "templates.txt").write_text("a photo of {}\n\n  {} at night é \n", "utf-8")
    (tmp_path / "insights.yaml").write_text(yaml.safe_dump({"reject": REJECT}))
    (tmp_path / "prompts.yaml").write_text(yaml.safe_dump({"a": ["an a"], "b": ["a b", "bees"]}))
    (tmp_path / "contexts.txt").write_text("a desert\n\na forest \n")
    (tmp_path / "contexts.yaml").write_text(yaml.safe_dump({"desert": ["on sand "], "none": [""]}))
    (tmp_path / "pairs.yaml").write_text(yaml.safe_dump({"pairs": [["a dry a", "a wet a"]]}))
    path = tmp_path / "run.yaml"
    path.write_text(
        yaml.safe_dump(
            tree(
                {"name": "ensemble", "templates": "templates.txt"},
                {"name": "vte", "templates": "imagenet7"},
                {"name": "roboshot", "insights": "insights.yaml"},
                {"name": "group_prompt", "prompts": "prompts.yaml"},
                {"name": "orth_cali", "contexts": "contexts.txt", "pairs": "pairs.yaml"},
                {"name": "perception", "contexts": "contexts.yaml"},
            )
        )
    )
    config = load_config(path)
    ensemble, vte, roboshot, group_prompt, orth_cali, perception = config.methods
    assert ensemble.templates == ["a photo of {}", "{} at night é"]
    assert len(vte.templates) == 7
    assert (roboshot.reject, roboshot.accept) == ([("a desert", "a forest")], [])
    assert group_prompt.prompts["b"] == ["a b", "bees"]
    assert orth_cali.contexts == ["a desert", "a forest"]
    assert orth_cali.pairs == [("a dry a", "a wet a")]
    assert perception.contexts == {"desert": ["on sand"], "none": [""]}
    for file in (*tmp_path.glob("*.txt"), *tmp_path.glob("*.yaml")):
        file.unlink()
    assert parse_config(config.model_dump(mode="json")) == config, "a worker needs no file"


def test_an_override_comes_before_the_files_are_read():
    given = tree({"name": "ensemble", "templates": "no.txt"})
    (ensemble,) = load_config(given, ["methods.0.templates=imagenet7"]).methods
    assert len(ensemble.templates) == 7


@pytest.mark.parametrize(
    ("method", "field", "said"),
    [
        ({"name": "ensemble", "templates": "no.txt"}, "templates", "no such file"),
        ({"name": "ensemble", "templates": []}, "templates", "at least 1"),
        ({"name": "ensemble", "templates": ["a {} {}"]}, "templates", "exactly once"),
        ({"name": "vte", "templates": ["a {}", "a {}"]}, "templates", "more than once"),
        ({"name": "group_prompt"}, "prompts", "required"),
        ({"name": "group_prompt", "prompts": {"a": []}}, "prompts", "'a' has none"),
        ("roboshot", "reject", "no pairs"),
        ({"name": "roboshot", "reject": [["a"]]}, "reject", "needs 2 values"),
        ({"name": "roboshot", "contexts": ["a"]}, "contexts", "at least two"),
        (
            {"name": "group_prompt", "prompts": {"a": ["a b"]}, "contexts": "vlcs"},
            "contexts",
            "give one of them",
        ),
        ({"name": "roboshot", "insights": "no.yaml"}, "insights", "no such file"),
        ({"name": "roboshot", "insights": "x", "reject": REJECT}, "insights", "one of them"),
        ({"name": "tda", "positive_shots": -1}, "positive_shots", "0 or more"),
        ({"name": "seraser_task", "sample": 0}, "sample", "1 or more"),
        ({"name": "tie"}, "contexts", "required"),
        ({"name": "tie", "contexts": "waterbird"}, "contexts", "did you mean waterbirds"),
        ({"name": "tie", "contexts": "zzz"}, "contexts", "sets: camel_deer, celeba"),
        ({"name": "tie", "contexts": "./no.txt"}, "contexts", "no such file"),
        ({"name": "tie", "contexts": ["a", "a"]}, "contexts", "more than once"),
        ({"name": "tie", "contexts": ["a", " "]}, "contexts", "is empty"),
        ({"name": "tie", "contexts": ["a"], "pool": {"sample": 0}}, r"pool\.sample", "1 or more"),
        ({"name": "tie", "contexts": ["a"], "pool": "train"}, "pool", "'train'.*write self, "),
        ({"name": "orth_cali", "contexts": ["a"], "pairs": "./no.yaml"}, "pairs", "no such file"),
        ({"name": "orth_cali", "contexts": ["a"], "pairs": [["a"]]}, "pairs", "needs 2 values"),
        ({"name": "perception", "contexts": "celebs"}, "contexts", "did you mean celeba"),
        ({"name": "perception", "contexts": {"a": ["{}"]}}, "contexts", "has braces"),
        ({"name": "perception", "contexts": {"a": []}}, "contexts", "no description"),
        ({"name": "sage", "keep": 81}, "keep", "there are 80 templates"),
    ],
    ids=str,
)
def test_what_is_refused(method, field, said):
    with pytest.raises(ConfigError, match=rf"(?s)^methods\.0\.{field}.*{said}"):
        load_config(tree(method))


@pytest.mark.parametrize("name", CONTEXT_SETS)
def test_sets_of_contexts_can_be_used(name):
    some = [{"name": "tie", "contexts": name}, {"name": "perception", "contexts": name}]
    tie, perception = load_config(tree(*some)).methods
    assert len(tie.contexts) > 1
    assert len(perception.contexts) > 1


def test_sets_of_contexts_are_those_of_data_sets():
    """A set for a part of the challenges, such as spawrious, has the name that they share."""
    for name in CONTEXT_SETS:
        assert any(benchmark.startswith(name) for benchmark in BENCHMARKS), name


def test_a_grid_gives_every_data_set_its_own_contexts():
    cells = load_comparison([DELIVERED / "shortcuts.yaml"]).cells
    names = ("tie", "orth_proj", "orth_cali", "perception")
    for cell in cells:
        method = {one.id: one for one in cell.config.methods}
        own = [{"name": name, "contexts": cell.dataset} for name in names]
        expected = load_config(tree(*own)).methods
        assert [method[name].contexts for name in names] == [one.contexts for one in expected]
    assert {cell.dataset for cell in cells} == {
        *("waterbirds", "celeba", "counter_animal", "camel_deer", "spider_crab", "pacs", "vlcs")
    }


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"format": "benchmark", "name": "spawrious-m2m_hard", "path": "/x"}, "spawrious"),
        ({"format": "benchmark", "name": "cub", "path": "/x"}, None),
        ({"path": "/x.csv", "classes": ["a", "b"]}, None),
    ],
)
def test_contexts_of_the_data_set(dataset, expected):
    given = {"dataset": dataset, "methods": [{"name": "tie", "contexts": "dataset"}]}
    if expected is None:
        with pytest.raises(ConfigError, match=r"(?s)contexts.*this data set does not have"):
            load_config(given)
        return
    (tie,) = load_config(given).methods
    assert (
        tie.contexts == load_config(tree({"name": "tie", "contexts": expected})).methods[0].contexts
    )


def test_an_insights_file_with_other_keys_is_refused(tmp_path):
    path = tmp_path / "insights.yaml"
    path.write_text(yaml.safe_dump({"rejects": REJECT}))
    with pytest.raises(ConfigError, match="must hold `reject` and `accept`"):
        load_config(tree({"name": "roboshot", "insights": str(path)}))


def test_a_file_of_templates_that_is_no_text_is_refused(tmp_path):
    path = Path(tmp_path, "templates.txt")
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match="no UTF-8 text"):
        load_config(tree({"name": "ensemble", "templates": str(path)}))


def test_every_method_says_what_it_is():
    for name, options in method_options().items():
        assert (options.__doc__ or "").strip().endswith("."), name


@pytest.mark.parametrize("path", sorted(DELIVERED.glob("*.yaml")), ids=lambda path: path.name)
def test_delivered_configurations_can_be_used(path):
    assert all(cell.config.methods for cell in load_comparison([path]).cells)


@pytest.mark.parametrize(
    "path", sorted(DELIVERED.glob("insights/*.yaml")), ids=lambda path: path.name
)
def test_delivered_insights_can_be_used(path):
    (roboshot,) = load_config(tree({"name": "roboshot", "insights": str(path)})).methods
    assert roboshot.reject
    assert roboshot.accept
