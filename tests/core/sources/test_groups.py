"""Groups at planning: training counts, groups that are too small, attributes that make none."""

from __future__ import annotations

import polars as pl
import pytest
from miniatures import MINIATURES

from seraser_core.config import load_config
from seraser_core.errors import ConfigError
from seraser_core.sources.planner import plan_items

COUNTS = {
    "a camel / land": 3498,
    "a camel / water": 184,
    "a deer / land": 56,
    "a deer / water": 1057,
}


def images(*groups: tuple[int, int | str | None, int]) -> pl.DataFrame:
    """A table with so many images of every (label, attribute)."""
    rows = [(y, a) for y, a, n in groups for _ in range(n)]
    return pl.DataFrame(
        {
            "id": [str(i) for i in range(len(rows))],
            "file": [f"{i}.png" for i in range(len(rows))],
            "y": [y for y, _ in rows],
            "a": [None if a is None else str(a) for _, a in rows],
        }
    )


FOUR = images((0, "land", 5), (0, "water", 5), (1, "land", 5), (1, "water", 5))


def test_counts_of_a_table(plan):
    planned = plan(FOUR, attribute="a", train_counts=COUNTS)
    assert planned.train_counts == {"0 0": 3498, "0 1": 184, "1 0": 56, "1 1": 1057}
    # Names as people write them.
    loose = {"Camel / Land": 1, "camel / water": 2, "deer / land": 3, "deer / water": 4}
    with pytest.raises(ConfigError, match="no group has this name"):
        plan(FOUR, attribute="a", train_counts=COUNTS | {"Kamel / Land": 1})
    assert plan(FOUR, attribute="a").train_counts == {}
    found = plan(FOUR, attribute="a", train_counts=loose).train_counts
    assert found == {"0 0": 1, "0 1": 2, "1 0": 3, "1 1": 4}


def test_a_group_that_is_counted_twice_is_refused(plan):
    twice = COUNTS | {next(iter(COUNTS)).upper(): 1}
    with pytest.raises(ConfigError, match="has a count already"):
        plan(FOUR, attribute="a", train_counts=twice)


def test_counts_of_attributes_without_names(plan):
    table = images((0, 0, 5), (1, 7, 5))
    counts = {"a camel / 0": 3, "a camel / 7": 0, "a deer / 0": 0, "a deer / 7": 4}
    planned = plan(table, attribute="a", train_counts=counts)
    assert planned.train_counts == {"0 0": 3, "0 7": 0, "1 0": 0, "1 7": 4}


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({**COUNTS, "a camel / watter": 1}, "did you mean 'a camel / water'"),
        ({**COUNTS, "landbird": 1}, "no group has this name"),
        (
            {k: v for k, v in COUNTS.items() if "deer / land" not in k},
            "no count of 'a deer / land'",
        ),
        (dict.fromkeys(COUNTS, 0), "all 0"),
        ({}, "no count of 'a camel / land'"),
        ({"a camel / land": -1}, "-1"),
        ({"a camel / land": 1.5}, "1.5"),
    ],
)
def test_counts_that_cannot_be(plan, counts, said):
    with pytest.raises(ConfigError, match=said) as caught:
        plan(FOUR, attribute="a", train_counts=counts)
    assert caught.value.field.startswith("dataset.train_counts")


def test_counts_without_groups(plan):
    with pytest.raises(ConfigError, match="name both, or leave it out"):
        plan(FOUR, train_counts=COUNTS)


def test_a_group_of_training_that_is_not_here_is_told(plan):
    said: list[str] = []
    plan(
        FOUR.filter((pl.col("y") == 0) | (pl.col("a") == "water")),
        attribute="a",
        attributes=["land", "water"],
        train_counts=COUNTS,
        report=said.append,
    )
    text = "no adjusted average: no image is of the group 'a deer / land', of which training has 56"
    assert [line for line in said if text in line]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("waterbirds", {"0 0": 3498, "0 1": 184, "1 0": 56, "1 1": 1057}),
        ("celeba", {"0 0": 71629, "0 1": 66874, "1 0": 22880, "1 1": 1387}),
        ("spuco_birds", {"0 0": 10000, "0 1": 500, "1 0": 500, "1 1": 10000}),
        ("spuco_dogs", {"0 0": 10000, "0 1": 500, "1 0": 500, "1 1": 10000}),
        ("pacs", {}),
    ],
)
def test_counts_that_a_benchmark_states(tmp_path, name, expected):
    MINIATURES[name].write(tmp_path)
    dataset = {"format": "benchmark", "name": name, "path": str(tmp_path)}
    tree = {"dataset": dataset, "methods": ["zero_shot"]}
    assert plan_items(load_config(tree)).train_counts == expected
    if name == "waterbirds":
        dataset["classes"] = ["a landbird", "a waterbird"]
        assert plan_items(load_config(tree)).train_counts == expected


def warnings(plan, table: pl.DataFrame) -> list[str]:
    said: list[str] = []
    plan(table, attribute="a", report=said.append)
    return [line for line in said if "groups" in line]


def test_small_groups_are_told(plan):
    assert warnings(plan, FOUR) == []
    assert warnings(plan, images((0, "land", 5), (0, "water", 4), (1, "land", 1))) == [
        "WARNING: 2 of 3 groups have fewer than 5 images and are left out of the worst group"
    ]
    (line,) = warnings(plan, images((0, "land", 4), (1, "land", 4)))
    assert line.startswith("WARNING: 2 of 2 groups")


@pytest.mark.parametrize("kind", ["fractions", "whole numbers", "texts", "few of each"])
def test_a_continuous_attribute_is_refused(plan, kind):
    values = {
        "fractions": [0.5 + i / 7 for i in range(300)],
        "whole numbers": list(range(300)),
        "texts": [f"photographer {i}" for i in range(300)],
        "few of each": [i // 4 / 10 for i in range(300)],
    }[kind]
    table = images(*((i % 2, value, 1) for i, value in enumerate(values)))
    with pytest.raises(ConfigError, match="bins") as caught:
        plan(table, attribute="a")
    assert caught.value.field == "dataset.attribute"
    assert "different values for 300 images" in caught.value.value


def test_an_attribute_with_one_common_value_among_many_is_told(plan):
    common = [(0, 0, 50), (1, 0, 50)]
    table = images(*common, *((i % 2, i, 1) for i in range(1, 200)))
    (line,) = warnings(plan, table)
    assert "199 of 201 groups have fewer than 5 images" in line
    assert "bins" in line


def test_many_values_with_images_enough_are_groups(plan):
    table = images(*((i % 2, f"place {i:03}", 5) for i in range(200)))
    assert warnings(plan, table) == []
