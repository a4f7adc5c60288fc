"""Missing labels and attributes, whatever is written for them, are no classes and no groups."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from miniatures import put

from seraser_core.config import load_config
from seraser_core.errors import ConfigError
from seraser_core.sources.missing import is_missing, known
from seraser_core.sources.planner import PlannedItems, plan_items

NOTHING = ["NA", "N/A", "n/a", "None", "null", "NULL", "NaN", "nan", "-", "?", "", "  ", "<NA>"]
NOTHING += ["#N/A", "--", "NaT", "none", "\t"]
MORE = [
    "N.A",
    "N.A.",
    "missing",
    "#N/A!",
    "(blank)",
    "Blank",
    "undefined",
    "Unspecified",
    "..",
    "_",
]
SOURCES = ["csv", "jsonl", "parquet table", "parquet", "webdataset"]


def plan(dataset: dict[str, Any], lines: list[str] | None = None) -> PlannedItems:
    tree = {"dataset": {"classes": ["cat", "dog"], **dataset}, "methods": ["zero_shot"]}
    return plan_items(load_config(tree), (lines if lines is not None else []).append)


def write(kind: str, root: Path, labels: list[Any], attributes: list[Any]) -> dict[str, Any]:
    """Images with these labels and attributes; the options that read them."""
    names = [f"{i:02}.png" for i in range(len(labels))]
    put(root, *names)
    rows = {"image": names, "y": labels, "a": attributes}
    columns = {"label": "y", "attribute": "a"}
    if kind == "webdataset":
        with tarfile.open(root / "x.tar", "w") as tar:
            for name, label, attribute in zip(names, labels, attributes, strict=True):
                document = json.dumps({"y": label, "a": attribute}).encode()
                for ending, data in (("png", (root / name).read_bytes()), ("json", document)):
                    member = tarfile.TarInfo(f"{name[:-4]}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        return {"format": "webdataset", "path": f"{root}/x.tar", **columns}
    if kind == "jsonl":
        lines = [
            json.dumps(dict(zip(rows, row, strict=True)))
            for row in zip(*rows.values(), strict=True)
        ]
        (root / "x.jsonl").write_text("\n".join(lines))
        return {"path": f"{root}/x.jsonl", **columns}
    table = pl.DataFrame(rows)
    if kind == "csv":
        table.write_csv(root / "x.csv")
        return {"path": f"{root}/x.csv", **columns}
    if kind == "parquet":
        pictures = [(root / name).read_bytes() for name in names]
        table = table.with_columns(image=pl.Series(pictures, dtype=pl.Binary))
    table.write_parquet(root / "x.parquet")
    return {"format": kind.split()[-1], "path": f"{root}/x.parquet", **columns}


@pytest.mark.parametrize("text", NOTHING + MORE)
def test_what_stands_for_nothing(text):
    assert is_missing(text)
    assert not is_missing(text, ["x", text])
    assert not is_missing(text, [text.upper(), "x"])


@pytest.mark.parametrize("text", ["0", "nature", "nana", "unknown", "no", "-1", "other", "x-"])
def test_what_stands_for_something(text):
    assert not is_missing(text)


@pytest.mark.parametrize("kind", SOURCES)
def test_missing_is_missing_in_every_source(kind, tmp_path):
    labels = ["cat", "dog", *NOTHING, None]
    attributes = ["land", "water", *reversed(NOTHING), None]
    lines: list[str] = []
    planned = plan(write(kind, tmp_path, labels, attributes), lines)
    assert planned.attributes == ["land", "water"]
    assert planned.table["label"].to_pylist() == [0, 1] + [None] * (len(NOTHING) + 1)
    assert planned.table["attribute"].to_pylist() == [0, 1] + [None] * (len(NOTHING) + 1)
    told = "\n".join(lines)
    assert "'#N/A' (1), '-" in told
    assert "stands for no attribute; name it in dataset.attributes if it is one" in told
    assert f"{len(NOTHING) + 1} of {len(labels)} images have no label" in told


@pytest.mark.parametrize("kind", SOURCES)
def test_a_configured_name_is_none_of_them(kind, tmp_path):
    dataset = write(kind, tmp_path, ["None", "cat", "NA"], ["NA", "?", "null"])
    lines: list[str] = []
    names = {"classes": ["cat", "None"], "attributes": ["?", "NA"]}
    planned = plan(dataset | names, lines)
    assert planned.table["label"].to_pylist() == [1, 0, None]
    assert planned.table["attribute"].to_pylist() == [1, 0, None]
    told = [line for line in lines if "stands for no" in line]
    assert ["'NA' (1)" in told[0], "'null' (1)" in told[1], len(told)] == [True, True, 2]


@pytest.mark.parametrize("kind", SOURCES)
def test_minus_one_is_no_label(kind, tmp_path):
    dataset = write(kind, tmp_path, [0, -1, 1, -1], [1, 0, -1, -1])
    lines: list[str] = []
    planned = plan(dataset, lines)
    assert planned.table["label"].to_pylist() == [0, None, 1, None]
    assert planned.table["attribute"].to_pylist() == [1, 0, None, None]
    assert any("'-1' (2) stands for no label" in line for line in lines)


@pytest.mark.parametrize("kind", SOURCES)
def test_minus_one_and_one_are_two_values_or_refused(kind, tmp_path):
    dataset = write(kind, tmp_path, [0, 1, 1, 0], [-1, 1, 1, -1])
    with pytest.raises(ConfigError, match="-1 and 1 in 'a'") as caught:
        plan(dataset)
    assert caught.value.field == "dataset.attribute"
    planned = plan(dataset | {"attributes": {"-1": "female", "1": "male"}})
    assert planned.attributes == ["female", "male"]
    assert planned.table["attribute"].to_pylist() == [0, 1, 1, 0]


def test_masks_and_boxes_that_are_missing(tmp_path):
    put(tmp_path, "a.png", "b.png", "m.png")
    rows = "image,y,mask,l,t,r,b\na.png,0,m.png,0,0,5,5\nb.png,1,None,NA,NA,NA,NA\n"
    (tmp_path / "t.csv").write_text(rows)
    columns = {"label": "y", "mask": "mask", "box": ["l", "t", "r", "b"]}
    table = plan({"path": f"{tmp_path}/t.csv", **columns}).table
    assert table["mask"].to_pylist() == [f"{tmp_path}/m.png", None]
    assert table["box"].to_pylist() == [[0, 0, 5, 5], None]


def test_the_most_frequent_ones_are_told():
    said: list[str] = []
    texts = pl.Series(["a", "NA", "NA", "?", None, ""])
    kept = known(texts, ["a"], "label", "y", said)
    assert kept.to_list() == ["a", None, None, None, None, None]
    assert said == [
        "in 'y', 'NA' (2), '?' (1) stands for no label; name it in dataset.classes if it is one"
    ]


@pytest.mark.parametrize(
    ("texts", "names", "expected"),
    [
        (["0", "1", "-999", "-9999.0"], [], ["0", "1", None, None]),
        (["cat", "-999"], ["cat", "dog"], ["cat", None]),
        (["-999", "0"], ["-999", "0"], ["-999", "0"]),
        (["land", "-999"], [], ["land", "-999"]),
        (["-12", "-999"], [], ["-12", "-999"]),
    ],
)
def test_numbers_that_stand_for_none(texts, names, expected):
    said: list[str] = []
    assert known(pl.Series(texts), names, "attribute", "a", said).to_list() == expected
    assert bool(said) == (None in expected)


def test_unknown_is_a_value_and_is_told():
    said: list[str] = []
    texts = pl.Series(["land", "Unknown", "Unknown"])
    assert known(texts, [], "attribute", "a", said).equals(texts)
    assert len(said) == 1
    assert "'Unknown' (2) is taken for a value of its own" in said[0]
    said.clear()
    known(texts, ["land", "Unknown"], "attribute", "a", said)
    assert said == []
