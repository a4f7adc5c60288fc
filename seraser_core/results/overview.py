"""The runs and comparisons of a folder: what they are, what differs between them, how far they are.

An overview reads three documents of a run and lists two of its folders; it is no proof of anything,
which is what `verify` is for.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from seraser_core import storage
from seraser_core.errors import RunDirectoryError, SeraserError
from seraser_core.results import records
from seraser_core.results.columns import METHODS, Shown, shown_in
from seraser_core.results.comparison import compared_runs
from seraser_core.results.names import dataset_name, model_name
from seraser_core.results.nights import is_series
from seraser_core.results.reading import read_report
from seraser_core.results.series import Series
from seraser_core.results.shards import RunDirectory
from seraser_core.waiting import waiting

_PARTS = {"plan", "attempts", "predictions", "commits"}
_NOT_OPTIONS = ("name", "output", "runtime")
"""Options that are shown elsewhere or change no prediction."""
_BESIDE = {
    "weights": ("model.name", "model.pretrained"),
    "plan": ("dataset.", "shard."),
    "algorithm": (),
    "decoder": (),
    "architecture": ("model.name",),
    "precision": ("model.precision",),
}
"""Input that makes another run though no option differs -> options that account for it."""
_HEADLINE = ("method", "n", "errors", "worst_group")
"""Columns of the best method beside the figures that `Shown.RUNS` names."""


@waiting("reading the runs")
def overview(output: str) -> dict[str, Any]:
    """The runs, series and comparisons directly inside of `output`, or the run that it is.

    Returns:
        ``runs``, the oldest first, each with ``differs``: the options that are not the same in all
        runs of its data set and model; ``series``; ``comparisons``; and ``unreadable`` directories
        of any kind, with the reason.

    Raises:
        RunDirectoryError: It cannot be read.
    """
    try:
        own = set(storage.list_files(output)) & {"run.json", "comparison.json"}
        names = [] if own else storage.list_folders(output)
    except (OSError, ValueError, ImportError) as error:
        raise RunDirectoryError(f"{output} cannot be read: {error}") from error
    urls = [output] if own else [storage.join(output, name) for name in sorted(names)]
    with ThreadPoolExecutor(records.READERS) as pool:
        entries = list(pool.map(_look, urls))
    runs = sorted((one["run"] for one in entries if "run" in one), key=_age)
    for run, differs in zip(runs, _differences([run.pop("facts") for run in runs]), strict=True):
        run["differs"] = differs
    return {
        "output": output,
        "runs": runs,
        "series": [one["series"] for one in entries if "series" in one],
        "comparisons": [one["comparison"] for one in entries if "comparison" in one],
        "unreadable": [one["unreadable"] for one in entries if "unreadable" in one],
    }


def _age(run: dict[str, Any]) -> tuple[str, str]:
    return run["created"], run["run_id"]


def _look(url: str) -> dict[str, Any]:
    """Read the directory at `url`: a ``run``, ``series`` or ``comparison``, or ``unreadable``."""
    try:
        files = storage.list_files(url)
        if "comparison.json" in files:
            return {"comparison": _comparison(url)}
        if "run.json" in files:
            return {"run": _run(url)}
        if is_series(url):
            return {"series": _series(url)}
        if not _PARTS & set(storage.list_folders(url)):
            return {}
        why = "it has no run.json; run its configuration again to write it"
    except (SeraserError, OSError, ValueError, ImportError) as error:
        why = str(error)
    return {"unreadable": {"run": url, "why": why}}


def _run(url: str) -> dict[str, Any]:
    directory = RunDirectory(url)
    run, shards = directory.run, directory.shards()
    done, failed = directory.listed()
    config = run.config.document()
    named = {"dataset": dataset_name(config["dataset"]), "model": model_name(config["model"])}
    return {
        "run": url,
        "run_id": run.run_id,
        "created": run.created,
        **named,
        "methods": run.method_ids,
        "shards": {"done": len(done), "total": len(shards), "failed": len(failed)},
        "images": sum(map(len, shards)),
        "headline": _headline(url),
        "facts": {
            **named,
            "options": _options(config),
            "inputs": run.fingerprint_inputs.document(),
        },
    }


def _series(url: str) -> dict[str, Any]:
    """A series: what its newest run says, how many nights there are, and the whole's headline."""
    series = Series(url)
    nights = series.nights()
    newest = series.run(nights[-1]).run
    config = newest.config.document()
    return {
        "series": url,
        "nights": len(nights),
        "planned": nights[-1].planned,
        "images": sum(night.images for night in nights),
        "dataset": dataset_name(config["dataset"]),
        "model": model_name(config["model"]),
        "methods": newest.method_ids,
        "headline": _headline(url),
    }


