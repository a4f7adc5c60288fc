"""Tables as spreadsheets, editors and other programs write them."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from seraser_core.config import parse_config
from seraser_core.errors import ConfigError
from seraser_core.sources.delimited import read_delimited
from seraser_core.sources.source import Listing
from seraser_core.sources.table import TableSource

PLAIN = "image,y,x0,y0,x1,y1\na/1.png,0,0.5,1,10,11.25\ncafé.png,1,2,3,40,41\n"
IMAGES = ["a/1.png", "café.png"]
BOXES = [[0.5, 1.0, 10.0, 11.25], [2.0, 3.0, 40.0, 41.0]]


def listing(path: Path, content: bytes | str, **dataset: Any) -> Listing:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    tree = {"path": str(path), "classes": ["a camel", "a deer"], "label": "y", **dataset}
    given = {name: value for name, value in tree.items() if value is not None}
    return TableSource(parse_config({"dataset": given}).dataset).listing()


def refused(path: Path, content: bytes | str, **dataset: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        listing(path, content, **dataset)
    text = str(caught.value)
    advice = ("infer_schema", "truncate_ragged", "Consider", "ignore_errors", "SchemaError")
    assert not any(word in text for word in advice)
    return caught.value


ENCODED = {
    "UTF-8": (PLAIN.encode(), ""),
    "UTF-8 with a mark": (codecs.BOM_UTF8 + PLAIN.encode(), ""),
    "UTF-16 LE": (codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le"), ""),
    "UTF-16 BE": (codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"), ""),
    "UTF-16 LE without a mark": (PLAIN.encode("utf-16-le"), "read as UTF-16-LE"),
    "UTF-16 BE without a mark": (PLAIN.encode("utf-16-be"), "read as UTF-16-BE"),
    "UTF-32": (PLAIN.encode("utf-32"), ""),
    "Windows-1252": (PLAIN.encode("cp1252"), "read as Windows-1252, e.g. 'café.png,1"),
    "Mac Roman": (PLAIN.replace("\n", "\r").encode("mac_roman"), "read as Mac Roman"),
    "old Mac": (PLAIN.replace("\n", "\r").encode(), ""),
    "Windows": (PLAIN.replace("\n", "\r\n").encode(), ""),
    "no last line end": (PLAIN.strip().encode(), ""),
    "blank lines": (f"\n\n{PLAIN}\n \t\n\n".encode(), ""),
    "semicolons": (PLAIN.replace(",", ";").encode(), "separated by semicolons"),
    "tabs": (PLAIN.replace(",", "\t").encode(), "separated by tabs"),
    "bars": (PLAIN.replace(",", "|").encode(), "separated by bars"),
    "blanks": (PLAIN.replace(",", " ").encode(), "separated by blanks"),
    "sep": (f"sep=;\r\n{PLAIN}".replace(",", ";").encode(), "separated by semicolons"),
    "quoted sep": (f'"sep=,"\n{PLAIN}'.encode(), ""),
    "Excel's Unicode text": (
        codecs.BOM_UTF16_LE + PLAIN.replace(",", "\t").replace("\n", "\r\n").encode("utf-16-le"),
        "separated by tabs",
    ),
    "sep after a mark": (
        codecs.BOM_UTF16_LE + ("sep=;\n" + PLAIN.replace(",", ";")).encode("utf-16-le"),
        "separated by semicolons",
    ),
    "quotes": (PLAIN.replace("image", '"image"').replace("a/1.png", '"a/1.png"').encode(), ""),
    "all quoted": (
        "\n".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) for line in PLAIN.split("\n")[:-1]
        ).encode(),
        "",
    ),
    "blanks after commas": (PLAIN.replace(",", ", ").encode(), "blanks round them"),
    "quotes after blanks": (
        'image, "y", x0, y0, x1, y1\n"a/1.png", "0", "0.5", 1, 10, 11.25\n'
        '"café.png", "1", 2, 3, 40, 41\n'.encode(),
        "",
    ),
    "trailing commas": (PLAIN.replace("\n", ",\n").encode(), ""),
    "trailing commas in rows": (
        PLAIN.replace("\n", ",\n").replace("y1,\n", "y1\n").encode(),
        "2 lines end with empty cells",
    ),
    "an index of pandas": (
        PLAIN.replace("image", ",image").replace("a/", "0,a/").replace("café", "1,café").encode(),
        "",
    ),
    "row names of R": (
        PLAIN.replace("image", '"image"')
        .replace("a/", '"1",a/')
        .replace("café", '"2",café')
        .encode(),
        "numbers of the rows",
    ),
    "repeated and empty names": (
        b"image,y,x0,y0,x1,y1,,,n,n\na/1.png,0,0.5,1,10,11.25,p,q,r,s\n"
        + "café.png,1,2,3,40,41,,,,\n".encode(),
        "",
    ),
    "comments": (f"# by me\n# on Monday, at 5\n{PLAIN}# the end\n".encode(), "2 lines before"),
    "a comment of names": (f"# {PLAIN}".encode(), ""),
    "a title": (f"Export of 1 May,,,,,\n,,,,,\n{PLAIN},,,,,\n".encode(), "named in line 3"),
    "the end of DOS": (PLAIN.encode() + b"\x1a", ""),
    "signs that nobody sees": (
        PLAIN.replace("a/1", "\u200ba/1").replace(".png,1", ".png\xa0,1").encode(),
        "2 cells of 'image' have blanks round them",
    ),
    "decimal commas": (
        PLAIN.replace(",", ";").replace(".25", ",25").replace("0.5", "0,5").encode(),
        "have decimal commas",
    ),
    "gzip": (gzip.compress(PLAIN.encode()), ""),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_what_a_program_makes_of_a_table_changes_nothing_in_it(tmp_path, kind):
    content, said = ENCODED[kind]
    found = listing(tmp_path / "x.csv", content, box=["x0", "y0", "x1", "y1"])
    assert found.items["image"].to_list() == IMAGES
    assert found.items["item_id"].to_list() == IMAGES
    assert found.items["label"].to_list() == [0, 1]
    assert found.items["box"].to_list() == BOXES
    assert said in " ".join(found.warnings)
    assert bool(found.warnings) == bool(said)
    assert all("x.csv" in line or "'" in line for line in found.warnings)


@pytest.mark.parametrize("ending", ["tsv", "txt", "tab", "csv.gz", "TXT"])
def test_the_ending_does_not_decide_what_separates_cells(tmp_path, ending):
    for sign in (",", ";", "\t"):
        content = PLAIN.replace(",", sign).encode()
        content = gzip.compress(content) if ending.endswith("gz") else content
        assert listing(tmp_path / f"x.{ending}", content).items["image"].to_list() == IMAGES


def workbook(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


FOREIGN = {
    "Excel": (workbook("[Content_Types].xml", "xl/workbook.xml"), "Excel workbook; save"),
    "OpenDocument": (workbook("mimetype", "content.xml"), "OpenDocument spreadsheet; save"),
    "Numbers": (workbook("Index/Document.iwa"), "Numbers spreadsheet; export"),
    "zip": (workbook("x.csv"), "zip archive of 1 files; unpack it"),
    "damaged zip": (b"PK\x03\x04rubbish", "damaged zip archive"),
    "old Excel": (b"\xd0\xcf\x11\xe0" + bytes(100), "old Excel workbook; save"),
    "Parquet": (b"PAR1rubbish", "Parquet file; give it the ending"),
    "pickle": (pickle.dumps([1]), "pickle, which could run code; write it with"),
    "bzip2": (b"BZh91AY", "bzip2; unpack it"),
    "a web page": (b"\n<!DOCTYPE html><html>Sign in</html>", "web page, perhaps one to sign in"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "cut gzip": (gzip.compress(PLAIN.encode())[:-9], "no whole gzip file"),
    "binary": (b"image\0\0\0\1\1", "binary data"),
    "another encoding": ("image,y\n写真.png,0\n".encode("shift_jis") + b"\x81", "neither UTF-8"),
    "half of UTF-16": (codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le")[:-1], "no whole UTF-16"),
    "nothing": (b"", "holds no line"),
    "no rows": (b"image,y\n", "it has no rows"),
    "an open quote": (b'image,y\n"a.png,0\nb.png,1\nc.png,1\n', "begins in line 2 has a"),
    "a comma in a path": (b"image,y\na,b.png,0\nc.png,1\n", "line 2 has 3 cells, and line 1 names"),
    "a column without a name": (b"image,y\na,0,x\nb,1,y\n", "line 2 has 3 cells"),
}


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        (kind, ending)
        for kind, (content, _) in FOREIGN.items()
        for ending in ("csv", "jsonl")
        if ending == "csv" or content[:7] not in (b"image,y", b"")
    ],
)
def test_what_is_no_text_table_is_named_with_the_remedy(tmp_path, kind, ending):
    content, remedy = FOREIGN[kind]
    error = refused(tmp_path / f"x.{ending}", content)
    assert error.field == "dataset.path"
    assert remedy in error.remedy


@pytest.mark.parametrize("ending", ["xlsx", "XLS", "ods", "numbers"])
def test_spreadsheets_are_refused_by_their_names(tmp_path, ending):
    assert "save the sheet as CSV" in refused(tmp_path / f"x.{ending}", b"x").remedy


def test_a_folder_in_place_of_a_table(tmp_path):
    (tmp_path / "x.csv").mkdir()
    tree = {"path": str(tmp_path / "x.csv"), "classes": ["a", "b"]}
    with pytest.raises(ConfigError, match="name the table in it"):
        TableSource(parse_config({"dataset": tree}).dataset).listing()


def test_rows_that_lack_cells_are_told(tmp_path):
    found = listing(tmp_path / "x.csv", "image,n,y\na,x,0\nb,x\nc,,\nd\n")
    assert found.items["label"].to_list() == [0, None, None, None]
    assert found.warnings == [
        "x.csv: 2 lines have fewer cells than line 1 has names, e.g. line 3; those that lack count "
        "as empty"
    ]


def test_rows_with_another_separator_than_the_names_are_refused():
    with pytest.raises(ValueError, match="by commas, and the rows have semicolons"):
        read_delimited("image,y\na.png;0\nb.png;1\n", ["image", "y"], ",", [])


def test_rows_that_a_quote_may_have_swallowed_are_told(tmp_path):
    found = listing(tmp_path / "x.csv", 'image,y,note\na,0,"5 inch\nb,1,6"\nc,1,\n')
    assert found.items["image"].to_list() == ["a", "c"]
    assert "1 cells of 'note' hold line breaks" in found.warnings[0]


def test_names_that_begin_with_a_sign_of_comments_are_rows(tmp_path):
    found = listing(tmp_path / "x.csv", "image,y\n#1.png,0\n# 2.png,1\n#end\na,1\n")
    assert found.items["image"].to_list() == ["#1.png", "a"]
    assert found.warnings == ["x.csv: 2 lines begin with # and are passed over"]


def test_a_wrong_column_is_told_with_the_columns_of_the_right_separator(tmp_path):
    error = refused(tmp_path / "x.csv", "file;y;z\na;0;1\n")
    assert "columns: file, y, z" in error.remedy


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["1,5", "2"], [1.5, 2.0]),
        (["1,234", "0,5"], [1.234, 0.5]),
        (["1,5", "nan"], [1.5, None]),
        (["1e2", "-3.5"], [100.0, -3.5]),
        (["1,234", "2,345"], None),
        (["1.234,5", "1"], None),
        (["1 234", "1"], None),
        (["12px", "1"], None),
        (["1,5", "2.5"], None),
    ],
)
def test_numbers_of_boxes(tmp_path, cells, found):
    content = "image;b\n" + "".join(f"{i}.png;{cell}\n" for i, cell in enumerate(cells))
    options = {"box": ["b"] * 4, "label": None}
    if found is None:
        error = refused(tmp_path / "x.csv", content, **options)
        assert error.field == "dataset.box"
        assert "a number such as 1234.5" in error.remedy
        assert "column 'b'" in str(error.value)
    else:
        boxes = listing(tmp_path / "x.csv", content, **options).items["box"].to_list()
        assert boxes == [None if number is None else [number] * 4 for number in found]


ROWS = [{"image": "a", "y": 0, "n": 1.5}, {"image": "b", "y": 1, "n": None}]
DOCUMENTS = {
    "lines": ("\n".join(map(json.dumps, ROWS)), ""),
    "lines with commas": (",\n".join(map(json.dumps, ROWS)), ""),
    "a list": (json.dumps(ROWS), "a JSON list"),
    "a list on lines": (json.dumps(ROWS, indent=2), "a JSON list"),
    "NaN": (json.dumps([*ROWS, {"image": "c", "y": float("nan")}]).replace("null", "NaN"), "list"),
}
COLUMNS = {
    "columns": '{"image": {"0": "a", "1": "b"}, "y": {"0": 0, "1": 1}}',
    "lists": '{\n "image": ["a", "b"], "y": [0, 1]}',
    "split": '{"columns": ["image", "y"], "index": [0, 1], "data": [["a", 0], ["b", 1]]}',
    "table": '{"schema": {}, "data": [{"image": "a", "y": 0}, {"image": "b", "y": 1}]}',
}


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize("ending", ["jsonl", "json", "ndjson"])
def test_json_of_rows(tmp_path, kind, ending):
    content, said = DOCUMENTS[kind]
    found = listing(tmp_path / f"x.{ending}", content)
    assert found.items["image"].to_list()[:2] == ["a", "b"]
    assert found.items["label"].to_list() == [0, 1, None][: found.items.height]
    assert (said if ending != "json" else "") in "".join(found.warnings)
    assert bool(found.warnings) == bool(said and ending != "json")


@pytest.mark.parametrize("kind", COLUMNS)
def test_json_of_columns(tmp_path, kind):
    found = listing(tmp_path / "x.json", COLUMNS[kind])
    assert found.items["image"].to_list() == ["a", "b"]
    assert found.items["label"].to_list() == [0, 1]
    assert found.warnings == []


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ('{"images": [1, 2], "annotations": [1]}', "write a list of objects"),
        ('{"image": {"0": "a"}, "y": {"1": 0}}', "write a list of objects"),
        ('{"image": {"bytes": "x", "path": "y"}, "y": 0}', "write a list of objects"),
        ('[{"image": "a", "y": {"z": 1}}]', "object 1 has a dict as 'y'; give texts"),
        ("[[1]]", "object 1 is no object"),
        ('[{"image": "a"},\n{"image"', "no JSON from line 2, column 9 on; write"),
        ('{"image": "a"}\n{"image"', "line 2 is no JSON from character 9 on; write"),
        ('{"columns": ["image", "y"], "data": [["a"]]}', "row 1 has 1 values for 2 columns"),
    ],
)
def test_json_that_is_no_table(tmp_path, content, remedy):
    assert remedy in refused(tmp_path / "x.json", content).remedy


SPELT = {
    "backslashes": (r"images\cat\1.jpg", "have \\ between folders"),
    "both": (r"images\cat/1.jpg", "have \\ between folders"),
    "dots": ("./images/./cat/1.jpg", ""),
    "slashes": ("images//cat/.//1.jpg", ""),
    "blanks": ("  images/cat/1.jpg ", "blanks round them"),
    "percent": ("images/c%61t/1.jpg", "percent-encoded, e.g. 'images/c%61t/1.jpg'"),
}


@pytest.mark.parametrize("kind", SPELT)
def test_a_path_is_what_it_leads_to(tmp_path, kind):
    spelt, said = SPELT[kind]
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "1.jpg").write_bytes(b"x")
    found = listing(tmp_path / "x.csv", f"image,y\n{spelt},0\nz.jpg,1\n")
    assert found.items["image"].to_list() == ["images/cat/1.jpg", "z.jpg"]
    assert found.items["item_id"].to_list() == ["images/cat/1.jpg", "z.jpg"]
    assert said in "".join(found.warnings)


def test_signs_that_are_part_of_a_name_stay(tmp_path):
    names = ["a\\b.jpg", "a%20b.jpg", "~b.jpg", "#b.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    content = "image\n" + "\n".join(names)
    found = listing(tmp_path / "x.csv", content, label=None)
    assert found.items["image"].to_list() == names
    assert found.warnings == []


def test_file_urls_and_homes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cells = [f"file://{tmp_path}/a%20b.jpg", f"file://localhost{tmp_path}/c.jpg", "~/d.jpg"]
    found = listing(tmp_path / "x.csv", "image\n" + "\n".join(cells), label=None)
    assert found.items["image"].to_list() == [f"{tmp_path}/{n}.jpg" for n in ("a b", "c", "d")]


@pytest.mark.parametrize(
    "cell", [r"C:\data\1.jpg", "C:/data/1.jpg", r"\\server\share\1.jpg", "file:///C:/data/1.jpg"]
)
def test_paths_of_windows_machines_are_refused(tmp_path, cell):
    for allowed in (False, True):
        content = f"image,y\na.jpg,0\n{cell},1\n"
        error = refused(tmp_path / "x.csv", content, allow_outside=allowed)
        assert error.field == "dataset.image"
        assert "on Windows" in error.remedy


@pytest.mark.parametrize("cell", [r"..\1.jpg", r"a\..\..\1.jpg", "%2e%2e/1.jpg", "./../1.jpg"])
def test_paths_still_cannot_climb(tmp_path, cell):
    (tmp_path / "1.jpg").write_bytes(b"x")
    error = refused(tmp_path / "set" / "x.csv", f"image,y\n{cell},0\n")
    assert "outside of the table's folder" in error.remedy


def test_paths_that_are_elsewhere_are_told(tmp_path):
    (tmp_path / "set" / "images").mkdir(parents=True)
    for name in ("1.JPG", "2.JPG"):
        (tmp_path / "set" / "images" / name).write_bytes(b"x")
    path = tmp_path / "set" / "x.csv"
    without = refused(path, "image,y\nimages/1,0\nimages/2,1\n")
    assert "'images/1.JPG'; write names with their endings" in without.remedy
    above = refused(path, "image,y\nset/images/1.JPG,0\nset/images/2.JPG,1\n")
    assert f"one in {tmp_path}; paths are relative to the table's folder" in above.remedy
    slash = refused(path, "image,y\n/images/1.JPG,0\n/images/2.JPG,1\n")
    assert "leave out the / before them" in slash.remedy
    # A single file that is missing is an error row, and no reason to refuse all.
    assert listing(path, "image,y\nimages/1,0\nimages/2.JPG,1\n").items.height == 2


def test_names_that_a_spreadsheet_may_have_changed_are_told(tmp_path):
    found = listing(tmp_path / "x.csv", "image,y\n1,0\nimg/1E+05,1\n007.png,1\n1e5.png,0\n")
    assert found.items["image"].to_list() == ["1", "img/1E+05", "007.png", "1e5.png"]
    assert "2 paths in 'image' are numbers without an ending, e.g. '1'" in found.warnings[0]


def test_rows_of_the_same_file_are_one_image(tmp_path):
    rows = ["é.png,0", "e\u0301.png,0", "./b.png,1", f"{tmp_path}/b.png,1", "b.png,1", "c.png,1"]
    found = listing(tmp_path / "x.csv", "image,y\n" + "\n".join(rows))
    assert found.items["item_id"].to_list() == ["é.png", "b.png", "c.png"]
    assert found.warnings == ["3 rows repeat other rows; each image is evaluated once"]
    error = refused(tmp_path / "x.csv", "image,y\n" + "\n".join([*rows, "b.png,0"]))
    assert (error.field, error.value) == ("dataset.image", "'b.png' appears more than once")
    assert "rows differ" in error.remedy


def test_rows_of_the_same_id_are_one_image_where_they_are_the_same(tmp_path):
    content = "id,image,y\n1,a,0\n1,./a,0\n2,a,0\n"
    assert listing(tmp_path / "x.csv", content, id="id").items["item_id"].to_list() == ["1", "2"]
    assert refused(tmp_path / "x.csv", content + "1,b,0\n", id="id").field == "dataset.id"


def test_the_case_of_a_name_is_part_of_it(tmp_path):
    assert listing(tmp_path / "x.csv", "image,y\na.png,0\nA.png,1\n").items.height == 2


TYPES = {
    "categories": pl.Series(["0", "1"], dtype=pl.Categorical),
    "enum": pl.Series(["0", "1"], dtype=pl.Enum(["0", "1"])),
    "bytes": pl.Series([b"0", b"1"]),
    "decimal": pl.Series(["0", "1"]).str.to_decimal(scale=0),
    "small": pl.Series([0, 1], dtype=pl.UInt8),
}


@pytest.mark.parametrize("kind", TYPES)
def test_types_of_labels_in_parquet(tmp_path, kind):
    buffer = io.BytesIO()
    frame = pl.DataFrame({"image": ["a", "b"], "y": TYPES[kind], "z": [[1], [2]]})
    frame.write_parquet(buffer)
    assert listing(tmp_path / "x.parquet", buffer.getvalue()).items["label"].to_list() == [0, 1]


def test_parquet_that_is_none_or_holds_pictures(tmp_path):
    assert "it is no Parquet file, but text" in refused(tmp_path / "x.parquet", PLAIN).remedy
    assert "no whole Parquet file" in refused(tmp_path / "x.parquet", b"PAR1xPAR1").remedy
    assert "it has no bytes" in refused(tmp_path / "x.parquet", b"").remedy
    buffer = io.BytesIO()
    picture = {"bytes": b"x", "path": "a.jpg"}
    pl.DataFrame({"image": [picture], "y": [0]}).write_parquet(buffer)
    error = refused(tmp_path / "x.parquet", buffer.getvalue())
    assert "read them by format: parquet" in error.remedy
