"""`erase`: the rows of a run, from images of every kind, and errors that name the argument."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from polars.testing import assert_frame_equal

import seraser_core
from seraser_core import erase, load_model
from seraser_core.api import progress
from seraser_core.errors import ConfigError
from seraser_core.models import clip_model
from seraser_core.results.schema import PREDICTIONS_SCHEMA

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
_OF_THE_RUN = ["run_id", "dataset", "item_index"]


@pytest.fixture
def model(tiny_json):
    return load_model(tiny_json, "random", device="cpu")


@pytest.fixture
def files(pictures, monkeypatch):
    """The table of the pictures, in whose folder the test runs."""
    monkeypatch.chdir(pictures.parent)
    return pl.read_csv(pictures)


METHODS = [
    {"name": "seraser", "lr": 0.005, "steps": 3},
    {"name": "seraser", "lr": 0.005, "steps": 3, "auxiliary": "mask+augment"},
    {"name": "seraser_task", "lr": 0.005, "steps": 3, "sample": 6},
    {"name": "tpt", "lr": 0.005, "views": 4},
    {"name": "foreground"},
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: "-".join(map(str, m.values())))
def test_rows_are_those_of_a_run_over_the_same_files(model, files, tree, run, method):
    del tree["dataset"]["id"]
    tree["methods"] = [method]
    tree["seed"] = 5
    _, expected = run(tree, "shard.max_items=4096")
    order = np.random.default_rng(0).permutation(len(files))
    shuffled = files[order] if method["name"] != "seraser_task" else files
    result = erase(
        model,
        shuffled["file"].to_list(),
        CLASSES,
        masks=shuffled["mask"].to_list(),
        labels=shuffled["y"].to_list(),
        attributes=["land" if a == 0 else "water" for a in shuffled["a"]],
        method=method,
        seed=5,
        batch_size=3,
    )
    rows = result.to_polars()
    assert rows["item_index"].to_list() == list(range(len(files)))
    assert_frame_equal(rows.sort("item_id").drop(_OF_THE_RUN), expected.drop(_OF_THE_RUN))


def test_the_columns_are_those_of_the_parquet_files(model, files):
    rows = erase(model, files["file"][:2], CLASSES, method="zero_shot").to_polars()
    assert rows.schema == pl.DataFrame(PREDICTIONS_SCHEMA.empty_table()).schema


def test_without_masks_the_model_makes_them(model, files, tree, run):
    del tree["dataset"]["id"]
    tree["methods"] = [{"name": "seraser", "auxiliary": "relevance"}]
    _, expected = run(tree)
    rows = erase(model, files["file"], CLASSES).to_polars()
    shared = ["item_id", "prediction", "loss_first", "loss_last", "logits"]
    assert_frame_equal(rows.sort("item_id").select(shared), expected.select(shared))


def test_every_kind_of_image_gives_the_same(model, files):
    name, mask = files["file"][0], files["mask"][0]
    content = Path(name).read_bytes()
    pixels = np.asarray(Image.open(name))
    kinds = [
        name,
        Path(name),
        Path(name).absolute(),
        Path(name).absolute().as_uri() if name.isascii() else f"file://{Path(name).absolute()}",
        content,
        Image.open(name),
        Image.open(name).convert("RGBA"),
        Image.open(io.BytesIO(content)),
        pixels,
        np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]),
        pixels / 255,
    ]
    cells = np.asarray(Image.open(mask))
    masks = [mask, Path(mask), Image.open(mask), cells, cells > 0, cells[..., None] / 255.0]
    several = erase(model, kinds, CLASSES, masks=(masks * 2)[: len(kinds)])
    assert several.ok.all(), several.errors
    np.testing.assert_allclose(several.probabilities - several.probabilities[0], 0, atol=1e-6)
    before = several.zero_shot_probabilities
    assert (before == before[0]).all()
    alone = [
        (name, mask),
        (Image.open(name), Image.open(mask)),
        (pixels, cells),
        (pixels[None], cells[None]),
        (content, [Path(mask).read_bytes()]),
    ]
    for image, its_mask in alone:
        one = erase(model, image, CLASSES, masks=its_mask)
        assert len(one) == 1
        # Alone, a product of matrices may be summed in another order.
        np.testing.assert_allclose(one.probabilities[0], several.probabilities[0], rtol=1e-4)


def test_grey_pictures_and_turned_ones_are_as_in_files(model, tmp_path):
    grey = np.random.default_rng(3).integers(0, 2**16, (40, 30), dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    turned = Image.fromarray((grey[..., None] // [256, 300, 400]).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    palette = turned.quantize(7)
    palette.save(tmp_path / "palette.png")
    files = [tmp_path / f"{name}.png" for name in ("grey", "turned", "palette")]
    of_files = erase(model, files, CLASSES, method="zero_shot").probabilities
    memory = [grey, Image.open(files[1]), palette]
    in_memory = erase(model, memory, CLASSES, method="zero_shot").probabilities
    assert (of_files == in_memory).all()
    assert len({tuple(row) for row in of_files}) == 3


def test_an_image_in_memory_has_an_id_of_its_content(model):
    rng = np.random.default_rng(1)
    one, two = rng.integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    options = {"name": "seraser", "auxiliary": "augment", "steps": 2}
    first = erase(model, [one, two], CLASSES, method=options).to_polars()
    second = erase(model, [two, one, two], CLASSES, method=options).to_polars()
    assert second["item_id"].to_list() == [*first["item_id"][::-1], first["item_id"][1]]
    assert second["loss_last"].to_list() == [*first["loss_last"][::-1], first["loss_last"][1]]
    assert second["loss_last"].n_unique() == 2


def test_a_folder_is_its_images_by_path(model, pictures, tmp_path):
    table = pl.read_csv(pictures)[:4]
    for row in table.iter_rows(named=True):
        for kind in ("file", "mask"):
            place = tmp_path / kind / f"part {row['y']}" / f"{Path(row['file']).stem}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((pictures.parent / row[kind]).read_bytes())
    (tmp_path / "file" / "notes.txt").write_text("x")
    (tmp_path / "file" / ".hidden.png").write_text("x")
    result = erase(model, tmp_path / "file", CLASSES, masks=str(tmp_path / "mask"))
    ids = result.to_polars()["item_id"].to_list()
    assert ids == sorted(f"part {row['y']}/{row['file']}" for row in table.iter_rows(named=True))
    listed = [tmp_path / "file" / one for one in ids]
    again = erase(model, listed, CLASSES, masks=[tmp_path / "mask" / one for one in ids])
    assert (again.probabilities == result.probabilities).all()


def test_images_come_from_s3_and_the_web(model, files, bucket, unused_port, hasty):
    import s3fs

    name = files["file"][0]
    s3fs.S3FileSystem().put(name, f"{bucket}/photos/one.png")
    gone = f"http://127.0.0.1:{unused_port}/two.png"
    remote = [f"{bucket}/photos/one.png", gone, f"{bucket}/photos/three.png"]
    result = erase(model, [*remote, name], CLASSES, method="zero_shot")
    assert result.errors["error_code"].to_list() == ["unreachable", "missing"]
    assert (result.probabilities[0] == result.probabilities[3]).all()
    folder = erase(model, f"{bucket}/photos", CLASSES, method="zero_shot")
    assert folder.to_polars()["item_id"].to_list() == ["one.png"]


def test_any_host_that_is_not_reached_costs_only_its_images(model, files, unused_port, hasty):
    gone = [f"{kind}://127.0.0.1:{unused_port}/a.png" for kind in ("ftp", "http")]
    good = files["file"][0]
    result = erase(model, [good, gone[0]], CLASSES, method="zero_shot")
    assert result.errors["error_code"].to_list() == ["unreachable"]
    assert result.ok.tolist() == [True, False]
    masked = erase(model, [good] * 3, CLASSES, masks=[files["mask"][0], *gone])
    assert masked.errors["error_code"].to_list() == ["mask_unreachable"] * 2


def test_bad_images_are_error_rows(model, files, tmp_path, hasty):
    good = files["file"][0]
    (tmp_path / "cut.png").write_bytes(Path(good).read_bytes()[:200])
    pixels = np.asarray(Image.open(good))
    images = [
        (good, "ok"),
        ("gone.png", "missing"),
        (tmp_path / "cut.png", "truncated"),
        (Image.open(tmp_path / "cut.png"), "undecodable"),
        (None, "unsupported_type"),
        (3, "unsupported_type"),
        (np.array(None), "array_type"),
        (b"no picture", "undecodable"),
        (pixels.transpose(2, 0, 1), "array_shape"),
        (pixels.astype(object), "array_type"),
        (np.full((4, 4), np.nan), "no_pixels"),
        ("https://nowhere.invalid/x.png?token=hunter2", "unreachable"),
        (good, "ok"),
    ]
    result = erase(model, [image for image, _ in images], CLASSES, labels=[0] * len(images))
    rows = result.to_polars()
    assert rows["error_code"].fill_null("ok").to_list() == [code for _, code in images]
    assert rows["error_message"][5].startswith("an int is none of paths")
    assert "transpose(1, 2, 0)" in rows["error_message"][8]
    assert "hunter2" not in str(rows.to_dicts())
    bad = np.array([code != "ok" for _, code in images])
    assert (result.ok == ~bad).all()
    assert (result.predictions[bad] == -1).all()
    assert np.isnan(result.probabilities[bad]).all()
    assert result.errors.height == bad.sum()
    assert "11 images cannot be used" in repr(result)
    assert "None of 1 image can be used" in repr(erase(model, ["gone.png"], CLASSES))


def test_arrays_have_the_order_of_images_and_classes(model, files):
    result = erase(
        model, files["file"], CLASSES, masks=files["mask"], labels=[CLASSES[y] for y in files["y"]]
    )
    rows = result.to_polars()
    assert result.probabilities.shape == (14, 3)
    np.testing.assert_allclose(result.probabilities.sum(1), 1, rtol=1e-5)
    assert (result.probabilities.argmax(1) == rows["prediction"].to_numpy()).all()
    assert (result.predictions == rows["prediction"].to_numpy()).all()
    before = result.zero_shot_probabilities
    assert (before.argmax(1) == rows["zero_shot_prediction"].to_numpy()).all()
    np.testing.assert_allclose(before.max(1), rows["zero_shot_confidence"], rtol=1e-6)
    assert (result.labels == files["y"].to_numpy()).all()
    assert rows["label_name"].to_list() == [CLASSES[y] for y in files["y"]]
    moved = rows.select(pl.col("prediction") != pl.col("zero_shot_prediction")).to_series()
    assert result.changed.tolist() == moved.to_list()


def test_an_image_without_its_mask_is_an_error_row(model, files):
    masks = [files["mask"][0], None, Path("gone.png")]
    result = erase(model, files["file"][:3], CLASSES, masks=masks)
    assert result.errors["error_code"].to_list() == ["missing_mask", "missing_mask"]
    assert result.errors["error_message"][0] == "no mask is given for this image"
    assert result.ok.tolist() == [True, False, False]


def test_labels_and_attributes_may_be_tensors(model, files):
    given = {"labels": torch.tensor([1, 0, 1]), "attributes": torch.tensor([7, 7, 3])}
    rows = erase(model, files["file"][:3], CLASSES, method="zero_shot", **given).to_polars()
    assert rows["label"].to_list() == [1, 0, 1]
    assert rows["attribute"].to_list() == [1, 1, 0]


def test_a_jpeg_in_memory_is_no_mask(model, files):
    lossy = io.BytesIO()
    Image.new("L", (40, 30), 255).save(lossy, "JPEG")
    result = erase(model, files["file"][:1], CLASSES, masks=[Image.open(lossy)])
    assert result.errors["error_code"].to_list() == ["mask_lossy"]


def test_the_model_is_loaded_once(model, files, tiny_json, monkeypatch):
    monkeypatch.setattr(clip_model, "_load", lambda *given: pytest.fail("loaded again"))
    erase(model, files["file"][:2], CLASSES)
    erase(model, files["file"][:2], CLASSES[:2])
    assert load_model(tiny_json, "random", device="cpu").clip is model.clip


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_where_somebody_looks_and_cleared(model, files, monkeypatch):
    monkeypatch.setattr(progress, "_AFTER_S", 0)
    monkeypatch.setattr(progress, "_EVERY_S", 0)
    for stream, shown in ((_Terminal(), None), (io.StringIO(), None), (io.StringIO(), True)):
        monkeypatch.setattr("sys.stderr", stream)
        erase(model, files["file"], CLASSES, method="zero_shot", batch_size=5, progress=shown)
        lines = stream.getvalue().split("\r")
        if shown is None and not stream.isatty():
            assert lines == [""]
            continue
        assert [line[:9] for line in lines[1:4]] == ["5 of 14 i", "10 of 14 ", "14 of 14 "]
        assert not "".join(lines[4:]).strip()


WRONG = [
    ({"images": []}, "images", "at least one image"),
    ({"images": "nowhere"}, "images", "no such file or folder"),
    ({"images": 3}, "images", "a list of paths"),
    ({"images": {"a.png": 1}}, "images", "a list of paths"),
    ({"classes": []}, "classes", "at least two classes"),
    ({"classes": "a camel"}, "classes", "at least two classes"),
    ({"classes": ["a camel", ""]}, "classes", "needs a name"),
    ({"classes": ["a camel", "A  camel"]}, "classes", "name them apart"),
    ({"masks": ["mask0.png"]}, "masks", "one mask per image"),
    ({"labels": [0]}, "labels", "one per image"),
    ({"labels": [0, 3]}, "labels", "0 to 2"),
    ({"labels": [0, "a cow"]}, "labels", "0 to 2"),
    ({"labels": "ab"}, "labels", "one value per image"),
    ({"labels": np.array([[1, 2]] * 2)}, "labels", "0 to 2"),
    ({"labels": np.array(1)}, "labels", "one value per image"),
    ({"attributes": np.array([["a"], ["b"]])}, "attributes", "texts or whole numbers"),
    ({"attributes": np.array(1)}, "attributes", "one value per image"),
    ({"classes": np.array("a")}, "classes", "at least two classes"),
    ({"template": "{}" + " far" * 99}, "template", "shorten the name or the template"),
    ({"attributes": [0, 1.5]}, "attributes", "texts or whole numbers"),
    ({"method": "serazer"}, "method", "did you mean `seraser`"),
    ({"method": {"lr": 1}}, "method", "give a name"),
    ({"method": {"name": "seraser", "lr": -1}}, "method.lr", "greater than"),
    ({"method": {"name": "seraser", "auxiliary": "mask"}}, "masks", "relevance"),
    ({"method": {"name": "foreground", "auxiliary": "box"}}, "method.auxiliary", "draw it"),
    (
        {"method": {"name": "tie", "contexts": ["a sea"], "pool": {"split": "train"}}},
        "method",
        "images in Python have none",
    ),
    ({"template": "a photo"}, "template", "{}"),
    ({"seed": -1}, "seed", "0 or more"),
    ({"batch_size": 0}, "batch_size", "1 or more"),
    ({"model": "demo"}, "model", "load_model"),
]


@pytest.mark.parametrize(("argument", "field", "remedy"), WRONG, ids=lambda x: str(x)[:40])
def test_mistakes_name_the_argument_and_the_remedy(model, files, argument, field, remedy):
    given = {"model": model, "images": files["file"][:2].to_list(), "classes": CLASSES} | argument
    with pytest.raises(ConfigError) as told:
        erase(**given)
    assert told.value.field == field
    assert remedy in told.value.remedy


def test_a_model_without_a_plain_transformer_needs_masks(files, tiny_json, tmp_path):
    tower = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}
    document = json.loads(Path(tiny_json).read_text()) | {"vision_cfg": tower}
    (tmp_path / "resnet.json").write_text(json.dumps(document))
    resnet = load_model(str(tmp_path / "resnet.json"), "random", device="cpu")
    with pytest.raises(ConfigError, match="no plain vision transformer") as told:
        erase(resnet, files["file"], CLASSES)
    assert told.value.field == "masks"


def test_the_package_names_what_there_is_and_imports_nothing():
    assert {"erase", "find_shortcuts", "load_model"} <= set(dir(seraser_core))
    heavy = "{'numpy', 'polars', 'torch', 'pydantic'} & set(sys.modules)"
    code = f"import sys, seraser_core; dir(seraser_core); sys.exit({heavy} or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="find_nothing"):
        seraser_core.find_nothing  # noqa: B018
