"""Bad images among good ones: each is an error row, and the good ones are untouched."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from seraser_core.results.verify import verify


def huge_png_header(width: int = 50_000, height: int = 40_000) -> bytes:
    """A PNG whose header claims 2,000 megapixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    )


def write_bad(folder: Path) -> dict[str, str]:
    """Write one file of every fault; returns file name -> expected error code."""
    good = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    good.save(folder / "whole.jpg")
    good.save(folder / "whole.png")
    jpeg, png = (folder / "whole.jpg").read_bytes(), (folder / "whole.png").read_bytes()
    contents = {
        "zero.jpg": (b"", "empty"),
        "text.jpg": (b"this is a text, not a picture\n" * 20, "undecodable"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "cut.png": (png[: len(png) // 2], "truncated"),
        "huge.png": (huge_png_header(), "too_large"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {name: code for name, (_, code) in contents.items()} | {"gone.png": "missing"}


def test_bad_images_are_error_rows_among_good_ones(run, tree, pictures, tmp_path):
    _, expected = run(tree)
    folder = tmp_path / "mixed"
    shutil.copytree(pictures.parent, folder)
    codes = write_bad(folder)
    bad = [
        {"id": f"item-{i:02}-bad", "file": name, "mask": "mask0.png", "y": 0, "a": 0}
        for i, name in enumerate(codes)
    ]
    table = pl.concat([pl.read_csv(folder / "metadata.csv"), pl.DataFrame(bad)])
    table.write_csv(folder / "metadata.csv")
    url, rows = run(tree, f"dataset.path={folder / 'metadata.csv'}")
    assert rows.height == (14 + len(codes)) * 3
    assert verify(url).problems == []
    errors = rows.filter(pl.col("status") == "error").unique("item_id").sort("item_id")
    assert dict(zip([b["id"] for b in bad], codes.values(), strict=True)) == dict(
        zip(errors["item_id"], errors["error_code"], strict=True)
    )
    assert errors["prediction"].is_null().all()
    assert errors["error_message"].str.len_chars().min() > 5
    good = rows.filter(pl.col("status") == "ok")
    assert good["prediction"].equals(expected["prediction"])
    difference = np.array(good["logits"].to_list()) - np.array(expected["logits"].to_list())
    assert np.abs(difference).max() <= 1e-3


def test_a_run_in_which_every_image_is_bad_completes(run, tree, tmp_path):
    codes = write_bad(tmp_path)
    table = pl.DataFrame(
        {
            "id": list(codes),
            "file": list(codes),
            "mask": "whole.png",
            "y": [i % 3 for i in range(len(codes))],
            "a": 0,
        }
    )
    table.write_csv(tmp_path / "bad.csv")
    tree["methods"].append({"name": "seraser_task", "sample": 3})
    url, rows = run(tree, f"dataset.path={tmp_path / 'bad.csv'}")
    assert set(rows["status"]) == {"error"}
    assert set(rows["method"]) == {"zero_shot", "seraser", "foreground", "seraser_task"}
    assert verify(url).problems == []
