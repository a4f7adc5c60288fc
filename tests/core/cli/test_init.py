"""`seraser init`: what it writes is taken by `seraser plan` without an edit."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import s3fs
import yaml
from miniatures import MINIATURES, write_waterbird_masks
from PIL import Image

from seraser_core.config.described import SCHEMA_FILE
from seraser_core.sources.guessing.names import named, words_of

RELEVANCE = [
    "zero_shot",
    {"name": "seraser", "auxiliary": "relevance"},
    {"name": "foreground", "auxiliary": "relevance"},
]


def picture(shade: int = 0) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (shade % 256, 90, 30)).save(data, "PNG")
    return data.getvalue()


def write(folder: Path, *names: str) -> None:
    for shade, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(shade))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], images: str = "image") -> Path:
    """Write a table, and the images that it names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path.parent, *(row[images] for row in rows))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def made(seraser, tmp_path, monkeypatch) -> Callable[[Path | str], dict[str, Any]]:
    """Makes a configuration of some data, and sees that `plan` takes it; returns its tree."""
    monkeypatch.chdir(tmp_path)

    def make(data: Path | str) -> dict[str, Any]:
        done = seraser("init", str(data), "--output", "made.yaml")
        assert done.exit_code == 0, done.output
        assert done.stdout == "made.yaml\n"
        assert done.stderr.splitlines()[-1].endswith("seraser plan made.yaml")
        planned = seraser("plan", "made.yaml", "--no-model")
        assert planned.exit_code == 0, f"{planned.output}\n{Path('made.yaml').read_text()}"
        return yaml.safe_load(Path("made.yaml").read_text(encoding="utf-8"))

    return make


def test_a_table_with_all_that_a_run_can_use(made, tmp_path):
    rows = [
        {
            "img": f"bilder/Wal é {n}.png",
            "mask_file": f"masken/{n}.png",
            "id": f"x{n}",
            "species": ["Blauwal", "Grauer Wal", "Büffel: wild"][n % 3],
            "background": ["See", "Küste"][n % 2],
            "split": "train" if n < 6 else "Test",
        }
        for n in range(24)
    ]
    table = write_table(tmp_path / "meine daten" / "tabelle #1.csv", rows, "img")
    for n in range(24):
        (table.parent / "masken").mkdir(exist_ok=True)
        mask = Image.new("L", (8, 8))
        mask.paste(255, (2, 2, 5, 5))
        mask.save(table.parent / "masken" / f"{n}.png")
    tree = made(table)
    assert tree["dataset"] == {
        "format": "table",
        "path": "meine daten/tabelle #1.csv",
        "image": "img",
        "split": {"column": "split", "values": ["Test"]},
        "label": "species",
        "classes": {
            "Blauwal": "a Blauwal",
            "Büffel: wild": "a Büffel: wild",
            "Grauer Wal": "a Grauer Wal",
        },
        "attribute": "background",
        "attributes": ["Küste", "See"],
        "mask": "mask_file",
        "id": "id",
    }
    assert tree["methods"] == ["zero_shot", "seraser", "foreground"]
    assert tree["name"] == "tabelle-1"


def test_numbers_are_named_by_another_column_or_by_the_files(made, tmp_path):
    rows = [{"image": f"{n}.png", "y": n % 2, "name": ["cat", "owl"][n % 2]} for n in range(8)]
    assert made(write_table(tmp_path / "one.csv", rows))["dataset"]["label"] == "name"
    Path("made.yaml").unlink()
    files = [
        {
            "image": f"{['cat', 'owl'][n % 2]}_{['snow', 'sand'][n // 4]}_{n}.png",
            "y": n % 2,
            "place": n // 4,
        }
        for n in range(8)
    ]
    dataset = made(write_table(tmp_path / "two" / "t.csv", files))["dataset"]
    assert (dataset["label"], dataset["classes"]) == ("y", ["a cat", "an owl"])
    assert dataset["attributes"] == ["snow", "sand"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("0", "1", "2"), ["class 0", "class 1", "class 2"]),
        (("1", "2", "5"), {"1": "class 1", "2": "class 2", "5": "class 5"}),
        (("-1", "1", "1"), {"-1": "class -1", "1": "class 1"}),
        (("true", "false", "true"), ["class 0", "class 1"]),
        (("1.0", "0.0", ""), ["class 0", "class 1"]),
        (("yes", "no", "NA"), {"no": "a no", "yes": "a yes"}),
        (("red_fox", "red fox", "owl"), ["owl", "red fox", "red_fox"]),
    ],
)
def test_labels_of_all_kinds(made, tmp_path, labels, classes):
    rows = [{"image": f"{n}.png", "label": labels[n % 3]} for n in range(9)]
    dataset = made(write_table(tmp_path / "t.csv", rows))["dataset"]
    assert dataset["classes"] == classes
    assert dataset["label"] == "label"
    text = Path("made.yaml").read_text()
    assert ("TO DO: 'label' has numbers" in text) == ("class 1" in str(classes))


