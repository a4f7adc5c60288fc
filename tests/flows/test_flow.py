"""The flow in this process, on a server: what it returns, retries, keeps and publishes."""

from __future__ import annotations

import asyncio
import http.server
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.seraser import seraser
from seraser_core.config import load_config
from seraser_core.demo.config import demo_config
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.results.nights import read_nights
from seraser_core.results.repair import mend, plan_repair
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import failures_of
from seraser_core.results.verify import verify
from seraser_core.results.verify_series import verify_series
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.observers import Silence
from seraser_core.runner.plan import plan_run
from tasks.observer import observe

ROOT = Path(__file__).parents[2]


def artifacts(key: str) -> list[Any]:
    async def read() -> list[Any]:
        async with get_client() as client:
            wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
            return await client.read_artifacts(artifact_filter=wanted)

    return asyncio.run(read())


def commit_times(url: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(url, "commits").iterdir()}


def test_a_run_and_what_it_publishes(prefect_server, tree, tmp_path):
    tree["name"] = "The.Published"
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    url = seraser(str(path), ["methods.1.steps=2"])
    report = verify(url)
    assert report.problems == []
    assert report.rows == 14 * 3
    (progress,) = artifacts("the-published-progress")
    assert progress.type == "progress"
    assert progress.data == 100.0
    (summary,) = artifacts("the-published-summary")
    assert summary.type == "table"
    assert "zero_shot" in str(summary.data)
    (text,) = artifacts("the-published-report")
    assert RunDirectory(url).run.run_id in str(text.data)
    assert (
        RunDirectory(url).run.command == f"flows.seraser.seraser('{path}', ['methods.1.steps=2'])"
    )
    so_far = max(artifacts("the-published-so-far"), key=lambda one: one.created)
    assert str(so_far.data).startswith(f"# {Path(url).name}: 100.0 %")
    (page,) = artifacts("the-published-page")
    assert f"({Path(url, 'report', 'report.html').as_uri()})" in str(page.data)
    before = commit_times(url)
    assert seraser(str(path), ["methods.1.steps=2"]) == url
    assert commit_times(url) == before


def test_a_run_under_prefect_equals_one_without(prefect_server, tree, tmp_path):
    url = seraser(tree, [])
    tree["output"] = str(tmp_path / "without")
    other = plan_run(load_config(tree))
    run_local(other)
    for path in sorted(Path(url, "predictions").iterdir()):
        assert path.read_bytes() == Path(other, "predictions", path.name).read_bytes()


def test_shards_in_parallel_give_the_same_bytes(prefect_server, tree, tmp_path):
    url = seraser(tree, [])
    other = seraser(tree, ["runtime.parallel_shards=3", f"output={tmp_path / 'parallel'}"])
    assert url != other
    for path in sorted(Path(url, "predictions").iterdir()):
        assert path.read_bytes() == Path(other, "predictions", path.name).read_bytes()


@pytest.mark.parametrize("change", ["model.name=ViT-B-33", "dataset.path=gone.csv"])
def test_a_configuration_that_cannot_be_used(prefect_server, tree, change):
    with pytest.raises(ConfigError, match=change.split("=")[0]):
        seraser(tree, [change])


@dataclass
class Pictures:
    """A web server of the pictures of a folder, some of which it refuses for a while.

    Attributes:
        url: Address of the folder.
        refuse: Name of a file -> how many requests for it are still answered with 503.
        asked: Name of a file -> requests.
    """

    url: str
    refuse: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def web(pictures: Path) -> Iterator[Pictures]:
    """The data set's pictures on the web."""
    served = Pictures("")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(pictures.parent))

        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[1]
            served.asked[name] += 1
            if served.refuse[name] > 0:
                served.refuse[name] -= 1
                self.send_error(503)
            else:
                super().do_GET()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield served
        server.shutdown()


