"""Runs of random scores: without pictures and without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from seraser_core.errors import ItemError
from seraser_core.results.counting import shard_sums
from seraser_core.results.fingerprints import fingerprint, plan_hash
from seraser_core.results.outcomes import MethodOutcome, reduce_scores
from seraser_core.results.picture_sums import PictureSums
from seraser_core.results.records import Computed, Plan, RunRecord, Timings
from seraser_core.results.rows import build_table
from seraser_core.results.shards import RunDirectory
from seraser_core.results.sums import MethodSums
from seraser_core.sources.items import ITEMS_SCHEMA, ShardRange

CLASSES = ["a camel", "a deer", "a red-billed oxpecker", "an élan", "a fox", "a gnu", "a hare"]
METHODS = ["zero_shot", "seraser"]


@dataclass
class Scored:
    """Planned images and the scores that every method gave them.

    Attributes:
        items: One row per image.
        logits: Method -> (n, C).
        zero_shot: (n, C).
        errors: item_index -> why the image failed.
        run: run.json.
        shards: Ranges of the items.
    """

    items: pa.Table
    logits: dict[str, np.ndarray]
    zero_shot: np.ndarray
    errors: dict[int, ItemError]
    shards: list[ShardRange]
    run: RunRecord

    def outcomes(self, places: Sequence[int]) -> list[MethodOutcome]:
        """Return what the methods found for those images at `places` that did not fail."""
        good = [i for i in places if i not in self.errors]
        return [
            reduce_scores(
                name,
                logits[good],
                self.zero_shot[good],
                [self.items["label"][i].as_py() for i in good],
                self.run.config.save_logits,
                loss_first=None if name == "zero_shot" else np.float32(2) + logits[good, 0],
                loss_last=None if name == "zero_shot" else logits[good, 0],
                steps=None if name == "zero_shot" else 20,
            )
            for name, logits in self.logits.items()
        ]

    def predictions(self, places: Sequence[int]) -> pa.Table:
        """The rows of the images at `places`, which must rise."""
        good = np.array([i for i in places if i not in self.errors], dtype=np.int64)
        errors = {i: self.errors[i] for i in places if i in self.errors}
        items = self.items.take(pa.array(places, pa.int64()))
        return build_table(self.run, items, good, self.outcomes(places), errors)

    def sums(self, places: Sequence[int]) -> dict[str, MethodSums]:
        """Sum every method's rows of the images at `places`."""
        return shard_sums(self.predictions(places), self.outcomes(places))

    def create(self, output: str) -> RunDirectory:
        """Plan the run in the folder `output`."""
        return RunDirectory.create(f"{output}/{self.run.run_id}", self.run, self.items, self.plan)

    def change(self, **values: Any) -> None:
        """Change what run.json says."""
        self.run = RunRecord.model_validate(self.run.model_dump() | values)

    @property
    def plan(self) -> Plan:
        """plan/plan.json."""
        source = {"kind": "table"}
        return Plan(planner_version=1, source=source, limits={}, shards=self.shards)

    def write(self, directory: RunDirectory, *shard_ids: str) -> None:
        """Compute and commit some shards, or all."""
        for number, shard in enumerate(self.shards):
            if shard_ids and shard.id not in shard_ids:
                continue
            places = range(shard.start, shard.stop)
            rows, before = self.predictions(places), directory.state(shard.id)
            directory.write_shard(shard.id, rows, self.computed(places, number), before)

    def computed(self, places: Sequence[int], number: int = 0) -> Computed:
        """Sums and timings of the images at `places` of a shard."""
        return Computed(
            images=len(places),
            methods=self.sums(places),
            pictures=PictureSums(images=len(places)),
            timings=timings(len(places), *self.logits),
            host="here",
            process="1 since then",
            started=1e9 + 10 * number,
        )


