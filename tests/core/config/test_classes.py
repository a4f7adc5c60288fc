"""Class names as people write them, and mistakes that would put them in a wrong order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seraser_core.config import load_config
from seraser_core.config.classes import entries, labels_of, names_of
from seraser_core.errors import ConfigError


def config(**dataset: Any):
    return load_config({"dataset": {"path": "/t.csv", **dataset}})


@pytest.mark.parametrize(
    ("value", "labels", "names"),
    [
        (["a camel", "a deer"], ["a camel", "a deer"], ["a camel", "a deer"]),
        (["7", "3"], ["7", "3"], ["7", "3"]),
        ({"b": "Bee", "a": "ant"}, ["b", "a"], ["Bee", "ant"]),
        ([["b", "Bee"], ("a", "ant")], ["b", "a"], ["Bee", "ant"]),
        ({0: "cat", 1: "dog"}, ["cat", "dog"], ["cat", "dog"]),
        ({"1": "dog", "0": "cat"}, ["cat", "dog"], ["cat", "dog"]),
        ({"0": "x", "1": "b", "10": "k", "2": "c"} | {str(i): f"n{i}" for i in range(3, 10)}, 0, 0),
        ({"cat": 0, "dog": 1}, ["cat", "dog"], ["cat", "dog"]),
        ({"dog": 1, "cat": 0}, ["cat", "dog"], ["cat", "dog"]),
        ({"dog": "1", "cat": "0"}, ["cat", "dog"], ["cat", "dog"]),
        ({"1": ["n2", "great white shark"], "0": ["n1", "tench"]}, ["n1", "n2"], 0),
        ({1664: "a beer", "cola": "a cola"}, ["1664", "cola"], ["a beer", "a cola"]),
        ({"0": "0", "1": "1"}, ["0", "1"], ["0", "1"]),
        ({2: "dog", 1: "cat"}, ["1", "2"], ["cat", "dog"]),
        ({7: "dog", 3: "cat"}, ["3", "7"], ["cat", "dog"]),
        ({"10": "j", "9": "i"}, ["9", "10"], ["i", "j"]),
        ({"000": "a", "001": "b"}, ["a", "b"], ["a", "b"]),
        ([], [], []),
    ],
)
def test_labels_and_names(value, labels, names):
    found = entries(value)
    if labels:
        assert labels_of(found) == labels
    if names:
        assert names_of(found) == names
    # What is kept in run.json is read as the same.
    assert entries(json.loads(json.dumps(found))) == found


def test_an_order_by_number_is_not_that_of_texts():
    found = entries({str(i): f"name {i}" for i in sorted(range(12), key=str)})
    assert found == [f"name {i}" for i in range(12)]


@given(st.permutations(range(11)))
def test_numbers_decide_in_whatever_order_they_stand(numbers):
    names = [f"name {i}" for i in range(11)]
    assert entries({i: names[i] for i in numbers}) == names
    assert entries({names[i]: i for i in numbers}) == names
    assert entries([[str(i), names[i]] for i in numbers]) == names


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({0: ["a", "cat"], 2: ["b", "dog"]}, "of which 1 is missing"),
        ({1: ["a", "cat"], 2: ["b", "dog"]}, "number the classes from 0 to 1"),
        ({"cat": 1, "dog": 2}, "of which 0 is missing"),
        ({"0": "cat", 0: "dog"}, "the number 0 named more than once"),
        ({"cat": 1, "dog": 1}, "the number 1 named more than once"),
        ({"00": "cat", "0": "dog"}, "the number 0 named more than once"),
        ({-1: "none", 0: "cat"}, "begin at 0"),
        ({"a": "crane", "b": "crane"}, "['crane'] (of 'a' and 'b') named more than once"),
        ({"0": ["a", "crane"], "1": ["b", "crane"]}, "(of 'a' and 'b')"),
        ([["a", "x"], ["a", "y"]], "['a'] named more than once"),
        (["x", "x"], "['x'] named more than once"),
        (["a", ["b", "bee"]], "give names alone"),
        ({"a": ["bee", "wasp", "fly"]}, "give each class one name"),
        ({"a": None, "b": "x"}, "null"),
        ({"0": ["1", "x"], "1": ["0", "y"]}, "give each number a name"),
        ({"0": ["a", "1"], "1": ["b", "0"]}, "give each number a name"),
        ({"0": ["a", "x"], "1": "y"}, "give each class one name, or a label"),
        ([True, False], "write the name in quotes"),
        ({True: "x", "a": "y"}, "in quotes"),
        ([1, 2], "write the name in quotes"),
        ([None, "a"], "write the name in quotes"),
        ([" ", "a"], "must not be blank"),
        ({" ": "x", "a": "y"}, "must not be blank"),
        (7, "give a list"),
    ],
)
def test_what_would_be_a_wrong_order_or_no_name_is_refused(value, said):
    with pytest.raises(ConfigError) as caught:
        config(classes=value)
    assert said in str(caught.value)
    assert caught.value.field == "dataset.classes"
    assert caught.value.remedy
    assert "\n" not in caught.value.remedy


def test_the_order_of_a_mapping_survives_documents_with_sorted_keys():
    given = config(classes={"z": "a zebra", "a": "an ant"}, attributes={"w": "water", "l": "land"})
    kept = json.loads(json.dumps(given.model_dump(mode="json"), sort_keys=True))
    assert kept["dataset"]["classes"] == [["z", "a zebra"], ["a", "an ant"]]
    assert load_config(kept) == given
    assert names_of(given.dataset.attributes or ()) == ["water", "land"]


def test_a_list_is_kept_as_it_was():
    given = config(classes=["a camel", "a deer"], attributes=["land", "water"])
    dataset = given.model_dump(mode="json")["dataset"]
    assert (dataset["classes"], dataset["attributes"]) == (["a camel", "a deer"], ["land", "water"])
