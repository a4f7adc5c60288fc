"""Files that name classes, and mappings of labels to the names in prompts, for every format."""

from __future__ import annotations

import codecs
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from miniatures import MINIATURES, put

from seraser_core.config import load_config
from seraser_core.config.classes import labels_of, names_of
from seraser_core.errors import ConfigError
from seraser_core.sources.class_files import read_entries
from seraser_core.sources.planner import PlannedItems, plan_items

_CAT_DOG = (["cat", "dog"], ["cat", "dog"])
_WORDNET = (["n01440764", "n01443537"], ["tench", "goldfish"])
FILES: dict[str, tuple[str, str, tuple[list[str], list[str]]]] = {
    "lines": (".txt", "cat\ndog\n", _CAT_DOG),
    "lines of no known ending": (".names", "cat\r\n\r\n dog ", _CAT_DOG),
    "numbered lines": (".txt", "0 cat\n1 dog", _CAT_DOG),
    "numbered lines with a colon": (".txt", "1: dog\n0: cat", _CAT_DOG),
    "names that begin with numbers": (".txt", "7up\n2 cats", (["7up", "2 cats"],) * 2),
    "names before their numbers": (".txt", "dog 1\ncat 0\n", _CAT_DOG),
    "names with a colon": (".txt", "cat: 0\ndog: 1", _CAT_DOG),
    "names with an equals sign": (".txt", "cat=0\ndog = 1", _CAT_DOG),
    "what a dictionary has between its braces": (".txt", '"cat": 0,\n"dog": 1,', _CAT_DOG),
    "names that end with numbers": (".txt", "class 0\nclass 1", (["class 0", "class 1"],) * 2),
    "a numbered list": (".txt", "1. cat\n2. dog", _CAT_DOG),
    "a numbered list from 0": (".txt", "0) cat\n1) dog", _CAT_DOG),
    "bullets": (".txt", "- cat\n- dog", _CAT_DOG),
    "quotes and commas": (".txt", '"cat",\n"dog",', _CAT_DOG),
    "commas but at the end": (".txt", "'cat',\n'dog'", _CAT_DOG),
    "numbers that are labels": (".txt", "2 dog\n1 cat", (["1", "2"], ["cat", "dog"])),
    "tabs": (".txt", "0\tcat\n1\tdog", _CAT_DOG),
    "WordNet ids": (".txt", "n01440764 tench\nn01443537 goldfish", _WORDNET),
    "a list": (".json", '["cat", "dog"]', _CAT_DOG),
    "a list over many lines": (".json", '[\n  "cat",\n  "dog"\n]\n', _CAT_DOG),
    "a JSON list as text": (".txt", '[\n  "cat",\n  "dog"\n]\n', _CAT_DOG),
    "a dictionary that Python printed": (".txt", "{0: 'cat',\n 1: 'dog'}", _CAT_DOG),
    "numbers as keys": (".json", '{"0": "cat", "1": "dog"}', _CAT_DOG),
    "numbers as values": (".json", '{"dog": 1, "cat": 0}', _CAT_DOG),
    "ImageNet's index": (
        ".json",
        '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}',
        _WORDNET,
    ),
    "a model's config": (
        ".json",
        '{"id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 0, "dog": 1}, "d": [1]}',
        _CAT_DOG,
    ),
    "categories": (
        ".json",
        '{"categories": [{"id": 1, "name": "dog", "color": 3}, '
        '{"id": 0, "name": "cat", "color": 4}]}',
        _CAT_DOG,
    ),
    "labels to names": (".json", '{"n01440764": "tench", "n01443537": "goldfish"}', _WORDNET),
    "a YAML list": (".yaml", "- cat\n- dog\n", _CAT_DOG),
    "YAML numbers": (".yml", "0: cat\n1: dog\n", _CAT_DOG),
    "YOLO": (".yaml", "path: x\nnc: 2\nnames:\n  0: cat\n  1: dog\n", _CAT_DOG),
    "YAML labels": (".yaml", "n01440764: tench\nn01443537: goldfish\n", _WORDNET),
    "one column": (".csv", "cat\ndog\n", _CAT_DOG),
    "one column with a header": (".csv", "name\ncat\ndog\n", _CAT_DOG),
    "two columns": (".csv", "n01440764,tench\nn01443537,goldfish\n", _WORDNET),
    "two columns with a header": (
        ".csv",
        "label,name\nn01440764,tench\nn01443537,goldfish",
        _WORDNET,
    ),
    "the other way round": (
        ".csv",
        "Class Name,Folder\ntench,n01440764\ngoldfish,n01443537",
        _WORDNET,
    ),
    "species": (".csv", "folder,species\nn01440764,tench\nn01443537,goldfish", _WORDNET),
    "English": (".csv", "wordnet_id,english\nn01440764,tench\nn01443537,goldfish", _WORDNET),
    "one column of species": (".csv", "species\ncat\ndog", _CAT_DOG),
    "a first class that is a usual heading": (".csv", "0,text\n1,table", (["text", "table"],) * 2),
    "categories that begin at 1": (
        ".json",
        '{"categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "cat"}]}',
        (["1", "3"], ["cat", "dog"]),
    ),
    "class and index": (".csv", "label,index\ndog,1\ncat,0", _CAT_DOG),
    "index and class": (".csv", "index,class\n1,dog\n0,cat", _CAT_DOG),
    "numbers without a header": (".csv", "1,dog\n0,cat", _CAT_DOG),
    "semicolons": (".csv", "sep=;\nlabel;name\nn01440764;tench\nn01443537;goldfish\n", _WORDNET),
    "of a spreadsheet": (".csv", "id;name;;\r\n0;cat;;\r\n1;dog;;\r\n", _CAT_DOG),
    "tabs with a header": (".tsv", "label\tname\n0\tcat\n1\tdog", _CAT_DOG),
    "quotes": (".csv", 'a,"cat, tabby"\nb,dog', (["a", "b"], ["cat, tabby", "dog"])),
}


