"""Patterns of file names: what they stand for, also of hostile ones."""

from __future__ import annotations

import os
import random
import time
from functools import cache
from pathlib import Path

import pytest

from seraser_core.config import parse_config
from seraser_core.errors import ConfigError
from seraser_core.sources.patterns import (
    expand,
    expand_braces,
    regular_expression,
    short_names,
    split_root,
)


def found(folder, pattern):
    tree = {"format": "files", "path": f"{folder}/{pattern}", "classes": ["a"]}
    names = expand(parse_config({"dataset": tree}).dataset, (), [])
    return [name.removeprefix(f"{folder}/") for name in names]


def stands_for(pattern: str, name: str) -> bool:
    """Whether `pattern`, of ``**/``, ``**``, ``*``, ``?`` and letters, stands for `name`; slow."""

    @cache
    def rest(i: int, j: int) -> bool:
        behind = range(j, len(name) + 1)
        if i == len(pattern):
            return j == len(name)
        if pattern.startswith("**/", i) and (i == 0 or pattern[i - 1] == "/"):
            return any(rest(i + 3, k) for k in behind if k == j or name[k - 1] == "/")
        if pattern.startswith("**", i):
            return any(rest(i + 2, k) for k in behind)
        if pattern[i] == "*":
            return any(rest(i + 1, k) for k in behind if "/" not in name[j:k])
        same = j < len(name) and (name[j] == pattern[i] or (pattern[i] == "?" and name[j] != "/"))
        return same and rest(i + 1, j + 1)

    return rest(0, 0)


def test_patterns_stand_for_what_the_literal_reading_says():
    draw = random.Random(0)
    seen = set()
    for _ in range(3000):
        signs = draw.choices(["**/", "**", "*", "*", "?", "a", "a", "b", "/"], k=draw.randint(1, 8))
        pattern = "".join(signs)
        if "***" in pattern:
            continue
        for _ in range(10):
            name = "".join(draw.choices("aab/", k=draw.randint(0, 8)))
            expected = stands_for(pattern, name)
            assert bool(regular_expression(pattern).fullmatch(name)) == expected, (pattern, name)
            seen.add(expected)
    assert seen == {True, False}


@pytest.mark.parametrize(
    "pattern",
    ["**a" * 20 + "**.jpg", "*a" * 20 + "*.jpg", "**/*" * 20 + ".jpg", "**" * 20 + ".jpg"],
)
def test_many_wildcards_are_quick_in_long_names(pattern):
    regular = regular_expression(pattern)
    began = time.monotonic()
    for name in ("a" * 1000 + ".png", "a/" * 500 + ".png", "aab" * 300):
        assert regular.fullmatch(name) is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[[]1].jpg", ["[1].jpg"]),
        ("[[]1[]].jpg", ["[1].jpg"]),
        ("[*].jpg", ["*.jpg"]),
        ("[?][!a].jpg", ["?b.jpg"]),
        ("[]].jpg", ["].jpg"]),
        ("[^].jpg", ["^.jpg"]),
        ("[a-c][0-9].jpg", ["a1.jpg"]),
        ("[c-].jpg", ["-.jpg"]),
        ("[!]^*-]*", ["?b.jpg", "[1].jpg", "a1.jpg", "line\nbreak.jpg"]),
        ("line*k.jpg", ["line\nbreak.jpg"]),
    ],
)
def test_signs_that_stand_for_themselves(tmp_path, pattern, expected):
    for name in ("[1].jpg", "*.jpg", "?b.jpg", "].jpg", "^.jpg", "a1.jpg", "-.jpg"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "line\nbreak.jpg").write_bytes(b"x")
    assert found(tmp_path, pattern) == expected


def test_brackets_never_stand_for_a_slash(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.jpg").write_bytes(b"x")
    (tmp_path / "axb.jpg").write_bytes(b"x")
    assert found(tmp_path, "a[!y]b.jpg") == ["axb.jpg"]


def test_an_empty_range_is_refused(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError) as caught:
        found(tmp_path, "[z-a].jpg")
    assert (caught.value.field, caught.value.value) == ("dataset.path", "[z-a]")
    assert "write a-z" in caught.value.remedy


@pytest.mark.parametrize(
    "braces",
    ["{0.." + "9" * 5000 + "}", "{0.." + "9" * 99 + "}", "{0..1000000}", "{0..999999}{a,b}"],
    ids=["digits", "far", "one more", "choices"],
)
def test_braces_of_too_many_names_or_digits_are_refused_at_once(braces):
    with pytest.raises(ConfigError, match="1000000 names") as caught:
        expand_braces(f"/tmp/{braces}.jpg")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("path", "found", "names"),
    [
        ("/data/**/*.tar", ["/data/1/a.tar"], ["1/a.tar"]),
        ("/data/**/*.tar", ["/data/1/a.tar", "/data/2/b.tar"], ["1/a.tar", "2/b.tar"]),
        ("s3://b/{x,y}/*.tar", ["s3://b/x/1.tar"], ["x/1.tar"]),
        ("/data/a-{0..1}.tar", ["/data/a-0.tar", "/data/a-1.tar"], ["a-0.tar", "a-1.tar"]),
        ("/**.tar", ["/data/a.tar"], ["data/a.tar"]),
    ],
)
def test_the_name_of_a_file_does_not_depend_on_other_files(path, found, names):
    assert short_names(found, path) == names


def test_a_pattern_right_below_the_root_of_the_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.jpg").write_bytes(b"x")
    assert split_root("/*.jpg") == ("/", "*.jpg")
    assert split_root("*.jpg") == ("", "*.jpg")
    assert split_root("/a/b*/c") == ("/a", "b*/c")
    with pytest.raises(ConfigError, match="no file has such a name"):
        found("", "*.jpg")


@pytest.mark.parametrize("pattern", ["*.jpg", "a/*.jpg", "*/*.jpg", "?/b/*.jpg"])
def test_folders_that_a_pattern_does_not_reach_are_not_listed(tmp_path, monkeypatch, pattern):
    deep = tmp_path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    for folder in (tmp_path, deep.parent, *deep.parent.parents[:2]):
        (folder / "x.jpg").write_bytes(b"x")
    listed = []
    scan = os.scandir
    monkeypatch.setattr("os.scandir", lambda path: listed.append(Path(path)) or scan(path))
    assert len(found(tmp_path, pattern)) == 1
    assert len(listed) == pattern.count("/") + 1 - pattern.count("a/")


def test_who_finds_nothing_learns_how_to_write_brackets(tmp_path):
    (tmp_path / "x[1].jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"write \[\[\]"):
        found(tmp_path, "x[1].jpg")
    with pytest.raises(ConfigError) as caught:
        found(tmp_path, "y*.jpg")
    assert "[" not in caught.value.remedy
