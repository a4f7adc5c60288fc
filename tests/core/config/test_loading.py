"""Reading configurations, and what is said about wrong ones."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic_core.core_schema import ErrorType

from seraser_core import storage
from seraser_core.config import GridConfig, RunConfig, load_config, method_options, mistakes
from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.named_files import read_yaml
from seraser_core.config.yaml_files import parse_yaml
from seraser_core.errors import ConfigError

TREE: dict[str, Any] = {
    "name": "birds",
    "dataset": {
        "path": "metadata.csv",
        "id": "id",
        "image": "filename",
        "label": "y",
        "classes": ["a landbird", "a waterbird"],
    },
    "methods": ["zero_shot", {"id": "mine", "name": "seraser", "auxiliary": "augment"}],
    "output": "runs",
}


@pytest.fixture
def tree() -> dict[str, Any]:
    """A valid configuration."""
    return deepcopy(TREE)


@pytest.fixture
def file(tmp_path: Path, tree: dict[str, Any]) -> Path:
    """The same as a YAML file."""
    path = tmp_path / "birds.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def refused(*arguments: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(*arguments)
    return caught.value


def test_paths_in_a_file_are_relative_to_it(file, tmp_path):
    config = load_config(file)
    assert config.dataset.path == f"{tmp_path}/metadata.csv"
    assert config.output == f"{tmp_path}/runs"
    models = ["segment.detector=./dino", "segment.segmenter=facebook/sam-vit-base"]
    segment = load_config(file, models).segment
    assert segment.detector == f"{Path.cwd()}/dino"
    assert segment.segmenter == "facebook/sam-vit-base"


def test_an_output_that_is_not_given_is_relative_to_the_file_too(tree, tmp_path):
    del tree["output"]
    path = tmp_path / "birds.yaml"
    path.write_text(yaml.safe_dump(tree))
    assert load_config(path).output == f"{tmp_path}/runs"
    assert load_config(path, ["output=elsewhere"]).output == f"{Path.cwd()}/elsewhere"
    assert load_config(tree).output == f"{Path.cwd()}/runs"


def test_paths_in_a_mapping_and_in_overrides_are_relative_to_the_current_folder(
    file, tree, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load_config(tree).dataset.path == f"{elsewhere}/metadata.csv"
    config = load_config("../birds.yaml", ["output=out"])
    assert config.dataset.path == f"{tmp_path}/metadata.csv"
    assert config.output == f"{elsewhere}/out"


def test_model_files_and_class_files_are_paths_but_names_are_not(file, tmp_path):
    overrides = ["model.name=ViT-B-32", "model.pretrained=openai"]
    assert load_config(file, overrides).model.pretrained == "openai"
    text = yaml.safe_dump(
        {
            **TREE,
            "dataset": {**TREE["dataset"], "classes": "classes.txt"},
            "model": {"name": "m/tiny.json", "pretrained": "s3://b/w.safetensors"},
        }
    )
    file.write_text(text)
    config = load_config(file)
    assert config.dataset.classes == f"{tmp_path}/classes.txt"
    assert config.model.name == f"{tmp_path}/m/tiny.json"
    assert config.model.pretrained == "s3://b/w.safetensors"


def test_a_file_on_s3(file, bucket):
    storage.write_bytes(f"{bucket}/configs/birds.yaml", file.read_bytes())
    config = load_config(f"{bucket}/configs/birds.yaml")
    assert config.dataset.path == f"{bucket}/configs/metadata.csv"
    assert config.output == f"{bucket}/configs/runs"


def test_overrides(file, tree):
    overrides = [
        "seed=3",
        "save_logits=true",
        "dataset.classes=[a, b, c]",
        "dataset.split.column=split",
        "dataset.split.values=[2]",
        "methods.1.lr=5e-3",
        "methods.0.id=untouched",
        "shard.max_bytes=1GiB",
        "model.pretrained=null",
        "name=1e5",
        "dataset.template=a = {}",
    ]
    config = load_config(file, overrides)
    assert (config.seed, config.save_logits, config.shard.max_bytes) == (3, True, 2**30)
    assert config.dataset.classes == ["a", "b", "c"]
    assert config.dataset.split is not None
    assert (config.dataset.split.column, config.dataset.split.values) == ("split", [2])
    assert [m.id for m in config.methods] == ["untouched", "mine"]
    assert isinstance(config.methods[1], SeraserOptions)
    assert config.methods[1].lr == 0.005
    assert config.model.pretrained is None
    assert (config.name, config.dataset.template) == ("1e5", "a = {}")
    replaced = load_config(tree, ["methods=[foreground]", "dataset.mask=m"])
    assert [m.name for m in replaced.methods] == ["foreground"]


def test_the_tree_that_is_given_is_not_changed(tree):
    load_config(tree, ["seed=3", "methods.1.lr=1", "dataset.id=other"])
    assert tree == TREE


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("seed", "name.of.option=value"),
        ("=3", "name.of.option=value"),
        ("methods.5.lr=1", "0 to 1"),
        ("methods.x.lr=1", "0 to 1"),
        ("seed.x=1", "not inside a group"),
        ("seed.x.y=1", "not inside a group"),
        ("methods.²=x", "0 to 1"),
        ("methods.٣=x", "0 to 1"),
        (f"methods.{'9' * 5000}=x", "0 to 1"),
        ("seed=" + "[" * 3000, "nested too deeply"),
    ],
)
def test_overrides_that_cannot_be_set(tree, override, text):
    tree["seed"] = 0
    error = refused(tree, [override])
    assert error.field == "--set"
    assert text in error.remedy


def test_options_of_methods_that_are_not_listed_cannot_be_set(tree):
    del tree["methods"]
    error = refused(tree, ["methods.1.steps=3"])
    assert (error.field, error.value) == ("--set", "methods.1.steps=3")
    assert "--set 'methods=[" in error.remedy


@pytest.mark.parametrize("value", ["2024-13-45", "!!bool x", "!!timestamp x", "!!int ''"])
def test_values_that_are_no_yaml_are_texts(tree, value):
    assert load_config(tree, [f"dataset.attribute={value}"]).dataset.attribute == value


@pytest.mark.parametrize("option", ["output", "dataset.path", "dataset.classes"])
def test_homes_of_users_that_are_not_known(tree, option):
    error = refused(tree, [f"{option}=~no-such-user/x"])
    assert (error.field, error.value) == (option, "'~no-such-user/x'")
    assert "whole path" in error.remedy
    assert refused("~no-such-user/birds.yaml").field == "config"


def test_half_characters_are_refused(tree):
    error = refused(tree, ['dataset.classes=["a\\ud800", b]'])
    assert (error.field, error.value) == ("dataset.classes.0", "'a\\ud800'")
    assert refused(tree, ['dataset.template="\\ud800 {}"']).field == "dataset.template"
    assert refused(tree, ['dataset.storage_options={"\\ud800": 1}']).field


def test_options_that_hold_themselves_are_refused(tree):
    assert "own alias" in refused(tree, ["dataset.storage_options=&a {x: *a}"]).remedy


@pytest.mark.parametrize(
    ("override", "field", "value", "remedy"),
    [
        ("sed=1", "sed", "unknown key", "did you mean `seed`?"),
        ("dataset.clases=[a]", "dataset.clases", "unknown key", "`classes`"),
        ("dataset.limits.max_byte=1", "dataset.limits.max_byte", "unknown", "`max_bytes`"),
        ("dataset.zzzzz=1", "dataset.zzzzz", "unknown key", "known keys: format, path"),
        ("methods.1.step=3", "methods.1.step", "unknown key", "`steps`"),
        ("methods.0.lr=3", "methods.0.lr", "unknown key", "known keys: name, id"),
        ("methods=[serazer]", "methods.0", "'serazer'", "did you mean `seraser`"),
        ("methods=[]", "methods", "[]", "at least 1"),
        ("methods=[{id: x}]", "methods.0", "{'id': 'x'}", "zero_shot, seraser"),
        ("methods=[zero_shot, zero_shot]", "methods", "'zero_shot' appears", "set `id`"),
        ("dataset.path=null", "dataset.path", "null", "must be a text"),
        (
            "dataset.format=tabel",
            "dataset.format",
            "'tabel'",
            "did you mean `table`? must be `table`, `folder`",
        ),
        ("dataset.template=a photo", "dataset.template", "a photo", "exactly once"),
        ("dataset.template='a; {} and {}'", "dataset.template", "a; {} and {}", "exactly once"),
        ("dataset.template='{} and {}'", "dataset.template", "{} and {}", "exactly once"),
        ("dataset.template='a {{}}'", "dataset.template", "a {{}}", "no other brace"),
        ("dataset.template='a {x} {}'", "dataset.template", "a {x} {}", "no other brace"),
        ("dataset.template='{ of {}'", "dataset.template", "{ of {}", "no other brace"),
        ("dataset.template='{0} {}'", "dataset.template", "{0} {}", "no other brace"),
        ("dataset.classes=[]", "dataset.classes", "empty", "at least two"),
        ("dataset.classes=[a, b, a]", "dataset.classes", "['a'] named more", "must differ"),
        ("dataset.attributes=[x, x]", "dataset.attributes", "['x'] named more", "must differ"),
        ("dataset.classes=null", "dataset.classes", "missing", "index = label"),
        ("dataset.box=[a, b]", "dataset.box", "['a', 'b']", "at least 4"),
        ("dataset.format=folder", "dataset.label", "'y' needs columns", "format: table"),
        ("shard.max_bytes=5 PiB", "shard.max_bytes", "'5 PiB'", "e.g. 512MiB"),
        ("shard.max_items=0", "shard.max_items", "0", "greater than 0"),
        ("seed=-1", "seed", "-1", "must be 0 or more"),
        ("seed=x", "seed", "'x'", "must be a whole number"),
        ("name='a/b'", "name", "'a/b'", "letters, digits"),
        ("methods.1.id='a b'", "methods.1.id", "'a b'", "letters, digits"),
        ("methods.1.lr=0", "methods.1.lr", "0", "greater than 0"),
        ("methods.1.preset=own", "methods.1.preset", "'own'", "`paper`, `reference`"),
        ("dataset.storage_options.secret=x", "dataset.storage_options.secret", "", "environment"),
        (
            "dataset.storage_options={a: {password: x}}",
            "dataset.storage_options.a.password",
            "",
            "environment",
        ),
        (
            "dataset.storage_options={a: [{token: x}]}",
            "dataset.storage_options.a.token",
            "",
            "environment",
        ),
    ],
)
def test_wrong_values_name_field_value_and_remedy(tree, override, field, value, remedy):
    error = refused(tree, [override])
    assert error.field == field
    assert value in str(error.value)
    assert remedy in error.remedy
    # What was found is said once, not again as the remedy.
    assert len(value) < 5 or value not in error.remedy


def test_all_mistakes_are_in_one_message(tree):
    tree |= {"sed": 1, "seed": "x", "model": {"nam": "ViT-B-32"}, "methods": [{"name": "serazer"}]}
    tree["dataset"] |= {"clases": ["a"], "path": None, "classes": ["a", 1, True]}
    error = refused(tree)
    assert [mistake.field for mistake in error.mistakes] == [
        "dataset.path",
        "dataset.classes",
        "dataset.clases",
        "model.nam",
        "methods.0",
        "seed",
        "sed",
    ]
    lines = str(error).splitlines()
    assert len(lines) == 2 * len(error.mistakes)
    assert lines[2:4] == ["dataset.classes: 1", "hint: write the name in quotes"]
    several = refused(TREE, ["nonsense", "methods.7.lr=1"])
    assert [mistake.value for mistake in several.mistakes] == ["nonsense", "methods.7.lr=1"]


@pytest.mark.parametrize(
    ("override", "field", "value", "remedy"),
    [
        ("runtime.batch_size=0", "runtime.batch_size", "0", "must be 1 or more, or `auto`"),
        ("runtime.batch_size=x", "runtime.batch_size", "'x'", "must be a whole number, or `auto`"),
        ("runtime.batch_size=null", "runtime.batch_size", "null", "a whole number, or `auto`"),
        ("runtime.retries=1.5", "runtime.retries", "1.5", "must be a whole number"),
        ("runtime.image_timeout=.nan", "runtime.image_timeout", "nan", "must be a finite number"),
        ("relevance.threshold=x", "relevance.threshold", "'x'", "must be a number, or `otsu`"),
        ("save_masks=maybe", "save_masks", "'maybe'", "must be true or false"),
        ("output=''", "output", "''", "must be at least 1 letter long"),
        ("name=3", "name", "3", "must be a text; put it in quotes, as '3'"),
        ("model=[]", "model", "[]", "must be a group of options, as {key: value}"),
        ("methods=seraser", "methods", "'seraser'", "must be a list, as [a, b]"),
        ("methods=[3]", "methods.0", "3", "must be a group of options"),
        ("dataset.split=3", "dataset.split", "3", "must be a group of options"),
        ("dataset.box=[a, b]", "dataset.box", "['a', 'b']", "at least 4 values, not 2"),
        ("methods=[{name: tda, negative_mask: [1]}]", "methods.0.negative_mask.1", "missing", "2"),
        ("methods=[group_prompt]", "methods.0.prompts", "missing", "required"),
        ("path=x.csv", "path", "unknown key", "did you mean `dataset.path`?"),
    ],
)
def test_mistakes_are_told_in_our_own_words(tree, override, field, value, remedy):
    error = refused(tree, [override])
    assert (error.field, error.value) == (field, value)
    assert remedy in error.remedy
    assert len(error.mistakes) == 1


def test_every_fault_that_an_option_can_have_has_words():
    parts = ("bool", "dict", "float", "int", "list", "model", "string", "tuple")
    kinds = {kind for kind in get_args(ErrorType) if kind.split("_")[0] in parts}
    assert kinds <= mistakes._WANTED.keys() | {"string_not_ascii"}  # which no option asks for
    assert mistakes._WANTED.keys() <= set(get_args(ErrorType))
    groups = (RunConfig, GridConfig, *method_options().values())
    schemas = json.dumps([group.model_json_schema() for group in groups])
    used = re.findall(r'"pattern": ("(?:[^"\\\\]|\\\\.)*")', schemas)
    used += re.findall(r'"patternProperties": {("(?:[^"\\\\]|\\\\.)*")', schemas)
    assert set(map(json.loads, used)) == mistakes.PATTERNS.keys()


def test_a_secret_is_not_repeated(tree):
    error = refused(tree, ["dataset.storage_options.secret=hunter2"])
    assert "hunter2" not in str(error)
    error = refused(tree, ["dataset.storage_options.client_kwargs={aws_access_key_id: hunter2}"])
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "option", ["dataset.path", "dataset.classes", "output", "model.name", "model.pretrained"]
)
@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@host/a.csv",
        "ftp://:hunter2@host/a.csv",
        "simplecache::https://user:hunter2@host/a.csv",
        "https://bucket.s3.amazonaws.com/a.csv?X-Amz-Expires=9&X-Amz-Signature=hunter2",
        "https://storage.googleapis.com/a.csv?X-Goog-Signature=hunter2",
        "https://account.blob.core.windows.net/a.csv?sv=1&sig=hunter2",
    ],
)
def test_urls_with_secrets_are_refused_and_not_repeated(tree, option, url):
    *groups, last = option.split(".")
    (tree.setdefault(groups[0], {}) if groups else tree)[last] = url
    error = refused(tree)
    assert error.field == option
    assert "hunter2" not in str(error)
    assert "environment" in error.remedy


@pytest.mark.parametrize(
    "url", ["abfs://box@account.dfs.core.windows.net/a.csv", "https://host:80/a@b:c.csv?v=1"]
)
def test_urls_without_secrets_are_taken(tree, url):
    tree["dataset"]["path"] = url
    assert load_config(tree).dataset.path == url


@pytest.mark.parametrize(
    "override",
    [
        "dataset={storage_options: {secret: hunter2}",  # the bracket is forgotten
        "dataset={storage_options: {a: hunter2}",
        "dataset={token: hunter2, token: hunter2}",
        "dataset={token:hunter2, token:hunter2}",
        "dataset={token:hunter2}",
        "dataset={api_key hunter2}",
        'dataset=\'{"api-key": "hunter2"\'',
        "dataset.attributes={token: hunter2",
        "methods.7={token: hunter2}",
        "methods=[{name: {token: my hunter2}}]",
        "name={password: hunter2}",
        "seed=token = hunter2",
        "HF_TOKEN hunter2",
        "HF_TOKEN:hunter2",
        "output=s3://KEY:hunter2/abc@host/x",
        "output=s3://KEY:/hunter2@host/x",
        "output=ftp://me:1a/hunter2@host/x",
        "output=https://host/x?bearer=hunter2",
    ],
)
def test_a_secret_in_a_group_of_options_is_not_repeated(tree, override):
    assert "hunter2" not in str(refused(tree, [override]))


def test_a_secret_in_a_value_of_the_wrong_kind_is_not_repeated(tree):
    tree["dataset"] = "https://user:hunter2@host/a.csv"
    assert "hunter2" not in str(refused(tree))


def test_a_missing_option_is_named(tree):
    del tree["dataset"]["path"]
    error = refused(tree)
    assert (error.field, error.value, error.remedy) == (
        "dataset.path",
        "missing",
        "this option is required",
    )
    assert refused({}).field == "dataset"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a: [", "YAML"),
        (b"- a\n- b\n", "top level"),
        (b"", "top level"),
        (b"\xff\xfe\xfd", "YAML"),
        (b"a: !!python/object/apply:os.system [ls]", "YAML"),
        (b"a: !!bool x", "YAML"),
        (b"a: 2024-13-45", "YAML"),
        (b"a: " + b"[" * 3000, "YAML"),
    ],
)
def test_files_that_hold_no_configuration(tmp_path, content, text):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    error = refused(path)
    assert error.field == "config"
    assert text in error.remedy


@pytest.mark.parametrize(
    ("content", "line", "text"),
    [
        ("name: a\ndataset:\n\tpath: x\n", 3, "a tab where there must be spaces"),
        ("name: a\nseed: 1\nname: b\n", 3, "`name` a second time, the first is in line 1"),
        ("dataset:\n  path: a\n  path: b\n", 3, "`path` a second time, the first is in line 2"),
        ('name: a\noutput: "C:\\Users\\me"\n', 2, "single quotes"),
        ('name: a\noutput: "D:\\temp\\new"\n', 2, "single quotes"),
        ('name: a\noutput: "data\\new\\test.csv"\n', 2, "single quotes"),
        ("name: a\noutput: b: c\n", 2, "put the value in quotes"),
        ("name: a\n  seed: 1\n", 2, "indentation"),
        ("dataset:\n    path: a\n  id: b\n", 3, "indentation"),
        ("name: 'a\nseed: 1\n", 3, "not closed"),
        ("name: a\nmethods: [a, b\nseed: 1\n", 3, "a bracket or a comma"),
        ("name: a\noutput: @runs\n", 2, "put it in quotes"),
        ("name: a\noutput: *runs\n", 2, "put it in quotes"),
        ("name: a\noutput: !secret x\n", 2, "put it in quotes"),
        ("name: a\n---\nname: b\n", 2, "a second document"),
    ],
)
def test_yaml_that_is_wrong_is_named_with_its_line(tmp_path, content, line, text):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    error = refused(path)
    assert error.field == "config"
    assert f"line {line}" in error.remedy
    assert text in error.remedy


def test_yaml_that_is_right_stays_so(tmp_path):
    path = tmp_path / "right.yaml"
    content = (
        "base: &base {format: table, path: x.csv, classes: [a, b]}\n"
        'run:\n  <<: *base\n  path: y.csv\n  template: "two lines\\nof {}"\n'
    )
    path.write_bytes(content.encode("utf-16"))
    tree = read_yaml("config", str(path))
    assert tree["run"]["path"] == "y.csv"
    assert tree["run"]["template"] == "two lines\nof {}"


def test_texts_that_are_no_utf_8_are_named_with_their_line(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: a\noutput: café\n".encode("latin-1"))
    assert "line 2 is no UTF-8 text" in refused(path).remedy


def test_files_that_are_not_there(tmp_path):
    assert "no such file" in refused(tmp_path / "gone.yaml").remedy
    assert refused(tmp_path).field == "config"
    assert refused("rubbish://a/b.yaml").field == "config"


def _bomb(first: str, inner: str) -> str:
    lines = [f"a0: &a0 {first}"]
    for level in range(1, 10):
        aliases = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} {inner % aliases}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_bomb("[x]", "[%s]"), "stand for more than 100,000 values"),
        (_bomb("{x: 1}", "{<<: [%s]}"), "stand for more than 100,000 values"),
        ("&a [*a]", "own alias"),
        ("a: &x {b: [*x]}", "own alias"),
    ],
)
def test_aliases_that_stand_for_too_much_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_yaml(text)


def test_other_aliases_are_read():
    text = "a: &x [1, 2]\nb: *x\nc: &y {q: 1}\nd: {<<: *y, r: 2}"
    assert parse_yaml(text) == {"a": [1, 2], "b": [1, 2], "c": {"q": 1}, "d": {"q": 1, "r": 2}}
    assert len(parse_yaml(f"[{'x, ' * 50_000}]")) == 50_000


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("name=2020-01-01", "put it in quotes, as '2020-01-01'"),
        ("dataset.classes=[a, ~]", "dataset.classes: null\nhint: write the name in quotes"),
        ("dataset.classes=[{a: ~}]", "{'a': null}"),
        ("dataset.classes=[a, 2020-01-01]", ": 2020-01-01\nhint: write the name in quotes"),
        ("dataset.path=[~]", "[null]"),
    ],
)
def test_values_are_shown_as_yaml_has_them(tree, override, words):
    assert words in str(refused(tree, [override]))