def read(tmp_path: Path, ending: str, content: str | bytes):
    path = tmp_path / f"classes{ending}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    options = load_config({"dataset": {"path": "/t.csv", "classes": str(path)}}).dataset
    return read_entries(options)


@pytest.mark.parametrize(("ending", "content", "expected"), FILES.values(), ids=FILES.keys())
def test_files(tmp_path, ending, content, expected):
    found = read(tmp_path, ending, content)
    assert (labels_of(found), names_of(found)) == expected


def test_what_windows_writes_is_read_and_said(tmp_path):
    (tmp_path / "classes.txt").write_bytes("Élan\r\nchien\r\n".encode("cp1252"))
    dataset = write("files", tmp_path / "data")
    lines: list[str] = []
    tree = {"dataset": dataset | {"classes": str(tmp_path / "classes.txt")}}
    planned = plan_items(load_config(tree | {"methods": ["zero_shot"]}), lines.append)
    assert planned.classes == ["Élan", "chien"]
    assert any("dataset.classes: it is no UTF-8" in line for line in lines)


@pytest.mark.parametrize(
    "mark", [(codecs.BOM_UTF8, "utf-8"), (b"", "utf-16"), (codecs.BOM_UTF16_BE, "utf-16-be")]
)
def test_marks_of_the_encoding_are_no_part_of_a_name(tmp_path, mark):
    content = mark[0] + "a chameau\r\nun élan\r\n".encode(mark[1])
    assert read(tmp_path, ".txt", content) == ["a chameau", "un élan"]
    assert read(tmp_path, ".json", mark[0] + '["é", "b"]'.encode(mark[1])) == ["é", "b"]


