"""Object storage that misbehaves, seen through a proxy: what passes costs time, and nothing else.

SeaweedFS is the server. The proxy spoils requests as told, or by chance.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import tarfile
import time
from collections import Counter
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from harness import all_but_slow
from proxy import KINDS, Proxy
from s3_server import S3Server, forget_clients

from seraser_core import backoff, storage
from seraser_core.backoff import Policy
from seraser_core.config import load_config
from seraser_core.errors import ChangedError, SeraserError, TransientError
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import commits_of, failures_of
from seraser_core.results.summary import aggregate
from seraser_core.results.verify import verify
from seraser_core.results.watched import WatchedRun
from seraser_core.runner import missing_shards
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run
from seraser_core.runner.shard import run_shard
from seraser_core.storage import s3_client

TRIES = 6
CREDENTIALS = ("expired token", "stale key", "skewed clock")
SLOW = ("no answer", "stalled", "dripping")
PASSING = [kind for kind in KINDS if kind not in (*CREDENTIALS, "forbidden", "no range")]
QUICK = [kind for kind in PASSING if kind not in SLOW]
BODILESS = [kind for kind in PASSING if kind not in ("truncated", "stalled", "dripping", "short")]
CONTENT = random.Random(5).randbytes(50_000)
WRITES = ("samples/0000?.", "attempts/0000?.", "commits/0000?.", "predictions/0000?.")


@pytest.fixture(scope="module")
def patch():
    """Tries that follow each other soon, and little time for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backoff, "POLICY", Policy(tries=TRIES, shortest_s=0.01, longest_s=0.1))
        patch.setattr(missing_shards, "BACKOFF_S", (0.01, 0.1))
        patch.setattr(s3_client, "ANSWER_S", 2.0)
        patch.setattr(s3_client, "SLOWEST", 10**6)
        patch.setitem(s3_client.CONFIG, "read_timeout", 1)
        yield patch


@pytest.fixture(scope="module")
def _proxy(request, patch):
    with Proxy(request.getfixturevalue("s3")).running() as proxy:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        forget_clients()
        yield proxy
    forget_clients()


@pytest.fixture
def proxy(_proxy):
    """A proxy that spoils nothing yet, before the server of the environment."""
    _proxy.forget()
    yield _proxy
    _proxy.forget()


@pytest.fixture
def url(bucket, proxy):
    """URL of an object with CONTENT."""
    storage.write_bytes(f"{bucket}/a.png", CONTENT)
    proxy.forget()
    return f"{bucket}/a.png"


def open_and_read(url):
    with storage.open_file(url) as file:
        file.seek(1000)
        return file.read(2000)


READS = {
    "whole": (storage.read_bytes, CONTENT),
    "most": (lambda url: storage.read_bytes(url, most=1000), CONTENT[:1000]),
    "range": (lambda url: storage.read_range(url, 1000, 2000), CONTENT[1000:3000]),
    "end": (lambda url: storage.read_range(url, len(CONTENT) - 9, 99), CONTENT[-9:]),
    "opened": (open_and_read, CONTENT[1000:3000]),
}


def times_of(kind):
    return 1 if kind in SLOW else 2


@pytest.mark.parametrize("kind", all_but_slow(PASSING, *QUICK))
def test_every_way_to_read_outlasts_every_fault_that_passes(proxy, url, kind):
    tag = storage.version(url)
    tagged = (lambda url: storage.read_range(url, 1000, 2000, version=tag), CONTENT[1000:3000])
    ways = READS | {"tagged": tagged}
    whole = (lambda url: storage.read_bytes(url, version=tag), CONTENT)
    ways |= {"whole and tagged": whole}
    for name in ("opened", "tagged", "whole and tagged") if kind in SLOW else ways:
        read, expected = ways[name]
        proxy.forget()
        proxy.tell(kind, "*/a.png", "GET", times=times_of(kind))
        assert read(url) == expected
        assert proxy.spoilt[kind] == times_of(kind)


