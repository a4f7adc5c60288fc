"""A run's figures beside published ones: what matches, and what is said to differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import polars as pl
import pytest
from random_scores import Scored, build

from seraser_core.config.methods import method_options
from seraser_core.results.comparison import ComparedRun, create_comparison, write_comparison
from seraser_core.results.published import beside_published, published_figures
from seraser_core.results.reading import read_report
from seraser_core.results.summary import aggregate
from seraser_core.sources.benchmarks.registry import BENCHMARKS

BIRDS = {"format": "benchmark", "name": "waterbirds", "path": "/birds"}
TEMPLATE = {"template": "a photo of a {}"}
ZERO_SHOT = {"method": "zero_shot", "accuracy": 0.7, "n": 100, "adjusted_accuracy": 0.8}
WORST = {"worst_group_accuracy": 0.45, "worst_group_n": 30}


def run_of(
    dataset: dict[str, Any],
    model: str = "ViT-B-32-quickgelu",
    weights: str | None = "openai",
    options: dict[str, Any] | None = None,
    method: str = "zero_shot",
    random_weights: bool = False,
    **settings: Any,
) -> Scored:
    run = build(40, 20, **settings)
    config = run.run.config.document()
    config["dataset"], config["model"] = dataset, {"name": model, "pretrained": weights}
    known = {"id": method, "name": method, "options": options or {}, "stateful": False}
    methods = [known] if options is not None else run.run.model_dump()["methods"]
    run.change(config=config, random_weights=random_weights, methods=methods)
    return run


def beside(run: Scored, *rows: dict[str, Any]) -> list[tuple[Any, ...]]:
    found = beside_published(run.run, rows or [ZERO_SHOT | WORST], [])
    return [(one.figure, one.n, one.ours, one.published, one.differs) for one in found]


@pytest.mark.parametrize("name", ["ViT-B/32", "ViT-B-32", "ViT-B-32-quickgelu"])
def test_all_names_of_a_network_match(name):
    both = [
        ("average (pooled)", 100, 0.7, pytest.approx(0.6848), None),
        ("average (pooled)", 100, 0.7, pytest.approx(0.677), None),
        ("worst group", 30, 0.45, pytest.approx(0.4137), None),
        ("worst group", 30, 0.45, pytest.approx(0.4), None),
    ]
    assert beside(run_of(BIRDS | TEMPLATE, name)) == both
    assert beside(run_of(BIRDS | TEMPLATE | {"split": {"values": ["test"]}}, name)) == both


@pytest.mark.parametrize(
    ("dataset", "model"),
    [
        ({}, {"random_weights": True}),
        ({}, {"weights": None}),
        ({}, {"weights": "/models/mine.safetensors"}),
        ({}, {"weights": "mine.pt"}),
        ({}, {"model": "/models/ViT-B-32.json"}),
        ({}, {"model": "ViT-L-14"}),
        ({"name": "pacs"}, {}),
        ({"split": {"values": ["train"]}}, {}),
        ({"format": "folder"}, {}),
    ],
)
def test_what_is_not_known_to_be_the_same_matches_nothing(dataset, model):
    assert beside(run_of(BIRDS | TEMPLATE | dataset, **model)) == []


def test_it_says_what_differs():
    dataset = BIRDS | {"template": "a photo of {}", "classes": ["a bird", "a duck"]}
    dataset["metadata"] = "corrected.csv"
    options = {"steps": 5, "auxiliary": "mask", "lr": 5e-4}
    run = run_of(dataset, weights="laion2b_e16", options=options, method="seraser")
    ((_, _, _, _, differs),) = beside(run, ZERO_SHOT | {"method": "seraser"})
    assert differs == (
        "weights: ours laion2b_e16, theirs openai; "
        "prompt: ours “a photo of {}”, theirs “a photo of a {}”; "
        "labels: ours are those of corrected.csv; "
        "class names: ours are given by the configuration; options: ours sets steps"
    )


def test_an_average_is_compared_with_its_own_kind_or_says_so():
    deer = {"format": "benchmark", "name": "camel_deer", "template": "a photo containing {}"}
    ((figure, _, ours, _, differs),) = beside(run_of(deer), ZERO_SHOT)
    assert (figure, ours) == ("average (pooled)", 0.7)
    assert differs == "average: ours pooled, theirs is not stated"


def test_prompts_of_a_method_are_its_own():
    sketches = {"format": "benchmark", "name": "imagenet-r", **TEMPLATE}
    tpt = run_of(sketches, "ViT-B-16", options={"context": "a photo of a"}, method="tpt")
    assert [one[-1] for one in beside(tpt, ZERO_SHOT | {"method": "tpt"})] == [None, None]
    seven = {"templates": ["a {}", "the {}"]}
    ensemble = run_of(sketches, "ViT-B-16", options=seven, method="ensemble")
    ((*_, differs),) = beside(ensemble, ZERO_SHOT | {"method": "ensemble"})
    assert differs == "options: ours sets templates"


def test_the_figure_of_an_attribute_is_over_all_its_images():
    animals = {"format": "benchmark", "name": "counter_animal", "template": "A photo of {}"}
    run = run_of(animals, "ViT-L/14", attributes=("common", "counter"))
    groups = [
        {"method": "zero_shot", "attribute": a, "n": n, "accuracy": share}
        for a, n, share in [(0, 30, 0.9), (1, 10, 0.5), (0, 10, 0.5), (1, 30, 0.1)]
    ]
    groups.append({"method": "seraser", "attribute": 0, "n": 1000, "accuracy": 0.0})
    found = [*beside_published(run.run, [ZERO_SHOT], groups)]
    assert [(one.figure, one.n, one.ours) for one in found] == [
        ("common", 40, pytest.approx(0.8)),
        ("counter", 40, pytest.approx(0.2)),
    ]
    assert [one.difference for one in found] == pytest.approx([0.8 - 0.8538, 0.2 - 0.7028])


def test_the_table_names_what_there_is():
    for one in published_figures():
        assert one.dataset in {*BENCHMARKS, "imagenet"}
        assert one.method in method_options()
        assert one.weights in open_clip.list_pretrained_tags_by_model(one.model)
        assert 0.2 < one.share < 1
        assert one.source
    cells = [(o.dataset, o.model, o.method, o.figure, o.source) for o in published_figures()]
    assert len({*cells}) == len(cells)


def test_a_comparison_has_them_everywhere(tmp_path, capsys):
    from seraser_core.cli.compare import show_comparison

    run = run_of(BIRDS | TEMPLATE, classes=["landbird", "waterbird"])
    directory = run.create(str(tmp_path))
    run.write(directory)
    aggregate(directory.url)
    url = create_comparison(str(tmp_path), "s", [ComparedRun("birds", "b32", directory.url)])
    tables = write_comparison(url)
    found = tables["published"]
    summary = read_report(directory.url, "summary").to_dicts()
    zero_shot = found.filter(method="zero_shot", figure="average (pooled)")
    assert zero_shot["ours"].unique().to_list() == [summary[0]["accuracy"]]
    assert (found["ours"] - found["published"] - found["difference"]).abs().max() == 0
    files = Path(url, "report")
    assert pl.read_csv(files / "published.csv").height == found.height == 6
    points = f"{100 * found['difference'][0]:+.1f}".replace("-", "−")
    show_comparison(tables, url, json=False)
    shown = capsys.readouterr().out
    shown_in = [files / "comparison.md", files / "comparison.html"]
    shown_in.append(Path(directory.path("report", "report.html")))
    for text in (path.read_text() for path in shown_in):
        assert "SEraser (AAAI 2025), second hand" in text
        assert points in text
    assert points in shown
    show_comparison(tables, url, json=True)
    assert json.loads(capsys.readouterr().out)["published"] == found.to_dicts()
