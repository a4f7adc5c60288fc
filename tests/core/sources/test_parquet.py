"""Parquet files: columns of every kind, and those that cannot be used."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seraser_core.config import parse_config
from seraser_core.errors import ConfigError, ItemError, TransientError
from seraser_core.sources.cells import read_cell
from seraser_core.sources.fetch import fetch_image, fetch_mask
from seraser_core.sources.planner import plan_items

CLASSES = ["a camel", "a deer"]
PICTURES = [b"1st", b"2nd", b"1st", b"4th"]


def write(path, table, **label_features):
    if label_features:
        features = {
            name: {"names": names, "_type": "ClassLabel"} for name, names in label_features.items()
        }
        said = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(said)
    pq.write_table(table, path, row_group_size=2)
    return {"format": "parquet", "path": str(path)}


def plan(tmp_path, **dataset):
    tree = {
        "output": str(tmp_path / "runs"),
        "dataset": {"classes": CLASSES, "allow_empty_classes": True} | dataset,
        "methods": ["zero_shot"],
    }
    said = []
    config = parse_config(tree)
    return plan_items(config, said.append), said, config.dataset


def refused(tmp_path, **dataset) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, **dataset)
    return caught.value


@pytest.mark.parametrize(
    "column",
    [
        pa.array(PICTURES).dictionary_encode(),
        pa.array(PICTURES, pa.binary(3)),
        pa.array(PICTURES, pa.large_binary()),
        pa.array([{"bytes": data, "path": None} for data in PICTURES]),
    ],
    ids=lambda column: str(column.type),
)
def test_pictures_of_every_kind_of_column(tmp_path, column):
    dataset = write(tmp_path / "x.parquet", pa.table({"image": column, "mask": column}))
    planned, _, options = plan(tmp_path, **dataset, mask="mask")
    items = planned.table.to_pylist()
    assert [fetch_image(item, options) for item in items] == PICTURES
    assert [fetch_mask(item, options) for item in items] == PICTURES


def test_labels_of_a_dictionary(tmp_path):
    labels = pa.array(["a deer", "a camel", None]).dictionary_encode()
    dataset = write(tmp_path / "x.parquet", pa.table({"image": PICTURES[:3], "y": labels}))
    planned, _, _ = plan(tmp_path, **dataset, label="y")
    assert planned.table["label"].to_pylist() == [1, 0, None]


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("image", "image", "image"),
        ("label", "y", "y"),
        ("box", "b", ["b", "c", "d", "e"]),
        ("split.column", "s", None),
    ],
)
def test_columns_of_the_same_name_are_refused_where_they_are_used(tmp_path, setting, name, value):
    columns = {"image": pa.array(PICTURES), "y": pa.array([0, 1, 0, 1]), "s": pa.array([1] * 4)}
    columns |= {side: pa.array([0, 1, 2, 3]) for side in "bcde"}
    names = [*columns, name]
    table = pa.Table.from_arrays([*columns.values(), columns[name]], names=names)
    dataset = write(tmp_path / "x.parquet", table)
    if setting == "split.column":
        dataset["split"] = {"column": "s", "values": [1]}
    else:
        dataset[setting] = value
    error = refused(tmp_path, **dataset)
    assert (error.field, error.value) == (f"dataset.{setting}", repr(name))
    assert "has 2 columns of this name" in error.remedy


def test_columns_of_the_same_name_that_nobody_reads_do_not_matter(tmp_path):
    table = pa.Table.from_arrays(
        [pa.array(PICTURES), pa.array(["x"] * 4), pa.array(["y"] * 4)], names=["image", "n", "n"]
    )
    planned, _, options = plan(tmp_path, **write(tmp_path / "x.parquet", table))
    assert [fetch_image(item, options) for item in planned.table.to_pylist()] == PICTURES


@pytest.mark.parametrize("name", ["file of the row", "row", "url", "name", "version", "bytes"])
def test_a_column_may_have_any_name(tmp_path, name):
    dataset = write(tmp_path / "x.parquet", pa.table({"image": PICTURES, name: [0, 1, 1, 0]}))
    planned, _, _ = plan(tmp_path, **dataset, label=name)
    assert planned.table["label"].to_pylist() == [0, 1, 1, 0]


@pytest.mark.parametrize("setting", ["label", "attribute", "id", "box", "split"])
def test_of_a_missing_column_all_that_are_there_are_named_and_no_other(tmp_path, setting):
    dataset = write(tmp_path / "x.parquet", pa.table({"image": PICTURES, "y": [0, 1, 1, 0]}))
    dataset[setting] = "z"
    if setting == "box":
        dataset["box"] = ["z", "y", "y", "y"]
    if setting == "split":
        dataset["split"] = {"column": "z", "values": [1]}
    error = refused(tmp_path, **dataset)
    assert error.field.startswith(f"dataset.{setting}")
    assert error.remedy.endswith("x.parquet has no such column; columns: image, y")


def test_pictures_are_no_labels(tmp_path):
    dataset = write(tmp_path / "x.parquet", pa.table({"image": PICTURES}))
    error = refused(tmp_path, **dataset, id="image")
    assert (error.field, error.value) == ("dataset.id", "column 'image' of type binary")


def test_files_may_have_other_types_orders_and_columns_of_the_same_values(tmp_path):
    texts = ["a camel", "a deer", "a deer", "a camel"]
    labels = [
        [0, 1, 1, 0],
        [b"0", b"1", b"1", b"0"],
        [0.0, 1.0, 1.0, 0.0],
        pa.array(texts, pa.large_string()),
        pa.array(texts).dictionary_encode(),
        pa.array([0, 1, 1, 0], pa.int8()),
    ]
    boxes = [[1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0], *[pa.array([1, 2, 3, 4], pa.float32())] * 4]
    for place, (column, box) in enumerate(zip(labels, boxes, strict=True)):
        columns = {"image": PICTURES, "y": column, "b": box, f"z{place}": [[1]] * 4}
        names = list(columns)[:: -1 if place % 2 else 1]
        write(tmp_path / f"{place}.parquet", pa.table({name: columns[name] for name in names}))
    dataset = {"format": "parquet", "path": f"{tmp_path}/*.parquet", "box": ["b"] * 4}
    planned, said, _ = plan(tmp_path, **dataset, label="y")
    assert planned.table["label"].to_pylist() == [0, 1, 1, 0] * len(labels)
    assert planned.table["box"].to_pylist()[::4] == [[1.0] * 4] * len(labels)
    assert not [line for line in said if "WARNING" in line]


def test_files_without_rows_are_passed_over_and_told(tmp_path):
    empty = pa.table({"image": pa.nulls(0), "other": pa.nulls(0)})
    write(tmp_path / "1.parquet", empty)
    (tmp_path / "2.parquet").write_bytes(b"")
    dataset = {"format": "parquet", "path": f"{tmp_path}/*.parquet"}
    assert refused(tmp_path, **dataset).remedy == "no row is in its files"
    write(tmp_path / "3.parquet", pa.table({"image": PICTURES, "y": [0, 1, 1, 0]}))
    planned, said, _ = plan(tmp_path, **dataset, label="y")
    assert planned.table["label"].to_pylist() == [0, 1, 1, 0]
    assert f"WARNING: 2 files hold no rows, e.g. {tmp_path}/1.parquet" in said


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("setting", ["image", "mask"])
def test_cells_that_hold_only_paths_are_refused(tmp_path, setting, statistics):
    only = [{"bytes": None, "path": f"/data/{i}.jpg"} for i in range(4)]
    whole = [{"bytes": data, "path": None} for data in PICTURES]
    columns = {"image": whole, "mask": whole, setting: only}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", write_statistics=statistics)
    dataset = {"format": "parquet", "path": f"{tmp_path}/x.parquet", "mask": "mask"}
    error = refused(tmp_path, **dataset)
    assert error.field == f"dataset.{setting}"
    assert error.value == f"no cell of {setting!r} holds bytes, but paths such as '/data/0.jpg'"
    assert "format: table" in error.remedy
    # A null beside pictures is an error row.
    columns = {"image": whole, "mask": whole, setting: [*whole[:3], only[0]]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet", write_statistics=statistics)
    _, said, _ = plan(tmp_path, **dataset)
    assert any(f"1 of 4 cells of {setting!r} hold no bytes" in line for line in said)


def test_what_is_no_parquet_file_is_told_with_the_remedy(tmp_path):
    path = tmp_path / "x.parquet"
    dataset = {"format": "parquet", "path": str(path)}
    for content, remedy in (
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<html>Sign in</html>", "web page"),
        (b"PAR1 and no more", "no whole Parquet file"),
        (b"image,y", "no whole Parquet file"),
    ):
        path.write_bytes(content)
        assert remedy in refused(tmp_path, **dataset).remedy
    path.unlink()
    path.mkdir()
    assert "is a folder; name the files in it" in refused(tmp_path, **dataset).remedy


@pytest.mark.parametrize("names", [CLASSES, CLASSES[::-1]])
def test_no_label_of_hugging_face_is_none_and_is_told(tmp_path, names):
    table = pa.table({"image": PICTURES, "y": [0, -1, None, 1], "place": [-1, -1, 0, 1]})
    dataset = write(tmp_path / "x.parquet", table, y=names, place=["desert", "lake"])
    planned, said, _ = plan(tmp_path, **dataset, label="y", attribute="place")
    expected = [CLASSES.index(names[0]), None, None, CLASSES.index(names[1])]
    assert planned.table["label"].to_pylist() == expected
    assert planned.table["attribute"].to_pylist() == [None, None, 0, 1]
    assert "WARNING: 1 rows have -1 in 'y', which is no label" in said
    assert "WARNING: 2 rows have -1 in 'place', which is no attribute" in said


def test_a_test_split_without_labels_is_an_audit(tmp_path):
    dataset = write(tmp_path / "x.parquet", pa.table({"image": PICTURES, "y": [-1] * 4}), y=CLASSES)
    planned, said, _ = plan(tmp_path, **dataset, label="y", classes=None)
    assert planned.table["label"].null_count == 4
    assert "WARNING: 4 rows have -1 in 'y', which is no label" in said


def test_minus_one_of_a_column_without_label_features_is_none_as_well(tmp_path):
    dataset = write(tmp_path / "x.parquet", pa.table({"image": PICTURES, "y": [0, -1, 1, 0]}))
    planned, said, _ = plan(tmp_path, **dataset, label="y")
    assert planned.table["label"].to_pylist() == [0, None, 1, 0]
    assert any("'-1' (1) stands for no label" in line for line in said)


@pytest.mark.parametrize(
    ("recorded", "classes"),
    [
        (["Cat", "dog"], ["dog", "cat"]),
        (["cat", "dog", "horse"], ["dog", "cat"]),
        (["cat", "dog"], ["ant", "cat", "dog"]),
        (["cat", "hot_dog"], ["a hot dog", "a cat"]),
    ],
)
@pytest.mark.parametrize("setting", ["label", "attribute"])
def test_recorded_names_at_another_index_go_by_name(tmp_path, setting, recorded, classes):
    table = pa.table({"image": PICTURES, "y": [0, 1, None, 0]})
    dataset = write(tmp_path / "x.parquet", table, y=recorded) | {setting: "y"}
    dataset["classes" if setting == "label" else "attributes"] = classes
    planned, _, _ = plan(tmp_path, **dataset)
    found = [None if i is None else classes[i] for i in planned.table[setting].to_pylist()]
    meant = {name.removeprefix("a ").replace(" ", "_"): name for name in classes}
    first, second = (meant[name.lower()] for name in recorded[:2])
    assert found == [first, second, None, first]


def test_recorded_names_of_which_some_are_elsewhere_and_some_unknown_are_refused(tmp_path):
    table = pa.table({"image": PICTURES, "y": [0, 1, 2, 3]})
    names = ["airplane", "automobile", "bird", "cat"]
    dataset = write(tmp_path / "x.parquet", table, y=names)
    classes = ["airplane", "bird", "car", "cat"]
    error = refused(tmp_path, **dataset, label="y", classes=classes)
    assert (error.field, error.value) == ("dataset.classes", "'bird' at index 1")
    assert "has it at index 2" in error.remedy
    assert "'automobile'" in error.remedy
    error = refused(tmp_path, **dataset, attribute="y", attributes=classes)
    assert error.field == "dataset.attributes"


@pytest.mark.parametrize("names", [CLASSES, CLASSES[::-1]])
def test_a_label_that_its_feature_does_not_name_is_refused(tmp_path, names):
    table = pa.table({"image": PICTURES, "y": [0, 7, 1, 0]})
    dataset = write(tmp_path / "x.parquet", table, y=names)
    error = refused(tmp_path, **dataset, label="y")
    assert (error.field, error.value) == ("dataset.label", "7 (1 rows)")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal(0), Decimal(1)], pa.decimal256(40, 2)),
        pa.array([timedelta(1), timedelta(2)]),
        pa.array([[0], [1]]),
        pa.array([{"a": 0}, {"a": 1}]),
        pa.array([[("a", 0)], [("a", 1)]], pa.map_(pa.string(), pa.int32())),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_of_no_texts_or_numbers_are_refused_before_they_are_read(tmp_path, column):
    table = pa.table({"image": PICTURES[:2], "y": column})
    dataset = write(tmp_path / "x.parquet", table)
    for setting in ("label", "attribute", "id"):
        error = refused(tmp_path, **dataset | {setting: "y"})
        assert error.field == f"dataset.{setting}"
        assert error.value.startswith("column 'y' of type ")
    assert refused(tmp_path, **dataset, box=["y"] * 4).field == "dataset.box"


@pytest.mark.parametrize(
    "column", [pa.array(["1", "2"]), pa.array([date(2020, 1, 1)] * 2), pa.array([True, False])]
)
def test_sides_of_boxes_are_numbers(tmp_path, column):
    dataset = write(tmp_path / "x.parquet", pa.table({"image": PICTURES[:2], "y": column}))
    error = refused(tmp_path, **dataset, box=["y"] * 4)
    assert (error.field, error.remedy) == ("dataset.box", "must hold numbers")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal(0), Decimal(1)], pa.decimal128(10, 2)),
        pa.array(np.array([0, 1], np.float16)),
        pa.array([b"a camel", b"a deer"]),
        pa.array([False, True]),
        pa.array([0.0, 1.0]).dictionary_encode(),
        pa.array(["a camel", "a deer"], pa.string_view()),
    ],
    ids=lambda column: str(column.type),
)
def test_labels_of_every_kind_of_column(tmp_path, column):
    dataset = write(tmp_path / "x.parquet", pa.table({"image": PICTURES[:2], "y": column}))
    assert plan(tmp_path, **dataset, label="y")[0].table["label"].to_pylist() == [0, 1]


@pytest.mark.parametrize("at", [0, 5, 30])
def test_a_damaged_page_is_damage_and_no_fault_that_passes(tmp_path, at):
    pictures = [np.random.default_rng(i).bytes(5000) for i in range(6)]
    path = tmp_path / "x.parquet"
    pq.write_table(
        pa.table({"image": pictures}),
        path,
        row_group_size=2,
        use_dictionary=False,
        compression="snappy",
    )
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset + at
    data = bytearray(path.read_bytes())
    data[start : start + 20] = b"\xa5" * 20
    path.write_bytes(data)
    assert read_cell(str(path), "image", 0, {}) == pictures[0]
    with pytest.raises(ItemError) as caught:
        read_cell(str(path), "image", 2, {})
    assert (caught.value.stage, caught.value.code) == ("fetch", "damaged")


@pytest.mark.parametrize("fault", [OSError("slow down"), OSError(5, "input/output error")])
def test_a_fault_of_storage_while_a_page_is_read_may_pass(tmp_path, monkeypatch, fault):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": PICTURES}), path, row_group_size=2)
    read_cell(str(path), "image", 0, {})  # where its row groups are is known from here on
    opened = Path.open

    def failing(*given):
        file = opened(*given)
        monkeypatch.setattr(file, "read", lambda *size: (_ for _ in ()).throw(fault))
        return file

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(TransientError):
        read_cell(str(path), "image", 2, {})