@pytest.fixture
def web_tree(web: Pictures, pictures: Path, tree: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A configuration whose masks come from the web server: item i has mask<i>.png."""
    table = pl.read_csv(pictures).with_columns(
        file=str(pictures.parent) + "/" + pl.col("file"), mask=f"{web.url}/" + pl.col("mask")
    )
    path = tmp_path / "web.csv"
    table.write_csv(path)
    tree["name"] = "web"  # artifacts are kept per name
    tree["dataset"] |= {"path": str(path), "allow_outside": True}
    return tree


def test_a_passing_fault_is_tried_again(prefect_server, web, web_tree, hasty):
    web.refuse["mask7.png"] = 100
    with pytest.raises(SeraserError, match=r"1 of 3 shards failed \(00001: TransientError: "):
        seraser(web_tree, ["runtime.retries=1"])
    assert web.asked["mask7.png"] >= 2
    (url,) = Path(web_tree["output"]).iterdir()
    assert sorted(commit_times(str(url))) == ["00000.0.json", "00002.0.json"]
    assert failures_of(RunDirectory(str(url)).states())["00001"].attempt == 2
    (progress,) = artifacts("web-progress")
    assert progress.data < 100
    # The server comes to its senses after one more refusal.
    before = commit_times(str(url))
    web.refuse["mask7.png"] = 1
    assert seraser(web_tree, []) == str(url)
    assert before.items() < commit_times(str(url)).items()
    assert failures_of(RunDirectory(str(url)).states()) == {}
    assert verify(str(url)).problems == []


def test_a_shard_that_is_damaged_and_cannot_be_computed_fails_the_flow(
    prefect_server, tree, pictures, tmp_path
):
    """Somebody has asked for it, as `seraser repair` does."""
    shutil.copytree(pictures.parent, tmp_path / "data")
    tree["dataset"]["path"] = str(tmp_path / "data" / "metadata.csv")
    url = seraser(tree, ["runtime.retries=0"])
    path = Path(url, "predictions", "00001.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)  # an attempt is the same file
    mend(url, plan_repair(verify(url)).shards)
    for picture in (tmp_path / "data").glob("picture*.png"):
        picture.rename(picture.with_suffix(".away"))
    with pytest.raises(SeraserError, match=r"1 of 3 shards failed \(00001: TransientError: "):
        seraser(tree, ["runtime.retries=0"])
    assert path.read_bytes() == data
    for picture in (tmp_path / "data").glob("*.away"):
        picture.rename(picture.with_suffix(".png"))
    assert seraser(tree, ["runtime.retries=0"]) == url
    assert verify(url).problems == []


class Listener(Silence):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_a_run_whose_images_are_all_missing_ends_and_says_so(prefect_server, tree, tmp_path):
    table = pl.read_csv(tree["dataset"]["path"]).with_columns(file=pl.lit("nowhere.png"))
    table.write_csv(tmp_path / "gone.csv")
    tree["dataset"] |= {"path": str(tmp_path / "gone.csv"), "mask": None}
    tree["methods"] = ["zero_shot"]
    listener = Listener()
    with observe(listener):
        url = seraser(tree, [])
    assert verify(url).problems == []
    assert listener.lines[-1] == "WARNING: every image failed: missing 14"


def test_the_delivered_config_is_the_demo(tmp_path):
    path = ROOT / "deployments" / "configs" / "demo.yaml"
    ours = load_config(demo_config(str(tmp_path / "x.csv"), str(tmp_path / "runs")))
    delivered = load_config(str(path))
    kept = {"dataset": {"path"}, "output": True}
    assert delivered.model_dump(exclude=kept) == ours.model_dump(exclude=kept)


def test_a_run_of_which_no_image_is_there_stops_early(prefect_server, tree, tmp_path):
    rows = [{"id": f"{i:03}", "file": f"{i}.png", "y": i % 3} for i in range(240)]
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    tree["dataset"] |= {"path": str(tmp_path / "t.csv"), "attribute": None, "mask": None}
    tree |= {"methods": ["zero_shot"], "shard": {"max_items": 40}}
    with pytest.raises(SeraserError, match=r"6 of 6 shards failed .*40 images cannot be used"):
        seraser(tree)
    directory = RunDirectory(plan_run(load_config(tree)))
    assert directory.commits() == {}
    assert 1 <= len(failures_of(directory.states())) < 6  # the others were not begun


def test_nights_with_and_without_new_images(prefect_server, tree, pictures, tmp_path):
    shutil.copytree(pictures.parent, tmp_path / "own")
    lines = pictures.read_text().splitlines()
    table = tmp_path / "own" / "now.csv"
    tree |= {"name": "nightly", "series": {}, "methods": ["zero_shot"]}
    tree["dataset"]["path"] = str(table)
    urls = set()
    for images in (6, 6, 14):
        table.write_text("\n".join(lines[: images + 1]) + "\n")
        urls.add(seraser(tree, []))
    (url,) = urls
    assert [night.images for night in read_nights(url)] == [6, 8]
    assert verify_series(url).problems == []
    assert verify_series(url).images == 14
    page = artifacts("nightly-series-report")[0].data
    assert f"{url}/*/predictions/*.parquet" in str(page)
    assert len(artifacts("nightly-summary")) == 2  # of each run that has images


@pytest.mark.slow
def test_shards_in_processes_give_the_same_bytes(prefect_server, tree, tmp_path):
    def files(*overrides: str) -> dict[str, bytes]:
        url = seraser(tree, list(overrides))
        return {path.name: path.read_bytes() for path in Path(url, "predictions").iterdir()}

    processes = ["execution.engine=processes", "execution.workers=2"]
    assert files(*processes, f"output={tmp_path / 'other'}") == files()