@pytest.mark.parametrize("kind", all_but_slow(BODILESS, *QUICK))
def test_every_other_request_outlasts_every_fault_that_passes(proxy, url, bucket, kind):
    folder = f"{bucket}/set"
    requests = {
        "PUT": lambda: storage.write_bytes(f"{folder}/b.bin", b"x" * 3000),
        "HEAD": lambda: storage.version(url),
        "GET": lambda: storage.list_files(folder),
        "DELETE": lambda: storage.delete(url),
    }
    for method, ask in requests.items():
        proxy.tell(kind, "*", method, times=times_of(kind))
        ask()
    assert proxy.spoilt[kind] == 4 * times_of(kind)
    assert not storage.exists(url)
    assert storage.find_files(folder)["b.bin"].size == 3000


@pytest.mark.parametrize("kind", all_but_slow(PASSING, *QUICK))
def test_creating_and_publishing_outlast_every_fault_that_passes(proxy, url, bucket, kind):
    """A store that did what was asked, and whose answer was lost, is asked anew and refuses."""
    proxy.tell(kind, "*/new.json", "PUT", times=times_of(kind))
    assert storage.create(f"{bucket}/new.json", CONTENT)
    assert not storage.create(f"{bucket}/new.json", CONTENT)
    proxy.tell(kind, "*/copy.png", "PUT", times=times_of(kind))
    storage.publish(url, f"{bucket}/copy.png")
    assert storage.read_bytes(f"{bucket}/copy.png") == CONTENT
    assert proxy.spoilt[kind] == 2 * times_of(kind)


@pytest.mark.parametrize("kind", ["slow down", "lost answer"])
def test_what_another_created_is_not_taken_for_what_a_repeated_request_did(proxy, url, kind):
    proxy.tell(kind, "*/a.png", "PUT")
    assert not storage.create(url, CONTENT)
    assert proxy.spoilt[kind] == 1
    assert storage.read_bytes(url) == CONTENT


def test_creating_and_publishing_take_one_request(proxy, url, bucket):
    assert storage.create(f"{bucket}/new.json", b"x")
    storage.publish(url, f"{bucket}/copy.png")
    assert proxy.count("PUT") == proxy.seen.total() == 2
    assert not storage.create(url, b"x")
    assert proxy.count("PUT") == proxy.count("HEAD") + 2 == 3


