"""Published figures, and a run's own beside them.

They stand in published.csv. A cell is a data set, a network, a method and a figure. Only a
benchmark data set, and weights that go by a tag of open_clip, can be known to be the published
ones: files of one's own and random weights match nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

import polars as pl

from seraser_core.config.methods import method_options
from seraser_core.display import Column
from seraser_core.results.records import MethodRecord, RunRecord

AVERAGE, WORST_GROUP = "average", "worst group"
"""Names of figures; any other is the name of an attribute, over all images that have it."""
_COLUMN_OF = {"pooled": "accuracy", "adjusted": "adjusted_accuracy", "group mean": "group_mean"}
"""Which average -> column of the table ``summary``."""
_SAME_NETWORK = "-quickgelu"
_TEST = [[], ["test"]]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Points(Column):
    """A column of differences of shares, in percentage points."""

    def text(self, value: Any) -> str:
        """See `Column.text`."""
        return "" if value is None else f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


PUBLISHED: list[Column] = [
    Column("dataset"),
    Column("model"),
    Column("method"),
    Column("figure"),
    Column("n", int),
    Column("ours", float, percent=True),
    Column("published", float, percent=True),
    Points("difference", float, "points"),
    Column("source"),
    Column("differs"),
]
"""One row per figure of a run's method and published figure of the same.

``difference`` is ours minus the published one, as a fraction. ``differs`` says what else than the
program may cause it, as far as it is known.
"""


@dataclass(frozen=True)
class Published:
    """A published figure.

    Attributes:
        dataset: Name of the benchmark data set; of its test images.
        model: Network, as open_clip names it; QuickGELU is not part of the name.
        weights: Tag of open_clip.
        method: Name of the method.
        figure: `AVERAGE`, `WORST_GROUP` or the name of an attribute.
        share: The figure.
        average: Which average it is: ``pooled``, ``adjusted`` or ``group mean``; empty if it is
            none, or that is not stated.
        prompt: Template of the prompts; empty if it is not stated.
        source: Where it was published.
        second_hand: Whether it is known from another source, which quotes that one.
    """

    dataset: str
    model: str
    weights: str
    method: str
    figure: str
    share: float
    average: str
    prompt: str
    source: str
    second_hand: bool


@dataclass(frozen=True)
class Beside:
    """A figure of a run's method beside a published one; see `PUBLISHED`."""

    method: str
    figure: str
    n: int
    ours: float
    published: float
    difference: float
    differs: str | None
    source: str


@cache
def published_figures() -> tuple[Published, ...]:
    """Return all published figures that are known."""
    text = resources.files("seraser_core.results").joinpath("published.csv").read_text("utf-8")
    return tuple(_read(row) for row in csv.DictReader(text.splitlines()))


def _read(row: dict[str, str]) -> Published:
    share, second_hand = float(row.pop("percent")) / 100, row.pop("second_hand") == "yes"
    return Published(**row, share=share, second_hand=second_hand)


def beside_published(
    run: RunRecord, summary: Sequence[Row], groups: Sequence[Row]
) -> Iterator[Beside]:
    """Yield the figures of a run for which there is a published one.

    Figures of other weights of the same network are yielded only where there are none of the same.

    Args:
        run: run.json.
        summary: The rows of its table ``summary``.
        groups: The rows of its table ``groups``.
    """
    known = _of_run(run)
    methods = {method.id: method for method in run.methods}
    for row in summary if known else ():
        method = methods[row["method"]]
        of_method = [one for one in known if one.method == method.name]
        for figure in dict.fromkeys(one.figure for one in of_method):
            cell = [one for one in of_method if one.figure == figure]
            same = [one for one in cell if one.weights == _weights(run)]
            for one in same or cell:
                yield from _beside(one, run, method, row, groups)


def published_table(rows: Sequence[tuple[str, str, Beside]]) -> pl.DataFrame:
    """Return figures with the names of their data set and model as a table, see `PUBLISHED`."""
    dicts = [{"dataset": d, "model": m, **asdict(one)} for d, m, one in rows]
    return pl.DataFrame(dicts, schema={column.name: column.kind for column in PUBLISHED})


