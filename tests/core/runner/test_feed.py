"""Batches: what is in them, in which order, and that reading waits for nothing but itself."""

from __future__ import annotations

import threading
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from seraser_core.auxiliary import Picture, make_view
from seraser_core.config import load_config
from seraser_core.errors import ItemError, TransientError
from seraser_core.kinds import View
from seraser_core.models import device
from seraser_core.runner import feed as module
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.feed import Feed
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session
from seraser_core.sources import fetch as fetching
from seraser_core.sources.decode import decode_image, decode_mask


@pytest.fixture
def opened(tree):
    """The session of a run of 14 images, with these overrides, and its items."""

    def open_with(*overrides: str):
        session = open_session(plan_run(load_config(tree, overrides)))
        return session, session.images.items(np.arange(session.images.count))

    return open_with


def test_bad_images_ride_along_and_batches_stay_full(opened, monkeypatch):
    session, items = opened()
    bad = {items[i]["image"]: i for i in (0, 5, 6, 13)}
    read = fetching.fetch

    def fetch(url, *rest):
        if url in bad:
            raise ItemError("fetch", "missing", f"there is no file {url}")
        return read(url, *rest)

    monkeypatch.setattr(fetching, "fetch", fetch)
    with Feed(session, items, 4, Attempt()) as feed:
        batches = list(feed)
    assert [batch.items for batch in batches] == [[1, 2, 3, 4], [7, 8, 9, 10], [11, 12]]
    assert [list(batch.errors) for batch in batches] == [[0], [5, 6], [13]]
    assert sum(map(len, batches)) == len(items)
    for batch in batches:
        assert set(batch.views) == {view.name for view in session.views}
        assert all(view.dtype == torch.uint8 for view in batch.views.values())
        assert all(len(view) == len(batch.items) for view in batch.views.values())


def test_a_batch_of_bad_images_alone_has_no_views(opened, monkeypatch):
    session, items = opened()

    def fetch(url, *_):
        raise ItemError("fetch", "missing", url)

    monkeypatch.setattr(fetching, "fetch", fetch)
    with Feed(session, items, 4, Attempt()) as feed:
        (batch,) = feed
    assert batch.items == [] and batch.views == {} and len(batch.errors) == len(items)


def noises(view, picture, draws):
    rng = draws()
    for _ in range(view.count):
        yield Image.fromarray(rng.integers(0, 256, (50, 40, 3), dtype=np.uint8))


def test_views_of_other_packages_are_made_with_random_numbers_of_each_image(opened):
    session, items = opened()
    own = View("own", f"{__name__}:noises", count=2)
    found = []
    for part in (items[:3], items[1:3]):
        with Feed(session, part, 8, Attempt(), views=[own]) as feed:
            (batch,) = feed
        assert not batch.errors
        found.append(batch.views["own"])
    assert found[0].shape == (3, 2, 3, *session.model.preprocessing.size)
    assert torch.equal(found[0][1:], found[1])
    assert len({picture.numpy().tobytes() for picture in found[0].flatten(0, 1)}) == 6


def test_many_files_are_read_at_once_whatever_the_number_of_decoders(opened, monkeypatch):
    session, items = opened("runtime.fetch_threads=8", "runtime.decode_threads=1")
    together = threading.Barrier(8, timeout=60)
    arrived, read = [], fetching.fetch

    def fetch(url, *rest):
        arrived.append(url)
        if len(arrived) <= 8:
            together.wait()
        return read(url, *rest)

    monkeypatch.setattr(fetching, "fetch", fetch)
    with Feed(session, items, 4, Attempt()) as feed:
        assert [i for batch in feed for i in batch.items] == list(range(len(items)))


def test_files_ahead_of_the_model_take_a_bounded_number_of_bytes(opened, monkeypatch):
    session, items = opened()
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    reading, most, lock, read = 0, 0, threading.Lock(), fetching.fetch

    def fetch(*args):
        nonlocal reading, most
        with lock:
            reading += 1
            most = max(most, reading)
        try:
            return read(*args)
        finally:
            with lock:
                reading -= 1

    monkeypatch.setattr(fetching, "fetch", fetch)
    with Feed(session, items, 4, Attempt()) as feed:
        assert sum(len(batch) for batch in feed) == len(items)
    assert most == 1


def test_all_feeds_of_a_process_copy_on_one_stream(opened, monkeypatch):
    session, _ = opened()
    made = []
    monkeypatch.setattr(device, "_streams", {})
    monkeypatch.setattr(torch.cuda, "Stream", lambda *a, **k: made.append((a, k)) or object())
    there = copy(session)
    there.model = replace(session.model, device=torch.device("cuda", 0))
    for _ in range(40):  # more than torch has streams
        with Feed(there, [], 4, Attempt()) as feed:
            assert list(feed) == []
    assert made == [((0,), {"priority": -1})]


def test_views_are_the_same_when_a_batch_is_moved_in_parts_and_memory_is_used_again(
    opened, monkeypatch
):
    session, items = opened("methods=[seraser]")

    def views_of(item):
        limits, images = session.config.dataset.limits, session.images
        image = decode_image(images.image(item), limits)
        picture = Picture(image, decode_mask(images.mask(item), image.size, limits))
        for view in session.views:
            made = make_view(view, picture, session.config.seed, item["item_id"])
            yield torch.stack([session.model.preprocessing.resize(image) for image in made])

    expected = [torch.stack(of_view) for of_view in zip(*map(views_of, items), strict=True)]
    assert len(expected) == 3
    monkeypatch.setattr(module, "_MOST_IMAGES", 2)
    for part_bytes in (1, 2 * session.view_bytes(session.views), 2**30):
        monkeypatch.setattr(module, "PART_BYTES", part_bytes)
        with Feed(session, items, 5, Attempt()) as feed:
            batches = list(feed)
        assert [len(batch.items) for batch in batches] == [5, 5, 4]
        for view, pixels in zip(session.views, expected, strict=True):
            assert torch.equal(torch.cat([batch.views[view.name] for batch in batches]), pixels)


def test_a_passing_fault_is_raised_and_no_thread_stays(opened, monkeypatch):
    session, items = opened()
    before = set(threading.enumerate())

    def fetch(url, *_):
        raise TransientError("503 Slow Down")

    monkeypatch.setattr(fetching, "fetch", fetch)
    with (
        pytest.raises(TransientError, match="Slow Down"),
        Feed(session, items, 4, Attempt()) as feed,
    ):
        list(feed)
    for thread in set(threading.enumerate()) - before:  # nobody waits for those that decode
        thread.join(timeout=60)
    assert set(threading.enumerate()) <= before


def test_what_a_strange_reader_raises_is_an_error_row(opened, monkeypatch):
    session, items = opened()

    def fetch(*_):
        raise RuntimeError("odd")

    monkeypatch.setattr(fetching, "fetch", fetch)
    with Feed(session, items, 4, Attempt()) as feed:
        (batch,) = feed
    error = batch.errors[0]
    assert (error.stage, error.code, error.message) == ("fetch", "unexpected", "RuntimeError: odd")