@pytest.mark.parametrize("kind", ["truncated", "short", "reset"])
def test_large_objects_are_fetched_in_parts(proxy, url, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(s3_client, "PART", 4000)
    proxy.tell(kind, "*/a.png", "GET", times=4)
    storage.fetch_file(url, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == CONTENT
    proxy.tell(kind, "*/a.png", "GET", times=4)
    assert storage.read_bytes(url, most=9999) == CONTENT[:9999]
    assert proxy.spoilt[kind] == 8


def test_an_answer_without_a_range_is_believed_if_it_is_all_of_the_object(proxy, url):
    proxy.tell("no range", "*/a.png", "GET", times=1e9)
    assert storage.read_bytes(url) == CONTENT
    assert proxy.count("GET") == 1
    for read in (READS["most"][0], READS["range"][0]):
        with pytest.raises(TransientError, match="bytes from byte 0 on came"):
            read(url)


def test_an_open_object_that_is_replaced(url):
    with pytest.raises(TransientError), storage.open_file(url) as file:
        storage.write_bytes(url, CONTENT[::-1])
        file.read(10)
    tag = storage.version(url)
    storage.write_bytes(url, CONTENT)
    with pytest.raises(ChangedError):
        storage.read_range(url, 0, 10, version=tag)


@pytest.mark.parametrize("planned", [False, True])
def test_an_object_that_is_replaced_between_two_of_its_parts(url, monkeypatch, planned):
    tag = storage.version(url) if planned else None
    monkeypatch.setattr(s3_client, "PART", len(CONTENT) // 2)
    whole = s3_client.Store._part

    async def part(self, *given):
        found = await whole(self, *given)
        await self._pipe_file(url, CONTENT[::-1])
        return found

    monkeypatch.setattr(s3_client.Store, "_part", part)
    with pytest.raises(ChangedError if planned else TransientError):
        storage.read_bytes(url, version=tag)


@pytest.mark.parametrize("kind", ["slow down", "internal error", "truncated", "short"])
def test_a_fault_that_stays_is_asked_a_bounded_number_of_times(proxy, url, kind):
    for read, _ in READS.values():
        proxy.forget()
        proxy.tell(kind, "*/a.png", "GET", times=1e9)
        with pytest.raises(TransientError, match=r"cannot read s3://"):
            read(url)
        assert proxy.count("GET") == TRIES


def test_a_body_that_drips_is_given_up_although_no_byte_is_late(proxy, url, monkeypatch):
    monkeypatch.setattr(backoff, "POLICY", Policy(tries=2, shortest_s=0.01))
    proxy.tell("dripping", "*/a.png", "GET", times=1e9)
    with pytest.raises(TransientError, match="took too long"):
        storage.read_bytes(url, most=1000)
    assert proxy.count("GET") == 2


def test_what_is_forbidden_or_missing_is_asked_once(proxy, url, bucket):
    proxy.tell("forbidden", "*/a.png", times=1e9)
    with pytest.raises(PermissionError):
        storage.read_bytes(url)
    with pytest.raises(PermissionError):
        storage.write_bytes(url, b"x")
    assert (proxy.count("GET"), proxy.count("PUT")) == (1, 1)
    for gone in (f"{bucket}/gone.png", "s3://no-such-bucket-here/gone.png"):
        proxy.forget()
        with pytest.raises(FileNotFoundError):
            storage.read_bytes(gone)
        assert proxy.count("GET") == 1


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_stale_credentials_are_taken_anew_and_asked_with_once_more(proxy, url, kind):
    for ask in (
        lambda: storage.read_bytes(url),
        lambda: storage.version(url),  # a HEAD is refused without a code
        lambda: storage.write_bytes(url, CONTENT),
    ):
        proxy.forget()
        proxy.tell(kind, "*/a.png", times=1e9)
        with pytest.raises(TransientError):
            ask()
        assert proxy.spoilt[kind] <= 4  # a HEAD and a GET, twice


def test_credentials_that_were_replaced_are_found(url, monkeypatch, tmp_path):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    right = [os.environ[name] for name in names]
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for name in names:
        monkeypatch.delenv(name)

    def write(key, secret):
        text = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        file.write_text(text)

    write("old", "old")
    forget_clients()
    with pytest.raises(TransientError):
        storage.read_bytes(url)
    write(*right)
    assert storage.read_bytes(url) == CONTENT
    forget_clients()


def as_table(folder, pictures):
    for path in pictures.parent.iterdir():
        storage.write_bytes(f"{folder}/{path.name}", path.read_bytes())
    return {"path": f"{folder}/{pictures.name}", "id": "id", "image": "file"}


def as_tar(folder, pictures):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for row in csv.DictReader(pictures.open()):
            for ending, content in (
                ("png", pictures.with_name(row["file"]).read_bytes()),
                ("mask.png", pictures.with_name(row["mask"]).read_bytes()),
                ("cls", row["y"].encode()),
            ):
                member = tarfile.TarInfo(f"{row['id']}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    storage.write_bytes(f"{folder}/x.tar", data.getvalue())
    return {"format": "webdataset", "path": f"{folder}/x.tar", "mask": "mask.png"}


def as_parquet(folder, pictures):
    rows = list(csv.DictReader(pictures.open()))
    columns = {name: [row[name] for row in rows] for name in ("id", "y")}
    columns["y"] = [int(y) for y in columns["y"]]
    for name in ("file", "mask"):
        columns[name] = [pictures.with_name(row[name]).read_bytes() for row in rows]
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data, row_group_size=3)
    storage.write_bytes(f"{folder}/x.parquet", data.getvalue())
    return {"format": "parquet", "path": f"{folder}/x.parquet", "id": "id", "image": "file"}


FORMATS = {"table": as_table, "tar": as_tar, "parquet": as_parquet}


def put(folder, kind, pictures, tree):
    """Write the pictures below a URL; returns a configuration over them, written there too."""
    dataset = {"mask": "mask", "label": "y", "classes": tree["dataset"]["classes"]}
    dataset |= FORMATS[kind](folder, pictures)
    if kind == "tar":
        del dataset["label"]
    runtime = {"retries": 3, "batch_size": 4}
    return {**tree, "dataset": dataset, "runtime": runtime, "output": f"{folder}/runs"}


def predictions(url):
    directory = RunDirectory(url)
    names = [shard.id for shard in directory.shards()]
    return {name: storage.read_bytes(directory.predictions_path(name)) for name in names}


def undisturbed(tree, tmp_path):
    """What a run of the same configuration writes with which nothing interferes."""
    url = plan_run(load_config({**tree, "output": str(tmp_path / "undisturbed")}))
    run_local(url)
    return predictions(url)


def check(url, expected):
    """The run is complete, and what it would be without faults."""
    report = verify(url)
    assert report.problems == []
    assert report.rows == report.images * 3
    directory = RunDirectory(url)
    assert sum(commit.errors for commit in directory.commits().values()) == 0
    assert failures_of(directory.states()) == {}
    assert predictions(url) == expected


def storm(proxy, tree, seed, rate):
    """Run a configuration while requests are spoilt by chance; returns its URL."""
    # Stale credentials are rarer than the rest: a request that meets them is made but twice.
    proxy.seed, proxy.rate, proxy.kinds = seed, rate, [*PASSING * 3, *CREDENTIALS]
    try:
        url = plan_run(load_config(tree))
        run_local(url)
        return url
    finally:
        proxy.rate = 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_a_run_in_a_storm_is_complete_and_the_same(proxy, bucket, pictures, tree, tmp_path, kind):
    tree = put(f"{bucket}/set", kind, pictures, tree)
    expected = undisturbed(tree, tmp_path)
    proxy.forget()
    for seed in (3, 4, 5):  # a command may end at a credential that is refused twice
        with suppress(SeraserError):
            url = storm(proxy, tree, seed, rate=0.2)
            break
    assert proxy.spoilt.total() > 5
    check(url, expected)


@pytest.fixture(scope="module")
def few(tmp_path_factory, pictures):
    """Six pictures."""
    table = tmp_path_factory.mktemp("few") / "metadata.csv"
    lines = pictures.read_text().splitlines()[:7]
    table.write_text("\n".join(lines))
    for row in csv.DictReader(lines):
        for name in (row["file"], row["mask"]):
            shutil.copy(pictures.with_name(name), table.with_name(name))
    return table


@pytest.fixture
def small(bucket, proxy, few, tree):
    """A configuration over six pictures in two shards, on S3."""
    tree["shard"] = {"max_items": 3}
    tree = put(f"{bucket}/set", "table", few, tree)
    proxy.forget()
    return tree


@pytest.mark.parametrize(
    "kind", all_but_slow([*PASSING, *CREDENTIALS], "slow down", "lost answer", "stale key")
)
def test_every_fault_alone_on_reads_and_on_each_write(proxy, small, tmp_path, kind):
    expected = undisturbed(small, tmp_path)
    url = plan_run(load_config(small))
    once = kind in CREDENTIALS
    told = [proxy.tell(kind, "*/picture 0*", "GET", times=1 if once else 3)]
    told += [
        proxy.tell(kind, f"*/{name}*", "PUT", times=1 if once or kind in SLOW else 2)
        for name in WRITES
    ]
    run_local(url)
    assert [rule.times for rule in told] == [0] * len(told)
    check(url, expected)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "*/picture 01*"),
        pytest.param("GET", "*/plan/items.parquet", marks=pytest.mark.slow),
        ("PUT", "*/commits/00000.*"),
        *(
            pytest.param("PUT", f"*/{name}*".replace("?", "0"), marks=pytest.mark.slow)
            for name in WRITES
            if "commits" not in name
        ),
    ],
)
def test_a_fault_that_outlasts_the_tries_holds_the_shard_back(proxy, small, tmp_path, method, path):
    small["runtime"]["retries"] = 0
    expected = undisturbed(small, tmp_path)
    url = plan_run(load_config(small))
    proxy.tell("slow down", path, method, times=TRIES)
    with pytest.raises(SeraserError, match="1 of 2 shards failed"):
        run_local(url)
    states = RunDirectory(url).states()
    failed = failures_of(states)
    if "predictions" in path:
        assert set(commits_of(states)) == {"00000", "00001"}, "which any process may publish"
    else:
        (held,) = failed
        assert failed[held].error == "TransientError"
        assert set(commits_of(states)) == {"00000", "00001"} - {held}
    run_local(url)
    check(url, expected)


