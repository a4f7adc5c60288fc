"""Examples and checks of `plan`, beside the run directory that it makes."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from seraser_core import storage
from seraser_core.results.shards import RunDirectory


@pytest.fixture
def own(tree, pictures, tmp_path) -> Path:
    """Folder of pictures of which a test may spoil some; `tree` is of them."""
    folder = tmp_path / "own"
    shutil.copytree(pictures.parent, folder)
    tree["dataset"]["path"] = str(folder / pictures.name)
    return folder


@pytest.fixture
def config(tree, own, tmp_path) -> str:
    """Path of a configuration of them."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(tree))
    return str(path)


def test_an_image_of_every_class_and_group(seraser, config, own):
    done = seraser("plan", config, "--no-model", "--json")
    assert done.exit_code == 0, done.output
    shown = [
        (one["what"], one["name"], one["images"], Path(one["image"]).name)
        for one in json.loads(done.stdout)["examples"]
    ]
    assert shown == [
        ("class", "0 'a camel'", 5, "picture 00é.png"),
        ("class", "1 'a deer on the lake'", 5, "picture 01é.png"),
        ("class", "2 'a red-billed oxpecker'", 4, "picture 02é.png"),
        ("group", "a camel / land", 3, "picture 00é.png"),
        ("group", "a camel / water", 2, "picture 03é.png"),
        ("group", "a deer on the lake / land", 2, "picture 04é.png"),
        ("group", "a deer on the lake / water", 3, "picture 01é.png"),
        ("group", "a red-billed oxpecker / land", 2, "picture 02é.png"),
        ("group", "a red-billed oxpecker / water", 2, "picture 05é.png"),
    ]
    assert f"class 0 'a camel': 5 images, such as {own}/picture 00é.png" in done.stderr


def test_only_some_of_many_classes_are_shown(seraser, config):
    names = ["a camel", "a deer", *(f"thing {i}" for i in range(30))]
    rows = "".join(f"i{i},picture {i % 14:02}é.png,{i}\n" for i in range(len(names)))
    table = Path(config).parent / "own" / "many.csv"
    table.write_text(f"id,file,y\n{rows}")
    changes = [f"dataset.path={table}", f"dataset.classes={json.dumps(names)}"]
    changes += ["dataset.mask=null", "dataset.attribute=null", "methods=[zero_shot]"]
    done = seraser("plan", config, "--no-model", *(f"--set={change}" for change in changes))
    assert done.exit_code == 0, done.output
    assert done.stderr.count("images, such as") == 20
    assert "and 12 more classes" in done.stderr


def test_without_a_model_all_else_is_checked(seraser, config, tmp_path):
    changes = ["model.name=ViT-B-32-quickgelu", "model.pretrained=openai"]
    done = seraser("plan", config, "--no-model", *(f"--set={change}" for change in changes))
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "not checked: the model and its weights" in done.stderr
    assert not list(tmp_path.glob("runs/*"))
    assert seraser("plan", config, "--no-model", "--set=dataset.label=yy").exit_code == 2
    assert seraser("plan", config, "--no-model", "--set=model.name=ViT-B-33").exit_code == 2


def spoil(folder: Path) -> None:
    (folder / "picture 00é.png").unlink()
    (folder / "picture 03é.png").write_bytes(b"no picture")
    (folder / "picture 05é.png").write_bytes(b"")
    (folder / "picture 06é.png").write_bytes(b"<html>sign in</html>")
    Image.new("L", (10, 90)).save(folder / "mask7.png")
    for i in range(8, 14):
        (folder / f"mask{i}.png").unlink()


FOUND = {
    "missing": 1,
    "missing_mask": 6,
    "undecodable": 1,
    "empty": 1,
    "unsupported_format": 1,
    "mask_size": 1,
}


@pytest.mark.parametrize("where", ["local", "s3"])
def test_every_header_is_read(seraser, config, tree, own, where, request):
    if where == "s3":
        bucket = request.getfixturevalue("bucket")
        tree["dataset"]["path"] = f"{bucket}/{own.name}/metadata.csv"
        Path(config).write_text(yaml.safe_dump(tree))
    spoil(own)
    if where == "s3":
        for path in own.iterdir():
            storage.write_bytes(f"{bucket}/{own.name}/{path.name}", path.read_bytes())
    done = seraser("plan", config, "--no-model", "--check-files", "--json")
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)["files"]
    assert (found["files"], found["faults"]) == (14, FOUND)
    assert len(found["first"]["missing_mask"]) == 5
    assert found["first"]["missing"][0].startswith("item-00: there is no file ")
    assert found["first"]["mask_size"] == [
        "item-07: mask is 10 x 90, image {} x {} pixels".format(
            *Image.open(own / "picture 07é.png").size
        )
    ]
    assert "11 of 14 images cannot be used" in done.stderr
    assert "and 1 more" in done.stderr