def timings(images: int, *methods: str) -> Timings:
    """Timings of a shard."""
    return Timings(
        images=images,
        wall_s=4.0,
        load_s=0.5,
        data_wait_s=1.0,
        model_s=2.0,
        rows_s=0.25,
        encode_s=1.25,
        fetch_wait_s=0.25,
        decode_wait_s=0.75,
        masks_s=0.0,
        parallel_shards=1,
        fetch_s=0.75,
        decode_s=1.5,
        methods=dict.fromkeys(methods, 1.0),
        views=dict.fromkeys(methods, 0.5),
        batch_size=8,
        device={"type": "cpu", "name": "x86_64", "threads": 2, "host": "here"},
    )


def build(
    count: int = 13,
    shard_size: int = 5,
    *,
    seed: int = 0,
    classes: Sequence[str] = CLASSES,
    attributes: Sequence[str] = ("land", "water"),
    methods: Sequence[str] = METHODS,
    labels: Sequence[int | None] | None = None,
    places: Sequence[int | None] | None = None,
    failed: Sequence[int] = (2,),
    name: str = "small",
    **settings: Any,
) -> Scored:
    """Random scores of `count` images.

    Args:
        count: Images.
        shard_size: Images of a shard.
        seed: Of labels, attributes and scores.
        classes: Names of the classes.
        attributes: Names of the attributes.
        methods: Ids of the methods.
        labels: Of the images; random when None.
        places: Attributes of the images; random when None.
        failed: Images that could not be decoded.
        name: Of the run.
        settings: Inputs of the fingerprint to change.
    """
    rng = np.random.default_rng(seed)
    if labels is None:
        labels = rng.integers(0, len(classes), count).tolist()
    if places is None:
        places = rng.integers(0, 2, count).tolist()
    items = pa.Table.from_pylist(
        [
            {
                "item_index": i,
                "item_id": f"item é {i:04}",
                "image": f"/pictures/{i}.png",
                "label": labels[i],
                "attribute": places[i],
                "mask": None if i % 2 else f"/masks/{i}.png",
                "box": None if i % 3 else [0.0, 0.1, 7.5, 1 / 3],
                "size": 1000 + i,
            }
            for i in range(count)
        ],
        schema=ITEMS_SCHEMA,
    )
    starts = range(0, count, shard_size)
    shards = [
        ShardRange(f"{number:05}", start, min(count, start + shard_size))
        for number, start in enumerate(starts)
    ]
    zero_shot = rng.normal(0, 2, (count, len(classes))).astype(np.float32)
    logits = {
        method: zero_shot + (rng.normal(0, 1.5, zero_shot.shape).astype(np.float32) if i else 0)
        for i, method in enumerate(methods)
    }
    errors = {i: ItemError("decode", "undecodable", f"picture {i} is cut off") for i in failed}
    inputs = {
        "algorithm": 1,
        "plan": plan_hash(items, shards),
        "architecture": "tiny",
        "weights": "0123456789abcdef" * 4,
        "classes": list(classes),
        "attributes": list(attributes),
        "prompts": [f"a photo of {name}" for name in classes],
        "methods": [{"id": m, "name": m, "options": {}, "stateful": False} for m in methods],
        "precision": "fp32",
        "seed": 0,
        "save_logits": False,
        **settings,
    }
    mark = fingerprint(inputs)
    run = RunRecord.model_validate(
        {
            "run_id": f"{name}-{mark[:12]}",
            "name": name,
            "fingerprint": mark,
            "fingerprint_inputs": inputs,
            "plan_hash": inputs["plan"],
            "config": {
                "dataset": {"path": "/pictures"},
                "model": {"name": "tiny"},
                "methods": [{"id": m, "name": m} for m in methods],
                "runtime": {"retries": 3, "parallel_shards": 1},
                "save_logits": inputs["save_logits"],
                "seed": inputs["seed"],
            },
            "classes": inputs["classes"],
            "attributes": inputs["attributes"],
            "prompts": inputs["prompts"],
            "methods": inputs["methods"],
            "random_weights": True,
            "created": "2024-05-06T07:08:09+00:00",
        }
    )
    return Scored(items, logits, zero_shot, errors, shards, run)
