"""A finished run is known again without its model, unless something may have changed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seraser_core.config import load_config
from seraser_core.results.shards import RunDirectory
from seraser_core.results.summary import aggregate
from seraser_core.runner import recalled
from seraser_core.runner.plan import find_finished, plan_run, prepare_run


@pytest.fixture
def weights(tiny_model, tree, tmp_path) -> Path:
    """The weights of the model of `tree`."""
    path = tmp_path / "weights.pt"
    torch.save(tiny_model.net.state_dict(), path)
    tree["model"]["pretrained"] = str(path)
    return path


@pytest.fixture
def asked(tree):
    """Asks for the finished run of `tree` with overrides; None when it is not sure."""
    return lambda *overrides: find_finished(prepare_run(load_config(tree, overrides)))


@pytest.fixture
def done(weights, run, tree) -> str:
    """URL of the finished run of `tree`."""
    recalled._seen.clear()  # as in a process that begins now
    url, _ = run(tree)
    aggregate(url)
    return url


def test_a_finished_run_is_found(done, asked, tree):
    assert asked() == done
    assert plan_run(load_config(tree)) == done


def test_a_finished_run_of_a_model_without_files_is_found(run, tree, asked, monkeypatch):
    """One of open_clip's own, with random weights."""
    monkeypatch.setattr("seraser_core.models.files.model_files", lambda _: iter(()))
    recalled._seen.clear()
    url, _ = run(tree)
    aggregate(url)
    assert asked() == url


def test_it_takes_on_options_that_change_nothing(done, asked):
    assert asked("runtime.retries=7") == done
    assert RunDirectory(done).run.config.runtime.retries == 7


@pytest.mark.parametrize("change", ["seed=1", "save_logits=false", "dataset.template='x {}'"])
def test_another_configuration_is_another_run(done, asked, change):
    assert asked(change) is None


def test_weights_that_were_written_to_are_hashed_anew(done, asked, weights):
    before = weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (weights.stat().st_size, weights.stat().st_mtime_ns) == (
        before.st_size,
        before.st_mtime_ns,
    )
    assert asked() is None


def test_a_model_json_that_was_replaced_is_read_anew(weights, run, tree, asked, tmp_path):
    copied = tmp_path / "model.json"
    copied.write_bytes(Path(tree["model"]["name"]).read_bytes())
    tree["model"]["name"] = str(copied)
    recalled._seen.clear()
    url, _ = run(tree)
    aggregate(url)
    assert asked() == url
    other = tmp_path / "other.json"
    other.write_bytes(copied.read_bytes())
    other.replace(copied)
    assert asked() is None


@pytest.mark.parametrize(
    "name",
    ["commits/00002.0.json", "report/summary.parquet", "run.json"],
)
def test_a_run_that_lacks_something_is_not_finished(done, asked, name):
    Path(done, name).unlink()
    assert asked() is None


def test_rows_that_are_gone_are_published_again_without_the_model(done, asked):
    path = Path(done, "predictions", "00001.parquet")
    rows = path.read_bytes()
    path.unlink()
    assert asked() == done
    assert path.read_bytes() == rows


def test_a_run_that_was_edited_is_not_trusted(done, asked):
    path = Path(done, "run.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": "once"}))
    assert asked() is None


@pytest.mark.parametrize("what", ["_code", "_version"])
def test_other_code_may_compute_something_else(done, asked, what, monkeypatch):
    monkeypatch.setattr(recalled, what, lambda *_: "other")
    assert asked() is None


def test_weights_that_changed_while_a_process_has_them_are_not_remembered(
    done, asked, weights, tree
):
    weights.touch()
    assert plan_run(load_config(tree)) == done  # of the process's memory, or read again
    assert asked() is None


def test_other_labels_for_the_same_names_are_planned_anew(done, weights, tree):
    prepared = prepare_run(load_config(tree))
    planned = prepared.planned
    renamed = replace(planned, labels=[f"other {label}" for label in planned.labels])
    assert recalled.recall(prepared) == done
    assert recalled.recall(replace(prepared, planned=renamed)) is None
