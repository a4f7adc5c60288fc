"""What does not come to an end, and workers that died: the shard goes on, and so do all others."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from seraser_core.config import load_config
from seraser_core.errors import HangError, TransientError
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import failures_of
from seraser_core.results.verify import verify
from seraser_core.runner import missing_shards
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.session import open_session
from seraser_core.runner.shard import run_shard
from seraser_core.sources import fetch as fetching
from seraser_core.sources import isolated


def predictions(url: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(url, "predictions").iterdir()}


@pytest.fixture
def undisturbed(run, tree, tmp_path) -> dict[str, bytes]:
    """The Parquet files of an undisturbed run of `tree`."""
    return predictions(run(tree, f"output={tmp_path / 'undisturbed'}")[0])


def test_a_decoder_that_hangs_is_left_and_the_shard_decoded_in_processes(
    tree, undisturbed, monkeypatch
):
    monkeypatch.setattr(missing_shards, "BACKOFF_S", (0.0, 0.0))
    url = plan_run(load_config(tree, ["runtime.image_timeout=2"]))
    never, hung, whole = threading.Event(), [], isolated.decode_image

    def hang(data, limits):
        if not hung:
            hung.append(threading.current_thread())
            never.wait()
        return whole(data, limits)

    monkeypatch.setattr(isolated, "decode_image", hang)
    with pytest.raises(HangError, match=r"the decoding of .*picture 0\dé\.png does not come to"):
        run_shard(url, "00000")
    assert failures_of(RunDirectory(url).states())["00000"].error == "HangError"
    run_local(url)
    assert hung[0].is_alive() and hung[0].daemon
    assert open_session(url).isolated
    assert verify(url).problems == []
    assert predictions(url) == undisturbed
    never.set()


@pytest.fixture
def hangs(monkeypatch):
    """Lets the decoding in threads of the images with these bytes hang."""
    never, whole, bad = threading.Event(), isolated.decode_image, []

    def hang(data, limits):
        if data in bad:
            never.wait()
        return whole(data, limits)

    monkeypatch.setattr(isolated, "decode_image", hang)
    yield bad.append
    never.set()


def test_another_fault_beside_a_hanging_decoder_is_not_waited_for(
    tree, pictures, hangs, monkeypatch
):
    hangs((pictures.parent / "picture 04é.png").read_bytes())
    whole = fetching.fetch

    def fetch(url, *rest):
        if "picture 00" in url:
            raise TransientError("throttled")
        return whole(url, *rest)

    monkeypatch.setattr(fetching, "fetch", fetch)
    url = plan_run(load_config(tree))
    with pytest.raises(TransientError, match="throttled"):
        run_shard(url, "00000")


@pytest.mark.slow
def test_a_hanging_image_in_a_sample_does_not_hold_the_run(tree, pictures, hangs, monkeypatch):
    monkeypatch.setattr(missing_shards, "BACKOFF_S", (0.0, 0.0))
    hangs((pictures.parent / "picture 04é.png").read_bytes())
    tree["methods"] = ["zero_shot", {"name": "seraser_task", "sample": 14}]
    url = plan_run(load_config(tree, ["runtime.image_timeout=5"]))
    run_local(url)
    assert verify(url).problems == []


def test_a_shard_that_is_suspicious_stays_so_after_another_fault(tree, monkeypatch):
    url = plan_run(load_config(tree))
    RunDirectory(url).begin("00000", 1)

    def fetch(*_):
        raise TransientError("throttled")

    monkeypatch.setattr(fetching, "fetch", fetch)
    with pytest.raises(TransientError, match="throttled"):
        run_shard(url, "00000")
    assert is_suspicious(RunDirectory(url), "00000")


def test_a_shard_whose_worker_died_is_decoded_in_processes(tree, undisturbed):
    url = plan_run(load_config(tree))
    directory = RunDirectory(url)
    run_shard(url, "00000")
    assert not open_session(url).isolated
    directory.begin("00001", 1)
    assert is_suspicious(directory, "00001")
    run_local(url)
    assert open_session(url).isolated
    assert not any(is_suspicious(directory, shard.id) for shard in directory.shards())
    assert predictions(url) == undisturbed


def test_the_option_to_decode_in_processes_changes_no_byte(run, tree, undisturbed):
    url, _ = run(tree, "runtime.decoding=processes")
    assert open_session(url).isolated
    assert predictions(url) == undisturbed


def test_a_shard_that_takes_too_long_is_held_back(tree):
    url = plan_run(load_config(tree, ["runtime.shard_timeout=1e-9"]))
    with pytest.raises(TransientError, match=r"longer than runtime\.shard_timeout = 1e-09 s"):
        run_shard(url, "00000")
    assert RunDirectory(url).commits() == {}
    assert not is_suspicious(RunDirectory(url), "00000")


def test_threads_that_hang_do_not_keep_a_process_from_ending():
    script = (
        "import threading\n"
        "from seraser_core.runner.threads import DaemonPool\n"
        "pool = DaemonPool(2, 'x')\n"
        "begun = threading.Event()\n"
        "pool.submit(lambda: (begun.set(), threading.Event().wait()))\n"
        "begun.wait()\n"
        "pool.shutdown(wait=False)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_web_server_that_is_gone_costs_its_own_images_alone(
    run, tree, pictures, tmp_path, unused_port, hasty
):
    good = sorted(pictures.parent.glob("picture*.png"))[:4]
    gone = f"http://127.0.0.1:{unused_port}/x.jpg"
    (tmp_path / "list.txt").write_text("\n".join([*map(str, good), gone]))
    tree["dataset"] = {
        "format": "urls",
        "path": str(tmp_path / "list.txt"),
        "classes": tree["dataset"]["classes"],
        "allow_outside": True,
    }
    tree["methods"] = ["zero_shot"]
    url, rows = run(tree, "runtime.retries=0")
    assert verify(url).problems == []
    found = dict(zip(rows["image"], rows["error_code"], strict=True))
    assert found == {**dict.fromkeys(map(str, good)), gone: "unreachable"}
    assert rows.filter(pl.col("error_code") == "unreachable")["error_stage"].to_list() == ["fetch"]


def is_suspicious(directory, shard_id):
    latest = directory.latest(shard_id)
    return latest is not None and latest.is_suspicious