def test_a_table_without_labels_is_an_audit(made, tmp_path):
    rows = [{"url": f"pictures/{n}.png", "score": n, "label": "all"} for n in range(5)]
    tree = made(write_table(tmp_path / "audit.csv", rows, "url"))
    assert set(tree["dataset"]) == {"format", "path", "image", "classes"}
    assert tree["methods"] == RELEVANCE
    assert "TO DO: nothing in the data names classes" in Path("made.yaml").read_text()


def test_lines_of_json_and_parquet_with_paths(made, tmp_path):
    rows = [{"path": f"i/{n}.png", "label": ["cat", "dog"][n % 2]} for n in range(6)]
    write(tmp_path, *(row["path"] for row in rows))
    lines = tmp_path / "data.jsonl"
    lines.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert made(lines)["dataset"]["classes"] == {"cat": "a cat", "dog": "a dog"}
    Path("made.yaml").unlink()
    table = tmp_path / "table.parquet"
    pl.DataFrame(rows).write_parquet(table)
    assert made(table)["dataset"]["format"] == "table"


def test_images_outside_of_the_table_are_allowed(made, tmp_path):
    write(tmp_path / "elsewhere", "a.png", "b.png")
    table = tmp_path / "here" / "t.csv"
    table.parent.mkdir()
    table.write_text("image,label\n../elsewhere/a.png,cat\n../elsewhere/b.png,dog\n")
    assert made(table)["dataset"]["allow_outside"] is True


def test_masks_that_a_plan_refuses_are_left_out(made, tmp_path):
    rows = [{"image": f"{n}.png", "mask": f"m/{n}.png", "label": "ab"[n % 2]} for n in range(6)]
    write(tmp_path / "m", *(f"{n}.png" for n in range(6)))  # colours, no masks
    tree = made(write_table(tmp_path / "t.csv", rows))
    assert "mask" not in tree["dataset"]
    assert tree["methods"] == RELEVANCE


STRANGE = ("a: b", "Füchse & Co", "#hash", "null", "1e3", "[x]", "two  words", "'quoted'", "{é}")


def test_folders_of_classes_with_strange_names(made, tmp_path):
    root = tmp_path / "my data [2]*"
    write(root, *(f"{folder}/{n}.png" for folder in STRANGE for n in range(2)))
    dataset = made(root)["dataset"]
    assert dataset["format"] == "folder"
    assert sorted(dataset["classes"]) == sorted(STRANGE)


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (("train/cat/1.png", "train/dog/1.png", "test/cat/2.png", "test/dog/2.png"), "data/test"),
        (("images/cat/1.png", "images/dog/1.png", "masks/cat/1.png"), "data/images"),
        (("all/cat/1.png", "all/dog/1.png"), "data/all"),
    ],
)
def test_the_folder_of_the_classes_is_found(made, tmp_path, names, path):
    write(tmp_path / "data", *names)
    dataset = made(tmp_path / "data")["dataset"]
    assert (dataset["format"], dataset["path"]) == ("folder", path)
    assert dataset["classes"] == {"cat": "a cat", "dog": "a dog"}


