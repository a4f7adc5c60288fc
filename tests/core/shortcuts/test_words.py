"""The words with which surroundings can be named."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from seraser_core.shortcuts.nouns.make import make
from seraser_core.shortcuts.words import nameable

WORDNET = Path("/usr/share/wordnet")
PHOTO = ["a photo of {}"]
NOUNS = resources.files("seraser_core.shortcuts.nouns")


@pytest.mark.skipif(not WORDNET.is_dir(), reason="needs Debian's package wordnet-base")
def test_the_tables_are_what_wordnet_gives(tmp_path):
    make(WORDNET, tmp_path)
    for name in ("nouns.txt", "names.txt"):
        assert (tmp_path / name).read_text() == (NOUNS / name).read_text()


def test_the_tables_come_with_wordnets_notice():
    notice = (NOUNS / "LICENSE").read_text()
    assert "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in notice


@pytest.mark.parametrize(
    ("classes", "dropped", "kept"),
    [
        # Deer and camels are animals, and a place is named by no animal.
        (
            ["a camel", "a deer"],
            {"deer", "sheep", "bird", "animal"},
            {"desert", "grass", "fisherman"},
        ),
        # The end of a compound tells its kind.
        (["landbird", "waterbird"], {"bird", "duck", "vertebrate"}, {"water", "forest", "bamboo"}),
        # Artifacts are of all sorts: only cars, and what is said of them, are dropped.
        (["a sports car", "a race car"], {"car", "race", "vehicle"}, {"street", "bridge", "deer"}),
        (["cats", "houses"], {"house", "building"}, {"street", "meadow"}),
        (["No. 7", "…"], set(), {"deer", "street", "watermark", "red"}),
    ],
)
def test_words_of_the_classes_and_their_kind_are_dropped(classes, dropped, kept):
    words = set(nameable(classes, PHOTO))
    assert not words & dropped
    assert kept <= words
    assert "photo" not in words


def test_words_of_the_templates_are_dropped():
    assert "sketch" in nameable(["a cat"], PHOTO)
    assert "sketch" not in nameable(["a cat"], ["a sketch of {}"])