def test_all_columns_that_are_not_there_are_told_at_once(seraser, config):
    changes = ["dataset.label=yy", "dataset.mask=maks", "dataset.image=fiel"]
    done = seraser("plan", config, *(f"--set={change}" for change in changes))
    assert done.exit_code == 2
    assert [line for line in done.stderr.splitlines() if not line.startswith("hint: ")] == [
        "configuration dataset.image: 'fiel'",
        "dataset.mask: 'maks'",
        "dataset.label: 'yy'",
    ]
    assert done.stderr.count("did you mean 'file'?") == 1


@pytest.mark.parametrize(
    ("values", "unknown"), [("[2]", "2"), ("[0, tset]", "'tset'"), ("[3, x]", "3, 'x'")]
)
def test_an_unknown_split_value_lists_those_there_are(seraser, config, values, unknown):
    done = seraser(
        "plan", config, "--set=dataset.split.column=a", f"--set=dataset.split.values={values}"
    )
    assert done.exit_code == 2
    assert f"dataset.split: {unknown}\n" in done.stderr
    assert "the column 'a' has the values 0 (7 rows), 1 (7 rows)" in done.stderr


def test_files_that_are_right_are_told(seraser, config):
    done = seraser("plan", config, "--no-model", "--check-files")
    assert done.exit_code == 0, done.output
    assert "14 files checked: nothing is wrong with their headers" in done.stderr


def test_run_and_report_name_the_first_images_that_cannot_be_used(seraser, config, own):
    spoil(own)
    done = seraser("run", config, "--no-prefect", "--set=methods=[foreground]")
    assert done.exit_code == 0, done.output
    codes = ", ".join(f"{code} {images}" for code, images in sorted(FOUND.items()))
    assert f"11 images could not be used: {codes}" in done.stdout
    named = [line for line in done.stdout.splitlines() if line.startswith("  item-")]
    assert [line.split(":")[0].strip() for line in named] == [
        f"item-{i:02}" for i in (0, 3, 5, 6, 7)
    ]
    assert named[1].startswith("  item-03: undecodable: ")
    (report,) = Path(config).parent.glob("runs/*/report/report.html")
    assert "<li>item-03: undecodable: " in report.read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_plan_without_a_gpu_for_workers_that_may_have_one(seraser, config):
    done = seraser("plan", config, "--set=model.device=auto")
    assert done.exit_code == 0, done.output
    assert "WARNING: this machine has no GPU" in done.stderr
    assert "model.precision=bf16" in done.stderr
    done = seraser("plan", config)
    assert "WARNING: this machine" not in done.stderr, "model.device=cpu is for all workers"


def test_a_plan_is_made_where_shards_are_computed(seraser, config):
    nowhere = ["execution.engine=dask", "execution.address=tcp://127.0.0.1:1"]
    nowhere += ["execution.start_timeout=1"]
    done = seraser("plan", config, *(f"--set={option}" for option in nowhere))
    assert done.exit_code == 2
    assert "no Dask scheduler answers there" in done.stderr


def test_a_run_keeps_the_command_that_planned_it_first(seraser, config, monkeypatch):
    """Without keys, and whatever resumes it."""
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("HUB_TOKEN", "hf_0123456789abcdef")
    storage = ["--set", "dataset.storage_options.secret=a", "--set", "dataset.storage_options={}"]
    words = ["plan", config, *storage, "--set", "dataset.template=hf_0123456789abcdef's {}"]
    url = seraser(*words, "--set", "runtime.retries=1").stdout.strip()
    command = RunDirectory(url).run.command
    shown = [*words[:-1], "dataset.template=***'s {}", "--set", "runtime.retries=1"]
    shown[3] = "dataset.storage_options.secret=***"
    assert command == f"seraser {shlex.join(shown)}"
    assert seraser(*words, "--set", "runtime.retries=2").stdout.strip() == url
    resumed = RunDirectory(url).run
    assert (resumed.command, resumed.config.runtime.retries) == (command, 2)
