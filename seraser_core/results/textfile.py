"""A run's figures for Prometheus, in a file that its node exporter reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from seraser_core.errors import SeraserError
from seraser_core.results.states import Damaged, Done, Failed, Open, Running
from seraser_core.results.watched import Seen

_STATES = {Done: "done", Failed: "failed", Damaged: "damaged", Running: "running", Open: "open"}


def write_textfile(path: Path, seen: Iterable[Seen]) -> None:
    """Write the figures of some runs, whole or not at all.

    Args:
        path: The file; node exporter reads those that end in ``.prom``.
        seen: The runs.

    Raises:
        SeraserError: It cannot be written.
    """
    registry = CollectorRegistry()
    registry.register(_Runs([*seen]))
    try:
        write_to_textfile(str(path), registry)
    except OSError as error:
        raise SeraserError(f"{path} cannot be written: {error}") from error


class _Runs(Collector):
    """The figures of some runs."""

    def __init__(self, seen: list[Seen]) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, each with a sample of every run."""
        images = GaugeMetricFamily(
            "seraser_images", "Images with rows, and without yet", labels=["run", "state"]
        )
        shards = GaugeMetricFamily("seraser_shards", "Shards by state", labels=["run", "state"])
        errors = GaugeMetricFamily(
            "seraser_errors", "Images that could not be used", labels=["run", "method", "code"]
        )
        accuracy = GaugeMetricFamily(
            "seraser_accuracy", "Share of labelled images so far", labels=["run", "method"]
        )
        worst = GaugeMetricFamily(
            "seraser_worst_group_accuracy", "Of the worst group so far", labels=["run", "method"]
        )
        seconds = CounterMetricFamily(
            "seraser_seconds", "Seconds of processes, by what took them", labels=["run", "kind"]
        )
        last = GaugeMetricFamily(
            "seraser_last_commit_timestamp_seconds", "Time of the last commit", labels=["run"]
        )
        for seen in self._seen:
            run, status = seen.directory.run.run_id, seen.status
            done, total = status["images"]["done"], status["images"]["total"]
            images.add_metric([run, "done"], done)
            images.add_metric([run, "missing"], total - done)
            states = Counter(_STATES[type(state)] for state in seen.states.values())
            for state in _STATES.values():
                shards.add_metric([run, state], states[state])
            for method, codes in status["errors"].items():
                for code, number in codes.items():
                    errors.add_metric([run, method, code], number)
            for row in seen.tables["summary"].to_dicts():
                _add(accuracy, [run, row["method"]], row["accuracy"])
                _add(worst, [run, row["method"]], row["worst_group_accuracy"])
            for kind, value in _seconds(status).items():
                seconds.add_metric([run, kind], value)
            if seen.commits:
                last.add_metric([run], max(one.finished for one in seen.commits.values()))
        yield from (images, shards, errors, accuracy, worst, seconds, last)


def _seconds(status: Mapping[str, object]) -> Mapping[str, float]:
    found = status.get("seconds")
    return found if isinstance(found, dict) else {}


def _add(metric: GaugeMetricFamily, labels: list[str], value: float | None) -> None:
    if value is not None:
        metric.add_metric(labels, value)
