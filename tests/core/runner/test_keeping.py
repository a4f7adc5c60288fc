"""A shard that is computed again while its images are away: no good row is lost for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seraser_core.errors import RunDirectoryError, SeraserError
from seraser_core.results.repair import mend, plan_repair
from seraser_core.results.shards import RunDirectory
from seraser_core.results.status import status
from seraser_core.results.summary import aggregate
from seraser_core.results.verify import verify
from seraser_core.runner import scoring
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.retry import Retry


@pytest.fixture
def folder(tree, pictures, tmp_path) -> Path:
    """The pictures, in a place of their own where `tree` finds them; one of them is missing."""
    shutil.copytree(pictures.parent, tmp_path / "data")
    tree["dataset"]["path"] = str(tmp_path / "data" / "metadata.csv")
    tree["runtime"] = {"retries": 0}
    (tmp_path / "data" / "picture 06é.png").unlink()
    return tmp_path / "data"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def change_commit(run: Path) -> None:
    """Something that `is_done` does not look at."""
    path = run / "commits" / "00001.0.json"
    path.write_text(path.read_text().replace('"errors": 3', '"errors": 2'))


DAMAGE = {
    "flipped rows": lambda run: flip(run / "predictions" / "00001.parquet"),
    "deleted commit": lambda run: (run / "commits" / "00001.0.json").unlink(),
    "changed commit": change_commit,
}
"""For any order of damages to one shard, see ``Life`` in results/test_shards.py."""


def files(run: Path) -> dict[str, bytes]:
    """All that people read."""
    folders = ("predictions", "commits")
    return {
        str(path.relative_to(run)): path.read_bytes()
        for folder in folders
        for path in (run / folder).glob("*")
        if folder == "predictions" or not path.name.startswith("00001")
    }


def repair(url: str) -> None:
    """As the command does it."""
    mend(url, plan_repair(verify(url)).shards)
    run_local(url)


@pytest.mark.parametrize("name", DAMAGE)
def test_no_good_row_is_lost_for_a_repair(run, tree, folder, name, monkeypatch):
    """And what is to be deleted is told, however many images of a committed shard are away."""
    if name != "deleted commit":
        monkeypatch.setattr(scoring, "_FEW_ERRORS", 0)
    url, _ = run(tree)
    before = files(Path(url))
    DAMAGE[name](Path(url))
    damaged = files(Path(url))
    folder.rename(folder.with_name("away"))
    for _ in range(2):  # what it leaves behind is as good a witness
        with pytest.raises(SeraserError, match=r"00001: TransientError: .*picture 0[56]é.png"):
            repair(url)
        assert files(Path(url)) == damaged
        assert {problem.shard for problem in verify(url).problems} >= {"00001"}
    folder.with_name("away").rename(folder)
    repair(url)
    assert files(Path(url)) == before
    assert [p for p in verify(url).problems if not p.file.startswith("report/")] == []


@pytest.mark.parametrize("damaged", [("predictions",), ("predictions", "commits")])
def test_errors_may_take_the_place_of_rows_when_the_files_that_are_named_are_deleted(
    run, tree, folder, damaged
):
    url, _ = run(tree)
    for name in damaged:  # what is published is the attempt's own file
        (path,) = Path(url, name).glob("00001.*")
        path.write_bytes(b"{")
    folder.rename(folder.with_name("away"))
    what = "were good would become errors" if len(damaged) == 1 else "too damaged to tell"
    with pytest.raises(SeraserError, match=what) as caught:
        repair(url)
    named = [word.rstrip(",") for word in str(caught.value).split() if word.startswith(url)]
    assert len(named) == 3
    for pattern in named:
        for path in Path(url).glob(pattern.removeprefix(f"{url}/")):
            path.unlink()
    run_local(url)
    assert RunDirectory(url).commits()["00001"].ok == 0
    assert [p for p in verify(url).problems if not p.file.startswith("report/")] == []


def test_other_rows_than_the_shards_are_no_rows_to_keep(run, tree, folder):
    """The files of two shards were swapped: what one has in place of its own is not kept."""
    url, _ = run(tree)
    one, other = (Path(url, "predictions", f"0000{i}.parquet") for i in (0, 1))
    kept = one.read_bytes(), other.read_bytes()
    for path, rows in ((one, kept[1]), (other, kept[0])):
        path.unlink()  # an attempt is the same file
        path.write_bytes(rows)
    for shard in ("00000", "00001"):
        Path(url, "commits", f"{shard}.0.json").unlink()
    repair(url)
    assert (one.read_bytes(), other.read_bytes()) == kept


def test_status_tells_of_a_failure_that_left_files_of_the_right_sizes(run, tree, folder):
    url, _ = run(tree)
    flip(Path(url, "predictions", "00001.parquet"))
    flip(Path(url, "predictions", "00002.parquet"))
    directory = RunDirectory(url)
    directory.fail("00000", SeraserError("slow"), 1)  # after its commit
    folder.rename(folder.with_name("away"))
    with pytest.raises(SeraserError):
        repair(url)
    found = status(url)
    assert (found["finished"], found["shards"]["done"]) == (False, 1)
    assert found["failures"].keys() == found["damaged"].keys() == {"00001", "00002"}
    assert "00001.parquet is not the file that its commit names" in found["damaged"]["00001"]


def test_a_whole_shard_that_is_wanted_again_keeps_its_rows_while_its_images_are_away(
    run, tree, folder
):
    url, _ = run(tree)
    before = files(Path(url))
    directory = RunDirectory(url)
    directory.compute_again("00001")
    found = status(url)
    assert (found["finished"], found["shards"]["done"]) == (False, 2)
    assert "asks for the shard to be computed again" in found["damaged"]["00001"]
    folder.rename(folder.with_name("away"))
    with pytest.raises(
        SeraserError, match=r"its rows stay as they are; to leave .*00001\.0\.again"
    ):
        run_local(url)
    assert files(Path(url)) == before
    with pytest.raises(RunDirectoryError, match="1 of 3 shards are missing, the first is 00001"):
        aggregate(url)
    with pytest.raises(SeraserError, match="00001 is not done\nhint: `seraser repair` computes it"):
        Retry()(url, "00001")
    assert list(plan_repair(verify(url)).shards) == ["00001"]
    folder.with_name("away").rename(folder)
    run_local(url)
    assert files(Path(url)) == before
    assert status(url)["finished"]
    assert directory.missing() == []
