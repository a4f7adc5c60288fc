"""The same pictures in every format, on disk and in object stores, give the same numbers."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
from pathlib import Path

import fsspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from miniatures import MINIATURES
from PIL import Image

from seraser_core.results.mask_table import write_mask_table

CLASSES = ["a camel", "a deer on the lake", "a red-billed oxpecker"]
COUNT = 9
MASKED = ("table", "jsonl", "webdataset", "parquet", "hugging face")
LABELLED = (*MASKED, "folder")


def png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def samples() -> list[tuple[str, int, bytes, bytes]]:
    """Name, label, image and mask of every picture."""
    rng = np.random.default_rng(4)
    found = []
    for i in range(COUNT):
        width, height = (int(n) for n in rng.integers(30, 80, 2))
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[height // 4 : height // 2, width // 4 : -width // 4] = 255
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        found.append((f"p{i:02}", i % 3, png(picture), png(mask)))
    return found


@pytest.fixture
def root(request, tmp_path) -> str:
    """An empty place for data."""
    if request.param == "disk":
        return f"{tmp_path}/data"
    return request.getfixturevalue("bucket" if request.param == "s3" else "gcs_folder")


def put(url: str, data: bytes) -> None:
    if "://" not in url:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
    with fsspec.open(url, "wb") as file:
        file.write(data)


def write_files(root, samples):
    for name, _, image, mask in samples:
        put(f"{root}/images/{name}.png", image)
        put(f"{root}/masks/{name}.png", mask)


def as_table(root, samples):
    write_files(root, samples)
    rows = [f"images/{n}.png,masks/{n}.png,{y}" for n, y, _, _ in samples]
    put(f"{root}/t.csv", "\n".join(["image,mask,y", *rows]).encode())
    return {"path": f"{root}/t.csv", "label": "y", "mask": "mask"}


def as_jsonl(root, samples):
    write_files(root, samples)
    rows = [
        json.dumps({"image": f"images/{n}.png", "mask": f"masks/{n}.png", "y": CLASSES[y]})
        for n, y, _, _ in samples
    ]
    put(f"{root}/t.jsonl", "\n".join(rows).encode())
    return {"path": f"{root}/t.jsonl", "label": "y", "mask": "mask"}


def as_folder(root, samples):
    for name, y, image, _ in samples:
        put(f"{root}/{CLASSES[y]}/{name}.png", image)
    return {"format": "folder", "path": root}


def as_webdataset(root, samples):
    for part in range(2):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for name, y, image, mask in samples[part::2]:
                for ending, content in (
                    ("png", image),
                    ("mask.png", mask),
                    ("cls", str(y).encode()),
                ):
                    member = tarfile.TarInfo(f"./some/{name}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        put(f"{root}/x-{part:06}.tar", data.getvalue())
    return {"format": "webdataset", "path": f"{root}/x-{{000000..000001}}.tar"}


def write_parquet(root, samples, image, mask, metadata=None):
    names, labels, _, _ = zip(*samples, strict=True)
    table = pa.table({"name": names, "y": labels, "image": image, "mask": mask})
    for part in range(2):
        data = io.BytesIO()
        some = table.slice(part * 5, 5).replace_schema_metadata(metadata)
        pq.write_table(some, data, row_group_size=2)
        put(f"{root}/part-{part}.parquet", data.getvalue())
    return {
        "format": "parquet",
        "path": f"{root}/part-*.parquet",
        "id": "name",
        "label": "y",
        "mask": "mask",
    }


def as_parquet(root, samples):
    _, _, images, masks = zip(*samples, strict=True)
    return write_parquet(root, samples, images, masks)


def as_hugging_face(root, samples):
    images, masks = (
        [{"bytes": sample[i], "path": f"{sample[0]}.png"} for sample in samples] for i in (2, 3)
    )
    features = {"y": {"names": CLASSES, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    info = json.dumps({"info": {"features": features}})
    return write_parquet(root, samples, images, masks, {"huggingface": info}) | {"classes": None}


def as_urls(root, samples):
    write_files(root, samples)
    lines = [
        f"{root}/images/{n}.png" if i % 2 else f"images/{n}.png"
        for i, (n, *_) in enumerate(samples)
    ]
    put(f"{root}/list.txt", "\n".join(["# pictures", "", *lines]).encode())
    return {"format": "urls", "path": f"{root}/list.txt"}


def as_files(root, samples):
    write_files(root, samples)
    return {"format": "files", "path": f"{root}/**ages/*.png"}


WRITERS = {
    "table": as_table,
    "jsonl": as_jsonl,
    "folder": as_folder,
    "webdataset": as_webdataset,
    "parquet": as_parquet,
    "hugging face": as_hugging_face,
    "urls": as_urls,
    "files": as_files,
}


@pytest.fixture(scope="module")
def references() -> dict[int, pl.DataFrame]:
    """Number of methods -> rows of the table on disk, computed when they are asked for."""
    return {}


OFTEN = {"s3": ("webdataset", "parquet", "urls"), "gcs": ("webdataset", "files")}
"""Kinds that are read from there without ``-m slow``."""


@pytest.mark.parametrize(
    ("root", "kind"),
    [
        pytest.param(root, kind, marks=[] if kind in OFTEN.get(root, WRITERS) else pytest.mark.slow)
        for root in ("disk", "s3", "gcs")
        for kind in WRITERS
        if kind != "table"
    ],
    indirect=["root"],
)
def test_the_same_pictures_give_the_same_numbers(
    run, tree, samples, references, tmp_path, root, kind
):
    methods = ["zero_shot", {"name": "seraser", "auxiliary": "relevance", "steps": 3, "lr": 5e-3}]
    if kind in MASKED:
        methods.append({"id": "masked", "name": "seraser", "steps": 3, "lr": 5e-3})
    tree = {**tree, "methods": methods}

    def rows_of(name, where):
        dataset = {"classes": CLASSES, "allow_outside": True} | WRITERS[name](where, samples)
        found = run({**tree, "name": name.replace(" ", "-"), "dataset": dataset})[1]
        picture = pl.col("item_id").str.extract(r"(p\d\d)").alias("picture")
        return found.with_columns(picture).sort("picture", "method")

    if len(methods) not in references:
        references[len(methods)] = rows_of("table", f"{tmp_path}/reference")
    expected = references[len(methods)]
    found = rows_of(kind, root)
    assert set(found["status"]) == {"ok"}
    assert found["picture"].to_list() == expected["picture"].to_list()
    assert found["prediction"].equals(expected["prediction"])
    # Ids, and with them places in the batch, differ between formats; products round by place.
    np.testing.assert_allclose(found["logits"].to_list(), expected["logits"].to_list(), rtol=1e-5)
    columns = ["label", "label_name", "correct"]
    if kind in LABELLED:
        assert found.select(columns).equals(expected.select(columns))
    else:
        assert found["label"].null_count() == found.height
    assert all(re.search(r"p\d\d", name) for name in found["item_id"])


def as_split_table(root, samples):
    """Ids, names of classes and attributes, and a split that leaves one row out."""
    write_files(root, samples)
    rows = [
        f"nr-{i},images/{n}.png,{CLASSES[y]},{'land' if i % 2 else 'sea'},{2 if i != 4 else 9}"
        for i, (n, y, _, _) in enumerate(samples)
    ]
    put(f"{root}/t.csv", "\n".join(["nr,image,y,place,part", *rows]).encode())
    split = {"column": "part", "values": [2]}
    columns = {"id": "nr", "label": "y", "attribute": "place", "split": split}
    return {"path": f"{root}/t.csv", **columns}


def as_named_folders(root, samples):
    """Folders whose classes have other names in the prompts."""
    as_folder(root, samples)
    names = {CLASSES[2]: "a bird", CLASSES[0]: "a dromedary", CLASSES[1]: "a stag"}
    return {"format": "folder", "path": root, "classes": names}


def as_benchmark(root, samples):
    """Waterbirds, where some pictures are of the model's size."""
    with tempfile.TemporaryDirectory() as folder:
        MINIATURES["waterbirds"].write(Path(folder))
        names = [path for path in Path(folder).rglob("*") if path.is_file()]
        images = iter(image for _, _, image, _ in samples)
        for path in names:
            data = path.read_bytes() if path.suffix == ".csv" else next(images)
            put(f"{root}/{path.relative_to(folder).as_posix()}", data)
    return {"format": "benchmark", "name": "waterbirds", "path": root, "classes": None}


