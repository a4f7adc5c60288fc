"""Planners of a series that are killed, and that plan at the same time: each image once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import KILLED, Workers, all_but_slow

from seraser_core import storage
from seraser_core.results import scan
from seraser_core.results.nights import read_nights
from seraser_core.results.reading import read_report
from seraser_core.results.series import Series
from seraser_core.results.verify import verify

REPORT = ("summary", "groups", "classes")


@pytest.fixture
def grown(
    tree: dict[str, Any], pictures: Path, tmp_path: Path, workers: Workers
) -> Callable[[int], None]:
    """Has the table of `tree`, which becomes a series, hold so many of the pictures."""
    folder = tmp_path / "own"
    shutil.copytree(pictures.parent, folder)
    lines = pictures.read_text().splitlines()
    table = folder / "now.csv"
    tree["dataset"]["path"] = str(table)
    tree |= {"series": {"changed": "keep"}, "methods": ["zero_shot", "foreground"]}
    tree["runtime"]["batch_size"] = 1
    workers.load(tree["model"])

    def grow(images: int) -> None:
        table.write_text("\n".join(lines[: images + 1]) + "\n")

    grow(6)
    return grow


@pytest.fixture(params=["disk", pytest.param("bucket", marks=pytest.mark.slow)])
def output(request, tree, tmp_path) -> str:
    """Where the series is made."""
    if request.param == "bucket":
        tree["output"] = f"{request.getfixturevalue('bucket')}/runs"
    return tree["output"]


def series_in(output: str) -> Series:
    """The only series of a folder."""
    (name,) = {path.partition("/")[0] for path in storage.find_files(output) if "/series/" in path}
    return Series(storage.join(output, name))


def check_whole(workers: Workers, tree: dict[str, Any], nights: list[int]) -> Series:
    """See that a series has nights of so many images, and is what one run over all would be."""
    series = series_in(tree["output"])
    assert [night.images for night in read_nights(series.url)] == nights
    for run in series.runs():
        problems = [one for one in verify(run.url).problems if not one.file.startswith("report")]
        assert problems == []
    union = {**tree, "series": None, "output": storage.join(tree["output"], "union")}
    workers.finish(union, report=True)
    (run_id,) = storage.list_folders(union["output"])[-1:]
    run = storage.join(union["output"], run_id)
    for name in REPORT:
        assert read_report(series.url, name).equals(read_report(run, name)), name
    key = ["item_id", "method"]
    rows = [scan(url).select(*key, "logits").sort(key).collect() for url in (series.url, run)]
    assert rows[0].equals(rows[1])
    assert rows[0].height == sum(nights) * len(tree["methods"])
    return series


STEPS = all_but_slow(
    ["before run.json", "before series", "series unrenamed", "series named", "after series"],
    "before series",
)


@pytest.mark.parametrize("step", STEPS)
def test_a_planner_that_is_killed_around_its_night(workers, tree, grown, tmp_path, step):
    """More images come before the next one plans."""
    workers.finish(tree, report=True)
    grown(9)
    assert workers.run(tree, {"step": step}) == KILLED
    named = len(read_nights(series_in(tree["output"]).url)) == 2
    assert named == (step in ("series named", "after series"))
    grown(14)
    workers.finish(tree, report=True)
    series = check_whole(workers, tree, [6, 3, 5] if named else [6, 8])
    listed = {night.run_id for night in series.nights()}
    left = {path.name for path in Path(series.url).glob("small-*")} - listed
    assert len(left) == (not named)
    assert not [path for name in left for path in Path(series.url, name).rglob("commits/*")]


def test_two_planners_that_have_listed_other_images(workers, tree, grown, output):
    """The second to make its night evaluates what the first one has not."""
    workers.finish(tree, report=True)
    grown(9)
    first = workers.pause(tree, "before series")
    grown(14)
    second = workers.pause(tree, "before series")
    assert len(read_nights(series_in(output).url)) == 1
    workers.go_on(first)
    workers.go_on(second)
    workers.finish(tree, report=True)
    check_whole(workers, tree, [6, 3, 5])


@pytest.mark.slow
def test_two_planners_that_have_listed_the_same_images(workers, tree, grown, output):
    """Both compute the one night that there is then."""
    planners = [workers.pause(tree, "before series") for _ in range(2)]
    workers.go_on(*planners)
    workers.finish(tree, report=True)
    grown(14)
    workers.finish(tree, report=True)
    check_whole(workers, tree, [6, 8])
