"""Every block of code on the pages runs, or a table says why it is only read.

A new block needs nothing here, unless it takes a cluster, an account, a GPU or a server: then it
is a line of `NOT_RUN` (or of `OTHER_YAML`) with the reason.
"""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import s3fs
import typer
import yaml
from markdown_pages import ROOT, Block, blocks
from page_folder import RUN, PageFolder, as_config, make_folder

from seraser_core.cli.main import app
from seraser_core.config import load_comparison

NOT_RUN = {
    r"pip install uv$": "uv is there, or these tests would not run",
    r"uv run (pytest|ruff|mypy)\b": "this suite, and what .ci/run calls beside it",
    r"uv run (--with \S+ )?python tests/": "takes minutes; marker `benchmark` and test_pages.py",
    r"uv run (--with \S+ )?prefect\b": "needs a server; tests/flows has one",
    r"(srun|sbatch|squeue)\b": "needs Slurm; tests/cluster/test_slurm.py runs the script",
    r"kubectl\b": "needs a cluster; tests/deployments/test_kubernetes.py checks the manifest",
    r"docker\b": "needs Docker; tests/deployments/test_docker.py checks the files",
    r"uv run seraser demo$": "test_pages.py runs it",
    r"uv run seraser up$": "starts servers; tests/flows/test_up.py does",
    r"uv run seraser check waterbirds": "needs the data set; tests/core/sources/test_benchmarks.py",
    r"uv run seraser compare deployments/": "needs data sets, or minutes of the demo's",
    r"uv run seraser masks .*--kind segment": "needs weights; tests/core/auxiliary has small ones",
    r"uv run seraser run .*execution\.engine=processes": "tests/core/engines/test_machine.py",
    r"uv run seraser run .*execution\.engine=dask": "tests/core/engines/test_cluster.py",
    r"uv run seraser (methods cooled|run ledger\.yaml)": "test_extending.py runs them",
}
"""Pattern of a beginning of commands -> why they are not run; their arguments are parsed."""
ANSWERS = {"RUN": f"runs/{RUN}", "JOB": "1"}
"""Variable -> what it holds when the command in ``NAME=$(command)`` is not run."""
OTHER_YAML = {
    "work_pool:": "part of a deployment of Prefect; tests/deployments/test_pool.py",
    "- alert:": "a rule of Prometheus",
}
"""Beginning of a block that is no configuration of ours -> what it is."""
NO_PREFECT = ("run", "compare", "masks", "repair")
"""Commands that start a server; tests/flows runs them with one, and here they run without."""
READ_ELSEWHERE = {"docs/extending.md": ("toml", "py", "yml")}
"""Pages whose blocks of these languages are files of a package that test_extending.py installs."""
BUCKETS = "docs/s3.md"
"""The page whose bucket is one of a real server; on others, a folder stands for it."""
PAGES = sorted({block.page for block in blocks("sh", "python")} - {BUCKETS})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "made"
    folder.mkdir()
    make_folder(folder)
    return folder


@pytest.fixture
def page(request, made, tmp_path, monkeypatch) -> PageFolder:
    """The folder of a page, which is the current one."""
    one = PageFolder(made, tmp_path / "page")
    monkeypatch.chdir(one.folder)
    return one


def commands(block: Block) -> list[str]:
    """The commands of a block of shell, without comments; ``a && b`` is two."""
    lines = re.sub(r"\s*\\\n\s*", " ", block.text).splitlines()
    parts = [part for line in lines for part in line.split(" && ")]
    return [part.strip() for part in parts if shlex.split(part, comments=True)]


def parsed(words: list[str]) -> None:
    """Check the arguments of a command that is not run; raises if they are wrong."""
    program, *arguments = words
    if program == "seraser":
        name = arguments[0]
        typer.main.get_command(app).commands[name].make_context(name, arguments[1:])
    elif program == "prefect":
        from prefect.cli._app import _app  # takes seconds to import

        _app.parse_args(arguments, exit_on_error=False, print_error=False)


def why_not(command: str) -> str | None:
    """Return the pattern of `NOT_RUN` that a command matches."""
    return next((pattern for pattern in NOT_RUN if re.match(pattern, command)), None)


def after_uv_run(words: list[str]) -> list[str]:
    """Return the command that ``uv run --with something`` is to run, wherever it stands."""
    for i in range(len(words) - 1):
        if words[i : i + 2] == ["uv", "run"]:
            rest = words[i + 2 :]
            while rest and rest[0].startswith("--"):
                rest = rest[2 if rest[0] == "--with" else 1 :]
            return rest
    return []


def run(page: PageFolder, command: str) -> None:
    """Run a command, or parse it if it is not to be run."""
    if answer := re.fullmatch(r"(\w+)=\$\((.*)\)", command):
        run(page, answer[2])
        page.remember(answer[1], ANSWERS[answer[1]])
        return
    assignment = re.fullmatch(r"(?:export )?((?:\w+=\S+ ?)+)(?:# .*)?", command)
    if assignment:
        for one in shlex.split(assignment[1]):
            page.remember(*one.split("=", 1))
        return
    command = re.sub(r"^(\w+=\S+ )+", "", command)
    ours = after_uv_run(page.words(command))
    if why_not(command):
        if ours:
            parsed(ours)
        return
    assert ours[:1] == ["seraser"], f"no test runs this; see NOT_RUN: {command}"
    if ours[1] in NO_PREFECT and "--no-prefect" not in ours:
        ours.append("--no-prefect")
    done = page.seraser(ours[1:])
    assert done.exit_code == 0, f"{command}\n{done.output}"


