"""Which run is which, and commands that look at all runs of a comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seraser_core import storage
from seraser_core.cli import console
from seraser_core.cli.main import app
from seraser_core.errors import RunDirectoryError
from seraser_core.results.comparison import ComparedRun, create_comparison, write_comparison
from seraser_core.results.overview import overview
from seraser_core.results.status import status
from seraser_core.results.summary import aggregate


@pytest.fixture
def seraser(monkeypatch):
    """Runs a command in this process, 300 columns wide."""
    for one in (console.results, console.errors):
        monkeypatch.setattr(one, "_width", 300)
    return lambda *arguments: CliRunner().invoke(app, [*arguments])


@pytest.fixture
def make(scored, tmp_path):
    """Makes runs in one folder, with changes to their configuration."""

    def run(name="birds", config=(), output=None, write=True, **options):
        one = scored(60, 20, name=name, classes=["a camel", "a deer"], **options)
        tree = one.run.config.document()
        for option, value in dict(config).items():
            *groups, last = option.split(".")
            place = tree
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
        one.change(config=tree)
        directory = one.create(output or str(tmp_path / "runs"))
        if write:
            one.write(directory)
            aggregate(directory.url)
        return directory

    return run


def by_name(found: dict) -> dict[str, dict]:
    return {run["run_id"].rsplit("-", 1)[0]: run for run in found["runs"]}


def test_only_what_differs_is_told(make, tmp_path):
    make("one", {"seed": 0, "save_masks": False, "segment.prompt": ""})
    make("two", {"seed": 7, "save_masks": False, "segment.prompt": "bird."}, other="two")
    make("other-data", {"seed": 9, "dataset": {"path": "/pets/metadata.csv"}}, other="three")
    make("other-model", {"seed": 8, "model": {"name": "/m/large.json"}}, other="four")
    found = by_name(overview(str(tmp_path / "runs")))
    assert found["one"]["differs"] == {"seed": 0, "segment.prompt": ""}  # and not save_masks
    assert found["two"]["differs"] == {"seed": 7, "segment.prompt": "bird."}
    assert found["other-data"]["differs"] == {}
    assert found["other-data"]["dataset"] == "pets/metadata.csv"
    assert (found["other-model"]["differs"], found["other-model"]["model"]) == ({}, "large")


def test_options_of_methods_are_compared_by_their_ids(make, tmp_path):
    methods = [{"id": "zero_shot", "name": "zero_shot"}, {"id": "seraser", "name": "seraser"}]
    make("one", {"methods": [methods[0], methods[1] | {"steps": 20, "lr": 0.1}]})
    make("two", {"methods": [methods[1] | {"steps": 5, "lr": 0.1}, methods[0]]}, precision="bf16")
    found = by_name(overview(str(tmp_path / "runs")))
    assert found["one"]["differs"] == {"methods.seraser.steps": 20, "precision": "fp32"}
    assert found["two"]["differs"] == {"methods.seraser.steps": 5, "precision": "bf16"}


def test_runs_that_differ_in_no_option_say_what_else_does(make, tmp_path):
    """Other weights under the same name, and other images at the same path."""
    make("one")
    make("two", weights="f" * 64)
    make("three", seed=5)
    found = by_name(overview(str(tmp_path / "runs")))
    assert found["one"]["differs"]["weights"] == "0123456789ab"
    assert found["two"]["differs"]["weights"] == "f" * 12
    hashes = {run["differs"]["images (hash)"] for run in found.values()}
    assert len(hashes) == 2


def test_state_and_headline(make, scored, tmp_path):
    done = make("done")
    table = aggregate(done.url)["summary"].to_dicts()
    half = scored(60, 20, name="half", classes=["a camel", "a deer"])
    directory = half.create(str(tmp_path / "runs"))
    half.write(directory, "00001")
    directory.fail("00002", OSError("no disk"), 4)
    audit = scored(13, name="audit", labels=[None] * 13, places=[None] * 13)
    unlabelled = audit.create(str(tmp_path / "runs"))
    audit.write(unlabelled)
    changed = aggregate(unlabelled.url)["summary"]["changed"].max()
    found = by_name(overview(str(tmp_path / "runs")))
    best = max(table, key=lambda row: row["worst_group_accuracy"])
    assert found["done"]["headline"]["method"] == best["method"]
    for name in ("accuracy", "worst_group_accuracy", "worst_group", "errors"):
        assert found["done"]["headline"][name] == best[name]
    assert found["done"]["shards"] == {"done": 3, "total": 3, "failed": 0}
    assert found["half"]["shards"] == {"done": 1, "total": 3, "failed": 1}
    assert (found["half"]["headline"], found["half"]["images"]) == (None, 60)
    assert found["audit"]["headline"]["changed"] == changed


def damage(folder: Path, how: str) -> str:
    """Damage a run; returns what is said of it."""
    if how == "no run.json":
        (folder / "run.json").unlink()
        return "it has no run.json"
    if how == "no plan":
        (folder / "plan" / "plan.json").unlink()
        return "plan.json is missing"
    if how == "no text":
        (folder / "run.json").write_bytes(b"\xff\xfe\x00")
        return "is damaged"
    (folder / "run.json").write_text('{"run_id": 3}')
    return "is damaged"


@pytest.mark.parametrize("how", ["no run.json", "no plan", "no text", "other shape"])
def test_a_run_that_cannot_be_read_is_told_beside_the_others(make, seraser, tmp_path, how):
    good, bad = make("good"), make("bad")
    said = damage(Path(bad.url), how)
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / ".listings").mkdir()
    (tmp_path / "runs" / "a file").write_text("")
    found = overview(str(tmp_path / "runs"))
    assert [run["run"] for run in found["runs"]] == [good.url]
    (unreadable,) = found["unreadable"]
    assert unreadable["run"] == bad.url
    assert said in unreadable["why"]
    shown = seraser("runs", str(tmp_path / "runs"))
    assert shown.exit_code == 0
    assert f"unreadable {bad.url}: " in shown.stdout


def test_the_list_is_printed(make, seraser, tmp_path, monkeypatch):
    make("birds-one", {"seed": 1})
    make("birds-two", {"seed": 2, "dataset": {"path": "/pictures"}}, seed=2)
    monkeypatch.chdir(tmp_path)
    shown = seraser("runs")
    assert shown.exit_code == 0, shown.output
    for text in ("seed=1", "seed=2", "finished", "average (pooled)", "worst group accuracy", " %"):
        assert text in shown.stdout, text
    machine = json.loads(seraser("runs", "--json").stdout)
    assert machine == json.loads(json.dumps(overview(str(tmp_path / "runs"))))
    empty = seraser("runs", str(tmp_path / "nowhere"))
    assert (empty.exit_code, "no such folder" in empty.stderr) == (0, True)
    one = machine["runs"][0]["run"]
    assert [run["run"] for run in overview(one)["runs"]] == [one]


def test_places_that_cannot_be_listed_are_refused():
    with pytest.raises(RunDirectoryError, match="cannot be read"):
        overview("foo://x")


def test_runs_on_s3(make, bucket):
    directory = make("birds", output=f"{bucket}/runs é")
    found = overview(f"{bucket}/runs é")
    assert [run["run"] for run in found["runs"]] == [directory.url]
    assert found["runs"][0]["shards"]["done"] == 3
    assert found["runs"][0]["headline"]["accuracy"] is not None


# Commands on a comparison


@pytest.fixture
def comparison(make, tmp_path):
    """URLs of a comparison and of its two runs."""
    one, two = make("study-birds"), make("study-pets", seed=3)
    runs = [ComparedRun("birds", "b32", one.url), ComparedRun("pets", "b32", two.url)]
    url = create_comparison(str(tmp_path / "runs"), "study", runs)
    write_comparison(url)
    return url, one, two


def test_a_comparison_is_listed_with_its_best_row(comparison, tmp_path):
    url, one, two = comparison
    found = overview(str(tmp_path / "runs"))
    assert len(found["runs"]) == 2
    (listed,) = found["comparisons"]
    assert listed["comparison"] == url
    assert listed["runs"] == [Path(one.url).name, Path(two.url).name]
    rows = write_comparison(url)["comparison"].to_dicts()
    best = max(rows, key=lambda row: row["worst_group_accuracy"])
    for name in ("dataset", "model", "method", "worst_group_accuracy"):
        assert listed["headline"][name] == best[name]


def test_a_shard_that_is_asked_for_again_is_not_done_in_any_overview(make, seraser):
    directory = make("birds")
    directory.compute_again("00001")
    listed = overview(directory.url)["runs"][0]["shards"]
    assert listed == {"done": 2, "total": 3, "failed": 0} == status(directory.url)["shards"]


def test_status_of_a_comparison(comparison, seraser):
    url, _, two = comparison
    shown = seraser("status", url)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("finished") == 2
    assert "60 of 60" in shown.stdout
    two.fail("00001", OSError("no disk"), 4)
    Path(two.path("commits", "00001.0.json")).unlink()
    machine = seraser("status", url, "--json")
    assert machine.exit_code == 1
    found = json.loads(machine.stdout)
    assert [one["result"]["finished"] for one in found["runs"]] == [True, False]
    assert [one["dataset"] for one in found["runs"]] == ["birds", "pets"]
    assert "2 of 3 shards done, 1 failed" in seraser("status", url).stdout


def test_verify_of_a_comparison(comparison, seraser):
    url, one, two = comparison
    assert seraser("verify", url).stdout.count("clean") == 2
    Path(two.path("predictions", "00001.parquet")).unlink()
    shown = seraser("verify", url)
    assert shown.exit_code == 1
    assert f"{two.url}: shard 00001: predictions/00001.parquet: is missing" in shown.stdout
    assert shown.stdout.count("clean") == 1
    Path(one.path("run.json")).write_text("{}")
    machine = seraser("verify", url, "--json")
    assert machine.exit_code == 1
    first, second = json.loads(machine.stdout)["runs"]
    assert "is damaged" in first["fault"]
    assert second["result"]["problems"][0]["shard"] == "00001"


def test_summary_of_a_comparison(comparison, seraser):
    url, one, two = comparison
    before = storage.read_bytes(f"{url}/report/comparison.parquet")
    for run in (one, two):
        Path(run.path("report", "summary.parquet")).unlink()
    storage.delete(f"{url}/report/comparison.parquet")
    done = seraser("summary", url, "--json")
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["rows"]) == 4
    assert storage.read_bytes(f"{url}/report/comparison.parquet") == before
    Path(two.path("commits", "00001.0.json")).unlink()
    failed = seraser("summary", url)
    assert failed.exit_code == 1
    assert "1 of 3 shards are missing" in failed.stderr
    assert storage.read_bytes(f"{url}/report/comparison.parquet") == before
    assert seraser("summary", url, "--partial").exit_code == 0


def test_a_comparison_that_was_moved_finds_its_runs_beside_it(comparison, seraser, tmp_path):
    url, *_ = comparison
    moved = (tmp_path / "runs").rename(tmp_path / "elsewhere") / Path(url).name
    shown = seraser("verify", str(moved))
    assert shown.stdout.count("clean") == 2, shown.output


def test_the_status_of_a_run_has_words_and_units(make, seraser):
    directory = make("birds")
    shown = seraser("status", directory.url).stdout
    # By hand: three shards of 4 s wall in one process, of which 0.5 s load, 1 s wait, 2 s model.
    for text in (
        f"{Path(directory.url).name}: finished",
        "3 of 3 shards, 60 of 60 images, 120 rows",
        "unusable   images: undecodable 1",
        "images/s, bound by",
        "6.0 s model, of which image tower 3.8 s",
        "1.5 s loading the model",
        "3.0 s waiting for pictures; fetching took 2.2 s and decoding 4.5 s",
        "seraser 75.0 ms",
    ):
        assert text in shown, text
    lines, _, workers = shown.partition("workers\n")
    assert "_" not in lines.replace("zero_shot", "").replace(directory.url, "")
    assert ["here", "1", "x86_64", "3", "60"] in [line.split()[:5] for line in workers.splitlines()]
