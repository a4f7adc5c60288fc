"""Reports of runs of random scores, with shortcuts and pictures made by hand."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image
from random_scores import Scored, build

from seraser_core.report.page import make_report
from seraser_core.results.comparison import ComparedRun, create_comparison, write_comparison
from seraser_core.results.counted import CountedRun
from seraser_core.results.disagreements import disagreements
from seraser_core.results.failed_pictures import FailedPicture
from seraser_core.results.status import describe
from seraser_core.results.summary import aggregate, is_audit, merged, unfinished
from seraser_core.results.tables import make_tables
from seraser_core.shortcuts.findings import (
    Detectable,
    Findings,
    HardPlace,
    LabelSplit,
    LatentShortcut,
    Rate,
    Remedy,
    Shortcut,
    Transplant,
)


def trusted(*args: Any, **options: Any) -> Scored:
    """The scores of a run of trained weights, see `build`."""
    run = build(*args, **options)
    run.change(random_weights=False)
    return run


def report_of(
    run: Scored,
    folder: Path,
    *shards: str,
    findings: Findings | None = None,
    pictures: pl.DataFrame | None = None,
    shown: Sequence[FailedPicture] = (),
) -> dict[str, bytes]:
    """Compute some shards of a run, or all, and return the files of its report."""
    directory = run.create(str(folder))
    run.write(directory, *shards)
    counted = CountedRun(directory, directory.states())
    sums = merged([counted])
    tables = make_tables(sums, directory.run)
    if is_audit(tables["summary"]):
        tables["disagreements"] = disagreements([counted])
    status, missing = describe(directory, counted.states), len(unfinished(counted.states))
    return make_report(directory.run, tables, status, missing, sums, findings, pictures, shown)


def comparison_of(folder: Path, labelled: bool = True) -> bytes:
    """Compare two finished runs, one of them without groups, and return the page."""
    methods = ["zero_shot", "seraser", "foreground"]
    runs, nothing = [], [None] * 120
    labels = None if labelled else nothing
    for dataset, places in (("birds of the savanna", None), ("pets", nothing)):
        run = trusted(
            *(120, 60), methods=methods, name=dataset.split()[0], labels=labels, places=places
        )
        directory = run.create(str(folder))
        run.write(directory)
        aggregate(directory.url)
        runs.append(ComparedRun(dataset, "ViT-B-32", directory.url))
    url = create_comparison(str(folder), "study", runs)
    write_comparison(url)
    return Path(url, "report", "comparison.html").read_bytes()


def some_pictures(run: Scored, count: int = 80, side: int = 128) -> pl.DataFrame:
    """Rows of a sample: pictures of noise, which are the largest that there are."""
    rng = np.random.default_rng(1)
    rows = []
    for place in rng.permutation(run.items.num_rows)[:count].tolist():
        item = run.items.slice(place, 1).to_pylist()[0]
        views = {
            name: _noise(3 * place + i, side)
            for i, name in enumerate(("image", "background", "foreground"))
        }
        rows.append(
            {
                "item_id": item["item_id"],
                "key": int(rng.integers(2**63)),
                "label": item["label"],
                "attribute": item["attribute"],
                "whole": run.zero_shot[place].tolist(),
                "background": rng.normal(0, 2, run.zero_shot.shape[1]).tolist(),
                "foreground": rng.normal(0, 2, run.zero_shot.shape[1]).tolist(),
                "erased": run.logits["seraser"][place].tolist(),
                **{f"{name}_webp": data for name, data in views.items()},
            }
        )
    return pl.DataFrame(rows, schema_overrides={"key": pl.UInt64}, infer_schema_length=None)


def some_failed(run: Scored, side: int = 128) -> list[FailedPicture]:
    """Pictures of the images of a run that failed."""
    names = run.items["item_id"].to_pylist()
    return [
        FailedPicture(
            key=place,
            item_index=place,
            item_id=names[place],
            code=error.code,
            message=error.message,
            webp=base64.b64encode(_noise(place, side)).decode(),
        )
        for place, error in run.errors.items()
    ]


@cache
def _noise(seed: int, side: int) -> bytes:
    data = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "WEBP", quality=80)
    return data.getvalue()


def some_findings(examples: list[str] | None = None) -> Findings:
    """Findings of every kind."""
    split = LabelSplit(
        tpr_inside=Rate.of(60, 60),
        tpr_outside=Rate.of(15, 60),
        fpr_inside=Rate.of(58, 60),
        fpr_outside=Rate.of(0, 60),
        verdict="shortcut",
    )
    place = {"words": ["desert", "sand"], "class_index": 0, "class_name": "a camel", "images": 121}
    place["cluster"] = 0
    tested = {
        "decided": Rate.of(58, 115),
        "others": Rate.of(58, 60),
        "pull": 0.78,
        "pull_low": 0.71,
        "p": 0.001,
        "q": 0.002,
    }
    shortcut = Shortcut(
        **place,
        **tested,
        conflicts=60,
        voice=0.64,
        cure=0.55,
        labels=split,
        examples=examples or [],
        transplant=Transplant(here=Rate.of(88, 100), elsewhere=Rate.of(3, 100)),
    )
    return Findings(
        sampled=480,
        used=472,
        region="mask",
        eraser="seraser",
        shortcuts=[shortcut],
        latent=[LatentShortcut(**place, voice=0.8, conflicts=3)],
        hard=[HardPlace(**place, labels=split.model_copy(update={"verdict": "merely hard"}))],
        detectable=[Detectable(words=["desert"], tested=60, conflicts=60, share=0.05)],
        remedies=[Remedy(method="group_prompt", reason="It names the place.", config="methods: x")],
    )
