"""Failed images that are computed again, and runs that stop because too many fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from seraser_core import storage
from seraser_core.config import load_config
from seraser_core.errors import ConfigError, ErrorRateError, RunDirectoryError, SeraserError
from seraser_core.results.reading import read_report
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import failures_of
from seraser_core.results.summary import aggregate, is_finished
from seraser_core.results.verify import verify
from seraser_core.runner import infer
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.retry import Retry
from seraser_core.runner.shard import run_shard

MISSING = (3, 4, 12)


@pytest.fixture
def folder(tree, pictures, tmp_path) -> Path:
    """The pictures, in a place of their own where `tree` finds them."""
    shutil.copytree(pictures.parent, tmp_path / "data")
    tree["dataset"]["path"] = str(tmp_path / "data" / "metadata.csv")
    return tmp_path / "data"


def take_away(folder: Path) -> None:
    for i in MISSING:
        path = folder / f"picture {i:02}é.png"
        path.rename(path.with_suffix(".away"))


def bring_back(folder: Path) -> None:
    for path in folder.glob("*.away"):
        path.rename(path.with_suffix(".png"))


def retry(url: str, *codes: str) -> dict[str, int]:
    again = Retry(codes)
    shards = again.shards(url)
    run_local(url, shards=list(shards), compute=again)
    aggregate(url)
    return {shard.id: n for shard, n in shards.items()}


@pytest.mark.parametrize("stateful", [False, True])
def test_failed_images_alone_are_computed_and_the_run_is_as_if_they_had_not_failed(
    run, tree, folder, stateful
):
    tree["methods"].append("tda" if stateful else {"name": "zero", "views": 4})
    url, expected = run(tree)
    aggregate(url)
    reports = {name: read_report(url, name) for name in ("summary", "groups", "classes")}
    files = {p.name: p.read_bytes() for p in Path(url, "predictions").iterdir()}
    take_away(folder)
    shutil.rmtree(url)
    assert run(tree)[0] == url
    assert verify(url).problems == []
    bring_back(folder)
    if not stateful:
        good = {p for i in range(14) if i not in MISSING for p in folder.glob(f"picture {i:02}*")}
        for path in good:
            path.unlink()  # those are not even read
    assert retry(url) == ({"00000": 5, "00002": 4} if stateful else {"00000": 2, "00002": 1})
    computed = [commit.timings.images for commit in RunDirectory(url).commits().values()]
    assert computed == ([5, 5, 4] if stateful else [2, 5, 1]), "times are those of this attempt"
    assert verify(url).problems == []
    again = pl.read_parquet(f"{url}/predictions/*.parquet").sort("item_id", "method")
    if stateful:  # all of its images were in the same batches
        assert files == {p.name: p.read_bytes() for p in Path(url, "predictions").iterdir()}
    assert_same(again, expected)
    for name, report in reports.items():
        assert_same(read_report(url, name), report)


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Equal, but for what rounding in other batches changes."""
    assert_frame_equal(found, expected, rel_tol=1e-4, abs_tol=1e-4)


def test_a_report_of_the_rows_before_is_not_taken_for_the_runs(run, tree, folder):
    take_away(folder)
    url, _ = run(tree)
    aggregate(url)
    assert is_finished(url)
    bring_back(folder)
    run_local(url, shards=list(Retry().shards(url)), compute=Retry())  # and killed
    assert not is_finished(url)


def test_codes_choose_the_images(run, tree, folder):
    take_away(folder)
    (folder / "picture 00é.png").write_bytes(b"no picture")
    url, _ = run(tree)
    bring_back(folder)
    with pytest.raises(RunDirectoryError, match=r"no image of .* has the error code 'forbidden'"):
        retry(url, "forbidden")
    assert retry(url, "undecodable") == {"00000": 1}
    assert errors(url) == {"missing": 3, "undecodable": 1}
    assert retry(url, "missing") == {"00000": 2, "00002": 1}
    assert errors(url) == {"undecodable": 1}
    assert verify(url).problems == []
    assert Retry(()).shards(url).keys() == {RunDirectory(url).shard("00000")}


@pytest.fixture
def listed(tree, folder) -> Path:
    """The pictures, where `tree` finds them as a folder, with their sizes."""
    for i, name in enumerate(["one", "two"]):
        (folder / "listed" / name).mkdir(parents=True)
        for path in folder.glob(f"picture 0[{4 * i}-{4 * i + 3}]*.png"):
            shutil.copy(path, folder / "listed" / name)
    tree["dataset"] = {"format": "folder", "path": str(folder / "listed")}
    tree["methods"] = ["zero_shot"]
    return folder / "listed"


