"""Texts of the data in a page and its figures."""

from __future__ import annotations

import warnings

import polars as pl

from seraser_core.report.page import environment
from seraser_core.report.papers import draw_groups
from seraser_core.report.svg import drawing


def test_a_page_shows_control_characters():
    page = environment().from_string("<p>{{ name }}</p>{{ '<b>' | safe }}")
    assert page.render(name="<i>\x1b[2J\u202e") == "<p>&lt;i&gt;\\x1b[2J\\u202e</p><b>"


def test_a_figure_is_drawn_of_any_names_without_a_warning():
    groups = pl.DataFrame(
        {
            "method": "zero_shot",
            "label": [0, 1],
            "attribute": 0,
            "group": ["a\x1b[2J\u202e / $x", "\u732b\u0e01\U0001f600 / y"],
            "accuracy": 0.5,
            "low": 0.4,
            "high": 0.6,
            "zero_shot_accuracy": 0.5,
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = draw_groups(groups, ["zero_shot"])["svg"].decode()
    assert "\x1b" not in svg
    assert "\u202e" not in svg
    assert "\u732b" in svg, "text is text, not curves"


def test_a_figure_of_the_page_shows_names_as_text():
    made = drawing("<script>alert(1)</script>", class_='a" onload="b')
    assert str(made) == (
        '<svg role="img" class="a&#34; onload=&#34;b">'
        "<title>&lt;script&gt;alert(1)&lt;/script&gt;</title></svg>"
    )
