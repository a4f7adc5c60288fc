"""Sums over pictures and foregrounds, and the warnings that come of them."""

from __future__ import annotations

import pytest

from seraser_core.results.picture_sums import (
    PictureFacts,
    PictureSums,
    describe_pictures,
    picture_warnings,
)


def masks(*shares, constant=False):
    return [PictureFacts(constant, {"mask": share}) for share in shares]


def test_sums_of_parts_are_those_of_the_whole():
    facts = [*masks(0.0, 0.25, 1.0), PictureFacts(True), PictureFacts(False, {"box": 0.5})]
    whole = PictureSums.count(facts)
    assert whole.model_dump() == {
        "images": 5,
        "constant": 1,
        "foregrounds": {
            "box": {"images": 1, "share": 0.5, "nowhere": 0, "everywhere": 0},
            "mask": {"images": 3, "share": 1.25, "nowhere": 1, "everywhere": 1},
        },
    }
    parts = [PictureSums.count(facts[i : i + 2]) for i in range(0, 5, 2)]
    assert PictureSums.total(parts) == whole
    assert PictureSums.total([]) == PictureSums.count([]) == PictureSums()
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
    found = list(picture_warnings(PictureSums.count(facts)))
    assert len(found) == len(said)
    assert all(part in text for part, text in zip(said, found, strict=True))