REMOTE = ("split table", "webdataset", "parquet", "benchmark")
"""One of every kind of place that a picture has: a file, a member, a cell, a benchmark's file."""
MASKED_TOO = {
    "split table": as_split_table,
    "named folders": as_named_folders,
    "benchmark": as_benchmark,
}


@pytest.fixture(scope="module")
def squares() -> list[tuple[str, int, bytes, bytes]]:
    """As `samples`, of the model's size, in which relevance makes its masks; without masks."""
    pixels = np.random.default_rng(5).integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8)
    whole = np.full((32, 32), 255, dtype=np.uint8)
    return [
        (f"p{i:02}", i % 3, png(np.kron(square, np.ones((4, 4, 1), np.uint8))), png(whole))
        for i, square in enumerate(pixels)
    ]


@pytest.mark.parametrize(
    ("root", "kind"),
    [
        *(("disk", kind) for kind in [*WRITERS, *MASKED_TOO]),
        *(
            pytest.param("s3", kind, marks=[] if kind in REMOTE else pytest.mark.slow)
            for kind in [*WRITERS, *MASKED_TOO]
        ),
    ],
    indirect=["root"],
)
def test_masks_that_are_made_of_any_source_are_used_over_it(run, tree, squares, root, kind):
    """The very options that are printed, with ids, labels, attributes and splits as they were."""
    write = {**WRITERS, **MASKED_TOO}[kind]
    dataset = {"classes": CLASSES, "allow_outside": True} | write(f"{root}/data", squares)
    dataset = {name: value for name, value in dataset.items() if value is not None}
    if "://" in root:
        tree = {**tree, "output": f"{root}/runs"}
    tree = {**tree, "dataset": dataset, "shard": {"max_items": 6}}

    def tuned(auxiliary):
        return [{"name": "seraser", "auxiliary": auxiliary, "steps": 3, "lr": 0.005}]

    url, expected = run({**tree, "methods": tuned("relevance"), "save_masks": True})
    assert set(expected["status"]) == {"ok"}
    made = write_mask_table(url, "relevance")
    assert made.masks == made.images == expected.height
    printed = yaml.safe_load(yaml.safe_dump(made.dataset))
    _, found = run({**tree, "dataset": printed, "methods": tuned("mask")})
    same = [name for name in found.columns if name not in ("run_id", "dataset")]
    assert found.select(same).equals(expected.select(same))
