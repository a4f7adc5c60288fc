"""Files that were damaged at random: always a picture, rows or a clear error, and in time."""

from __future__ import annotations

import contextlib
import io
import json
import random
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from seraser_core.config import parse_config
from seraser_core.config.options import LimitOptions
from seraser_core.errors import ConfigError, ItemError
from seraser_core.sources.decode import decode_image, decode_mask, decode_reduced
from seraser_core.sources.planner import plan_items

FILES_PER_KIND = 100
LIMITS = LimitOptions(max_pixels=1_000_000)
KINDS = {
    "JPEG": {"quality": 80},
    "JPEG progressive": {"progressive": True},
    "PNG": {},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "GIF": {},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "TIFF deflate": {"compression": "tiff_adobe_deflate"},
}


def picture(kind: str) -> bytes:
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.stack([x * 4, y * 5, (x + y) * 2], axis=-1).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind.split()[0], **KINDS[kind])
    return data.getvalue()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four changes such as disks, networks and enemies make."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(max(1, len(changed)))
        kind = rng.randrange(6)
        if kind == 0:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            changed[at : at + 8] = rng.choice([b"\xff" * 8, bytes(8), b"\x7f\xff\xff\xff" * 2])
        elif kind == 3:
            del changed[at : at + rng.randint(1, 40)]
        elif kind == 4:
            changed[at:at] = changed[: rng.randint(1, 40)]
        else:
            changed[at:at] = rng.randbytes(rng.randint(1, 40))
    return bytes(changed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_picture_is_a_picture_or_an_error_row(kind):
    whole = picture(kind)
    decode_image(whole, LIMITS)
    seen = []
    for seed in range(FILES_PER_KIND):
        data = damaged(whole, random.Random(f"{kind} {seed}"))
        for decode in (
            lambda data: decode_image(data, LIMITS),
            lambda data: decode_reduced(data, LIMITS, 16)[0],
            lambda data: Image.fromarray(decode_mask(data, (64, 48), LIMITS)),
        ):
            try:
                image = decode(data)
            except ItemError as error:
                assert error.message and error.code, (kind, seed)
                seen.append(error.code)
            else:
                assert image.width * image.height <= LIMITS.max_pixels, (kind, seed)
                seen.append("picture")
    assert len(seen) == 3 * FILES_PER_KIND
    assert len(set(seen)) > 1  # some were hit, some were not


def tar_of(names: list[str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"0123"))
    return data.getvalue()


def plan(path: Path, **dataset: object) -> pl.DataFrame | None:
    """The plan; None when it was refused with words."""
    tree = {
        "output": str(path.parent / "runs"),
        "dataset": {
            "path": str(path),
            "classes": ["a", "b"],
            "allow_empty_classes": True,
            **dataset,
        },
        "methods": ["zero_shot"],
    }
    try:
        return pl.DataFrame(plan_items(parse_config(tree)).table)
    except ConfigError as error:
        assert error.field and error.remedy
        return None


FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40)


@FUZZ
@given(st.lists(NAMES, max_size=8), st.randoms(use_true_random=False), st.booleans())
def test_damaged_tars_and_strange_names(tmp_path, names, rng, whole):
    data = tar_of([f"{name}.{rng.choice(['jpg', 'cls', 'mask.png'])}" for name in names])
    path = tmp_path / "x.tar"
    path.write_bytes(data if whole else damaged(data, rng))
    items = plan(path, format="webdataset")
    if items is not None:
        assert items["item_id"].is_unique().all()
        places = items["offset"] + items["length"]
        assert (places <= path.stat().st_size).all()
    assert {p.name for p in tmp_path.iterdir()} <= {"x.tar", "runs"}


@FUZZ
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=6).map(
            lambda rows: "\n".join(["image,label,mask,id", *(",".join(r) for r in rows)]).encode()
        ),
    )
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_tables_of_any_content(tmp_path, data, ending):
    path = tmp_path / f"t.{ending}"
    path.write_bytes(data)
    items = plan(path, label="label")
    assert items is None or items.height > 0


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@FUZZ
@given(st.lists(st.fixed_dictionaries({"image": JSON, "label": JSON}) | JSON, max_size=5))
def test_json_lines_of_any_content(tmp_path, rows):
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    items = plan(path, label="label")
    assert items is None or items["image"].null_count() == 0


@FUZZ
@given(st.binary(max_size=200) | st.lists(NAMES, max_size=6).map(lambda x: "\n".join(x).encode()))
def test_lists_of_any_content(tmp_path, data):
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    items = plan(path, format="urls")
    assert items is None or items.height > 0


@FUZZ
@given(st.text(st.sampled_from("*?[]!-ab{},./0123"), max_size=30))
def test_patterns_of_any_kind(tmp_path, pattern):
    with contextlib.suppress(FileExistsError):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "a.jpg").write_bytes(b"x")
    items = plan(tmp_path / "data" / pattern, format="files")
    assert items is None or items.height > 0
