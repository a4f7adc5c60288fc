"""Nights of a series: each image once, and together what one run over all images gives."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from seraser_core import storage
from seraser_core.config import load_config
from seraser_core.errors import ConfigError, RunDirectoryError
from seraser_core.results import scan
from seraser_core.results.idle import run_directories
from seraser_core.results.nights import read_nights
from seraser_core.results.reading import read_report
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.results.status import status
from seraser_core.results.summary import aggregate, unfinished_runs
from seraser_core.results.verify import verify
from seraser_core.results.verify_series import verify_series
from seraser_core.runner import series
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.series import finish_runs


@pytest.fixture
def grown(tree: dict[str, Any], pictures: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Has the table of `tree`, which becomes a series, hold so many of the pictures."""
    folder = tmp_path / "own"
    shutil.copytree(pictures.parent, folder)
    lines = pictures.read_text().splitlines()
    table = folder / "now.csv"
    tree["dataset"]["path"] = str(table)
    # Images of other batches differ in their last digits.
    tree |= {"series": {"changed": "keep"}, "runtime": {"batch_size": 1}}
    tree["methods"] = ["zero_shot", "foreground"]

    def grow(images: int) -> Path:
        table.write_text("\n".join(lines[: images + 1]) + "\n")
        return folder

    grow(6)
    return grow


def plan(tree: dict[str, Any], *overrides: str) -> tuple[str, list[str]]:
    """Plan a night; returns the URL of the series, and what was said."""
    said: list[str] = []
    return plan_run(load_config(tree, overrides), said.append), said


def night(tree: dict[str, Any], *overrides: str) -> tuple[str, list[str]]:
    """Plan a night and finish it; as `plan`."""
    url, said = plan(tree, *overrides)
    finish_runs(url, finish)
    aggregate(url)
    return url, said


def finish(run_url: str) -> None:
    run_local(run_url)
    aggregate(run_url)


def union(tree: dict[str, Any], output: str) -> str:
    """Make one run of all images that there are now, elsewhere; returns its URL."""
    url = plan_run(load_config({**tree, "series": None, "output": output}))
    finish(url)
    return url


def check_is(series_url: str, run_url: str) -> None:
    """See that a series is what a run over all its images is."""
    for name in ("summary", "groups", "classes"):
        ours, theirs = read_report(series_url, name), read_report(run_url, name)
        assert ours.equals(theirs), name
    key = ["item_id", "method"]
    rows = [
        scan(url).drop("run_id", "item_index", "image").sort(key).collect()
        for url in (series_url, run_url)
    ]
    assert rows[0].equals(rows[1])
    assert rows[0].select(key).is_duplicated().sum() == 0


@pytest.mark.parametrize("place", ["disk", pytest.param("bucket", marks=pytest.mark.slow)])
def test_nights_are_together_one_run_over_all_images(tree, grown, tmp_path, place, request):
    if place == "bucket":
        tree["output"] = f"{request.getfixturevalue('bucket')}/runs"
        tree["methods"].append({"name": "seraser", "preset": "preserve", "steps": 3})
    output = tree["output"]
    classes = "dataset.allow_empty_classes=true"
    grown(2)
    url, said = night(tree, classes)
    assert "2 of 2 images are new" in " ".join(said)
    grown(9)
    assert night(tree)[0] == url
    before = storage.find_files(url)
    assert f"series {Series(url).name}: none of the images is new" in night(tree)[1]
    written = {name for name in storage.find_files(url) if name not in before}
    assert written == set()  # but the report, over itself
    grown(14)
    assert night(tree)[0] == url
    assert [one.images for one in read_nights(url)] == [2, 7, 5]
    assert unfinished_runs(url) == []
    for run in Series(url).runs():
        assert verify(run.url).problems == []
    check_is(url, union(tree, storage.join(output, "union")))
    of_nights = read_report(url, "nights").filter(pl.col("method") == "zero_shot")
    assert of_nights["images"].to_list() == [2, 7, 5]
    assert of_nights["new_groups"].to_list() == [None, 4, 0]
    correct = (of_nights["accuracy"] * of_nights["n"]).sum()
    whole = read_report(url, "summary").filter(pl.col("method") == "zero_shot")
    assert correct == pytest.approx(whole["accuracy"][0] * whole["n"][0])
    rows = pl.scan_parquet(
        f"{url}/*/predictions/*.parquet", storage_options=storage.polars_options(url)
    )
    assert rows.select("item_id", "method").collect().is_duplicated().sum() == 0
    assert rows.collect().height == 14 * len(tree["methods"])


