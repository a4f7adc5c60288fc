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


@pytest.mark.parametrize("content", [b"", b"\n\n", codecs.BOM_UTF8, b'{"image": 1', b"[1]\n"])
def test_json_lines_that_hold_no_table(tmp_path, content):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read as a table"):
        listing(TableSource, path)
