"""Benchmark data sets: miniatures of the real trees, traps included, and ways to be wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import s3fs
from miniatures import MINIATURES, Miniature, mat_file, put, text, write_waterbird_masks

from seraser_core.config import load_config
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.runner.plan import DEFAULT_TEMPLATE, with_template
from seraser_core.sources.benchmarks.benchmark_source import BenchmarkSource
from seraser_core.sources.benchmarks.matlab import read_matlab
from seraser_core.sources.benchmarks.registry import BENCHMARKS
from seraser_core.sources.planner import plan_items
from seraser_core.sources.source import Listing


def list_rows(name: str, path: Path | str, split: str | None = None, **options: Any) -> Listing:
    dataset = DatasetOptions.model_validate(
        {"format": "benchmark", "name": name, "path": str(path), "split": split, **options}
    )
    return BenchmarkSource(dataset).listing()


def named(listing: Listing) -> list[tuple[str, str, str | None]]:
    classes, attributes = listing.classes, listing.attributes
    return [
        (image, classes[label], None if attribute is None else attributes[attribute])
        for image, label, attribute in listing.items.select(
            "image", "label", "attribute"
        ).iter_rows()
    ]


def refused(name: str, path: Path | str, split: str | None = None, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        list_rows(name, path, split, **options)
    assert caught.value.field.startswith("dataset.")
    return str(caught.value)


@pytest.fixture(params=MINIATURES.values(), ids=MINIATURES.keys())
def miniature(request: pytest.FixtureRequest) -> Miniature:
    return request.param


@pytest.fixture
def root(miniature: Miniature, tmp_path: Path) -> Path:
    """Root of the miniature, beside which another folder lies."""
    root = tmp_path / "data" / "the root"
    miniature.write(root)
    (tmp_path / "data" / "a").mkdir()
    return root


def test_every_data_set_has_a_miniature():
    assert MINIATURES.keys() == BENCHMARKS.keys()


def test_rows_are_exact(miniature, root):
    listing = list_rows(miniature.name, root)
    rows = sorted(named(listing))
    if miniature.name.startswith("imagenet-"):  # one per class
        assert [len(rows), len({name for _, name, _ in rows})] == [len(listing.classes)] * 2
        rows = [row for row in rows if row in miniature.rows]
    assert rows == sorted(miniature.rows)
    assert {name: listing.classes.index(name) for name in miniature.indices} == miniature.indices
    assert listing.items["item_id"].equals(listing.items["image"].alias("item_id"))
    assert all((root / image).is_file() for image in listing.items["image"])


def test_all_splits_can_be_listed(miniature, root):
    default, *_ = BENCHMARKS[miniature.name].splits or [None]
    others = [split for split in BENCHMARKS[miniature.name].splits if split != default]
    if miniature.name not in ("camel_deer", "spider_crab"):
        found = {split: list_rows(miniature.name, root, split).items.height for split in others}
        assert found == miniature.splits
    assert named(list_rows(miniature.name, root, default)) == named(list_rows(miniature.name, root))
    said = refused(miniature.name, root, "dev")
    assert f"{miniature.name} has {default}" in said if default else "has no splits" in said


def test_what_is_missing_is_said(miniature, root):
    if not miniature.lacking:
        for file in root.iterdir():
            file.unlink()
        assert "there is no such folder, or it is empty" in refused(miniature.name, root)
        return
    miniature.remove(root)
    said = refused(miniature.name, root)
    assert f"there is no {miniature.lacking!r}" in said
    assert BENCHMARKS[miniature.name].layout in said


def test_what_does_not_belong_is_said(miniature, root):
    miniature.strange(root)
    assert miniature.said in refused(miniature.name, root)


def test_the_right_root_is_named(miniature, root):
    above = refused(miniature.name, root.parent)
    if not miniature.deeper:
        assert "elsewhere, such as the root/" in above
        return
    assert f"did you mean {root}?" in above
    assert f"did you mean {root}?" in refused(miniature.name, root / miniature.deeper)
    assert f"did you mean {root}?" not in refused(miniature.name, root.parent / "none" / "at" / "a")


def test_names_are_known(tmp_path):
    assert "did you mean 'waterbirds'?" in refused("waterbird", tmp_path)


def test_published_counts_agree_with_each_other():
    for benchmark in BENCHMARKS.values():
        assert set(benchmark.counts) <= set(benchmark.splits or [""])
        for counts in benchmark.counts.values():
            for parts in (counts.of_class, counts.of_attribute, counts.of_group):
                assert not parts or sum(parts) == counts.images, benchmark.name


def test_defining_them_imports_no_model():
    code = (
        "import sys, seraser_core.sources.benchmarks.registry\n"
        "assert not {'torch', 'open_clip', 'timm'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_masks_and_boxes_are_found(tmp_path):
    MINIATURES["cub"].write(tmp_path)
    items = list_rows("cub", tmp_path).items
    assert items["box"].to_list() == [[6.0, 2.0, 9.0, 6.5], [1.0, 1.0, 3.0, 3.0]]
    assert items["mask"].null_count() == 2
    (tmp_path / "segmentations").mkdir()
    first = "segmentations/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.png"
    assert list_rows("cub", tmp_path).items["mask"][0] == first


def test_boxes_of_tiny_imagenet_hold_their_last_pixel(tmp_path):
    MINIATURES["tiny_imagenet"].write(tmp_path)
    boxes = list_rows("tiny_imagenet", tmp_path).items["box"].to_list()
    assert boxes == [[0, 32, 45, 63], [0, 0, 64, 64], [5, 6, 8, 9]]
    assert list_rows("tiny_imagenet", tmp_path, "train").items["box"].null_count() == 3


def test_a_canonical_table_of_pairs(tmp_path):
    put(tmp_path, "pictures/1.png", "pictures/2.png", "pictures/3.png")
    rows = ("1,pictures/1.png,2,0,forest", "2,pictures/2.png,2,1,desert", "3,pictures/3.png,1,1,x")
    text(tmp_path, "metadata.csv", "id,filename,split,y,a", *rows)
    expected = [("pictures/1.png", "camel", "forest"), ("pictures/2.png", "deer", "desert")]
    assert named(list_rows("camel_deer", tmp_path)) == expected
    assert list_rows("camel_deer", tmp_path, "val").items.height == 1


def test_other_names_of_columns(tmp_path):
    text(tmp_path, "metadata.csv", "id,filename,split,y,a", "1,a.jpg,2,0,1")
    assert named(list_rows("waterbirds", tmp_path)) == [("a.jpg", "landbird", "water")]
    text(tmp_path, "metadata.csv", "id,filename,split,why,a", "1,a.jpg,2,0,1")
    assert "lacks the column" in refused("waterbirds", tmp_path)
    text(tmp_path, "metadata.csv", "id,filename,split,y,a", "1,../a.jpg,2,0,1")
    assert "is outside of" in refused("waterbirds", tmp_path)


def test_tables_that_do_not_agree(tmp_path):
    MINIATURES["celeba"].write(tmp_path)
    table = tmp_path / "list_eval_partition.csv"
    table.write_text(table.read_text().replace("000003.jpg,2\n", ""))
    assert "not one row each for every image; see 000003.jpg" in refused("celeba", tmp_path)


def test_a_table_that_was_cut_loses_no_image(tmp_path):
    MINIATURES["celeba"].write(tmp_path)
    table = tmp_path / "list_attr_celeba.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    assert "not one row each for every image; see 000004.jpg" in refused("celeba", tmp_path)


def test_a_table_with_a_column_twice(tmp_path):
    text(tmp_path, "metadata.csv", "id,filename,split,y,y,a", "1,a.jpg,2,0,1,1")
    assert "more than one column 'y'" in refused("waterbirds", tmp_path)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (("filename,split,y,a", "1.png,2,0,a_b", "2.png,2,1,a b"), "are both called 'a b'"),
        (("filename,split,y,a", "1.png,2,0,x", "2.png,2,1,"), "1 images have an empty attribute"),
        (("filename,split,y", "1.png,2,0", "2.png,2,1"), "a table lacks the attribute"),
        (("filename,split,y,a", ",2,0,x", "2.png,2,1,x"), "1 images have no name"),
        (("filename,split,y,a", '"",2,0,x', "2.png,2,1,x"), "1 images have no name"),
    ],
)
def test_tables_of_pairs_that_lack_something(tmp_path, rows, said):
    text(tmp_path, "metadata.csv", *rows)
    assert said in refused("camel_deer", tmp_path)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ('{"bird": 1, "hot air balloon": 1}', "have the same number"),
        ('{"bird": 2, "hot air balloon": 0}', "numbers 0 to 1, but that of 'bird' is 2"),
        ('{"bird": -1, "hot air balloon": 0}', "that of 'bird' is -1"),
        ('{"bird": 0.5, "hot air balloon": 0}', "not all numbers: that of 'bird'"),
        ('{"bird": 0, "hot air balloon": 0, "bird": 1}', "the key 'bird' more than once"),
        ('{"bird": null, "hot air balloon": 0}', "`name: number` pairs"),
        ('["bird"]', "`name: number` pairs"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_numbers_of_classes_that_are_wrong(tmp_path, numbers, said):
    MINIATURES["nicopp"].write(tmp_path)
    (tmp_path / "dg_label_id_mapping.json").write_text(numbers)
    assert said in refused("nicopp", tmp_path)


@pytest.mark.parametrize(
    ("number", "said"), [("7", "is 7"), ("-1", "is -1"), ("x", "not all numbers")]
)
def test_numbers_in_lists_follow_each_other(tmp_path, number, said):
    MINIATURES["domainnet"].write(tmp_path)
    for path in tmp_path.glob("*_test.txt"):
        path.write_text(path.read_text().replace(".jpg 1", f".jpg {number}"))
    assert said in refused("domainnet", tmp_path)


def test_files_of_other_endings_and_images_elsewhere_are_told(tmp_path):
    MINIATURES["pacs"].write(tmp_path)
    assert list_rows("pacs", tmp_path).warnings == []
    put(tmp_path, "photo/dog/3.jfif", "photo/dog/sub/2.jpg", "photo/dog/.hidden", "README.md")
    assert list_rows("pacs", tmp_path).warnings == [
        "1 files are no images by their endings and are left out: .jfif 1",
        "1 images are not at {attribute}/{label}/* and are left out, e.g. photo/dog/sub/2.jpg",
    ]


@pytest.mark.parametrize("broken", [b"", b"MATLAB", mat_file(["a/b.jpg"], [1])[:-30]])
def test_a_broken_list_of_matlab(tmp_path, broken):
    MINIATURES["stanford_dogs"].write(tmp_path)
    (tmp_path / "test_list.mat").write_bytes(broken)
    assert "is no list of files and labels" in refused("stanford_dogs", tmp_path)


def test_a_list_of_matlab():
    found = read_matlab(mat_file(["a/b.jpg", "c"], [7, 200]))
    assert found["file_list"] == ["a/b.jpg", "c"]
    assert found["labels"].tolist() == [7, 200]


def test_configured_classes_keep_the_published_order(tmp_path):
    MINIATURES["waterbirds"].write(tmp_path)
    names = ["a bird of the land", "a bird of the water"]
    assert list_rows("waterbirds", tmp_path, classes=names).names == names
    assert "2 classes" in refused("waterbirds", tmp_path, classes=["a", "b", "c"])
    for swapped in (["waterbird", "landbird"], ["Waterbird", "a bird of the land"]):
        said = refused("waterbirds", tmp_path, classes=swapped)
        assert "has this class at index 1" in said
    assert list_rows("waterbirds", tmp_path, classes=["Landbird", "a waterbird"]).classes


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"name": "cub"}, "name the data set"),
        ({"mask": "mask"}, "known of a benchmark"),
        ({"format": "table", "name": None, "metadata": "m.csv", "classes": ["a", "b"]}, "set form"),
        ({"split": {"column": "split", "values": [2]}}, "is of a table"),
        ({"split": {"values": ["test", "val"]}}, "one split"),
        ({"format": "table", "classes": ["a", "b"]}, "set format: benchmark"),
        ({"format": "table", "name": None, "classes": ["a", "b"], "split": "test"}, "missing"),
    ],
)
def test_options_that_do_not_fit(dataset, said):
    tree = {"format": "benchmark", "name": "waterbirds", "path": "x", **dataset}
    if dataset == {"name": "cub"}:
        del tree["name"]
    with pytest.raises(ConfigError, match=said) as caught:
        load_config({"dataset": {k: v for k, v in tree.items() if v is not None}})
    assert caught.value.field.startswith("dataset.")


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Any]:
    """Plans the miniature of waterbirds."""
    root = tmp_path / "birds"
    MINIATURES["waterbirds"].write(root)

    def run(method: Any = "zero_shot", **options: Any) -> Any:
        dataset = {"format": "benchmark", "name": "waterbirds", "path": str(root), **options}
        config = load_config({"dataset": dataset, "methods": [method]})
        return config, plan_items(config), root

    return run


def test_a_plan(plan):
    config, planned, root = plan(split="test")
    table = pl.from_arrow(planned.table)
    assert table["image"].to_list()[0] == f"{root}/001.Black_footed_Albatross/a_1.jpg"
    assert planned.source["split"] == "test"
    assert planned.source["images_of_class"] == {"landbird": 2, "waterbird": 2}
    assert with_template(config, planned.template).dataset.template == "a photo of a {}"
    assert with_template(config, None).dataset.template == DEFAULT_TEMPLATE
    config, planned, _ = plan(template="{} outside")
    assert with_template(config, planned.template).dataset.template == "{} outside"


def test_methods_that_need_masks(plan):
    with pytest.raises(ConfigError, match="needs it"):
        plan({"name": "seraser", "auxiliary": "mask"})


def test_masks_beside_waterbirds(plan):
    _, _, root = plan()
    write_waterbird_masks(root)
    _, planned, _ = plan({"name": "seraser", "auxiliary": "mask"})
    assert all(Path(mask).is_file() for mask in planned.table["mask"].to_pylist())


def test_columns_of_a_table_are_not_taken_for_what_a_listing_tells(tmp_path):
    MINIATURES["waterbirds"].write(tmp_path)
    expected = list_rows("waterbirds", tmp_path).items
    path = tmp_path / "metadata.csv"
    table = pl.read_csv(path, infer_schema=False)
    table.with_columns(version=pl.lit("v1"), size=pl.lit("7")).write_csv(path)
    assert list_rows("waterbirds", tmp_path).items.equals(expected)


def test_on_s3(bucket, tmp_path):
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    for name in ("waterbirds", "pacs", "imagenet9", "stanford_dogs"):
        MINIATURES[name].write(tmp_path / name)
        for file in (tmp_path / name).rglob("*"):
            if file.is_file():
                path = file.relative_to(tmp_path).as_posix()
                fs.pipe_file(f"{bucket}/data/{path}", file.read_bytes())
        local, remote = list_rows(name, tmp_path / name), list_rows(name, f"{bucket}/data/{name}")
        of_each = [listing.items.sort("image") for listing in (local, remote)]
        assert of_each[0].drop("version").equals(of_each[1].drop("version"))
        # Where a folder is listed, it tells the sizes, and object storage the tags as well.
        told = of_each[1].filter(pl.col("size").is_not_null())
        assert told["version"].null_count() == 0
        assert f"did you mean {bucket}/data/{name}?" in refused(name, f"{bucket}/data")
    assert f"did you mean {bucket}/data/pacs?" in refused("pacs", f"{bucket}/data/pacs/photo")
