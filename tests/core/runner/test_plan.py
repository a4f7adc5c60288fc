"""What makes another run, what a resumed run takes on, and what a worker refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.torch import save_file

from seraser_core.config import load_config
from seraser_core.errors import ConfigError, RunDirectoryError
from seraser_core.models import clip_model
from seraser_core.results.shards import RunDirectory, opened
from seraser_core.results.verify import verify
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session


@pytest.fixture
def plan(tree):
    """Plans the run of `tree` with overrides; returns its URL."""

    def run(*overrides: str) -> str:
        return plan_run(load_config(tree, overrides))

    return run


def change_model(path: str, change, folder: Path) -> str:
    """A copy of a model JSON of the same file name, with a change that keeps all tensors."""
    config = json.loads(Path(path).read_text())
    change(config)
    folder.mkdir()
    copied = folder / Path(path).name
    copied.write_text(json.dumps(config))
    return str(copied)


def more_heads(config):
    config["text_cfg"]["heads"] = 8


def quick_gelu(config):
    config["quick_gelu"] = True


@pytest.mark.parametrize("change", [more_heads, quick_gelu])
def test_another_function_of_the_same_tensors_is_another_run(plan, tiny_json, tmp_path, change):
    other = change_model(tiny_json, change, tmp_path / "model")
    assert plan() != plan(f"model.name={other}")


def test_a_model_json_elsewhere_is_the_same_run(plan, tiny_json, tmp_path):
    other = change_model(tiny_json, lambda _: None, tmp_path / "model")
    assert plan() == plan(f"model.name={other}")


def test_attributes_in_another_order_are_another_run(plan):
    assert plan() != plan("dataset.attributes=[water, land]")


def test_prompts_of_a_method_are_checked(plan):
    with pytest.raises(ConfigError, match=r"(?s)^methods\.tpt\.context: .*nothing to tune"):
        plan("methods=[{name: tpt, context: '&nbsp;'}]")
    with pytest.raises(ConfigError, match="tokens and the model's context 77"):
        plan(f"methods=[{{name: tpt, context: {'very ' * 80}}}]")


def test_a_worker_refuses_a_model_json_that_changed(tree, plan, tiny_json, tmp_path):
    tree["model"]["name"] = change_model(tiny_json, lambda _: None, tmp_path / "model")
    url = plan()
    shutil.rmtree(tmp_path / "model")
    change_model(tiny_json, more_heads, tmp_path / "model")
    clip_model._cache.clear()  # as in a worker that begins now
    with pytest.raises(RunDirectoryError, match="these differ: architecture"):
        open_session(url)


def test_a_worker_refuses_a_config_that_was_edited(plan):
    url = plan()
    path = Path(url, "run.json")
    document = json.loads(path.read_text())
    document["config"]["seed"] = 3
    path.write_text(json.dumps(document))
    with pytest.raises(RunDirectoryError, match="these differ: seed"):
        open_session(url)
    document["config"]["seed"] = "x"
    path.write_text(json.dumps(document))
    opened.cache_clear()  # as in a worker that begins now
    with pytest.raises(RunDirectoryError, match=r"run\.json: seed"):
        open_session(url)


def test_a_worker_refuses_items_that_were_edited(plan):
    url = plan()
    path = Path(url, "plan", "items.parquet")
    items = pq.read_table(path)
    place = items.schema.get_field_index("label")
    labels = pa.array([2] * items.num_rows, pa.int32())
    pq.write_table(items.set_column(place, items.schema.field(place), labels), path)
    with pytest.raises(RunDirectoryError, match=r"items\.parquet is not the file that plan\.json"):
        open_session(url)


def test_a_resumed_run_has_the_new_options(plan):
    url = plan("runtime.batch_size=1", "runtime.retries=7")
    created = RunDirectory(url).run.created
    assert open_session(url).config.runtime.batch_size == 1
    assert plan("runtime.batch_size=4", "runtime.retries=0") == url
    runtime = open_session(url).config.runtime
    assert (runtime.batch_size, runtime.retries) == (4, 0)
    assert RunDirectory(url).run.created == created


def test_training_counts_change_no_prediction_and_so_no_run(plan, tree):
    url = plan()
    assert RunDirectory(url).run.train_counts == {}
    names = [
        f"{name} / {place}" for name in tree["dataset"]["classes"] for place in ("land", "water")
    ]
    counts = {name: 10 * place for place, name in enumerate(names)}
    assert plan(f"dataset.train_counts={json.dumps(counts)}") == url
    expected = {"0 0": 0, "0 1": 10, "1 0": 20, "1 1": 30, "2 0": 40, "2 1": 50}
    assert RunDirectory(url).run.train_counts == expected


def test_a_resumed_run_finds_weights_that_were_moved(plan, tiny_model, run, tree, tmp_path):
    weights = tmp_path / "weights.safetensors"
    state = tiny_model.net.state_dict()
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, weights)
    url = plan(f"model.pretrained={weights}")
    moved = weights.rename(tmp_path / "moved.safetensors")
    assert run(tree, f"model.pretrained={moved}")[0] == url
    assert verify(url).problems == []


@pytest.mark.parametrize("name", ["items.parquet", "plan.json"])
def test_a_lost_part_of_the_plan_is_written_again(plan, run, tree, name):
    url = plan()
    Path(url, "plan", name).unlink()
    with pytest.raises(RunDirectoryError, match=f"{name} is missing; run the config.* again"):
        open_session(url)
    assert run(tree)[0] == url
    assert verify(url).problems == []


def test_the_same_names_are_the_same_run_however_they_are_written(plan, tree, tmp_path):
    names = tree["dataset"]["classes"]
    listed = plan()
    before = json.loads((Path(listed) / "run.json").read_text())
    assert (before["classes"], before["labels"]) == (names, names)
    tree["dataset"]["classes"] = {str(index): names[index] for index in (2, 0, 1)}
    assert plan() == listed
    (tmp_path / "names.json").write_text(json.dumps(names))
    tree["dataset"]["classes"] = str(tmp_path / "names.json")
    assert plan() == listed


def test_labels_and_their_names_stand_in_the_run_and_names_in_the_rows(plan, tree):
    names = tree["dataset"]["classes"]
    words = ["zero", "one", "two"]
    table = Path(tree["dataset"]["path"])
    rows = [line.split(",") for line in table.read_text().splitlines()]
    place = rows[0].index("y")
    copied = table.parent / "with words.csv"
    for row in rows[1:]:
        row[place] = words[int(row[place])]
    copied.write_text("\n".join(map(",".join, rows)) + "\n")
    numbered = json.loads((Path(plan()) / "run.json").read_text())
    tree["dataset"] |= {"path": str(copied), "classes": dict(zip(words, names, strict=True))}
    url = plan()
    copied.unlink()
    run = json.loads((Path(url) / "run.json").read_text())
    assert (run["labels"], run["classes"]) == (words, names)
    # Labels are no part of what is predicted, and their indices are in the plan.
    assert run["fingerprint"] == numbered["fingerprint"]
    run_local(url)
    found = pl.read_parquet(f"{url}/predictions/*.parquet")
    assert set(found["label_name"]) <= set(names)
    assert set(found["prediction_name"]) <= set(names)
    assert (found["correct"] == (found["label_name"] == found["prediction_name"])).all()


def test_storage_that_knows_no_conditions_is_named(tree):
    said = []
    plan_run(load_config(tree, ["output=memory://unconditional"]), said.append)
    assert any("let no two workers compute the same shard" in text for text in said)
