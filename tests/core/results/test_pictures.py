"""Sums over pictures and foregrounds, and the warnings that come of them."""

from __future__ import annotations

import pytest

from seraser_core.results.pictures import (
    PictureFacts,
    describe_pictures,
    merge_pictures,
    picture_sums,
    picture_warnings,
)


def masks(*shares, constant=False):
    return [PictureFacts(constant, {"mask": share}) for share in shares]


def test_sums_of_parts_are_those_of_the_whole():
    facts = [*masks(0.0, 0.25, 1.0), PictureFacts(True), PictureFacts(False, {"box": 0.5})]
    whole = picture_sums(facts)
    assert whole == {
        "images": 5,
        "constant": 1,
        "foregrounds": {"box": [1, 0.5, 0, 0], "mask": [3, 1.25, 1, 1]},
    }
    parts = [{"pictures": picture_sums(facts[i : i + 2])} for i in range(0, 5, 2)]
    assert merge_pictures([*parts, {"methods": {}}]) == whole
    assert merge_pictures([]) == picture_sums([])
    assert describe_pictures(whole)["foregrounds"]["mask"] == {
        "images": 3,
        "mean_share": 1.25 / 3,
        "nowhere": 1,
        "everywhere": 1,
    }


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (masks(0.3, 0.4, 0.0), []),
        (
            masks(1.0, 0.99, 0.9),
            ["average 96.3 % of a picture (1 of 3 are all of it): non-zero is"],
        ),
        (masks(0.0, 0.001), ["average 0.1 % of a picture (1 of 2 are empty): non-zero is"]),
        (masks(1.0, 1.0, 0.1), ["2 of 3 mask foregrounds are the whole picture"]),
        (masks(0.0, 0.0, 0.8), ["2 of 3 mask foregrounds are empty"]),
        ([PictureFacts(True)] + [PictureFacts()] * 19, ["1 of 20 pictures are almost of one"]),
        ([PictureFacts(True)] + [PictureFacts()] * 20, []),
        ([PictureFacts(False, {"box": 0.001})], ["dataset.box_format"]),
        ([], []),
    ],
)
def test_warnings(facts, said):
    found = list(picture_warnings(picture_sums(facts)))
    assert len(found) == len(said)
    assert all(part in text for part, text in zip(said, found, strict=True))