def execute(page: PageFolder, block: Block, namespace: dict[str, object]) -> None:
    """Run a block of Python; a traceback has the line of the page."""
    code = "\n" * block.line + page.here(block.text)
    exec(compile(code, block.page, "exec"), namespace)


def run_all(page: PageFolder, name: str) -> None:
    """Run the blocks of a page in their order."""
    namespace: dict[str, object] = {}
    for block in blocks():
        if block.page != name:
            continue
        if block.language == "yaml":
            page.write(block)
        elif block.language == "sh":
            for command in commands(block):
                run(page, command)
        elif block.language == "python":
            execute(page, block, namespace)


@pytest.mark.parametrize("name", PAGES)
def test_the_blocks_of_a_page_run_in_their_order(page, name):
    run_all(page, name)


def test_the_page_of_buckets_runs_on_a_server(made, tmp_path, monkeypatch, bucket):
    page = PageFolder(made, tmp_path / "page", bucket)
    monkeypatch.chdir(page.folder)
    run_all(page, BUCKETS)
    computed = s3fs.S3FileSystem(use_listings_cache=False).glob(f"{bucket}/runs/birds-*/run.json")
    assert len(computed) == 2  # of images in the bucket, and on the disk


def test_the_recipes_give_the_figures_of_the_report(page):
    tables: dict[str, pl.DataFrame] = {}
    for block in [one for one in blocks("python") if one.page == "docs/results.md"][:4]:
        execute(page, block, tables)
    summary = pl.read_parquet(page.here(f"runs/{RUN}/report/summary.parquet")).sort("method")
    groups = pl.read_parquet(page.here(f"runs/{RUN}/report/groups.parquet"))
    for method in summary["method"]:
        of_method = groups.filter(method=method).sort("group")
        assert tables["accuracy"]["group"].equals(of_method["group"])
        assert tables["accuracy"][method].to_list() == pytest.approx(of_method["accuracy"])
    assert tables["worst"].sort("method")["correct"].to_list() == pytest.approx(
        summary["worst_group_accuracy"]
    )
    fixed_rows = tables["changed"].filter(method="foreground", what="fixed").collect()
    fixed = summary.filter(method="foreground")["fixed"].item()
    assert fixed_rows.height == fixed > 0
    confused = tables["confusion"].drop("label_name").sum_horizontal().sum()
    assert confused == summary.filter(method="seraser")["n"].item()


def test_the_tutorial_shows_what_init_writes(page):
    (block,) = (one for one in blocks("yaml") if one.page == "docs/tutorial.md")
    run(page, "uv run seraser init photos")
    written = yaml.safe_load((page.folder / str(block.file)).read_text())
    assert yaml.safe_load(block.text) == written


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_block_of_yaml_is_a_configuration(block):
    tree = yaml.safe_load(block.text)
    if block.text.startswith(tuple(OTHER_YAML)):
        return
    assert all(cell.config.methods for cell in load_comparison([as_config(tree)]).cells)


def test_no_block_is_of_a_kind_that_no_test_reads():
    known = {"sh", "python", "yaml", "text"}
    for block in blocks():
        assert block.language in {*known, *READ_ELSEWHERE.get(block.page, ())}, block
        if block.language == "text":  # figures, trees of files, and what commands print
            assert not re.search(r"^\$? ?(uv|pip|seraser|export) ", block.text, re.MULTILINE), block


def test_no_reason_outlives_its_commands():
    shown = [command for block in blocks("sh") for command in commands(block)]
    for pattern in NOT_RUN:
        assert any(re.match(pattern, command) for command in shown), pattern
    texts = [block.text for block in blocks("yaml")]
    for beginning in OTHER_YAML:
        assert any(text.startswith(beginning) for text in texts), beginning


def scripts() -> Iterator[list[str]]:
    for block in blocks("sh"):
        for command in commands(block):
            words = shlex.split(command, comments=True)
            if words[:3] == ["uv", "run", "python"]:
                yield words[3:]


@pytest.mark.parametrize("words", list(scripts()), ids=" ".join)
def test_scripts_have_the_options_that_the_pages_show(words, monkeypatch, capsys):
    script = ROOT / words[0]
    monkeypatch.setattr("sys.argv", [words[0], "--help"])
    monkeypatch.syspath_prepend(str(script.parent))
    if "argparse" not in script.read_text():
        return
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    helped = capsys.readouterr().out
    assert all(word in helped for word in words if word.startswith("--"))


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_a_block_of_shell_is_shell(block):
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


def test_a_block_that_no_test_runs_is_named(page):
    with pytest.raises(AssertionError, match=r"no test runs this; see NOT_RUN: podman images"):
        run(page, "podman images")
    with pytest.raises(AssertionError, match="No such option"):
        run(page, "uv run seraser runs runs --nothing")