@pytest.mark.parametrize(
    ("ending", "content", "said"),
    [
        (".json", '["cat", "dog"', "is no JSON in line 1"),
        (".json", '{"a": "x",\n "a": "y"}', "the key 'a' more than once"),
        (".json", '{"x": 0, "y": 2}', "of which 1 is missing"),
        (".json", '{"x": 1, "y": 2}', "from 0 to 1"),
        (".json", '["cat", true]', "write the name in quotes"),
        (".json", '"cat"', "give a list"),
        (".json", '{"names": ["a"], "classes": ["b"]}', "holds names and classes"),
        (".json", '[{"x": 1, "y": "cat"}, {"x": 2, "y": "dog"}]', "objects with x, y"),
        (".json", "[" * 100_000, "nested too deeply"),
        (".json", "[]", "holds no names"),
        (".yaml", "a: [", "line 1, column 5"),
        (".yaml", "a: x\na: y\n", "`a` a second time"),
        (".yaml", "yes: x\nn: y\n", "in quotes"),
        (".yaml", "- no\n- cat\n", "in quotes"),
        (".yaml", "cat\ndog\n", "give a list"),
        (".yaml", "", "give a list"),
        (".csv", "a,b,c\nd,e,f\n", "its rows have 3 columns"),
        (".csv", "index,wnid,name\n0,n01,cat\n", "call them label and name"),
        (".csv", "label,class\ncat,0\n", "call them label and name"),
        (".csv", "fancy,words\n0,cat\n1,dog\n", "its first line is fancy and words"),
        (".csv", "cat,0\ndog,2\n", "of which 1 is missing"),
        (".csv", "folder,kind of animal\nn01,cat\nn02,dog\n", "write `label,name` in its place"),
        (".csv", "text\ntable\n", "write `name` in its place"),
        (".csv", "folder\ncat\n", "write `name` in its place"),
        (".csv", "a,x\na,y\n", "['a'] named more than once"),
        (".csv", "a,x\nb\n", "row 2 has 1 columns"),
        (".csv", "a,\nb,x\n", "must not be blank"),
        (".csv", "", "holds no names"),
        (".txt", "cat\ndog\ncat\n", "named more than once"),
        (".txt", "# animals\ncat\ndog\n", "'# animals' looks like a comment"),
        (".txt", "cat\n// more\ndog\n", "take such lines out"),
        (".txt", "- cat\ndog\n", "begins with a bullet"),
        (".txt", '"cat"\ndog\n', "is in quotes"),
        (".txt", "cat,\ndog\nfish\n", "ends with a comma"),
        (".txt", "1. cat\ndog\n", "begins with a number"),
        (".txt", "1. cat\n3. dog\n", "one after the other"),
        (".txt", "cat: 0\ndog\n", "number all of them so"),
        (".txt", "cat=1\ndog=2\n", "number all of them so"),
        (".txt", "\n \n", "holds no names"),
        (".txt", b"PK\x03\x04 of a workbook", "zip archive"),
        (".txt", "[\n'a',\n'b\n]", "line "),
    ],
)
def test_files_that_are_refused(tmp_path, ending, content, said):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, ending, content)
    assert said in str(caught.value)
    assert caught.value.field == "dataset.classes"
    assert f"classes{ending}" in str(caught.value.value)


PROMPTS = {"n2": "african elephant", "n10": "barn owl"}
"""In another order than that of the sorted folders."""


