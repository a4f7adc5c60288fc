"""The page of a run that is not finished yet."""

from __future__ import annotations

import polars as pl

from seraser_core.display import duration, percent
from seraser_core.results.columns import GROUPS, METHODS, Shown, shown_in
from seraser_core.results.table_formats import markdown_code, markdown_table
from seraser_core.results.watched import Seen

_MOST_GROUPS = 20


def so_far(seen: Seen) -> str:
    """Describe in Markdown how far a run is, what failed, and its groups so far.

    Of many groups, those of least accuracy under any method are shown.
    """
    status, summary, groups = seen.status, seen.tables["summary"], seen.tables["groups"]
    images, shards = status["images"], status["shards"]
    share = percent(images["done"] / max(1, images["total"]))
    lines = [
        f"# {status['run_id']}: {share}",
        f"{images['done']:,} of {images['total']:,} images, {shards['done']:,} of "
        f"{shards['total']:,} shards. {_pace(seen)}",
    ]
    if summary.height:
        lines += ["## Methods so far", markdown_table(summary, shown_in(Shown.PREFECT, METHODS))]
    if groups.height:
        worst = _worst(groups)
        few = groups.n_unique(["label", "attribute"])
        more = f", the {_MOST_GROUPS} worst of {few:,}" if few > _MOST_GROUPS else ""
        table = markdown_table(worst, shown_in(Shown.PREFECT, GROUPS))
        lines += [f"## Groups so far{more}", table]
    if status["errors"]:
        lines += ["## Images that could not be used", _errors(status["errors"])]
    if status["failures"]:
        failed = [f"- shard {name}: {markdown_code(why)}" for name, why in _few(status["failures"])]
        lines += ["## Shards that failed", "\n".join(failed)]
    return "\n\n".join(lines)


def _pace(seen: Seen) -> str:
    status = seen.status
    if status["finished"]:
        return "All are computed."
    remaining, workers = status.get("remaining_s"), status.get("workers", [])
    if remaining is None:
        return ""
    speed = (status["images"]["total"] - status["images"]["done"]) / remaining
    processes = f"{len(workers):,} process{'es' if len(workers) > 1 else ''}"
    return f"About {duration(remaining)} left at {speed:,.0f} images/s ({processes})."


def _worst(groups: pl.DataFrame) -> pl.DataFrame:
    """The groups of least accuracy, the worst first, each with all its methods."""
    key = ["label", "attribute"]
    least = groups.group_by(key).agg(pl.col("accuracy").min().alias("least"))
    least = least.sort("least", *key).head(_MOST_GROUPS)
    return least.join(groups, on=key, maintain_order="left_right")


def _errors(errors: dict[str, dict[str, int]]) -> str:
    rows = [
        {"method": method, "error": code, "images": images}
        for method, codes in errors.items()
        for code, images in sorted(codes.items(), key=lambda one: -one[1])
    ]
    return markdown_table(pl.DataFrame(rows), ["method", "error", "images"])


def _few(failures: dict[str, str]) -> list[tuple[str, str]]:
    return list(failures.items())[:5]