def test_a_plan_that_cannot_be_read_for_a_while_is_a_passing_fault(proxy, small):
    directory = RunDirectory(plan_run(load_config(small)))
    proxy.tell("slow down", "*/plan/items.parquet", times=1e9)
    with pytest.raises(TransientError):
        directory.items("00000")


def test_a_later_attempt_of_the_same_run_succeeds(proxy, small, tmp_path):
    expected = undisturbed(small, tmp_path)
    url = plan_run(load_config(small))
    proxy.tell("internal error", "*/commits/00000.0.json", "PUT", times=2 * TRIES)
    run_local(url)
    assert proxy.count("PUT", "*/failures/00000.json") == 2 + 3  # it failed twice, and began thrice
    check(url, expected)


def test_forbidden_images_are_error_rows_that_nobody_asks_for_twice(proxy, small):
    proxy.tell("forbidden", "*/picture 0[01]*", "GET", times=1e9)
    url = plan_run(load_config(small))
    planned = proxy.count("GET", "*/picture 0[01]*")  # with the sample of masks that is looked at
    run_local(url)
    assert verify(url).problems == []
    assert sum(commit.errors for commit in RunDirectory(url).commits().values()) == 2 * 3
    assert proxy.count("GET", "*/picture 0[01]*") == planned + 2