def write(kind: str, root: Path) -> dict[str, Any]:
    """Two images of n2 and one of n10 in a format; the options that read them."""
    images = {"n2/a.png": "n2", "n10/b.png": "n10", "n2/c.png": "n2"}
    put(root, *images)
    if kind == "folder":
        return {"format": "folder", "path": str(root)}
    if kind == "files":
        return {"format": "files", "path": f"{root}/**.png"}
    if kind == "urls":
        (root / "list.txt").write_text("\n".join(images))
        return {"format": "urls", "path": f"{root}/list.txt"}
    if kind == "webdataset":
        with tarfile.open(root / "x.tar", "w") as tar:
            for number, (image, label) in enumerate(images.items()):
                for ending, data in (("png", (root / image).read_bytes()), ("cls", label.encode())):
                    member = tarfile.TarInfo(f"{number}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        return {"format": "webdataset", "path": f"{root}/x.tar"}
    table = pl.DataFrame({"image": list(images), "y": list(images.values()), "a": ["w", "l", "w"]})
    if kind == "parquet":
        data = [(root / image).read_bytes() for image in images]
        table.with_columns(image=pl.Series(data, dtype=pl.Binary)).write_parquet(root / "x.parquet")
        path = f"{root}/x.parquet"
    else:
        table.write_csv(root / "x.csv")
        path = f"{root}/x.csv"
    return {"format": kind, "path": path, "label": "y", "attribute": "a"}


def plan(dataset: dict[str, Any], **options: Any) -> PlannedItems:
    return plan_items(load_config({"dataset": dataset | options, "methods": ["zero_shot"]}))


@pytest.mark.parametrize("how", ["mapping", "json", "csv", "yaml"])
@pytest.mark.parametrize("kind", ["table", "folder", "webdataset", "parquet", "urls", "files"])
def test_prompt_names_of_labels(kind, how, tmp_path):
    dataset = write(kind, tmp_path / "data")
    text = {
        "json": json.dumps(PROMPTS),
        "csv": "label,name\n" + "\n".join(map(",".join, PROMPTS.items())),
        "yaml": yaml.safe_dump(PROMPTS, sort_keys=False),
    }
    if how != "mapping":
        (tmp_path / f"classes.{how}").write_text(text[how])
    classes = PROMPTS if how == "mapping" else str(tmp_path / f"classes.{how}")
    planned = plan(dataset, classes=classes)
    assert (planned.labels, planned.classes) == (["n2", "n10"], ["african elephant", "barn owl"])
    labels = planned.table["label"].to_pylist()
    if kind in ("urls", "files"):
        assert labels == [None] * 3
        return
    assert planned.source["images_of_class"] == {"african elephant": 2, "barn owl": 1}
    if kind in ("table", "folder"):
        of = dict(zip(planned.table["item_id"].to_pylist(), labels, strict=True))
        assert of == {"n2/a.png": 0, "n2/c.png": 0, "n10/b.png": 1}


def test_names_of_attributes(tmp_path):
    dataset = write("table", tmp_path)
    planned = plan(dataset, classes=PROMPTS, attributes={"w": "water", "l": "land"})
    assert planned.attributes == ["water", "land"]
    of = {row["item_id"]: row["attribute"] for row in planned.table.to_pylist()}
    assert of == {"n2/a.png": 0, "n2/c.png": 0, "n10/b.png": 1}


def test_numbered_folders_are_their_numbers(tmp_path):
    put(tmp_path, "0/a.png", "1/b.png", "10/c.png", *(f"{i}/x.png" for i in range(2, 10)))
    names = {str(i): f"class {i}" for i in sorted(range(11), key=str)}
    planned = plan({"format": "folder", "path": str(tmp_path)}, classes=names)
    assert planned.classes == [f"class {i}" for i in range(11)]
    of = {row["item_id"]: row["label"] for row in planned.table.to_pylist()}
    assert [of["1/b.png"], of["10/c.png"], of["2/x.png"]] == [1, 10, 2]
    with pytest.raises(ConfigError, match="folder '10' is not among them"):
        plan({"format": "folder", "path": str(tmp_path)}, classes=list(names.values())[:10])


@pytest.mark.parametrize("numbers", [(1, 2), (3, 10)])
@pytest.mark.parametrize("kind", ["table", "folder"])
def test_numbers_that_are_no_indices_are_labels(kind, numbers, tmp_path):
    first, second = numbers
    images = [f"{second}/a.png", f"{first}/b.png", f"{first}/c.png"]
    put(tmp_path, *images)
    dataset: dict[str, Any] = {"format": "folder", "path": str(tmp_path)}
    if kind == "table":
        rows = "\n".join(f"{image},{image.split('/')[0]}" for image in images)
        (tmp_path / "x.csv").write_text(f"image,y\n{rows}")
        dataset = {"path": f"{tmp_path}/x.csv", "label": "y"}
    lines: list[str] = []
    tree = {"dataset": dataset | {"classes": {second: "dog", first: "cat"}}}
    planned = plan_items(load_config(tree | {"methods": ["zero_shot"]}), lines.append)
    assert (planned.classes, planned.labels) == (["cat", "dog"], [str(first), str(second)])
    assert planned.source["images_of_class"] == {"cat": 2, "dog": 1}
    assert [line for line in lines if f"{first} stands for 'cat'" in line]
    with pytest.raises(ConfigError, match=f"'{second}'"):
        plan(dataset, classes={first: "cat", 77: "dog"})


def test_a_label_without_a_name_is_named(tmp_path):
    with pytest.raises(ConfigError, match="folder 'n10' is not among them"):
        plan(write("folder", tmp_path / "f"), classes={"n2": "elephant", "n3": "owl"})
    with pytest.raises(ConfigError, match="no image of 'n3'"):
        plan(write("table", tmp_path / "t"), classes={**PROMPTS, "n3": "owl"})
    with pytest.raises(ConfigError, match="'n10'"):
        plan(write("table", tmp_path / "t"), classes={"n2": "elephant", "n3": "owl"})


def test_some_classes_of_a_benchmark_have_other_names(tmp_path):
    MINIATURES["imagenet-a"].write(tmp_path)
    dataset = {"format": "benchmark", "name": "imagenet-a", "path": str(tmp_path)}
    before = plan(dataset)
    renamed = plan(dataset, classes={"n12267677": "acorn nut", "stingray": "a stingray"})
    assert renamed.table.equals(before.table)
    assert renamed.labels == before.classes
    assert renamed.classes == ["a stingray", *before.classes[1:199], "acorn nut"]
    with pytest.raises(ConfigError, match=r"'stingrays'[\s\S]*did you mean 'stingray'"):
        plan(dataset, classes={"stingrays": "a stingray"})
    with pytest.raises(ConfigError, match="same class as another label"):
        plan(dataset, classes={"n01498041": "a ray", "stingray": "a stingray"})


def test_recorded_names_of_a_parquet_file_are_mapped_by_name(tmp_path):
    table = pl.DataFrame({"image": [b"1", b"2", b"3"], "y": [0, 1, 0]}).to_arrow()
    features = {"y": {"names": ["n10", "n2"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet")
    dataset = {"format": "parquet", "path": f"{tmp_path}/x.parquet", "label": "y"}
    planned = plan(dataset, classes=PROMPTS)
    assert planned.classes == ["african elephant", "barn owl"]
    assert planned.table["label"].to_pylist() == [1, 0, 1]


def test_a_name_that_a_parquet_file_records_twice_is_refused(tmp_path):
    table = pl.DataFrame({"image": [b"1", b"2", b"3"], "y": [0, 1, 2]}).to_arrow()
    features = {"y": {"names": ["crane", "crane", "owl"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet")
    dataset = {"format": "parquet", "path": f"{tmp_path}/x.parquet", "label": "y"}
    with pytest.raises(ConfigError, match="'crane' more than once") as caught:
        plan(dataset)
    assert caught.value.field == "dataset.classes"
    planned = plan(dataset, classes=["crane", "construction crane", "owl"])
    assert planned.table["label"].to_pylist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["n01440764", "n01443537"], "'n01440764'"),
        (["0", "1"], "'0'"),
        (["golden_retriever", "poodle"], "'golden_retriever'"),
        (["golden retriever", "poodle"], None),
    ],
)
def test_names_that_mean_nothing_in_a_prompt_are_told(folders, said, tmp_path):
    put(tmp_path, *(f"{folder}/a.png" for folder in folders))
    lines: list[str] = []
    tree = {"dataset": {"format": "folder", "path": str(tmp_path)}, "methods": ["zero_shot"]}
    plan_items(load_config(tree), lines.append)
    told = [line for line in lines if "prompts" in line]
    assert [line.count(said or "") > 0 for line in told] == ([True] if said else [])
    tree["dataset"] |= {"classes": {folder: f"word {i}" for i, folder in enumerate(folders)}}
    lines.clear()
    plan_items(load_config(tree), lines.append)
    assert not [line for line in lines if "prompts" in line]
