"""The options as a list and as a JSON schema."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from seraser_core.config.described import all_options, find_options, options_schema
from seraser_core.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[3] / "deployments" / "configs").glob("*.yaml"))
DATASET = {"path": "birds.csv", "classes": ["a camel", "a deer"]}


@pytest.fixture(scope="module")
def schema():
    found = options_schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_the_schema_takes_our_configurations(schema, config):
    schema.validate(yaml.safe_load(config.read_text()))


@pytest.mark.parametrize(
    "more",
    [
        {"methods": ["zero_shot", {"name": "ensemble", "templates": "imagenet7"}]},
        {"methods": [{"name": "group_prompt", "prompts": "prompts.yaml"}]},
        {"dataset": DATASET | {"classes": {"0": "a camel", "1": "a deer"}}},
        {"dataset": DATASET | {"classes": "classes.txt", "limits": {"max_bytes": "1GiB"}}},
        {"dataset": DATASET | {"format": "benchmark", "name": "waterbirds", "split": "test"}},
        {"model": {"pretrained": None}, "runtime": {"batch_size": "auto"}},
    ],
)
def test_the_schema_takes_short_forms(schema, more):
    schema.validate({"dataset": DATASET} | more)


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"methds": []}, []),
        ({"methods": ["serazer"]}, ["methods", 0]),
        ({"methods": [{"name": "seraser", "auxiliary": "masks"}]}, ["methods", 0]),
        ({"dataset": DATASET | {"format": "csv"}}, ["dataset", "format"]),
        ({"dataset": DATASET | {"lable": "y"}}, ["dataset"]),
        ({"shard": {"max_items": 0}}, ["shard", "max_items"]),
    ],
)
def test_the_schema_refuses_mistakes_where_they_are(schema, more, place):
    (error,) = schema.iter_errors({"dataset": DATASET} | more)
    assert list(error.absolute_path) == place


def test_the_schema_describes_every_option(schema):
    types = schema.schema["$defs"].values()
    texts = {field.get("description") for one in types for field in one["properties"].values()}
    texts |= {field.get("description") for field in schema.schema["properties"].values()}
    lacking = [one.name for one in all_options() if one.description not in texts]
    assert lacking == ["methods.N.name"]  # every method has one of its own


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("seed", {"seed"}),
        ("dataset.split", {"dataset.split.column", "dataset.split.values"}),
        ("selection", {"methods.N.selection"}),
        ("methods.vte", {f"methods.N.{name}" for name in ("views", "selection", "templates")}),
    ],
)
def test_options_are_found_by_name_group_and_method(name, expected):
    assert {one.name for one in find_options(name)} == expected


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("dataset.lable", "dataset.label"),
        ("modle", "model"),
        ("methods.serazer", "methods.seraser"),
        ("parallel_shard", "runtime.parallel_shards"),
    ],
)
def test_the_nearest_name_is_told(name, near):
    with pytest.raises(ConfigError, match=f"did you mean `{near}`"):
        find_options(name)