def test_a_file_that_changed_since_the_plan_is_an_error_row(tree, listed):
    url = plan_run(load_config(tree))
    path = listed / "one" / "picture 00é.png"
    path.write_bytes((listed / "two" / "picture 04é.png").read_bytes())
    run_local(url)
    assert errors(url) == {"changed": 1}


@pytest.fixture
def listed_on_s3(tree, listed, bucket) -> str:
    """The same folder in a bucket."""
    for path in listed.rglob("*.png"):
        storage.write_bytes(f"{bucket}/{path.relative_to(listed)}", path.read_bytes())
    tree["dataset"]["path"] = bucket
    return bucket


def test_an_object_of_the_same_size_is_not_taken_for_the_one_that_was_planned(tree, listed_on_s3):
    url = plan_run(load_config(tree))
    path = f"{listed_on_s3}/one/picture 00é.png"
    data = storage.read_bytes(path)
    storage.write_bytes(path, data[:-1] + bytes([data[-1] ^ 1]))  # still the same picture
    run_local(url)
    assert errors(url) == {"changed": 1}
    again = plan_run(load_config(tree))
    assert again != url  # a new plan is another run's: nothing is mixed
    run_local(again)
    assert errors(again) == {}


def test_an_object_that_was_mended_may_have_another_tag(run, tree, listed_on_s3):
    path = f"{listed_on_s3}/one/picture 00é.png"
    whole = storage.read_bytes(path)
    storage.write_bytes(path, b"x" * len(whole))
    url, _ = run(tree)
    assert errors(url) == {"undecodable": 1}
    storage.write_bytes(path, whole)
    assert retry(url) == {"00000": 1}
    assert errors(url) == {}
    assert verify(url).problems == []


def test_a_file_that_was_mended_may_have_another_size(run, tree, listed):
    path = listed / "one" / "picture 00é.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    url, _ = run(tree)
    assert errors(url) == {"truncated": 1}
    path.write_bytes(whole)
    assert retry(url) == {"00000": 1}
    assert errors(url) == {}
    assert verify(url).problems == []


def test_a_file_that_is_away_may_come_back_as_it_was_planned_only(run, tree, listed):
    path = listed / "one" / "picture 00é.png"
    whole = path.read_bytes()
    url = plan_run(load_config(tree))
    path.unlink()
    run_local(url)
    retry(url)  # it is still away
    assert errors(url) == {"missing": 1}
    assert RunDirectory(url).commits()["00000"].inputs == {}
    path.write_bytes(whole)
    retry(url)
    assert errors(url) == {}


def test_rows_of_another_picture_are_not_put_beside_those_that_stay(run, tree, listed, monkeypatch):
    tree["methods"] = ["zero_shot", "tpt"]
    path = listed / "one" / "picture 00é.png"
    with monkeypatch.context() as patch:
        patch.setattr(infer, "_to_cpu", spoil(infer._to_cpu))
        url, before = run(tree)
    assert before.filter(pl.col("error_code") == "nan_output")["method"].to_list() == ["tpt"] * 2
    path.write_bytes((listed / "two" / "picture 04é.png").read_bytes())
    retry(url)
    rows = pl.read_parquet(f"{url}/predictions/*.parquet").filter(pl.col("item_index") == 0)
    assert rows["error_code"].to_list() == [None, "changed"]
    assert RunDirectory(url).commits()["00000"].inputs == {}


def test_a_change_is_not_taken_for_a_mend(run, tree, listed):
    url = plan_run(load_config(tree))
    path = listed / "one" / "picture 00é.png"
    path.write_bytes((listed / "two" / "picture 04é.png").read_bytes())
    run_local(url)
    retry(url, "changed")
    assert errors(url) == {"changed": 1}


def test_no_good_row_is_lost_where_all_rows_are_new(run, tree, folder):
    tree["methods"].append("tda")
    tree["runtime"] = {"retries": 0}
    take_away(folder)
    url, before = run(tree)
    for path in folder.glob("picture*.png"):
        path.rename(path.with_suffix(".away"))
    with pytest.raises(SeraserError, match=r"12 rows .* that were good would .*there is no file"):
        retry(url)
    assert verify(url).problems == []
    again = pl.read_parquet(f"{url}/predictions/*.parquet").sort("item_id", "method")
    assert_frame_equal(again, before)


