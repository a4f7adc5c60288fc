"""The state of a run in words and units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seraser_core.display import Column, count, duration, percent

WORKER_COLUMNS = (
    "host",
    "process",
    "device",
    Column("shards", int),
    Column("images", int),
    "images/s",
    "last commit",
)
_MOST_WORKERS = 20
STATUS_COLUMNS = ("state", "images", "unusable", "images/s", "bound by")
_NAME = 10


def status_lines(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a status: name, progress, faults, speed and picture statistics."""
    for name, texts in _groups(status):
        for place, text in enumerate(texts):
            yield f"{'' if place else name:<{_NAME}} {text}"


def status_row(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status as one row of `STATUS_COLUMNS`."""
    images, speed = status["images"], status.get("images_per_s")
    return {
        "state": _state(status),
        "images": f"{images['done']:,} of {images['total']:,}",
        "unusable": unusable(status) or None,
        "images/s": speed and f"{speed:,.1f}",
        "bound by": status.get("bound_by"),
    }


def worker_rows(status: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    """Return the workers of a status as rows of `WORKER_COLUMNS`, those that committed last."""
    return [
        worker
        | {
            "process": worker["process"].partition(" ")[0],
            "images/s": f"{worker['images_per_s']:,.1f}",
            "last commit": f"{duration(max(0.0, now - worker['last_commit']))} ago",
        }
        for worker in status.get("workers", [])[:_MOST_WORKERS]
    ]


def workers_title(status: Mapping[str, Any]) -> str:
    """Return the title of the table of workers, which says how many are left out."""
    more = len(status.get("workers", [])) - _MOST_WORKERS
    return (
        "workers" if more <= 0 else f"workers, the last {_MOST_WORKERS} of {more + _MOST_WORKERS:,}"
    )


def progress_line(status: Mapping[str, Any]) -> str:
    """Return how far a run is, how long it still takes and what failed, as one line."""
    images, shards = status["images"], status["shards"]
    share = percent(images["done"] / max(1, images["total"]))
    parts = [f"{images['done']:,} of {count(images['total'], 'image')} ({share})"]
    if (left := _left(status)) is not None:
        parts.append(left)
    if codes := unusable(status):
        parts.append(f"unusable: {codes}")
    if shards["failed"]:
        parts.append(f"{count(shards['failed'], 'shard')} failed")
    return ", ".join(parts)


def _left(status: Mapping[str, Any]) -> str | None:
    """Return how long the rest takes; None where nothing is left or nobody computes."""
    remaining = status.get("remaining_s")
    if not remaining:
        return None
    images = status["images"]
    speed = (images["total"] - images["done"]) / remaining
    return f"about {duration(remaining)} left at {speed:,.1f} images/s"


def _groups(status: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    images, shards = status["images"], status["shards"]
    yield "run", [f"{status['run_id']}: {_state(status)}", str(status["run"])]
    yield (
        "done",
        [
            f"{shards['done']:,} of {count(shards['total'], 'shard')}, {images['done']:,} of "
            f"{count(images['total'], 'image')}, {count(status['rows'], 'row')}"
        ],
    )
    if (left := _left(status)) is not None:
        yield "left", [left]
    if replaced := status.get("replaced"):
        yield "replaced", [f"{count(replaced, 'image')} evaluated again; old rows do not count"]
    if codes := unusable(status):
        yield "unusable", [f"images: {codes}", *first_unusable(status)]
    if status["damaged"]:
        yield "damaged", [f"shard {shard}: {why}" for shard, why in status["damaged"].items()]
    if status["failures"]:
        yield "failed", [f"shard {shard}: {why}" for shard, why in status["failures"].items()]
    if status.get("warnings"):
        yield "warnings", list(status["warnings"])
    if "images_per_s" in status:
        yield "speed", [f"{status['images_per_s']:,.1f} images/s, bound by {status['bound_by']}"]
        yield "time", list(_times(status["seconds"], status["overhead"]))
        costs = status["seconds_per_image"].items()
        yield "per image", [f"{method} {1000 * cost:,.1f} ms" for method, cost in costs]
        if peaks := status.get("peak_bytes"):
            yield (
                "GPU memory",
                [f"{method} {used / 2**20:,.0f} MiB" for method, used in peaks.items()],
            )
    if pictures := list(_pictures(status.get("pictures") or {})):
        yield "pictures", pictures


def _state(status: Mapping[str, Any]) -> str:
    shards, damaged = status["shards"], len(status["damaged"])
    parts = ["finished"]
    if not status["finished"]:
        parts = [f"{shards['done']:,} of {count(shards['total'], 'shard')} done"]
    if shards["failed"]:
        parts.append(f"{shards['failed']:,} failed")
    if damaged:
        parts.append(f"{damaged:,} damaged")
    return ", ".join(parts)


def unusable(status: Mapping[str, Any]) -> str:
    """Error codes of a status and how many images have them, such as ``missing 2, truncated 1``."""
    return ", ".join(f"{code} {images:,}" for code, images in sorted(_codes(status).items()))


def first_unusable(status: Mapping[str, Any]) -> Iterator[str]:
    """Lines that name the first images that could not be used, and how many more there are."""
    yield from (f"  {one}" for one in status["first_errors"])
    more = sum(_codes(status).values()) - len(status["first_errors"])
    if status["first_errors"] and more > 0:
        yield f'  and {more:,} more: the rows with status = "error"'


def _codes(status: Mapping[str, Any]) -> dict[str, int]:
    """Error code -> images; most images fail under every method."""
    codes: dict[str, int] = {}
    for of_method in status["errors"].values():
        for code, images in of_method.items():
            codes[code] = max(images, codes.get(code, 0))
    return codes


def _times(seconds: Mapping[str, float], overhead: float) -> Iterator[str]:
    yield f"{seconds['wall']:,.1f} s of all processes, of which"
    parts = {
        "model": f"of which image tower {seconds['encode']:,.1f} s",
        "load": "loading the model",
        "data_wait": f"waiting for pictures; fetching took {seconds['fetch']:,.1f} s and decoding "
        f"{seconds['decode']:,.1f} s, beside the model",
    }
    for name, what in parts.items():
        label = "model, " if name == "model" else ""
        yield f"  {seconds[name]:,.1f} s {label}{what}"
    yield f"  {percent(overhead)} overhead: everything else"


def _pictures(pictures: Mapping[str, Any]) -> Iterator[str]:
    for kind, facts in pictures.get("foregrounds", {}).items():
        yield (
            f"{kind} foregrounds: on average {percent(facts['mean_share'])} of a picture; "
            f"{facts['nowhere']:,} empty, {facts['everywhere']:,} all of it"
        )
    if pictures.get("almost_constant"):
        yield f"almost of one colour: {pictures['almost_constant']:,} of {pictures['images']:,}"
