"""Lists, tables of JSON lines and files of names: where their lines end."""

from __future__ import annotations

import codecs
import json

import pytest

from seraser_core.config import parse_config
from seraser_core.errors import ConfigError
from seraser_core.sources.names import class_names
from seraser_core.sources.table import TableSource
from seraser_core.sources.urls import UrlsSource

STRANGE = ["a\x0cb.jpg", "a\x1cb.jpg", "a\u2028b.jpg", "a\x85b.jpg", "a\x0bb.jpg", "a\rb.jpg"]


def listing(source, path, **dataset):
    tree = {"path": str(path), "classes": ["a camel", "a deer"], **dataset}
    return source(parse_config({"dataset": tree}).dataset).listing()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_list_has_a_line_where_a_line_ends_and_nowhere_else(tmp_path, end, mark):
    names = ["plain.jpg", *STRANGE, "\u2028.jpg\xa0"]
    lines = [names[0], "", f" {names[1]}\t", "# not this", *names[2:]]
    (tmp_path / "list.txt").write_bytes(mark + end.join(lines).encode() + end.encode())
    found = listing(UrlsSource, tmp_path / "list.txt", format="urls")
    assert found.items["image"].to_list() == names
    assert found.facts == {"lines": len(lines)}


def test_a_file_of_classes_has_a_line_where_a_line_ends_and_nowhere_else(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes(codecs.BOM_UTF8 + "a\u2028camel\r\n\r\na\x0cdeer".encode())
    options = parse_config({"dataset": {"path": "/x.csv", "classes": str(path)}}).dataset
    assert class_names(options) == ["a\u2028camel", "a\x0cdeer"]


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\n \t\n", "\r\n\r\n"])
def test_json_lines_with_a_byte_order_mark_and_blank_lines(tmp_path, mark, end):
    rows = [{"image": f"a\u2028{i}.jpg", "y": i % 2} for i in range(3)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path = tmp_path / "x.jsonl"
    path.write_bytes(mark + (end.join(["", *lines, ""])).encode())
    found = listing(TableSource, path, label="y")
    assert found.items["image"].to_list() == [row["image"] for row in rows]
    assert found.items["label"].to_list() == [0, 1, 0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        codecs.BOM_UTF8,
        b'{"image": 1',
        b"[1]\n",
        b"null\n",
        b'{"image": "a"} {"image": "b"}',
        b'{"image": ["a"]}',
        b'{"image": "a", "image": "b"}',
        b'{"image": "a\\ud800.jpg"}',
        b"[" * 200_000,
    ],
    ids=lambda content: content[:30],
)
def test_json_lines_that_hold_no_table(tmp_path, content):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read as a table"):
        listing(TableSource, path)


def test_json_lines_of_values_of_all_kinds_are_texts_to_the_last_digit(tmp_path):
    ids = ["9007199254740993", "1.50", "true", '"007"', str(2**70), "1" * 5000]
    lines = [f'{{"id": {one}, "image": "x.jpg", "other": [1], "b": 1.5}}' for one in ids]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    box = {"box": ["b"] * 4}
    found = listing(TableSource, tmp_path / "x.jsonl", id="id", **box)
    assert found.items["item_id"].to_list() == [one.strip('"') for one in ids]
    assert found.items["box"].to_list() == [[1.5] * 4] * len(ids)
    with pytest.raises(ConfigError, match="columns: id, image, other, b"):
        listing(TableSource, tmp_path / "x.jsonl", label="z")


def test_columns_that_only_late_json_lines_have(tmp_path):
    lines = ['{"image": "a"}'] * 3000 + ['{"image": "b", "y": "a deer"}', '{"image": null}']
    (tmp_path / "x.jsonl").write_text("\n".join(lines[:-1]))
    assert listing(TableSource, tmp_path / "x.jsonl", label="y").items["label"][-1] == 1
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="every row needs an image"):
        listing(TableSource, tmp_path / "x.jsonl")


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("setting", ["image", "label", "box", "split.column"])
def test_columns_of_the_same_name_are_refused_where_they_are_used(tmp_path, ending, setting):
    twice = {"image": "image", "label": "y", "box": "b", "split.column": "s"}[setting]
    names = ["image", "y", "b", "c", "d", "e", "s", "n", "n", twice]
    path = tmp_path / f"x.{ending}"
    sign = "," if ending == "csv" else "\t"
    path.write_text(f"{sign.join(names)}\n" + f"{sign.join('1' * len(names))}\n")
    used = {"label": "y", "box": list("bcde"), "split": {"column": "s", "values": [1]}}
    with pytest.raises(ConfigError, match="2 columns of this name") as caught:
        listing(TableSource, path, **used)
    assert (caught.value.field, caught.value.value) == (f"dataset.{setting}", repr(twice))
    path.write_text(f"{sign.join(names[:-1])}\n" + f"{sign.join('1' * (len(names) - 1))}\n")
    assert listing(TableSource, path, **used).items.height == 1


def test_lines_of_the_same_file_are_one_image_and_are_told(tmp_path):
    lines = ["é.jpg", "./e\u0301.jpg", "b.jpg", f"{tmp_path}/b.jpg", "a//b.jpg", "a/./b.jpg"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    found = listing(UrlsSource, tmp_path / "list.txt", format="urls")
    assert found.items["item_id"].to_list() == ["é.jpg", "b.jpg", "a/b.jpg"]
    assert found.warnings == [
        "3 lines repeat others, e.g. 'e\u0301.jpg'; each image is evaluated once"
    ]


@pytest.mark.parametrize(
    ("content", "images", "said"),
    [
        ("a.jpg\rb.jpg\r".encode("utf-16"), ["a.jpg", "b.jpg"], 0),
        (b'"a.jpg"\r\n"b c.jpg"\r\n', ["a.jpg", "b c.jpg"], 1),
        (b"caf\xe9.jpg\n", ["café.jpg"], 1),
        (b"a\\b.jpg\na\\c.jpg\n", ["a/b.jpg", "a/c.jpg"], 1),
    ],
)
def test_lists_as_editors_write_them(tmp_path, content, images, said):
    (tmp_path / "list.txt").write_bytes(content)
    found = listing(UrlsSource, tmp_path / "list.txt", format="urls")
    assert found.items["image"].to_list() == images
    assert len(found.warnings) == said


@pytest.mark.parametrize("content", ["a.jpg 0\nb.png 1\n", "image,label\na.jpg,cat\nb.jpg, dog\n"])
def test_lists_with_labels_are_tables(tmp_path, content):
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(ConfigError, match=r"paths with labels; .* use format: table"):
        listing(UrlsSource, tmp_path / "list.txt", format="urls")