def spoil(to_cpu):
    """`to_cpu`, but what a tuned method says of the first image of a batch is no number."""

    def spoilt(scores):
        found = to_cpu(scores)
        if found.steps is not None:
            found.logits[0] = float("nan")
        return found

    return spoilt


@pytest.mark.parametrize("gone", [False, True])
def test_rows_that_are_good_stay_beside_those_of_another_method(
    run, tree, folder, monkeypatch, gone
):
    """An image has no numbers in one method; its file may be gone when it is tried again."""
    url, _ = run(tree)
    aggregate(url)
    expected = read_report(url, "summary")
    shutil.rmtree(url)
    with monkeypatch.context() as patch:
        patch.setattr(infer, "_to_cpu", spoil(infer._to_cpu))
        url, before = run(tree)
    assert before["error_code"].drop_nulls().to_list() == ["nan_output"] * 3
    if gone:
        for path in folder.glob("picture*.png"):
            path.unlink()
    retry(url)
    assert verify(url).problems == []
    again = pl.read_parquet(f"{url}/predictions/*.parquet").sort("item_id", "method")
    good = pl.col("method") != "seraser"
    assert_frame_equal(again.filter(good), before.filter(good))
    if gone:
        assert again["error_code"].drop_nulls().to_list() == ["missing"] * 3
    else:
        assert_same(read_report(url, "summary"), expected)


def errors(url: str) -> dict[str, int]:
    rows = pl.read_parquet(f"{url}/predictions/*.parquet").filter(pl.col("method") == "zero_shot")
    return dict(rows["error_code"].drop_nulls().value_counts().sort("error_code").iter_rows())


def test_nothing_failed(run, tree):
    assert Retry().shards(run(tree)[0]) == {}


def test_methods_that_learn_from_a_sample_are_refused(run, tree, folder):
    take_away(folder)
    tree["methods"].append({"name": "seraser_task", "sample": 3})
    url, _ = run(tree)
    with pytest.raises(ConfigError, match=r"methods\.seraser_task"):
        retry(url)


def test_a_shard_that_is_not_done_is_left_to_the_run(tree):
    url = plan_run(load_config(tree))
    with pytest.raises(RunDirectoryError, match="not done"):
        Retry()(url, "00000")


@pytest.fixture
def wrong_bucket(tree, tmp_path) -> str:
    """URL of a planned run of four shards of 50 images, none of which is there."""
    rows = [{"id": f"{i:03}", "file": f"{i}.png", "y": i % 3} for i in range(200)]
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    tree["dataset"] |= {"path": str(tmp_path / "t.csv"), "attribute": None, "mask": None}
    return plan_run(load_config(tree | {"methods": ["zero_shot"], "shard": {"max_items": 50}}))


def test_a_run_stops_when_too_many_images_of_a_shard_fail(wrong_bucket):
    with pytest.raises(SeraserError, match=r"50 images cannot be used so far \(missing 50\)"):
        run_local(wrong_bucket)
    directory = RunDirectory(wrong_bucket)
    assert directory.commits() == {}
    assert failures_of(directory.states())["00000"].error == "ErrorRateError"
    assert not {"00002", "00003"} & failures_of(directory.states()).keys()  # they were not begun


def test_a_higher_rate_keeps_them_as_error_rows(wrong_bucket, tree):
    config = load_config(
        tree | {"methods": ["zero_shot"], "shard": {"max_items": 50}},
        ["runtime.max_error_rate=1"],
    )
    assert plan_run(config) == wrong_bucket
    run_local(wrong_bucket)
    assert errors(wrong_bucket) == {"missing": 200}


def test_few_images_may_fail_whatever_their_share(run, tree, tmp_path):
    rows = [{"id": f"{i:03}", "file": f"{i}.png", "y": i % 3} for i in range(32)]
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    tree["dataset"] |= {"path": str(tmp_path / "t.csv"), "attribute": None, "mask": None}
    tree |= {"methods": ["zero_shot"], "shard": {"max_items": 100}}
    assert errors(run(tree, "runtime.max_error_rate=0")[0]) == {"missing": 32}


def test_the_error_of_the_shard_itself(wrong_bucket):
    with pytest.raises(ErrorRateError, match=r"missing \d+\), e\.g\. there is no file"):
        run_shard(wrong_bucket, "00000")
