"""The state of a run in words and units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seraser_core.cli.console import count
from seraser_core.display import percent

STATUS_COLUMNS = ("state", "images", "unusable", "images/s", "bound by")
_NAME = 10


def status_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a status: name, progress, faults, speed and picture statistics."""
    for name, texts in _groups(found):
        for place, text in enumerate(texts):
            yield f"{'' if place else name:<{_NAME}} {text}"


def status_row(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status as one row of `STATUS_COLUMNS`."""
    images, speed = found["images"], found.get("images_per_s")
    return {
        "state": _state(found),
        "images": f"{images['done']:,} of {images['total']:,}",
        "unusable": unusable(found) or None,
        "images/s": speed and f"{speed:,.1f}",
        "bound by": found.get("bound_by"),
    }


def _groups(found: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    images, shards = found["images"], found["shards"]
    yield "run", [f"{found['run_id']}: {_state(found)}", str(found["run"])]
    yield (
        "done",
        [
            f"{shards['done']:,} of {count(shards['total'], 'shard')}, {images['done']:,} of "
            f"{count(images['total'], 'image')}, {count(found['rows'], 'row')}"
        ],
    )
    if codes := unusable(found):
        yield "unusable", [f"images: {codes}", *first_unusable(found)]
    if found["damaged"]:
        yield "damaged", [f"shard {shard}: {why}" for shard, why in found["damaged"].items()]
    if found["failures"]:
        yield "failed", [f"shard {shard}: {why}" for shard, why in found["failures"].items()]
    if found.get("warnings"):
        yield "warnings", list(found["warnings"])
    if "images_per_s" in found:
        yield "speed", [f"{found['images_per_s']:,.1f} images/s, bound by {found['bound_by']}"]
        yield "time", list(_times(found["seconds"], found["overhead"]))
        costs = found["seconds_per_image"].items()
        yield "per image", [f"{method} {1000 * cost:,.1f} ms" for method, cost in costs]
    if pictures := list(_pictures(found.get("pictures") or {})):
        yield "pictures", pictures


def _state(found: Mapping[str, Any]) -> str:
    shards, damaged = found["shards"], len(found["damaged"])
    parts = ["finished"]
    if not found["finished"]:
        parts = [f"{shards['done']:,} of {count(shards['total'], 'shard')} done"]
    if shards["failed"]:
        parts.append(f"{shards['failed']:,} failed")
    if damaged:
        parts.append(f"{damaged:,} damaged")
    return ", ".join(parts)


def unusable(found: Mapping[str, Any]) -> str:
    """Error codes of a status and how many images have them, such as ``missing 2, truncated 1``."""
    return ", ".join(f"{code} {images:,}" for code, images in sorted(_codes(found).items()))


def first_unusable(found: Mapping[str, Any]) -> Iterator[str]:
    """Lines that name the first images that could not be used, and how many more there are."""
    yield from (f"  {one}" for one in found["first_errors"])
    more = sum(_codes(found).values()) - len(found["first_errors"])
    if more > 0:
        yield f'  and {more:,} more: the rows with status = "error"'


def _codes(found: Mapping[str, Any]) -> dict[str, int]:
    """Error code -> images; most images fail under every method."""
    codes: dict[str, int] = {}
    for of_method in found["errors"].values():
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


def _pictures(found: Mapping[str, Any]) -> Iterator[str]:
    for kind, facts in found.get("foregrounds", {}).items():
        yield (
            f"{kind} foregrounds: on average {percent(facts['mean_share'])} of a picture; "
            f"{facts['nowhere']:,} empty, {facts['everywhere']:,} all of it"
        )
    if found.get("almost_constant"):
        yield f"almost of one colour: {found['almost_constant']:,} of {found['images']:,}"
