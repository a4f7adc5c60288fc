"""Labels and attributes: names, indices, and what is neither or both."""

from __future__ import annotations

import polars as pl
import pytest

from seraser_core.errors import ConfigError
from seraser_core.sources.names import alike, finder, names_among, to_index, whole_number, word


def indices(texts, names=()):
    return to_index(
        pl.Series(texts, dtype=pl.String), names, "dataset.label", "dataset.classes"
    ).to_list()


@pytest.mark.parametrize(
    ("texts", "names", "expected"),
    [
        (["b", None, "a", "1", ""], ["a", "b"], [1, None, 0, 1, None]),
        (["0", "1.0", "2.", "1e0"], ["a", "b", "c"], [0, 1, 2, 1]),
        (["NaN", "1.0", "nan"], ["a", "b"], [None, 1, None]),
        (["nan", "b"], ["nan", "b"], [0, 1]),
        (["true", "False"], ["a", "b"], [1, 0]),
        (["true", "False"], ["true", "false"], [0, 1]),
        (["True", "FALSE", "true"], ["True", "False"], [0, 1, 0]),
        (["0", "1"], ["0", "1"], [0, 1]),
        (["5", "7"], ["5", "7"], [0, 1]),
        (["5.0", "7.0"], ["5", "7"], [0, 1]),
        (["007", "008"], ["007", "008"], [0, 1]),
        (["1", "2", "2.0"], ["1", "2"], [0, 1, 1]),
        (["1", "10", "NA"], ["001", "010"], [0, 1, None]),
        (["0", "7", "true"], [], [0, 7, 1]),
        ([None, None], ["a", "b"], [None, None]),
        (["NaN"], ["a", "b"], [None]),
        ([], ["a", "b"], []),
    ],
)
def test_names_come_before_indices(texts, names, expected):
    assert indices(texts, names) == expected


@pytest.mark.parametrize(
    ("texts", "names", "value"),
    [
        (["2", "1", "0"], ["2", "1", "0"], "'2'"),
        (["1.0"], ["1", "0"], "'1.0'"),
        (["true"], ["1", "0"], "'true'"),
        (["5", "0"], ["5", "0"], "'0'"),
    ],
)
def test_a_name_that_is_the_index_of_another_is_refused(texts, names, value):
    with pytest.raises(ConfigError) as caught:
        indices(texts, names)
    assert (caught.value.field, caught.value.value) == ("dataset.label", value)
    assert "no numbers" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1.5", ["a", "b"]),
        ("9" * 19, ["a", "b"]),
        ("1e+19", ["a", "b"]),
        ("1_0", ["a"] * 20),
        ("٣", list("abcde")),
        ("inf", ["a", "b"]),
        ("false", ["true", "other"]),
    ],
)
def test_what_is_neither_name_nor_index_is_refused(text, names):
    with pytest.raises(ConfigError, match="must be indices or names"):
        indices([text], names)


def test_names_are_found_where_not_all_are_indices():
    found = [
        names_among(pl.Series(texts, dtype=pl.String))
        for texts in (["1", "0.0", "true", None, "NaN"], ["b", "a", "", "a"], [None], ["1", "x"])
    ]
    assert found == [[], ["a", "b"], [], ["1", "x"]]


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), ("-7", -7), ("+7.0", 7), ("07", 7), ("7e1", 70), ("7.5", None)]
)
def test_whole_numbers(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "name", ["A hot-air balloon", "hot_air_balloon", " Hot air  balloon", "the hot air balloon"]
)
def test_a_word_is_the_same_in_any_case_with_any_sign_between_and_with_an_article(name):
    assert word(name) == "hot air balloon"


@pytest.mark.parametrize("name", ["a", "an", "the", "A"])
def test_an_article_alone_is_a_word(name):
    assert word(name) == name.lower()


def test_a_name_is_found_as_it_is_or_by_a_word_that_no_other_has():
    find = finder(["Deer", "a camel", "deer", "STRASSE"])
    words = ["Deer", "deer", "DEER", "Camel", "stra\u00dfe", "cow"]
    assert [find(one) for one in words] == [0, 2, None, 1, 3, None]


def test_attributes_that_are_alike_are_told():
    texts = pl.Series(["land", "Land", "Land", "open_sea", "open sea", "a", None])
    (told,) = alike(names_among(texts), texts)
    assert "'Land' (2) and 'land' (1), 'open sea' (1) and 'open_sea' (1)" in told
    assert alike(["land", "water"], pl.Series(["land", "water"])) == []


def test_values_without_a_number_need_names():
    with pytest.raises(ConfigError) as caught:
        indices(["cat"])
    assert caught.value.remedy == (
        "has no number, and no names are given; name its values in dataset.classes"
    )