def _weights(run: RunRecord) -> str | None:
    """Tag of a run's weights; None if they are random or a file."""
    tag = run.config.document()["model"].get("pretrained")
    return None if run.random_weights or not tag or "/" in tag or "." in tag else str(tag)


def _of_run(run: RunRecord) -> list[Published]:
    """The figures of a run's data set and network."""
    dataset = run.config.dataset
    split = (dataset.get("split") or {}).get("values", [])
    if _weights(run) is None or dataset.get("format") != "benchmark" or split not in _TEST:
        return []
    network = run.config.model.name.replace("/", "-").removesuffix(_SAME_NETWORK)
    cell = dataset["name"], network
    return [one for one in published_figures() if (one.dataset, one.model) == cell]


def _beside(
    one: Published, run: RunRecord, method: MethodRecord, row: Row, groups: Sequence[Row]
) -> Iterator[Beside]:
    """Yield a figure beside the published one, if the run has it."""
    average = one.average or "pooled"
    if one.figure == WORST_GROUP:
        ours, n = row.get("worst_group_accuracy"), row.get("worst_group_n")
    elif one.figure == AVERAGE:
        if row.get(_COLUMN_OF[average]) is None:
            average = "pooled"
        ours, n = row.get(_COLUMN_OF[average]), row.get("n")
    else:
        ours, n = _of_attribute(one.figure, run, method.id, groups)
    if ours is None or not n:
        return
    differs = [*_differences(one, run, method)]
    if one.figure != WORST_GROUP and average != one.average:
        stated = f"theirs {one.average}" if one.average else "theirs is not stated"
        differs.append(f"average: ours pooled, {stated}")
    figure = f"average ({average})" if one.figure == AVERAGE else one.figure
    source = f"{one.source}, second hand" if one.second_hand else one.source
    yield Beside(
        method.id, figure, n, ours, one.share, ours - one.share, "; ".join(differs) or None, source
    )


def _of_attribute(
    name: str, run: RunRecord, method: str, groups: Sequence[Row]
) -> tuple[float | None, int]:
    """Accuracy over all images with an attribute, and their number."""
    those = [
        row
        for row in groups
        if row["method"] == method and run.attributes[row["attribute"]] == name
    ]
    n = sum(row["n"] for row in those)
    return (sum(row["accuracy"] * row["n"] for row in those) / n if n else None), n


def _differences(one: Published, run: RunRecord, method: MethodRecord) -> Iterator[str]:
    """Yield what differs, or is not known to be the same."""
    dataset = run.config.dataset
    if one.weights != _weights(run):
        yield f"weights: ours {_weights(run)}, theirs {one.weights}"
    prompt = _template(method, dataset.get("template"))
    if prompt is not None and prompt != one.prompt:
        stated = f"theirs “{one.prompt}”" if one.prompt else "theirs is not stated"
        yield f"prompt: ours “{prompt}”, {stated}"
    if table := dataset.get("metadata"):
        yield f"labels: ours are those of {table}"
    if dataset.get("classes"):
        yield "class names: ours are given by the configuration"
    if changed := _changed(method):
        yield f"options: ours sets {', '.join(changed)}"


def _template(method: MethodRecord, of_dataset: str | None) -> str | None:
    """Template of a method's prompts; None where it has several, which are options of its own."""
    if "templates" in method.options:
        return None
    return f"{method.options['context']} {{}}." if "context" in method.options else of_dataset


def _changed(method: MethodRecord) -> list[str]:
    """Names of a method's options that are not at their defaults."""
    kind = method_options()[method.name]
    needed = {k for k, field in kind.model_fields.items() if field.is_required()}
    given = {k: value for k, value in method.options.items() if k in needed}
    defaults = kind.model_validate(given).model_dump(mode="json")
    return [k for k, value in method.options.items() if defaults.get(k, value) != value]
