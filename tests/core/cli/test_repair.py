"""`seraser repair`: a damaged run becomes the undamaged one, and nothing else moves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from seraser_core.config.options import ModelOptions
from seraser_core.models.clip_model import get_model
from seraser_core.results.records import encode

_SERASER = "from seraser_core.cli.main import app; app()"


class Run:
    """The files of a run directory, on any file system."""

    def __init__(self, url):
        self.url = url
        uncached = {"use_listings_cache": False} if "://" in url else {}
        self._fs, self._root = fsspec.core.url_to_fs(url, **uncached)

    def files(self):
        """Name -> bytes."""
        names = self._fs.find(self._root)
        return {n.removeprefix(self._root).lstrip("/"): self._fs.cat_file(n) for n in names}

    def read(self, name):
        return self._fs.cat_file(f"{self._root}/{name}")

    def write(self, name, data):
        if self._fs.exists(
            f"{self._root}/{name}"
        ):  # on a disk, rows that are published have two names
            self.delete(name)
        self._fs.pipe_file(f"{self._root}/{name}", data)

    def attempt(self, shard):
        (name,) = [name for name in self.files() if name.startswith(f"attempts/{shard}.")]
        return name

    def delete(self, name):
        self._fs.rm_file(f"{self._root}/{name}")

    def flip(self, name):
        """Flip a bit in the middle."""
        data = bytearray(self.read(name))
        data[len(data) // 2] ^= 1
        self.write(name, bytes(data))

    def cut(self, name):
        self.write(name, self.read(name)[:-9])

    def swap(self, name, other):
        mine, others = self.read(name), self.read(other)
        self.write(name, others)
        self.write(other, mine)


@pytest.fixture
def on_disk(finished):
    return Run(finished)


@pytest.fixture
def on_s3(seraser, config, bucket):
    done = seraser("run", config, "--no-prefect", "--json", "--set", f"output={bucket}/runs")
    assert done.exit_code == 0, done.output
    return Run(json.loads(done.stdout)["run"])


def apart(environment, *arguments):
    """A command in a process of its own, which has loaded no model yet."""
    return subprocess.run(
        [sys.executable, "-c", _SERASER, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def newest(files, shard):
    """Its newest commit."""
    commits = sorted(name for name in files if name.startswith(f"commits/{shard}."))
    return json.loads(files[[name for name in commits if name.endswith(".json")][-1]])


def check_repaired(run, before, wrong):
    """Rows, sums and tables are as before; of shards that were right, every byte is."""
    after = run.files()
    added = after.keys() - before.keys()
    assert {name.split("/")[1].split(".")[0] for name in added} <= {*wrong}
    for shard in wrong:
        mine, old = newest(after, shard), newest(before, shard)
        assert (mine["sha256"], mine["methods"]) == (old["sha256"], old["methods"])
    for name, data in before.items():
        folder, _, file = name.partition("/")
        of_wrong = folder in ("attempts", "commits") and file[:5] in wrong
        # These tell times.
        if not of_wrong and name not in ("report/report.html", "report/files.json"):
            assert after[name] == data, name


def flip(name):
    return lambda run: run.flip(name)


def flip_rows(run):
    for name in (run.attempt("00001"), "predictions/00001.parquet"):
        run.flip(name)


DAMAGE = {
    "flipped rows": (flip_rows, ["00001"]),
    "deleted commit": (lambda run: run.delete("commits/00000.0.json"), ["00000"]),
    "flipped attempt": (lambda run: run.flip(run.attempt("00001")), []),
    "swapped predictions": (
        lambda run: run.swap("predictions/00000.parquet", "predictions/00001.parquet"),
        [],
    ),
    "flipped summary": (flip("report/summary.parquet"), []),
    "deleted list of the report": (lambda run: run.delete("report/files.json"), []),
}


def repair_and_check(seraser, run, damage, wrong):
    before = run.files()
    damage(run)
    assert seraser("verify", run.url).exit_code == 1
    done = seraser("repair", run.url, "--no-prefect")
    assert done.exit_code == 0, done.output
    said = "writing the report"
    if wrong:
        said = f"computing {len(wrong)} shard{'s' * (len(wrong) > 1)}: {', '.join(wrong)}"
    assert said in done.stderr
    assert done.stdout == "clean: 3 of 3 shards done, 42 rows\n"
    check_repaired(run, before, wrong)
    assert seraser("verify", run.url, "--deep").stdout == "clean: 3 of 3 shards done, 42 rows\n"


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_on_disk(seraser, on_disk, name):
    repair_and_check(seraser, on_disk, *DAMAGE[name])


@pytest.mark.slow
def test_a_damaged_run_on_s3(seraser, on_s3):
    """One after the other, of the same run: it is as before each time."""
    for name in ("flipped rows", "flipped attempt", "deleted commit", "flipped summary"):
        repair_and_check(seraser, on_s3, *DAMAGE[name])


def test_a_run_that_is_right_is_not_touched(seraser, on_disk):
    before = {path: path.stat().st_mtime_ns for path in Path(on_disk.url).rglob("*")}
    done = seraser("repair", on_disk.url)
    assert (done.exit_code, done.stdout) == (0, "clean: 3 of 3 shards done, 42 rows\n")
    assert {path: path.stat().st_mtime_ns for path in Path(on_disk.url).rglob("*")} == before


def test_an_unfinished_run_is_finished(seraser, config):
    url = seraser("plan", config).stdout.strip()
    done = seraser("repair", url, "--no-prefect", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["done"] == 3
    assert (Path(url) / "report" / "summary.parquet").exists()


@pytest.mark.parametrize("name", ["run.json", "plan/plan.json", "plan/items.parquet"])
@pytest.mark.parametrize("how", ["flipped", "deleted"])
def test_a_damaged_plan_is_refused_and_the_remedy_works(seraser, config, on_disk, name, how):
    before = on_disk.files()
    on_disk.delete("commits/00001.0.json")
    on_disk.flip(name) if how == "flipped" else on_disk.delete(name)
    damaged = on_disk.files()
    done = seraser("repair", on_disk.url, "--no-prefect")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert name in done.stderr
    assert on_disk.files() == damaged
    if how == "flipped":
        assert "delete" in done.stderr
        assert "run the same configuration again" in done.stderr
        on_disk.delete(name)
    assert seraser("run", config, "--no-prefect").exit_code == 0
    assert seraser("verify", on_disk.url).exit_code == 0
    after = on_disk.files()
    for part in ("predictions/00000.parquet", "commits/00000.0.json", "commits/00002.0.json"):
        assert after[part] == before[part]


def test_an_edited_option_is_refused(seraser, on_disk):
    document = json.loads(on_disk.read("run.json"))
    document["config"]["dataset"]["path"] = "/elsewhere"
    on_disk.write("run.json", encode(document))
    done = seraser("repair", on_disk.url)
    assert done.exit_code == 1
    assert "run.json: is not as it was written" in done.stderr
    assert "nothing was repaired" in done.stderr


def test_a_file_of_no_planned_shard_is_left(seraser, on_disk):
    on_disk.write("predictions/00009.parquet", b"mine")
    done = seraser("repair", on_disk.url)
    assert done.exit_code == 1
    assert "predictions/00009.parquet: belongs to no planned shard; remove it" in done.stdout
    assert on_disk.read("predictions/00009.parquet") == b"mine"


def test_a_shard_that_cannot_be_computed_now(seraser, environment, config, tree, tmp_path):
    """Its files stay as they are until somebody can; the others are as they were."""
    model = tmp_path / "model.json"
    shutil.copy(tree["model"]["name"], model)
    url = json.loads(
        seraser("run", config, "--no-prefect", "--json", "--set", f"model.name={model}").stdout
    )["run"]
    run, kept = Run(url), model.read_bytes()
    flip_rows(run)
    model.unlink()
    done = apart(environment, "repair", url, "--no-prefect")
    assert done.returncode == 1
    assert str(model) in done.stderr
    assert "predictions/00001.parquet: is not the file" in seraser("verify", url).stdout
    assert "weights: they cannot be loaded here" in seraser("verify", url, "--deep").stdout
    model.write_bytes(kept)
    assert seraser("repair", url, "--no-prefect").exit_code == 0


def test_other_weights_are_found(seraser, config, tree, tmp_path):
    weights = tmp_path / "weights.safetensors"
    options = ModelOptions(name=tree["model"]["name"], pretrained=None, device="cpu")
    save_file(get_model(options).net.state_dict(), weights)
    done = seraser(
        *("run", config, "--no-prefect", "--json", "--set", f"model.pretrained={weights}")
    )
    url = json.loads(done.stdout)["run"]
    assert seraser("verify", url, "--deep").exit_code == 0
    state = load_file(weights)
    state["visual.proj"] = torch.zeros_like(state["visual.proj"])
    save_file(state, weights)
    assert seraser("verify", url).exit_code == 0
    done = seraser("verify", url, "--deep")
    assert done.exit_code == 1
    assert f"{weights}: the weights are not those of the run" in done.stdout


@pytest.mark.slow
def test_repair_under_prefect(environment, on_disk):
    before = on_disk.files()
    flip_rows(on_disk)
    done = apart(environment, "repair", on_disk.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "clean: 3 of 3 shards done, 42 rows\n"
    check_repaired(on_disk, before, ["00001"])


NOWHERE = [
    "--set=execution.engine=dask",
    "--set=execution.address=tcp://127.0.0.1:1",
    "--set=execution.start_timeout=1",
]


@pytest.mark.parametrize("prefect", [[], ["--no-prefect"]])
def test_shards_are_repaired_where_the_options_say(seraser, on_disk, prefect):
    flip_rows(on_disk)
    done = seraser("repair", on_disk.url, *NOWHERE, *prefect)
    assert done.exit_code == 2
    assert "no Dask scheduler answers there" in done.stderr


def test_options_of_the_run_are_not_changed_by_a_repair(seraser, on_disk):
    before = on_disk.files()
    for command in ("repair", "retry-errors", "work"):
        done = seraser(command, on_disk.url, "--set", "seed=3")
        assert done.exit_code == 2
        assert "only options of execution" in done.stderr
    assert on_disk.files() == before
