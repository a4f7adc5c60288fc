"""Commands do not wait for what they do not need: torch takes seconds, Prefect and Polars some."""

from __future__ import annotations

import json
import subprocess
import sys

import open_clip
import pytest

from seraser_core.models import clip_model

_CALL = """
import contextlib, io, json, sys

def loaded():
    names = ("torch", "open_clip", "transformers", "prefect", "polars", "pyarrow", "botocore")
    names += ("numpy", "matplotlib", "distributed")
    return [name for name in names if name in sys.modules]

from seraser_core.cli.main import app
found = {}
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            app(arguments)
        except SystemExit as end:
            code = end.code
    found[" ".join(arguments)] = [code or 0, loaded()]
print(json.dumps(found))
"""


@pytest.fixture
def called(environment):
    """Runs commands in one other process; returns their exit codes and what was imported so far."""

    def call(*commands: list[str]) -> dict[str, list]:
        done = subprocess.run(
            [sys.executable, "-c", _CALL, json.dumps(commands)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])

    return call


def test_help_and_lists_import_nothing_heavy(called):
    helped = [["--help"], ["run", "--help"], ["up", "--help"], ["demo", "--help"]]
    for code, loaded in called(*helped, ["--version"], ["models", "--all", "--json"]).values():
        assert (code, loaded) == (0, [])
    ((code, loaded),) = called(["methods", "ensemble"]).values()
    assert code == 0
    assert not {"torch", "open_clip", "prefect", "polars", "numpy"} & set(loaded)
    ((code, loaded),) = called(["datasets"]).values()
    assert code == 0
    assert not {"torch", "open_clip", "prefect"} & set(loaded)


def test_what_is_wrong_is_told_before_torch_is_imported(called, config):
    wrong = [
        "--set=model.name=ViT-B-33",
        "--set=model.pretrained=gone.pt",
        "--set=model.device=gpu",
        "--set=seed=x",
        "--set=methods=[ensemble, serazer]",
        "--set=dataset.path=gone.csv",
        "--set=dataset.label=yy",
        "--set=dataset.classes=[a, b]",
        "--set=output=/proc/nowhere",
    ]
    commands = [["run", config, text] for text in wrong] + [["plan", config, wrong[0]]]
    for what, (code, loaded) in called(*commands).items():
        assert code == 2, what
        assert not {"torch", "open_clip", "prefect"} & set(loaded), what


def test_a_finished_run_is_read_without_torch(seraser, called, config):
    done = seraser("run", config, "--no-prefect", "--json")
    finished = json.loads(done.stdout)["run"]
    commands = [["status", finished], ["verify", finished], ["summary", finished]]
    commands += [["run", config], ["run", config, "--no-prefect"]]
    for what, (code, loaded) in called(*commands).items():
        assert code == 0, what
        assert not {"torch", "open_clip", "prefect"} & set(loaded), what


def test_a_run_builds_and_hashes_its_model_once(seraser, config, monkeypatch):
    done = []

    def counted(name, function):
        def call(*arguments, **options):
            done.append(name)
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(open_clip, "create_model", counted("built", open_clip.create_model))
    monkeypatch.setattr(clip_model, "hash_weights", counted("hashed", clip_model.hash_weights))
    clip_model._cache.clear()
    assert seraser("run", config, "--no-prefect").exit_code == 0
    assert done == ["built", "hashed"]