def test_a_series_without_new_images_is_known_without_its_model(tree, grown, monkeypatch):
    url, _ = night(tree)
    plan(tree)  # as of now, the marks of the model's files are known
    with monkeypatch.context() as gone:
        gone.setattr(series, "identify", None)
        found, said = plan(tree)
    assert found == url
    assert said[-1] == f"series {Series(url).name}: none of the images is new"
    Path(url, "report", "files.json").unlink()
    with monkeypatch.context() as gone:
        gone.setattr(series, "identify", None)
        with pytest.raises(TypeError):
            plan(tree)
    assert night(tree)[0] == url
    assert Path(url, "report", "files.json").exists()


def test_an_unfinished_night_is_finished_with_the_options_of_now(tree, grown):
    url, _ = plan(tree, "runtime.retries=0")
    with pytest.raises(RunDirectoryError, match="is a series; name one of its runs: small-"):
        _ = RunDirectory(url).run
    first = Series(url).runs()[0]
    run_local(first.url, shards=first.shards()[:1])
    kept = (Path(first.url) / "commits" / "00000.0.json").read_bytes()
    grown(14)
    assert night(tree, "runtime.retries=5")[0] == url
    assert RunDirectory(first.url).run.config.runtime.retries == 5
    assert (Path(first.url) / "commits" / "00000.0.json").read_bytes() == kept
    assert read_report(url, "summary")["images"].to_list() == [14, 14]


def test_a_run_that_no_night_names_does_not_count(tree, grown, monkeypatch):
    """Its planner was killed; more images came before the next one planned."""
    with monkeypatch.context() as killed:

        def die(*_: Any) -> bool:
            raise KeyboardInterrupt

        killed.setattr(Series, "add", die)
        with pytest.raises(KeyboardInterrupt):
            plan(tree)
    (orphan,) = Path(tree["output"]).glob("*/small-*")
    grown(14)
    url, _ = plan(tree)
    assert [one.images for one in read_nights(url)] == [14]
    assert read_nights(url)[0].run_id != orphan.name
    assert list(run_directories(tree["output"])) == [run.url for run in Series(url).runs()]


def test_of_two_that_plan_one_makes_the_night_and_the_other_plans_the_rest(
    tree, grown, monkeypatch
):
    """The second one has seen more images, and plans while the first one does."""
    add = Series.add

    def add_late(self: Series, *of_night: Any) -> bool:
        monkeypatch.setattr(Series, "add", add)
        grown(6)
        plan(tree)
        return add(self, *of_night)

    monkeypatch.setattr(Series, "add", add_late)
    grown(14)
    url, said = plan(tree)
    assert [one.images for one in read_nights(url)] == [6, 8]
    assert [line.partition(", ")[2] for line in said if "are new" in line] == [
        "night 0: 14 of 14 images are new",
        "night 1: 8 of 14 images are new",
    ]


def test_two_that_plan_the_same_images_make_one_night(tree, grown, monkeypatch):
    add = Series.add

    def add_twice(self: Series, *of_night: Any) -> bool:
        assert add(self, *of_night)
        return add(self, *of_night)

    monkeypatch.setattr(Series, "add", add_twice)
    url, _ = plan(tree)
    assert [one.images for one in read_nights(url)] == [6]


