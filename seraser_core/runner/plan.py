"""Planning a run: list the source, check everything that can be checked, make the run directory."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import PIL
import torch

from seraser_core import storage
from seraser_core.config.options import RunConfig
from seraser_core.errors import ConfigError
from seraser_core.methods import check_method, is_stateful
from seraser_core.models.loading import ClipModel, get_model
from seraser_core.models.prompts import Prompts, build_prompts
from seraser_core.results.fingerprints import fingerprint, plan_hash
from seraser_core.results.run_directory import RunDirectory
from seraser_core.runner.segmenting import get_segmenter
from seraser_core.sources.items import PLANNER_VERSION
from seraser_core.sources.planner import plan_items

logger = logging.getLogger(__name__)
ALGORITHM_VERSION = 2
DEFAULT_TEMPLATE = "a photo of {}"
_PACKAGES = ("seraser", "torch", "open_clip_torch", "pillow", "numpy", "pyarrow", "polars")


def plan_run(config: RunConfig, report: Callable[[str], None] | None = None) -> str:
    """Plan `config` and create its run directory, or find the one it already has.

    Args:
        config: What to run.
        report: Called with one line of text per finished step.

    Returns:
        URL of the run directory.

    Raises:
        ConfigError: The data set, the model or the methods cannot be used as configured.
        RunDirectoryError: The directory belongs to another configuration.
    """
    say = report or logger.info
    check_output(config.output)
    planned = plan_items(config, say)
    config = with_template(config, planned.template)
    model = get_model(config.model)
    prompts = build_run_prompts(config, planned.classes, model)
    say(
        f"model {config.model.name}: {model.precision} on {model.device}, "
        f"weights {model.weights_hash[:12]}"
    )
    if model.random:
        (report or logger.warning)(
            f"WARNING: model.pretrained is null: {config.model.name} has RANDOM WEIGHTS. Its "
            "predictions mean nothing; use this only to try the pipeline."
        )
    for method in config.methods:
        check_method(method, prompts, model)
    hashed = plan_hash(planned.table, planned.shards)
    inputs = fingerprint_inputs(config, planned.classes, planned.attributes, prompts, model, hashed)
    mark = fingerprint(inputs)
    run_id = f"{config.name}-{mark[:12]}"
    directory = RunDirectory.create(
        storage.join(config.output, run_id),
        {
            "run_id": run_id,
            "name": config.name,
            "fingerprint": mark,
            "fingerprint_inputs": inputs,
            "plan_hash": hashed,
            "config": config.model_dump(mode="json"),
            "classes": planned.classes,
            "attributes": planned.attributes,
            "train_counts": planned.train_counts,
            "prompts": prompts.texts,
            "methods": inputs["methods"],
            "random_weights": model.random,
            "versions": {name: importlib.metadata.version(name) for name in _PACKAGES}
            | {"python": platform.python_version()},
            "device": describe_device(model.device),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        planned.table,
        {
            "planner_version": PLANNER_VERSION,
            "source": planned.source,
            "limits": config.shard.model_dump(mode="json"),
            "shards": [
                {"id": shard.id, "start": shard.start, "stop": shard.stop}
                for shard in planned.shards
            ],
        },
    )
    shards = f"{len(planned.shards)} shard{'s' if len(planned.shards) > 1 else ''}"
    say(f"run {run_id}: {planned.table.num_rows} images in {shards}")
    return directory.url


def build_run_prompts(config: RunConfig, classes: list[str], model: ClipModel) -> Prompts:
    """The prompts of the run's classes, tokenised for `model`."""
    template = config.dataset.template or DEFAULT_TEMPLATE
    return build_prompts(classes, template, model.tokenizer, model.context_length)


def with_template(config: RunConfig, template: str | None) -> RunConfig:
    """The run with its data set's own template, or the default one, where it names none."""
    if config.dataset.template is not None:
        return config
    template = template or DEFAULT_TEMPLATE
    return config.model_copy(
        update={"dataset": config.dataset.model_copy(update={"template": template})}
    )


def fingerprint_inputs(
    config: RunConfig,
    classes: list[str],
    attributes: list[str],
    prompts: Prompts,
    model: ClipModel,
    hashed: str,
) -> dict[str, Any]:
    """All that can change a row, and nothing else; `hashed` is the hash of the plan."""
    return {
        "algorithm": ALGORITHM_VERSION,
        "plan": hashed,
        "architecture": model.architecture,
        "weights": model.weights_hash,
        "classes": classes,
        "attributes": attributes,
        "prompts": prompts.texts,
        "methods": [
            {
                "id": method.id,
                "name": method.name,
                "options": method.model_dump(mode="json", exclude={"id", "name"}),
                "stateful": is_stateful(method),
            }
            for method in config.methods
        ],
        "precision": model.precision,
        "preprocessing": model.preprocessing.describe(),
        "decoder": f"pillow {PIL.__version__}, {config.dataset.decode}",
        "limits": config.dataset.limits.model_dump(mode="json"),
        "auxiliary": _auxiliary_inputs(config, classes, model),
        "seed": config.seed,
        "save_logits": config.save_logits,
        "save_masks": config.save_masks,
    }


def _auxiliary_inputs(
    config: RunConfig, classes: list[str], model: ClipModel
) -> dict[str, dict[str, Any]]:
    """What decides the masks that the run makes."""
    inputs = {}
    if config.uses_auxiliary("relevance"):
        inputs["relevance"] = config.relevance.model_dump(mode="json")
    if config.uses_auxiliary("segment"):
        segmenter = get_segmenter(config.segment, classes, model.device)
        thresholds = config.segment.model_dump(mode="json", exclude={"detector", "segmenter"})
        inputs["segment"] = thresholds | segmenter.identity
    return inputs


def describe_device(device: torch.device) -> dict[str, Any]:
    """The machine and device that work is done on, for the record."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "type": device.type,
        "name": name or platform.machine(),
        "threads": torch.get_num_threads(),
        "host": platform.node(),
    }


def check_output(url: str) -> None:
    """Write and remove a small file under `url`.

    Raises:
        ConfigError: Nothing can be written there.
    """
    probe = storage.join(url, ".seraser-write-check")
    try:
        storage.write_bytes(probe, b"")
        storage.delete(probe)
    except Exception as error:  # every file system has exceptions of its own
        raise ConfigError(
            "output",
            url,
            f"nothing can be written there ({type(error).__name__}: {error}); check that the "
            "folder or bucket exists and the credentials in the environment",
        ) from error