@pytest.fixture
def own(tmp_path, patch):
    """A server that may be killed, at which the environment points."""
    with pytest.MonkeyPatch.context() as environment, S3Server(tmp_path) as server:
        server.start()
        assert server.stores(), server.log()
        server.announce(environment)
        yield server
    forget_clients()


@pytest.mark.slow
def test_a_server_that_is_killed_and_comes_back(own, few, tree, tmp_path, monkeypatch):
    monkeypatch.setattr(backoff, "POLICY", Policy(tries=100, shortest_s=0.2, longest_s=0.5))
    s3fs.S3FileSystem().mkdir("killed")
    tree = put("s3://killed/set", "table", few, {**tree, "shard": {"max_items": 2}})
    expected = undisturbed(tree, tmp_path)

    class Killer:
        done = 0

        def advance(self, images):
            self.done += images
            if self.done == 4:  # the first of three shards is committed, or about to be
                own.kill()
                own.start()

    url = plan_run(load_config(tree))
    killer = Killer()
    run_local(url, killer)
    assert killer.done >= 6
    check(url, expected)


def copies(pictures, folder, count):
    """A table of `count` pictures, each of which is a copy of one of these."""
    rows, copied = list(csv.DictReader(pictures.open())), []
    folder.mkdir()
    for i in range(count):
        row = rows[i % len(rows)]
        files = {name: f"{i:03} {row[name]}" for name in ("file", "mask")}
        for name, file in files.items():
            shutil.copy(pictures.with_name(row[name]), folder / file)
        copied.append({**row, **files, "id": f"{i:03}"})
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, copied[0])
        writer.writeheader()
        writer.writerows(copied)
    return folder / "metadata.csv"


