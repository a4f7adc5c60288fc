"""Decoding in processes: the same pixels and faults, and none that hangs or dies for long."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from PIL import Image

from seraser_core.config.options import LimitOptions
from seraser_core.errors import ItemError, TransientError
from seraser_core.sources import isolated
from seraser_core.sources.isolated import IsolatedDecoder, PlainDecoder

LIMITS = LimitOptions(max_pixels=200_000)


@pytest.fixture
def decoder() -> Iterator[IsolatedDecoder]:
    """A decoder of one process, which may take as long as a slow machine does."""
    isolated = IsolatedDecoder(1, 60.0)
    yield isolated
    isolated.close()


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (300, 200)) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(data, kind)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pictures_are_the_same(decoder, kind):
    data = encoded(kind)
    found, expected = (one.image(data, LIMITS) for one in (decoder, PlainDecoder()))
    np.testing.assert_array_equal(found, expected)
    assert found.mode == "RGB"


def test_reduced_pictures_and_masks_are_the_same(decoder):
    data = encoded("JPEG", size=(400, 300))
    (found, scale), (expected, other) = (
        one.reduced(data, LIMITS, 64) for one in (decoder, PlainDecoder())
    )
    np.testing.assert_array_equal(found, expected)
    assert scale == other < 1
    data = encoded("PNG", "1")
    masks = [one.mask(data, (300, 200), LIMITS) for one in (decoder, PlainDecoder())]
    np.testing.assert_array_equal(*masks)
    assert masks[0].dtype == bool


@pytest.mark.parametrize(
    "data", [b"", b"text", encoded("PNG")[:900], encoded("BMP", size=(900, 900))]
)
def test_faults_are_the_same(decoder, data):
    faults = []
    for one in (decoder, PlainDecoder()):
        with pytest.raises(ItemError) as caught:
            one.image(data, LIMITS)
        faults.append((caught.value.stage, caught.value.code, caught.value.message))
    assert faults[0] == faults[1]
    decoder.image(encoded("PNG"), LIMITS)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGSTOP, "timeout"), (signal.SIGKILL, "crashed")]
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_decoder_that_hangs_or_dies_twice_costs_one_image(monkeypatch, number, code, times):
    decoder = IsolatedDecoder(1, 60.0)
    before = {child.pid for child in psutil.Process().children()}
    expected = decoder.image(encoded("PNG"), LIMITS)
    hit, ask = [], isolated._Child.ask

    def strike(child, order, data, seconds):
        if len(hit) < times:
            hit.append(child._process.pid)
            os.kill(child._process.pid, number)
            seconds = 0.5
        return ask(child, order, data, seconds)

    monkeypatch.setattr(isolated._Child, "ask", strike)
    if times == 1:  # for no fault of the file
        np.testing.assert_array_equal(decoder.image(encoded("PNG"), LIMITS), expected)
    else:
        with pytest.raises(ItemError) as caught:
            decoder.image(encoded("PNG"), LIMITS)
        assert (caught.value.stage, caught.value.code) == ("decode", code)
    assert not any(psutil.pid_exists(pid) for pid in hit)
    np.testing.assert_array_equal(decoder.image(encoded("PNG"), LIMITS), expected)
    decoder.close()
    assert {child.pid for child in psutil.Process().children()} <= before


def test_a_process_that_cannot_be_started_is_a_passing_fault(monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(isolated.subprocess, "Popen", refuse)
    with pytest.raises(TransientError, match="no decoder could be started"):
        IsolatedDecoder(1, 60.0).image(encoded("PNG"), LIMITS)