def test_changed_images_keep_their_rows_and_are_named(tree, grown, tmp_path):
    folder = grown(6)
    tree["dataset"] |= {"id": "id", "format": "table"}
    path = Path(tree["dataset"]["path"])
    url, _ = night(tree)
    before = scan(url).sort("item_id", "method").collect()
    lines = path.read_text().splitlines()
    lines[2] = lines[2].rsplit(",", 2)[0] + ",2,0"  # another label and attribute
    path.write_text("\n".join([*lines[:-1], "item-13,picture 13é.png,mask13.png,1,1"]) + "\n")
    _, said = night(tree)
    (told,) = [line for line in said if "than when they were planned" in line]
    assert told.endswith(
        "1 images have another file, mask or label than when they were planned, and "
        "keep their rows: item-01"
    )
    assert "1 images of earlier nights are there no more; their rows stay" in said
    after = scan(url).sort("item_id", "method").collect()
    assert after.filter(pl.col("item_id") != "item-13").equals(before)
    assert folder.exists()


def test_other_names_of_files_and_masks_are_changes_and_other_folders_are_none(
    tree, grown, tmp_path
):
    folder = grown(6)
    url, _ = plan(tree)
    path = Path(tree["dataset"]["path"])
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("mask0.png", "mask1.png")
    lines[3] = lines[3].replace("picture 02é.png", "picture 03é.png")
    path.write_text("\n".join(lines) + "\n")
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    tree["dataset"] |= {"path": str(moved / path.relative_to(folder)), "id": "id"}
    (told,) = [line for line in plan(tree)[1] if "than when they were planned" in line]
    assert told.endswith("keep their rows: item-00, item-02")
    assert plan(tree)[0] == url


@pytest.mark.parametrize("logits", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_changed_images_are_evaluated_again_and_their_old_rows_count_no_more(
    tree, grown, tmp_path, logits
):
    """As if all had been evaluated as they are at the end."""
    tree |= {"series": {"changed": "again"}, "save_logits": logits}
    tree["methods"].append({"name": "zero", "views": 4})
    grown(8)
    path = Path(tree["dataset"]["path"])

    def change(line: int, end: str) -> None:
        lines = path.read_text().splitlines()
        lines[line] = lines[line].rsplit(",", 2)[0] + end
        path.write_text("\n".join(lines) + "\n")

    url, _ = night(tree)
    change(2, ",2,0")
    change(7, ",1,1")
    _, said = night(tree)
    assert "night 1: 0 of 8 images are new" in " ".join(said)
    (told,) = [line for line in said if "than when they were planned" in line]
    assert told.endswith(
        "2 images have another file, mask or label than when they were planned, and "
        "are evaluated again: item-01, item-06"
    )
    grown(14)
    change(2, ",0,1")  # item-06 is as it was in the first night
    assert not any("no more" in line for line in night(tree)[1])
    assert "none of the images is new" in " ".join(night(tree)[1])
    assert [(one.images, one.again) for one in read_nights(url)] == [(8, 0), (2, 2), (8, 2)]
    assert verify_series(url).problems == []
    found = status(url)
    assert (found["images"], found["replaced"]) == ({"done": 14, "total": 14}, 4)
    whole = union(tree, str(tmp_path / "union"))
    if logits:
        check_is(url, whole)
    else:
        for name in ("summary", "groups", "classes"):
            unknown = ("nll", "brier") if name == "summary" else ()
            assert (
                read_report(url, name).drop(unknown).equals(read_report(whole, name).drop(unknown))
            )
        assert read_report(url, "summary")["nll"].null_count() == len(tree["methods"])


def test_of_two_that_evaluate_changed_images_again_one_does(tree, grown, monkeypatch):
    add = Series.add

    def add_late(self: Series, *of_night: Any) -> bool:
        monkeypatch.setattr(Series, "add", add)
        plan(tree)
        return add(self, *of_night)

    tree["series"] = {"changed": "again"}
    url, _ = night(tree)
    lines = Path(tree["dataset"]["path"]).read_text().splitlines()
    lines[2] = lines[2].rsplit(",", 2)[0] + ",2,0"
    Path(tree["dataset"]["path"]).write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(Series, "add", add_late)
    assert not any("no more" in line for line in plan(tree)[1])
    assert [(one.images, one.again) for one in read_nights(url)] == [(6, 0), (1, 1)]


@pytest.mark.slow
def test_the_methods_disagree_on_the_images_of_all_nights(tree, grown, tmp_path):
    tree["dataset"] |= {"label": None, "attribute": None, "attributes": None}
    tree["methods"] = [{"name": "seraser", "lr": 0.05, "steps": 5}, "foreground"]
    url, _ = night(tree)
    grown(14)
    night(tree)
    assert verify_series(url).problems == []
    tables = [
        read_report(one, "disagreements").drop("item_index")
        for one in (url, union(tree, str(tmp_path / "union")))
    ]
    assert tables[0].height
    assert tables[0].equals(tables[1])
    of_nights = read_report(url, "night_answers")
    key = ["night", "method", "prediction_name"]
    night_of = {one.run_id: one.n for one in read_nights(url)}
    rows = scan(url).collect().with_columns(night=pl.col("run_id").replace_strict(night_of))
    by_hand = rows.group_by(key).agg(images=pl.len().cast(pl.Int64)).sort(key)
    assert of_nights.select(*key, "images").sort(key).equals(by_hand)
    assert read_report(url, "answers")["images"].sum() == of_nights["images"].sum() == 2 * 14
    assert "Answered: " in Path(url, "report", "report.html").read_text()


def folders(tmp_path: Path, images: Sequence[str]) -> Path:
    """Write random pictures of these names into a folder data set."""
    root = tmp_path / "folders"
    for number, name in enumerate(images):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 40), 20 + number).convert("RGB").save(path)
    return root


