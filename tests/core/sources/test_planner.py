"""Plans: their order, their shards, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seraser_core import storage
from seraser_core.config import load_config
from seraser_core.config.options import ShardOptions
from seraser_core.errors import ConfigError
from seraser_core.sources import planner
from seraser_core.sources.items import ITEMS_SCHEMA
from seraser_core.sources.planner import cut_shards, plan_items
from seraser_core.sources.table import TableSource


@given(
    sizes=st.lists(st.integers(0, 1000), max_size=200),
    most_items=st.integers(1, 50),
    most_bytes=st.integers(1, 3000),
)
def test_shards_cover_every_item_once_within_the_limits(sizes, most_items, most_bytes):
    limits = ShardOptions(max_items=most_items, max_bytes=most_bytes)
    shards = cut_shards(np.array(sizes, dtype=np.int64), limits)
    assert [i for s in shards for i in range(s.start, s.stop)] == list(range(len(sizes)))
    assert [s.id for s in shards] == [f"{i:05d}" for i in range(len(shards))]
    for shard in shards:
        held = sum(sizes[shard.start : shard.stop])
        assert 1 <= len(shard) <= most_items
        assert held <= most_bytes or len(shard) == 1
    for shard in shards[:-1]:  # none could have taken the next item too
        full = len(shard) == most_items
        assert full or sum(sizes[shard.start : shard.stop + 1]) > most_bytes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(order=st.permutations(range(6)))
def test_the_order_of_rows_changes_nothing(plan, table, order):
    options = {"shard": {"max_items": 4}, "attribute": "a", "mask": "mask"}
    expected = plan(**options)
    found = plan(table[list(order)], **options)
    assert found.table.equals(expected.table)
    assert (found.shards, found.classes) == (expected.shards, expected.classes)


def test_a_plan_of_a_table(plan, tmp_path):
    planned = plan(attribute="a", mask="mask", box=["x0", "y0", "x1", "y1"])
    base = f"{tmp_path}/data"
    rows = planned.table.to_pylist()
    assert planned.table.schema.equals(ITEMS_SCHEMA)
    assert [row["item_id"] for row in rows] == ["Z", "a", "b", "c", "f", "é"]  # UTF-8 bytes
    assert [row["item_index"] for row in rows] == list(range(6))
    assert [row["label"] for row in rows] == [0, 1, 1, 1, 0, 0]
    assert [row["attribute"] for row in rows] == [1, 0, 1, 0, 1, 0]
    assert rows[2]["image"] == f"{base}/b b.png"
    assert rows[1]["image"] == f"{base}/sub/a.png"
    assert rows[5]["mask"] == f"{base}/m/é.png"
    assert rows[2]["mask"] is None
    assert rows[4]["box"] == [0.0, 0.0, 9.5, 9.0]
    assert rows[3]["box"] is None
    assert rows[0]["offset"] is rows[0]["length"] is rows[0]["size"] is None
    assert planned.classes == ["a camel", "a deer"]
    assert planned.attributes == []
    assert planned.source["images_of_class"] == {"a camel": 3, "a deer": 3}
    assert [(s.start, s.stop) for s in planned.shards] == [(0, 6)]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "CSV"])
def test_every_kind_of_table_gives_the_same_plan(plan, table, tmp_path, ending):
    expected = plan(mask="mask")
    path = tmp_path / "data" / f"other.{ending}"
    if ending == "parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, separator="\t" if ending == "tsv" else ",", include_bom=True)
    assert plan(mask="mask", path=str(path)).table.equals(expected.table)


def test_a_table_and_its_images_on_s3(plan, table, bucket, tmp_path):
    local = plan(mask="mask")
    storage.write_bytes(f"{bucket}/set/table.csv", (tmp_path / "data" / "table.csv").read_bytes())
    remote = plan(mask="mask", path=f"{bucket}/set/table.csv")
    assert remote.table["item_id"].equals(local.table["item_id"])
    assert remote.table["image"].to_pylist()[2] == f"{bucket}/set/b b.png"
    assert remote.table["mask"].to_pylist()[5] == f"{bucket}/set/m/é.png"


def test_a_plan_in_many_parts_is_the_same(plan, monkeypatch):
    whole = plan().table
    monkeypatch.setattr(planner, "_ROWS_AT_ONCE", 4)
    parts = plan().table
    assert parts["size"].num_chunks == parts["image"].num_chunks > 1
    assert parts.equals(whole)


def test_labels_may_be_names(plan, table):
    named = table.with_columns(pl.Series("y", ["a camel", "a deer"] * 3))
    assert plan(named).table.equals(plan().table)


def test_labels_of_pandas_with_gaps_are_whole_numbers(plan, table, tmp_path):
    path = tmp_path / "gaps.parquet"
    gaps = pl.Series("y", [0.0, 1.0, float("nan"), 1.0, None, 1.0])
    table.with_columns(gaps).write_parquet(path)
    labels = dict(
        zip(
            *plan(path=str(path)).table.select(["item_id", "label"]).to_pydict().values(),
            strict=True,
        )
    )
    assert labels == {"f": 0, "b": 1, "é": None, "a": 1, "Z": None, "c": 1}


def test_the_images_of_every_class_are_told(plan):
    said = []
    plan(report=said.append)
    assert said == ["6 images: a camel 3, a deer 3"]


def test_without_labels_it_is_an_audit(plan):
    said = []
    planned = plan(label=None, report=said.append)
    assert said == ["6 images: no labels"]
    assert planned.table["label"].null_count == 6
    assert planned.source["images_of_class"] == {"a camel": 0, "a deer": 0}


def test_ids_that_look_like_numbers_stay_as_they_are(plan, table):
    numbered = table.with_columns(pl.Series("id", [f"00{i}" for i in range(6)]))
    assert plan(numbered).table["item_id"].to_pylist() == [f"00{i}" for i in range(6)]
    named = numbered.with_columns(pl.col("id").alias("file"))
    assert plan(named).table["image"].to_pylist()[1].endswith("/001")


def test_without_an_id_the_path_is_the_id(plan):
    planned = plan(id=None)
    assert planned.table["item_id"].to_pylist()[-2:] == ["sub/a.png", "é.png"]


@pytest.mark.parametrize("values", [[2], ["2"], [2, 0]])
@pytest.mark.parametrize("kind", [pl.Int64, pl.String, pl.Float64])
def test_a_split_is_a_filter(plan, table, tmp_path, values, kind):
    path = tmp_path / "typed.parquet"
    part = table["part"] if kind == pl.Float64 else table["part"].cast(kind)
    table.with_columns(part.cast(kind)).write_parquet(path)
    planned = plan(path=str(path), split={"column": "part", "values": values})
    assert planned.table.num_rows == 4 + (0 in values)
    assert planned.source["rows"] == 6


def test_a_split_on_true_and_false(plan, table, tmp_path):
    path = tmp_path / "typed.parquet"
    table.with_columns(pl.col("part") == 2).write_parquet(path)
    assert plan(path=str(path), split={"column": "part", "values": [True]}).table.num_rows == 4


@pytest.mark.parametrize(
    ("values", "rows"), [(["007"], 2), ([7], 3), (["7"], 1), (["true"], 1), ([True], 1)]
)
def test_a_split_of_a_csv_is_text(plan, table, values, rows):
    parts = table.with_columns(pl.Series("part", ["007", "007", "7", "true", "x", None]))
    options = {"split": {"column": "part", "values": values}, "allow_empty_classes": True}
    assert plan(parts, **options).table.num_rows == rows


@pytest.mark.parametrize(
    ("parts", "value", "told"),
    [
        (["test", "Test", "Test", "TEST", "train", None], "test", "'Test' (2), 'TEST' (1)"),
        (["2", "02", "2.00", "02", "3", None], "2", "'02' (2), '2.00' (1)"),
    ],
)
def test_near_values_of_a_split_are_told(plan, table, parts, value, told):
    lines: list[str] = []
    options = {"split": {"column": "part", "values": [value]}, "allow_empty_classes": True}
    listed = plan(table.with_columns(pl.Series("part", parts)), report=lines.append, **options)
    assert listed.table.num_rows == 1
    assert any(told in line and "are left out" in line for line in lines)


@pytest.mark.parametrize("setting", ["label", "attribute"])
@pytest.mark.parametrize("kind", [pl.Boolean, pl.String])
def test_csv_and_parquet_agree_on_true_and_false(plan, table, tmp_path, setting, kind):
    values = pl.Series("v", [True, True, False, False, None, False])
    frame = table.with_columns(values.cast(kind))
    path = tmp_path / "typed.parquet"
    frame.write_parquet(path)
    names = {"classes": ["true", "false"]} if setting == "label" else {"attributes": ["True", "no"]}
    if setting == "attribute":
        with pytest.raises(ConfigError, match="'false'"):
            plan(path=str(path), attribute="v", **names)
        names = {"attributes": ["True", "False"]}
    for planned in (
        plan(frame, **{setting: "v"}, **names),
        plan(path=str(path), **{setting: "v"}, **names),
    ):
        assert planned.table[setting].to_pylist() == [None, 1, 0, 1, 0, 1]  # Z, a, b, c, f, é
    plain = plan(path=str(path), attribute="v")
    assert plain.attributes == []
    assert plain.table["attribute"].to_pylist() == [None, 0, 1, 0, 1, 0]


def test_csv_and_parquet_refuse_names_that_are_other_indices(plan, table, tmp_path):
    path = tmp_path / "typed.parquet"
    table.write_parquet(path)
    for options in ({}, {"path": str(path)}):
        with pytest.raises(ConfigError) as caught:
            plan(classes=["1", "0"], **options)
        assert (caught.value.field, caught.value.value) == ("dataset.label", "'0'")


STRANGE = {
    "list": pl.Series([[1]] * 6),
    "struct": pl.Series([{"a": 1}] * 6),
    "bytes": pl.Series([b"\xff\x00"] * 6),
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("setting", ["image", "id", "label", "attribute", "mask", "split.column"])
def test_columns_of_other_types_are_refused(plan, table, tmp_path, kind, setting):
    path = tmp_path / "typed.parquet"
    table.with_columns(STRANGE[kind].alias("v")).write_parquet(path)
    options = {"split": {"column": "v", "values": [1]}} if "split" in setting else {setting: "v"}
    with pytest.raises(ConfigError) as caught:
        plan(path=str(path), **options)
    assert caught.value.field == f"dataset.{setting}"
    assert "'v' of type" in str(caught.value.value)


@pytest.mark.parametrize(
    "values", [pl.Series([2**63 + 5] * 6, dtype=pl.UInt64), pl.Series([1e19] * 6)]
)
def test_numbers_beyond_all_indices_are_refused(plan, table, tmp_path, values):
    path = tmp_path / "typed.parquet"
    table.with_columns(values.alias("v")).write_parquet(path)
    with pytest.raises(ConfigError, match="indices or names"):
        plan(path=str(path), label="v")
    with pytest.raises(ConfigError, match="has the values"):
        plan(path=str(path), split={"column": "v", "values": [1]})


def test_attribute_names_are_found_when_none_are_given(plan, table):
    named = table.with_columns(pl.Series("a", ["sea", "sea", "land", "land", None, "land"]))
    planned = plan(named, attribute="a")
    assert planned.attributes == ["land", "sea"]
    assert planned.table["attribute"].to_pylist() == [None, 0, 1, 0, 1, 0]
    given = plan(named, attribute="a", attributes=["sea", "land"])
    assert given.table["attribute"].to_pylist() == [None, 1, 0, 1, 0, 1]


def test_classes_from_a_file(plan, tmp_path):
    (tmp_path / "classes.txt").write_text("\ufeffa camel\n\n  a deer \n")
    assert plan(classes=str(tmp_path / "classes.txt")).classes == ["a camel", "a deer"]


def test_empty_classes_on_request(plan):
    planned = plan(classes=["a camel", "a deer", "a fish"], allow_empty_classes=True)
    assert planned.source["images_of_class"]["a fish"] == 0


def test_outside_paths_on_request(plan, table):
    paths = ["/x/f.png", "../b.png", "s3://other/c.png", "a.png", "Z.png", "c.png"]
    planned = plan(table.with_columns(pl.Series("file", paths)), allow_outside=True)
    found = dict(zip(table["id"].sort(), planned.table["image"].to_pylist(), strict=True))
    assert found["f"] == "/x/f.png"
    assert found["é"] == "s3://other/c.png"


@pytest.mark.parametrize("column", ["file", "mask"])
@pytest.mark.parametrize(
    "url", ["https://user:hunter2@host/a.png", "https://host/a.png?X-Amz-Signature=hunter2"]
)
def test_urls_with_secrets_are_refused_and_not_repeated(plan, table, column, url):
    secret = table.with_columns(pl.lit(url).alias(column))
    for allowed in (True, False):
        with pytest.raises(ConfigError) as caught:
            plan(secret, mask="mask", allow_outside=allowed)
        assert caught.value.field == f"dataset.{'image' if column == 'file' else 'mask'}"
        assert "hunter2" not in str(caught.value)


def with_column(name, *values):
    return lambda table: table.with_columns(pl.Series(name, values))


REFUSED = {
    "class without an image": (
        {"classes": ["a", "b", "c"]},
        None,
        "dataset.classes",
        "'c'",
        "allow_empty",
    ),
    "label outside": (
        {},
        with_column("y", 0, 1, 2, 1, 0, 1),
        "dataset.label",
        "2 (1 rows)",
        "names",
    ),
    "negative label": ({}, with_column("y", 0, 1, -2, 1, 0, 1), "dataset.label", "-2", "names"),
    "unknown class name": (
        {},
        with_column("y", "a camel", "a dear", "a camel", "a deer", "a deer", "a deer"),
        "dataset.label",
        "a dear",
        "did you mean 'a deer'",
    ),
    "label between two": (
        {},
        with_column("y", 0.5, 1.0, 1.0, 1.0, 0.0, 0.0),
        "dataset.label",
        "0.5",
        "indices or names",
    ),
    "unknown attribute name": (
        {"attribute": "a", "attributes": ["land", "sea"]},
        with_column("a", "land", "see", "sea", "sea", "sea", "sea"),
        "dataset.attribute",
        "see",
        "did you mean 'sea'",
    ),
    "attribute outside": (
        {"attribute": "a", "attributes": ["land", "sea"]},
        with_column("a", 0, 1, 2, 0, 0, 0),
        "dataset.attribute",
        "2",
        "dataset.attributes",
    ),
    "negative attribute": (
        {"attribute": "a"},
        with_column("a", 0, 1, -2, 0, 0, 0),
        "dataset.attribute",
        "-2",
        "negative",
    ),
    "repeated id": ({}, with_column("id", *"abcdea"), "dataset.id", "'a'", "unique"),
    "repeated image": (
        {"id": None},
        with_column("file", *"abcdea"),
        "dataset.image",
        "'a'",
        "dataset.id",
    ),
    "empty id": ({}, with_column("id", *"abcde", None), "dataset.id", "empty", "needs an id"),
    "empty image": ({}, with_column("file", *"abcde", ""), "dataset.image", "empty", "needs"),
    "no such column": ({"image": "fiel"}, None, "dataset.image", "fiel", "did you mean 'file'"),
    "no such label column": ({"label": "label"}, None, "dataset.label", "label", "columns: id,"),
    "no such mask column": ({"mask": "masks"}, None, "dataset.mask", "masks", "'mask'"),
    "no such box column": ({"box": ["x0", "y0", "x1", "y2"]}, None, "dataset.box", "y2", "'y"),
    "box of texts": (
        {"box": ["x0", "y0", "x1", "y1"]},
        with_column("y1", *"abcdef"),
        "dataset.box",
        "y1",
        "number",
    ),
    "no such split column": (
        {"split": {"column": "splt", "values": [1]}},
        None,
        "dataset.split.column",
        "splt",
        "columns",
    ),
    "empty split": (
        {"split": {"column": "part", "values": [7]}},
        None,
        "dataset.split",
        "7",
        "2 (4 rows)",
    ),
    "no rows": ({}, lambda table: table.clear(), "dataset.path", "table.csv", "no row"),
    "parent": ({}, with_column("file", *"abcde", "x/../../y"), "dataset.image", "../", "allow_out"),
    "parent in a mask": (
        {"mask": "mask"},
        with_column("mask", *"abcde", ".."),
        "dataset.mask",
        "..",
        "allow_out",
    ),
    "coded parent": ({}, with_column("file", *"abcde", "%2E%2e/y"), "dataset.image", "2e", "allow"),
    "absolute": (
        {},
        with_column("file", *"abcde", "/etc/passwd"),
        "dataset.image",
        "/etc",
        "allow",
    ),
    "url": ({}, with_column("file", *"abcde", "s3://b/a.png"), "dataset.image", "s3://", "allow"),
    "file url": ({}, with_column("file", *"abcde", "file:///a"), "dataset.image", "'/a'", "allow"),
    "unknown ending": ({"path": "/x/table.xlsx"}, None, "dataset.path", "xlsx", "as CSV"),
    "other ending": ({"path": "/x/table.db"}, None, "dataset.path", ".db", ".parquet"),
    "no such table": ({"path": "/no/table.csv"}, None, "dataset.path", "/no/", "no such file"),
    "unknown scheme": ({"path": "rubbish://a/t.csv"}, None, "dataset.path", "rubbish", "cannot"),
    "no such classes": ({"classes": "/no/classes.txt"}, None, "dataset.classes", "/no", "no such"),
    "number beyond all": (
        {},
        with_column("y", *"0101", "9" * 23, "1"),
        "dataset.label",
        "9999",
        "indices",
    ),
    "blank class": ({"classes": ["a camel", " "]}, None, "dataset.classes", "' '", "blank"),
    "one class": ({"classes": ["a camel"], "label": None}, None, "dataset.classes", "", "two"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refused_at_plan_time(plan, table, fault):
    options, change, field, value, remedy = REFUSED[fault]
    with pytest.raises(ConfigError) as caught:
        plan(change(table) if change else None, **options)
    assert caught.value.field == field
    assert value in str(caught.value)
    assert remedy in caught.value.remedy


def test_blank_lines_are_no_rows_and_gaps_are_told(plan, table, tmp_path):
    expected = plan(mask="mask").table
    text = (tmp_path / "data" / "table.csv").read_text()
    path = tmp_path / "data" / "gaps.csv"
    path.write_text(text + "\n\n")
    assert plan(mask="mask", path=str(path)).table.equals(expected)
    options = {"path": str(path), "id": "id", "image": "file", "label": "y", "mask": "mask"}
    said = []
    tree = {"dataset": {**options, "classes": ["a camel", "a deer"]}, "methods": ["zero_shot"]}
    plan_items(load_config(tree), said.append)
    assert said[1:] == ["WARNING: 1 of 6 images have no mask"]


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        (b"", "csv"),
        (b"id,file,y\na,b\nc,d,e,f,g\n", "csv"),
        (b"\xff\xfe\x00\x01garbage", "csv"),
        (b"PAR1 not really", "parquet"),
        (b"", "parquet"),
    ],
)
def test_unreadable_tables_are_refused(plan, tmp_path, content, ending):
    path = tmp_path / f"bad.{ending}"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        plan(path=str(path))
    assert caught.value.field in ("dataset.path", "dataset.image")
    assert caught.value.remedy


def test_a_folder_named_like_a_table_is_refused(plan, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match="is a folder; name the table in it"):
        plan(path=str(tmp_path / "folder.csv"))


@pytest.mark.parametrize(
    ("kind", "need"),
    [("mask", "mask"), ("mask+augment", "mask"), ("box", "box")],
)
def test_methods_that_need_a_region(plan, kind, need):
    method = {"name": "seraser", "auxiliary": kind}
    with pytest.raises(ConfigError) as caught:
        plan(methods=[method])
    assert caught.value.field == f"dataset.{need}"
    assert "relevance" in caught.value.remedy
    columns = {"mask": "mask", "box": ["x0", "y0", "x1", "y1"]}
    assert plan(methods=[method], **{need: columns[need]}).table.num_rows == 6


def test_unreachable_and_missing_buckets_are_refused(plan, s3, unused_port, hasty):
    with pytest.raises(ConfigError) as caught:
        plan(path="s3://no-such-bucket-here/table.csv")
    assert caught.value.field == "dataset.path"
    options = {
        "endpoint_url": f"http://127.0.0.1:{unused_port}",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1},
    }
    for dataset in (
        {"path": "s3://bucket/table.csv", "storage_options": options},
        {
            "path": "s3://bucket/set",
            "format": "folder",
            "storage_options": options,
            "id": None,
            "label": None,
        },
    ):
        with pytest.raises(ConfigError) as caught:
            plan(**dataset)
        assert caught.value.field == "dataset.path"
        assert str(unused_port) in str(caught.value)


def folder_config(path: str, **dataset):
    return load_config(
        {"dataset": {"format": "folder", "path": path, **dataset}, "methods": ["zero_shot"]}
    )


FILES = ["cat/1.jpg", "cat/deep/2.PNG", "dög/1 é.webp", "dög/notes.txt", "top.png", "cat/.x.png"]


def write_files(root: str, files=FILES) -> None:
    for i, name in enumerate(files):
        storage.write_bytes(storage.join(root, name), b"x" * (i + 1))


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_folder_of_classes(where, tmp_path, request):
    root = str(tmp_path) if where == "local" else request.getfixturevalue("bucket") + "/set"
    write_files(root)
    planned = plan_items(folder_config(root))
    assert planned.classes == ["cat", "dög"]
    rows = planned.table.to_pylist()
    assert [r["item_id"] for r in rows] == ["cat/1.jpg", "cat/deep/2.PNG", "dög/1 é.webp"]
    assert [r["label"] for r in rows] == [0, 0, 1]
    assert [r["size"] for r in rows] == [1, 2, 3]
    assert [r["image"] for r in rows] == [f"{root}/{r['item_id']}" for r in rows]
    config = folder_config(root).model_copy(update={"shard": ShardOptions(max_bytes=3)})
    assert [(s.start, s.stop) for s in plan_items(config).shards] == [(0, 2), (2, 3)]


def test_a_folder_with_given_classes(tmp_path):
    write_files(str(tmp_path))
    planned = plan_items(folder_config(str(tmp_path), classes=["dög", "cat"]))
    assert planned.table["label"].to_pylist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("files", "options", "field", "text"),
    [
        (FILES, {"classes": ["cats", "dög"]}, "dataset.classes", "did you mean 'cats'"),
        (FILES, {"classes": ["cat", "dög", "eel"]}, "dataset.classes", "no image of 'eel'"),
        (["a.png", "b/c.txt"], {}, "dataset.path", "2 files"),
        (["cat/1.png"], {}, "dataset.path", "only the folder 'cat'"),
        ([], {}, "dataset.path", "no such folder"),
    ],
)
def test_refused_folders(tmp_path, files, options, field, text):
    write_files(str(tmp_path), files)
    with pytest.raises(ConfigError) as caught:
        plan_items(folder_config(str(tmp_path), **options))
    assert caught.value.field == field
    assert text in str(caught.value)


@pytest.mark.parametrize(("column", "setting"), [("item_id", "image"), ("image", "image")])
def test_an_image_without_an_id_or_a_place_is_never_planned(plan, monkeypatch, column, setting):
    whole = TableSource.listing

    def without(source):
        found = whole(source)
        null = pl.when(pl.int_range(pl.len()) > 0).then(pl.col(column)).alias(column)
        return replace(found, items=found.items.with_columns(null))

    monkeypatch.setattr(TableSource, "listing", without)
    with pytest.raises(ConfigError) as caught:
        plan(id=None)
    assert (caught.value.field, caught.value.value) == (f"dataset.{setting}", "1 empty cells")
