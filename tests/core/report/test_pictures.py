"""Which pictures the page shows, and what it says of them."""

from __future__ import annotations

import polars as pl
import pytest
from made_reports import some_findings, some_pictures, trusted

from seraser_core.report.pictures import MOST, Guess, make_gallery

NAMES = ["camel", "deer"]
PLACES = ["desert", "forest"]
CAMEL, DEER = [3.0, 0.0], [0.0, 3.0]


def row(name: str, key: int, label: int | None, whole, erased, **changes):
    return {
        "item_id": name,
        "key": key,
        "label": label,
        "attribute": None if label is None else 0,
        "whole": whole,
        "background": CAMEL,
        "foreground": DEER,
        "erased": erased,
        "image_webp": b"image",
        "background_webp": b"background",
        "foreground_webp": None,
    } | changes


def gallery(*rows, findings=None):
    return make_gallery(pl.DataFrame(rows, infer_schema_length=None), NAMES, PLACES, findings)


@pytest.mark.parametrize(
    ("label", "whole", "erased", "kind"),
    [
        (0, CAMEL, DEER, "broken"),
        (1, CAMEL, DEER, "fixed"),
        (1, CAMEL, CAMEL, "wrong"),
        (None, CAMEL, DEER, "changed"),
        (1, CAMEL, None, "wrong"),
        (None, CAMEL, None, "drawn"),
        (None, CAMEL, CAMEL, "drawn"),
        (0, CAMEL, CAMEL, None),
        (None, DEER, DEER, None),
        (None, DEER, None, None),
    ],
)
def test_the_kind_of_an_image(label, whole, erased, kind):
    assert list(gallery(row("a", 1, label, whole, erased)).kinds) == ([kind] if kind else [])


def test_what_is_said_of_an_image():
    (item,) = gallery(row("a", 1, 1, CAMEL, DEER, loss_first=2.0, loss_last=0.5)).kinds["fixed"]
    assert item.truth == "deer / desert"
    whole, background, alone = item.views
    share = pytest.approx(0.952574, rel=1e-5)
    assert whole.before == Guess("camel", share, right=False)
    assert whole.after == Guess("deer", share, right=True)
    assert (background.before.name, background.after, alone.before.name) == ("camel", None, "deer")
    assert (background.before.right, alone.before.right) == (None, True)
    assert (whole.source, alone.source) == ("data:image/webp;base64,aW1hZ2U=", "")
    assert item.loss == "2.00 → 0.50"


def test_the_smallest_keys_are_shown_whatever_the_order_of_the_rows():
    rows = [row(f"{key:03}", key, 1, CAMEL, DEER) for key in range(100)]
    chosen = [item.name for item in gallery(*rows[::-1]).kinds["fixed"]]
    assert chosen == [f"{key:03}" for key in range(MOST)]


def test_rare_kinds_keep_their_place_beside_frequent_ones():
    fixed = [row(f"f{key}", key, 1, CAMEL, DEER) for key in range(100)]
    broken = [row(f"b{key}", 900 + key, 0, CAMEL, DEER) for key in range(4)]
    found = gallery(*fixed, *broken).kinds
    assert list(found) == ["broken", "fixed"]
    assert {kind: len(some) for kind, some in found.items()} == {"broken": 4, "fixed": MOST - 4}


def test_examples_of_a_shortcut_are_shown_once_and_never_hide_what_broke():
    rows = [row(f"{key}", key, 1, CAMEL, DEER) for key in range(5)]
    rows.append(row("harm", 9, 0, CAMEL, DEER))
    found = gallery(*rows, findings=some_findings(["harm", "4", "lost", "2", "1", "0"]))
    assert [item.name for item in found.examples[0]] == ["4", "2", "1"]
    assert [item.name for item in found.kinds["fixed"]] == ["0", "3"]
    assert [item.name for item in found.kinds["broken"]] == ["harm"]


def test_a_fixed_image_is_the_first_example_of_a_shortcut():
    rows = [row(f"{key}", key, 1, CAMEL, DEER if key > 3 else CAMEL) for key in range(6)]
    found = gallery(*rows, findings=some_findings(["0", "1", "2", "3", "4", "5"]))
    assert [item.name for item in found.examples[0]] == ["4", "0", "1"]


def test_a_page_has_at_most_sixty_items():
    run = trusted(400, 100)
    pictures = some_pictures(run, 200, side=4)
    findings = some_findings(pictures["item_id"].to_list())
    found = make_gallery(pictures, run.run.classes, run.run.attributes, findings)
    shown = [*found.examples[0], *(item for some in found.kinds.values() for item in some)]
    assert len({item.name for item in shown}) == len(shown) == MOST