def test_files_that_changed_in_a_folder_are_named_and_new_classes_refused(tree, tmp_path):
    root = folders(tmp_path, ["cat/1.png", "cat/2.png", "dog/1.png"])
    tree |= {
        "dataset": {"format": "folder", "path": str(root), "classes": ["cat", "dog"]},
        "methods": ["zero_shot"],
        "series": {},
    }
    url, _ = plan(tree)
    folders(tmp_path, ["dog/3.png"])
    Image.new("RGB", (90, 90)).save(root / "cat" / "2.png")
    same, said = plan(tree)
    assert same == url
    (told,) = [line for line in said if "than when they were planned" in line]
    assert told.endswith("keep their rows: cat/2.png")
    assert [one.images for one in read_nights(url)] == [3, 1]
    folders(tmp_path, ["emu/1.png"])
    with pytest.raises(ConfigError, match="folder 'emu' is not among them"):
        plan(tree)


@pytest.mark.slow
def test_an_object_of_the_same_size_is_known_to_have_changed(tree, tmp_path, bucket):
    root = folders(tmp_path, ["cat/1.png", "dog/1.png"])
    tree |= {
        "dataset": {"format": "folder", "path": f"{bucket}/data", "classes": ["cat", "dog"]},
        "methods": ["zero_shot"],
        "series": {"changed": "again"},
        "output": f"{bucket}/runs",
    }
    content = {name: (root / name / "1.png").read_bytes() for name in ("cat", "dog")}
    for name, data in content.items():
        storage.write_bytes(f"{bucket}/data/{name}/1.png", data)
    url, _ = night(tree)
    changed = content["dog"][:-1] + bytes([content["dog"][-1] ^ 1])
    storage.write_bytes(f"{bucket}/data/dog/1.png", changed)
    _, said = plan(tree)
    (told,) = [line for line in said if "than when they were planned" in line]
    assert told.endswith("are evaluated again: dog/1.png")
    assert [(one.images, one.again) for one in read_nights(url)] == [(2, 0), (1, 1)]


def test_files_in_other_folders_are_new_and_those_before_are_not(tree, tmp_path):
    """The first night has one folder only."""
    tree |= {
        "dataset": {
            "format": "parquet",
            "path": f"{tmp_path}/lake/**/*.parquet",
            "label": "label",
            "classes": ["cat", "dog"],
            "allow_empty_classes": True,
        },
        "methods": ["zero_shot"],
        "series": {},
    }
    for day, rows in (("01", 3), ("02", 2)):
        pictures = folders(tmp_path / day, [f"{row}.png" for row in range(rows)])
        content = [path.read_bytes() for path in sorted(pictures.glob("*.png"))]
        path = tmp_path / "lake" / day / "images.parquet"
        path.parent.mkdir(parents=True)
        pl.DataFrame({"image": content, "label": [0] * rows}).write_parquet(path)
        url, said = plan(tree)
        assert not any("no more" in line for line in said)
    assert [one.images for one in read_nights(url)] == [3, 2]