@pytest.mark.parametrize(
    ("name", "pattern"), [("ph[o]to?s", "ph[[]o]to[?]s/**"), ("a{1,2}\n", "a?1,2}\n/**")]
)
def test_images_without_folders_are_an_audit(made, tmp_path, name, pattern):
    write(tmp_path / name, "1.png", "2 é.png", "old/3.png")
    tree = made(tmp_path / name)
    assert tree["dataset"]["format"] == "files"
    assert tree["dataset"]["path"] == pattern
    assert tree["methods"] == RELEVANCE


@pytest.mark.parametrize(
    ("columns", "numbers", "form"),
    [
        ("x1,y1,x2,y2", "1,1,5,5", "xyxy"),
        ("bbox_xmin,bbox_ymin,bbox_xmax,bbox_ymax", "0.1,0.1,0.5,0.5", "fractions"),
        ("bbox_x,bbox_y,bbox_w,bbox_h", "1,1,4,4", "xywh"),
    ],
)
def test_boxes_are_foregrounds(made, tmp_path, columns, numbers, form):
    values = dict(zip(columns.split(","), numbers.split(","), strict=True))
    rows = [{"image": f"{n}.png", "label": ["cat", "dog"][n % 2], **values} for n in range(6)]
    tree = made(write_table(tmp_path / "t.csv", rows))
    assert tree["dataset"]["box"] == columns.split(",")
    assert tree["dataset"].get("box_format", "xyxy") == form
    assert tree["methods"][1] == {"name": "seraser", "auxiliary": "box"}


def test_boxes_that_a_plan_refuses_are_left_out(made, tmp_path):
    box = {"x1": 5, "y1": 5, "x2": 1, "y2": 1}
    rows = [{"image": f"{n}.png", "label": ["cat", "dog"][n % 2], **box} for n in range(6)]
    tree = made(write_table(tmp_path / "t.csv", rows))
    assert "box" not in tree["dataset"]
    assert tree["methods"] == RELEVANCE


def test_a_box_in_one_column_is_told(made, tmp_path):
    rows = [{"image": f"{n}.png", "y": n % 2, "bbox": "1,1,5,5"} for n in range(6)]
    made(write_table(tmp_path / "t.csv", rows))
    assert "# TO DO: column 'bbox' is not used" in Path("made.yaml").read_text()


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_nested_box_is_told(made, tmp_path, ending):
    rows = [{"image": f"{n}.png", "y": n % 2, "bbox": [1, 1, 5, 5]} for n in range(6)]
    write(tmp_path, *(row["image"] for row in rows))
    table = tmp_path / f"t.{ending}"
    if ending == "jsonl":
        table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        pl.DataFrame([row | {"image": picture(row["y"])} for row in rows]).write_parquet(table)
    made(table)
    assert "# TO DO: column 'bbox' is not used" in Path("made.yaml").read_text()


def told(name: str = "made.yaml") -> str:
    return " ".join(Path(name).read_text().replace("#", "").split())


def test_names_that_differ_in_case_are_told(made, tmp_path):
    write(tmp_path / "data", "Cat/1.png", "cat/2.png", "dog/3.png")
    made(tmp_path / "data")
    assert "TO DO: 'Cat' and 'cat' differ only in case" in told()
    Path("made.yaml").unlink()
    rows = [{"image": f"{n}.png", "label": ["Owl", "owl"][n % 2]} for n in range(6)]
    made(write_table(tmp_path / "t.csv", rows))
    assert "TO DO: 'Owl' and 'owl' differ only in case" in told()


def test_masks_beside_the_images_are_told_with_the_way_to_use_them(made, seraser, tmp_path):
    write(tmp_path / "data", "images/cat/1.png", "images/dog/2.png", "masks/dog/2.png")
    made(tmp_path / "data")
    row = "dog/2.png,masks/dog/2.png"
    assert "has masks of 1 images, which are not used" in told()
    assert f"the columns id and mask, as `{row}`" in told()
    mask = Image.new("L", (8, 8))
    mask.paste(255, (2, 2, 5, 5))
    mask.save(tmp_path / "data" / "masks" / "dog" / "2.png")
    (tmp_path / "data" / "masks.csv").write_text(f"id,mask\n{row}\n")
    text = Path("made.yaml").read_text().replace("# masks: masks.csv", "masks: data/masks.csv")
    Path("made.yaml").write_text(text.replace("  auxiliary: relevance\n", ""))
    planned = seraser("plan", "made.yaml", "--no-model")
    assert planned.exit_code == 0, planned.output


