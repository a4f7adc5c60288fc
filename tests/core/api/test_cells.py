"""Results as notebooks show them: small, self-contained, and only text where data is shown."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest

from seraser_core import erase, load_model
from seraser_core.api.cells import MOST_BYTES
from seraser_core.demo.drawing import draw_picture

CLASSES = ["a camel", "a deer"]


@pytest.fixture(scope="module")
def model():
    return load_model("demo")


@pytest.fixture(scope="module")
def drawn():
    """Pictures, masks and labels of camels and deer in the place of the other."""
    given = [("camel", "forest"), ("deer", "desert"), ("camel", "desert")] * 6
    pictures = [draw_picture(*what, seed=2_000_000_000 + i) for i, what in enumerate(given)]
    labels = [f"a {animal}" for animal, _ in given]
    return [one for one, _ in pictures], [mask for _, mask in pictures], labels


def text_of(html: str) -> str:
    without_style = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", without_style).split())


def test_a_result_is_shown_as_its_sentence_its_changes_and_pictures(model, drawn):
    pictures, masks, labels = drawn
    result = erase(model, pictures, CLASSES, masks=masks, labels=labels)
    assert result.changed.sum() >= 6
    html = result._repr_html_()
    text = text_of(html)
    for sentence in result.sentence().split(". "):
        assert sentence.removesuffix(".") in text
    moved = result.to_polars().filter(pl.col("prediction") != pl.col("zero_shot_prediction"))
    n = moved.filter(prediction_name="a deer").height
    assert f"a camel → a deer {n}" in text
    assert html.count("<img") == 3 * html.count('<li class="item">') == 36
    assert "12 of 18 images" in text
    assert not re.search(r"(?:src|href)=\"(?!data:image/webp;base64,)", html)
    assert "<script" not in html


def test_methods_without_a_foreground_show_the_images(model, drawn):
    html = erase(model, drawn[0][:3], CLASSES, method="zero_shot")._repr_html_()
    assert html.count("<img") == html.count('<li class="item">') == 3
    assert "image 0" in text_of(html)


def test_what_comes_from_data_is_text(model, drawn, tmp_path):
    evil = "<script>alert(1)</script>"
    images = [drawn[0][0], f"{evil}.png", tmp_path / f"{evil.replace('/', '')}.png"]
    html = erase(model, images, ["a <b>camel</b>", "a deer"], method="tpt")._repr_html_()
    assert "<script" not in html
    assert "a <b>" not in html
    assert "&lt;script&gt;" in html
    assert "2 images cannot be used" in text_of(html)


def test_a_result_without_a_usable_image_is_shown(model):
    html = erase(model, ["gone.png"], CLASSES)._repr_html_()
    assert "None of 1 image can be used" in text_of(html)
    assert "<img" not in html


def test_an_image_that_is_gone_is_shown_without_its_picture(model, drawn, tmp_path):
    from PIL import Image

    Image.fromarray(drawn[0][0]).save(tmp_path / "one.png")
    result = erase(model, tmp_path, CLASSES, method="zero_shot")
    (tmp_path / "one.png").unlink()
    html = result._repr_html_()
    assert "<img" not in html
    assert "one.png" in text_of(html)


def test_an_output_has_a_bounded_size(model):
    noise = np.random.default_rng(0).integers(0, 256, (40, 300, 300, 3), dtype=np.uint8)
    html = erase(
        model, noise, CLASSES, masks=noise[..., 0] > 127, method="foreground"
    )._repr_html_()
    assert len(html.encode()) <= MOST_BYTES
    assert html.count('<li class="item">') > 3