@pytest.mark.parametrize(
    ("dataset", "field"),
    [
        ({"format": "folder"}, "dataset.classes"),
        ({"classes": ["a", "b"], "attribute": "place"}, "dataset.attributes"),
    ],
)
def test_names_that_depend_on_the_images_are_refused(dataset, field):
    tree = {"dataset": {"path": "/data/all", **dataset}, "series": {}}
    with pytest.raises(ConfigError, match=rf"(?s)^{field}: missing.*in a series"):
        load_config(tree)


def test_a_method_that_learns_from_all_images_is_refused(tree, grown):
    with pytest.raises(ConfigError, match=r"(?s)^methods\.seraser_task: .*grows"):
        plan(tree, "methods=[zero_shot, seraser_task]")
    tie = "{name: tie, contexts: [a desert, a forest], pool: %s}"
    with pytest.raises(ConfigError, match=r"(?s)^methods\.tie: .*grows"):
        plan(tree, f"methods=[{tie % '{sample: 3}'}]")
    assert not list(Path(tree["output"]).glob("*/run.json"))
    assert plan(tree, f"methods=[{tie % 'self'}]")


def test_a_method_whose_rows_depend_on_the_shard_is_said(tree, grown):
    _, said = plan(tree, "methods=[zero_shot, tda]")
    assert [line for line in said if line.startswith("WARNING: tda: its rows depend on")]


def test_options_that_change_rows_make_another_series(tree, grown):
    url, _ = plan(tree)
    other, said = plan(tree, "seed=3")
    assert other != url
    assert any("night 0: 6 of 6 images are new" in line for line in said)
    assert plan(tree, "runtime.retries=1", "shard.max_items=2")[0] == url


@pytest.mark.slow
def test_training_counts_change_the_report_of_a_series(tree, grown):
    grown(14)
    url, _ = night(tree)
    assert read_report(url, "summary")["adjusted_accuracy"].null_count() == 2
    counts = {
        f"{name} / {place}": 1 for name in tree["dataset"]["classes"] for place in ("land", "water")
    }
    tree["dataset"]["train_counts"] = counts
    assert night(tree)[0] == url
    assert read_report(url, "summary")["adjusted_accuracy"].null_count() == 0


def test_a_report_of_some_nights_says_that_shards_are_missing(tree, grown):
    url, _ = night(tree)
    grown(14)
    plan(tree)
    with pytest.raises(RunDirectoryError, match="2 of 2 shards are missing"):
        aggregate(url)
    assert aggregate(url, partial=True)["summary"]["images"].to_list() == [6, 6]
    page = storage.read_bytes(f"{url}/report/report.html").decode()
    assert "2 of 4 shards are missing from this report" in page
    assert f'rows = scan("{url}")' in page
    found = status(url)
    assert (found["nights"], found["finished"]) == (2, False)
    assert found["images"] == {"done": 6, "total": 14}


def test_a_night_that_is_damaged_or_missing_is_named(tree, grown):
    url, _ = plan(tree)
    grown(14)
    plan(tree)
    first = Path(url, "series", "0.json")
    data = first.read_bytes()
    first.write_bytes(data.replace(b'"images": 6', b'"images": 7'))
    with pytest.raises(RunDirectoryError, match=r"0\.json is not as it was written"):
        plan(tree)
    first.rename(first.with_name("20261129.json"))
    with pytest.raises(RunDirectoryError, match=r"0\.json is missing, .* later nights.*20261129"):
        plan(tree)
    first.write_bytes(data)
    first.with_name("20261129.json").unlink()
    shutil.rmtree(Series(url).runs()[0].url)
    with pytest.raises(RunDirectoryError, match="is no run directory"):
        plan(tree)