def _headline(url: str) -> dict[str, Any] | None:
    """The best method of a run's report, by its worst group, else by its average."""
    try:
        summary = read_report(url, "summary")
    except (RunDirectoryError, OSError):
        return None
    return _best(summary)


def _best(table: pl.DataFrame) -> dict[str, Any] | None:
    if not table.height or "accuracy" not in table.columns:
        return None
    ranked = ["worst_group_accuracy", "accuracy"]
    best = table.sort(ranked, descending=True, nulls_last=True, maintain_order=True)
    if not table["accuracy"].count():  # an audit: the method that changes most
        best = table.sort("changed", descending=True, maintain_order=True)
    return _headline_of(best.row(0, named=True))


def _headline_of(row: dict[str, Any], *more: str) -> dict[str, Any]:
    figures = (column.name for column in shown_in(Shown.RUNS, METHODS))
    return {name: row.get(name) for name in (*more, *_HEADLINE, *figures)}


def _comparison(url: str) -> dict[str, Any]:
    """A comparison, with the best row of its table."""
    runs = compared_runs(url)
    table_url = storage.join(url, "report", "comparison.parquet")
    try:
        table: pl.DataFrame | None = pl.read_parquet(io.BytesIO(records.read(table_url)))
    except (OSError, RunDirectoryError, pl.exceptions.PolarsError):
        table = None
    best = None
    if table is not None and table.height and table["accuracy"].count():
        ranked = ["worst_group_accuracy", "accuracy"]
        best = table.sort(ranked, descending=True, nulls_last=True).row(0, named=True)
        best = _headline_of(best, "dataset", "model")
    return {
        "comparison": url,
        "runs": [run.run_id for run in runs],
        "table": table_url if table is not None else None,
        "headline": best,
    }


def _options(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted option -> value; a method's by its id, so that the order of methods counts not."""
    options: dict[str, Any] = {}
    for name, value in config.items():
        if not prefix and name in _NOT_OPTIONS:
            continue
        if name == "methods" and not prefix:
            for method in value:
                rest = {key: inner for key, inner in method.items() if key != "id"}
                options |= _options(rest, f"methods.{method['id']}.")
        elif isinstance(value, dict) and value:
            options |= _options(value, f"{prefix}{name}.")
        else:
            options[prefix + name] = value
    return options


def _differences(facts: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """List the options of every run that differ among the runs of its data set and model."""
    for one in facts:
        alike = [f for f in facts if (f["dataset"], f["model"]) == (one["dataset"], one["model"])]
        differs = _unlike(one["options"], [other["options"] for other in alike])
        for name, accounts in _BESIDE.items():
            beside = _unlike(one["inputs"], [other["inputs"] for other in alike]).get(name)
            if beside is not None and not any(option.startswith(accounts) for option in differs):
                shown = beside[:12] if name in ("weights", "plan") else beside
                differs["images (hash)" if name == "plan" else name] = shown
        yield differs


def _unlike(one: dict[str, Any], all_of_them: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: value
        for name, value in one.items()
        if len({json.dumps(other[name], sort_keys=True) for other in all_of_them if name in other})
        > 1
    }