@pytest.mark.soak
def test_a_long_storm(proxy, bucket, few, tree, tmp_path, capsys):
    """Hundreds of pictures in all formats, in storms that grow, for minutes."""
    pictures, began, runs = copies(few, tmp_path / "many", 240), time.monotonic(), 0
    commands = 0
    spoilt: Counter[str] = Counter()
    requests = 0
    tree["shard"] = {"max_items": 20}
    tree["methods"][1]["steps"] = 2
    for kind in FORMATS:
        tree = put(f"{bucket}/{kind}", kind, pictures, tree)
        expected = undisturbed(tree, tmp_path / kind)
        for seed, rate in enumerate((0.05, 0.15, 0.3)):
            proxy.forget()
            there = {**tree, "output": f"{bucket}/{kind}/{seed}"}
            while True:
                commands += 1
                try:
                    url = storm(proxy, there, seed, rate)
                    break
                except SeraserError:  # as anyone would, run the same again
                    assert commands < 3 * (runs + 1)
            spoilt += proxy.spoilt
            requests += proxy.seen.total()
            runs += 1
            check(url, expected)
    figures = {
        "seeds": [0, 1, 2],
        "rates": [0.05, 0.15, 0.3],
        "runs": runs,
        "commands": commands,
        "images": 240 * runs,
        "requests": requests,
        "spoilt": dict(spoilt),
        "seconds": round(time.monotonic() - began, 1),
    }
    with capsys.disabled():
        print(json.dumps(figures))


def test_a_store_that_knows_no_conditions(proxy, bucket):
    """It is looked at right before instead."""
    proxy.tell("no conditions", times=float("inf"))
    url = f"{bucket}/a.json"
    assert storage.create(url, b"one")
    assert not storage.create(url, b"two")
    assert storage.read_bytes(url) == b"one"
    assert proxy.spoilt["no conditions"] == 2
    assert not storage.honours_create(bucket)


def test_an_answer_of_another_object_is_not_taken(proxy, bucket):
    """A store that ignores which one was asked for would mix two."""
    url = f"{bucket}/a.bin"
    storage.write_bytes(url, CONTENT)
    tag = storage.find(url).version
    assert storage.read_bytes(url, version=tag) == CONTENT
    proxy.tell("other tag", "*a.bin", "GET")
    with pytest.raises(ChangedError):
        storage.read_bytes(url, version=tag)


def test_a_new_shard_takes_few_requests(proxy, small):
    """Beside those for its images and masks, in a process that has worked on its run before."""
    url = plan_run(load_config(small))
    run_shard(url, "00000")
    proxy.forget()
    run_shard(url, "00001")
    asked = {
        key: n for key, n in proxy.seen.items() if "picture" not in key[1] and "mask" not in key[1]
    }
    kinds: Counter[str] = Counter()
    for (method, path), n in asked.items():
        kinds["LIST" if method == "GET" and path.count("/") == 1 else method] += n
    assert kinds == {"PUT": 5, "LIST": 3, "GET": 3, "HEAD": 1, "DELETE": 1}, asked


def test_a_look_at_a_run_reads_what_is_new(proxy, small):
    url = plan_run(load_config(small))
    run_shard(url, "00000")
    run = WatchedRun(url)
    assert run.look().status["shards"]["done"] == 1
    run_shard(url, "00001")
    proxy.forget()
    assert run.look().status["shards"]["done"] == 2
    read = {key[1].rpartition("/")[2]: n for key, n in proxy.seen.items() if key[0] == "GET"}
    listings = read.pop(url.removeprefix("s3://").partition("/")[0])
    assert read == {"00001.0.json": 1}
    proxy.forget()
    run.look()
    assert proxy.seen.total() <= listings + 1, "a folder that seems to be empty is looked for"


def test_a_finished_run_takes_one_request_for_every_shard(proxy, few, tree, bucket):
    def asked(most):
        there = put(f"{bucket}/{most}", "table", few, {**tree, "shard": {"max_items": most}})
        url = plan_run(load_config(there))
        run_local(url)
        aggregate(url)
        proxy.forget()
        assert plan_run(load_config(there)) == url
        return proxy.seen.total()

    assert asked(1) - asked(3) == 6 - 2
