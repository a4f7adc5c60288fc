"""Where methods disagree, against a loop over the images, whatever the shards."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from seraser_core.cli import console
from seraser_core.cli.main import app
from seraser_core.errors import RunDirectoryError
from seraser_core.results import disagreements as module
from seraser_core.results.summary import aggregate
from seraser_core.results.verify import verify

METHODS = ["zero_shot", "seraser", "tpt"]


@pytest.fixture
def audit(scored, tmp_path):
    """Makes and merges a run without labels; returns its directory, its rows and the tables."""

    def make(count=60, shard=20, methods=METHODS, name="audit", change=None, **options):
        none = [None] * count
        options = {"failed": (2, 7)} | options
        run = scored(count, shard, methods=methods, labels=none, places=none, name=name, **options)
        if change is not None:
            change(run)
        directory = run.create(str(tmp_path / name))
        run.write(directory)
        tables = aggregate(directory.url)
        return directory, run.predictions(range(count)).to_pylist(), tables["disagreements"]

    return make


def expected(rows: list[dict], untouched: bool = False) -> list[tuple]:
    """(item_index, disagreement, least confidence, predictions), image by image."""
    images: dict[int, list[dict]] = {}
    for row in rows:
        if row["status"] == "ok":
            images.setdefault(row["item_index"], []).append(row)
    found = []
    for index, of_image in images.items():
        said = [(row["method"], row["prediction_name"], row["confidence"]) for row in of_image]
        if untouched:
            row = of_image[0]
            name = CLASSES[row["zero_shot_prediction"]]
            said.insert(0, ("zero_shot", name, row["zero_shot_confidence"]))
        most = Counter(name for _, name, _ in said).most_common(1)[0][1]
        if most < len(said):
            least = min(confidence for *_, confidence in said)
            found.append((index, 1 - most / len(said), least, said))
    return sorted(found, key=lambda one: (-one[1], -one[2], one[0]))


CLASSES = ["a camel", "a deer", "a red-billed oxpecker", "an élan", "a fox", "a gnu", "a hare"]


def plain(table: pl.DataFrame) -> list[tuple]:
    return [
        (
            row["item_index"],
            row["disagreement"],
            row["confidence"],
            [
                (one["method"], one["prediction_name"], one["confidence"])
                for one in row["predictions"]
            ],
        )
        for row in table.to_dicts()
    ]


def test_they_are_those_of_a_loop_over_the_images(audit):
    _, rows, table = audit()
    assert plain(table) == expected(rows)
    assert 10 < table.height < 58
    assert set(table["disagreement"]) <= {1 - 2 / 3, 1 - 1 / 3}


def test_without_the_method_zero_shot_the_untouched_prompt_is_one_of_them(audit):
    _, rows, table = audit(methods=["tpt", "seraser"])
    assert table.height
    assert plain(table) == expected(rows, untouched=True)


@pytest.mark.parametrize("shard", [1, 7, 60])
def test_the_shards_change_nothing_and_the_list_is_bounded(audit, monkeypatch, shard):
    monkeypatch.setattr(module, "MOST", 5)
    _, rows, table = audit(shard=shard)
    assert plain(table) == expected(rows)[:5]


def test_a_method_that_failed_on_an_image_has_no_say_in_it(audit):
    def change(run):
        run.logits["tpt"][10:20] = np.nan

    _, rows, table = audit(change=change)
    assert plain(table) == expected(rows)
    said = {row["item_index"]: len(row["predictions"]) for row in table.to_dicts()}
    assert {said[i] for i in range(10, 20) if i in said} == {2}


def test_equal_ones_are_in_the_order_of_the_plan(audit):
    def change(run):
        run.zero_shot[:] = run.logits["zero_shot"][:] = np.eye(7)[0]
        run.logits["seraser"][:] = run.logits["tpt"][:] = np.eye(7)[1]

    _, _, table = audit(change=change, failed=())
    assert table["item_index"].to_list() == list(range(60))


def test_a_run_with_labels_has_none(scored, tmp_path):
    run = scored(methods=METHODS)
    directory = run.create(str(tmp_path))
    run.write(directory)
    assert "disagreements" not in aggregate(directory.url)
    assert not Path(directory.path("report", "disagreements.parquet")).exists()


def test_report_and_commands_show_them(audit, monkeypatch):
    for one in (console.results, console.errors):
        monkeypatch.setattr(one, "_width", 300)
    directory, _, table = audit()
    first = table.row(0, named=True)
    page = Path(directory.path("report", "report.html")).read_text()
    assert "Where the methods disagree most" in page
    assert f"The first 20 of {table.height} images" in page
    shown = CliRunner().invoke(app, ["summary", directory.url])
    assert shown.exit_code == 0, shown.output
    assert "where the methods disagree most" in shown.stdout
    for one in first["predictions"]:
        text = f"{one['prediction_name']}, {100 * one['confidence']:.1f} %"
        assert text in shown.stdout
        assert text in page
    assert shown.stdout.index(first["item_id"]) < shown.stdout.index(table["item_id"][1])
    machine = json.loads(CliRunner().invoke(app, ["summary", directory.url, "--json"]).stdout)
    assert machine["disagreements"] == table.to_dicts()


def test_verify_compares_them_with_the_rows(audit):
    directory, _, table = audit()
    assert verify(directory.url).problems == []
    file = Path(directory.path("report", "disagreements.parquet"))
    table.head(3).write_parquet(file)
    assert "report/disagreements.parquet" in {p.file for p in verify(directory.url).problems}


def test_rows_that_are_damaged_are_named(audit):
    directory, *_ = audit()
    path = Path(directory.predictions_path("00001"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # a byte of the magic number, so that the size stays
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"/00001.*parquet is damaged: .*`seraser repair"):
        aggregate(directory.url)


def test_methods_that_agree_are_said_to(audit):
    def change(run):
        for logits in run.logits.values():
            logits[:] = run.zero_shot

    directory, _, table = audit(change=change)
    assert table.height == 0
    assert (
        "the methods agree on every image"
        in CliRunner().invoke(app, ["summary", directory.url]).stdout
    )


def test_on_s3(audit, scored, bucket):
    run = scored(20, 7, methods=METHODS, labels=[None] * 20, places=[None] * 20)
    directory = run.create(f"{bucket}/runs é")
    run.write(directory)
    assert plain(aggregate(directory.url)["disagreements"]) == expected(
        run.predictions(range(20)).to_pylist()
    )