def test_a_folder_without_images_is_told(made, tmp_path):
    write(tmp_path / "data", "cat/1.png", "dog/2.png")
    (tmp_path / "data" / "owl").mkdir()
    (tmp_path / "data" / ".git").mkdir()
    made(tmp_path / "data")
    assert "TO DO: no image is in 'owl'; where that is a class" in told()


def test_classes_that_lie_deeper_are_told(made, tmp_path):
    names = [f"{a}/{b}/{c}/1.png" for a in "xy" for b in ("train", "val") for c in ("cat", "dog")]
    write(tmp_path / "data", *names)
    assert made(tmp_path / "data")["dataset"]["classes"] == {"x": "a x", "y": "a y"}
    assert "'cat', 'dog' are in each of 'x', 'y'" in told()
    assert f"take {tmp_path / 'data' / 'x' / 'val'}." in told()


def test_a_link_to_nothing_allows_nothing(seraser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data", "cat/1.png", "dog/2.png")
    (tmp_path / "data" / "dog" / "3.png").symlink_to("/nowhere/3.png")
    done = seraser("init", "data")
    assert done.exit_code == 1
    assert "where nothing is; remove or correct it, or" in done.stderr
    assert "allow_outside" not in Path("data.yaml").read_text()


def test_a_table_without_a_header_is_told(made, tmp_path):
    rows = [{"image": f"{n}.png", "label": ["cat", "dog"][n % 2]} for n in range(6)]
    table = write_table(tmp_path / "t.csv", rows)
    table.write_text(table.read_text().partition("\n")[2])
    made(table)
    assert "TO DO: its first line seems to be an image" in Path("made.yaml").read_text()


def test_a_folder_with_a_table_of_its_images(made, tmp_path):
    rows = [{"image": f"images/{n}.png", "label": ["cat", "dog"][n % 2]} for n in range(6)]
    write_table(tmp_path / "data" / "metadata.csv", rows)
    (tmp_path / "data" / "costs.csv").write_text("month,costs\n1,2\n")
    dataset = made(tmp_path / "data")["dataset"]
    assert (dataset["format"], dataset["path"]) == ("table", "data/metadata.csv")


def test_tars(made, tmp_path):
    folder = tmp_path / "tars"
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"{number}.tar", "w") as tar:
            for n in range(4):
                facts = json.dumps({"label": ["cat", "dog"][n % 2], "place": "xy"[n // 2]})
                for ending, data in (("png", picture(n)), ("json", facts.encode())):
                    member = tarfile.TarInfo(f"{n}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    dataset = made(folder)["dataset"]
    assert dataset == {
        "format": "webdataset",
        "path": "tars/*.tar",
        "label": "label",
        "classes": {"cat": "a cat", "dog": "a dog"},
        "attribute": "place",
        "attributes": ["x", "y"],
    }


def test_parquet_with_images(made, tmp_path):
    rows = [
        {"picture": {"bytes": picture(n), "path": None}, "label": ["cat", "dog"][n % 2]}
        for n in range(6)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "images [1].parquet")
    dataset = made(tmp_path / "images [1].parquet")["dataset"]
    assert dataset == {
        "format": "parquet",
        "path": "images [[]1].parquet",
        "image": "picture",
        "label": "label",
        "classes": {"cat": "a cat", "dog": "a dog"},
    }


def test_data_in_a_bucket(made, bucket):
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    for name in ("birds/a wren/1.png", "birds/a wren/2.png", "birds/owl é/1.png"):
        fs.pipe(f"{bucket}/{name}", picture())
    fs.pipe(f"{bucket}/lists/t.csv", b"image,label\n../birds/a wren/1.png,x\nb.png,y\n")
    dataset = made(f"{bucket}/birds")["dataset"]
    assert (dataset["format"], dataset["path"]) == ("folder", f"{bucket}/birds")
    assert dataset["classes"] == {"a wren": "a wren", "owl é": "an owl é"}
    Path("made.yaml").unlink()
    dataset = made(f"{bucket}/lists/t.csv")["dataset"]
    assert (dataset["path"], dataset["allow_outside"]) == (f"{bucket}/lists/t.csv", True)


@pytest.mark.parametrize("name", MINIATURES)
def test_benchmarks(seraser, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    MINIATURES[name].write(tmp_path / "root")
    done = seraser("init", "root", "--benchmark", name)
    assert done.exit_code == 0, done.output
    planned = seraser("plan", f"{name}.yaml", "--no-model")
    assert planned.exit_code == 0, planned.output


def test_masks_of_a_benchmark_are_used(seraser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    MINIATURES["waterbirds"].write(tmp_path / "root")
    write_waterbird_masks(tmp_path / "root")
    assert seraser("init", "root", "--benchmark", "waterbirds").exit_code == 0
    tree = yaml.safe_load(Path("waterbirds.yaml").read_text())
    assert tree["methods"] == ["zero_shot", "seraser", "foreground"]
    assert tree["dataset"] == {"format": "benchmark", "name": "waterbirds", "path": "root"}
    wrong = seraser("init", "root", "--benchmark", "waterbrids", "-o", "b.yaml")
    assert (wrong.exit_code, "did you mean 'waterbirds'" in wrong.stderr) == (2, True)


def test_a_file_of_names_of_images(made, tmp_path):
    write(tmp_path, "1.png", "2.png")
    (tmp_path / "list.txt").write_text("1.png\n2.png\n")
    assert made(tmp_path / "list.txt")["dataset"]["format"] == "urls"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("t.csv", "no column holds names of images"),
        ("empty", "it is empty"),
        ("notes", "no image, tar or table is in it"),
        ("gone", "there is no such file or folder"),
    ],
)
def test_what_is_no_data_set_is_refused(seraser, tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.me").write_text("no images")
    done = seraser("init", content)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert not list(tmp_path.glob("*.yaml"))


def test_a_file_is_never_overwritten(seraser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "photos", "1.png", "2.png")
    (tmp_path / "photos.yaml").write_text("mine")
    done = seraser("init", "photos")
    assert done.exit_code == 2
    assert "photos.yaml\nhint: is there already; name another file with -o" in done.stderr
    assert (tmp_path / "photos.yaml").read_text() == "mine"


def test_an_editor_is_told_of_the_schema_where_it_is_there(seraser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "photos", "1.png", "2.png")
    assert seraser("init", "photos").exit_code == 0
    first = (tmp_path / "photos.yaml").read_text().splitlines()[0]
    assert first.startswith("# Made by: ")
    Path(SCHEMA_FILE).write_text(seraser("options", "--schema").stdout)
    assert seraser("init", "photos", "-o", "more.yaml").exit_code == 0
    first = (tmp_path / "more.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA_FILE}"


def test_every_option_has_its_description_above_it(seraser, tmp_path, monkeypatch):
    from seraser_core.config.described import all_options

    monkeypatch.chdir(tmp_path)
    write(tmp_path / "photos", "1.png", "2.png")
    printed = json.loads(seraser("init", "photos", "--json").stdout)
    text = " ".join((tmp_path / printed["config"]).read_text().replace("#", "").split())
    descriptions = {one.name: one.description for one in all_options()}
    for name in printed["options"]["dataset"]:
        assert descriptions[f"dataset.{name}"] in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("red_fox", "a red fox"),
        ("ostrich", "an ostrich"),
        ("the sea", "the sea"),
        ("7-up", "7-up"),
        ("_x_", "a x"),
        ("éclair", "éclair"),
        ("n02437312", "n02437312"),
    ],
)
def test_words_of_a_name(name, words):
    assert words_of(name) == words


def test_names_that_would_be_the_same_stay():
    assert named(["a_b", "a b"], "class") == ["a_b", "a b"]
