"""The inputs of a run beside its images: the model, the prompts, the methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seraser_core.results.fingerprints import pool_hashes
from seraser_core.waiting import importing, waiting

if TYPE_CHECKING:
    from seraser_core.models.clip_model import ClipModel
    from seraser_core.runner.plan import Prepared

RANDOM = (
    "WARNING: model.pretrained is null: {} has RANDOM WEIGHTS. Its predictions mean nothing; use "
    "this only to try the pipeline."
)


@dataclass(frozen=True)
class Identified:
    """The inputs of a run beside its images.

    Attributes:
        inputs: All that can change a row, see `fingerprint_inputs`.
        prompts: One per class.
        random_weights: Whether those of the model are.
        device: On which it was loaded.
    """

    inputs: dict[str, Any]
    prompts: list[str]
    random_weights: bool
    device: dict[str, str | int]


def identify(
    prepared: Prepared, say: Callable[[str], None], model: ClipModel | None = None
) -> Identified:
    """Load the model of a prepared run, and check what needs it.

    Args:
        prepared: The run.
        say: Called with one line of text per finished step.
        model: Its model; loaded when None.

    Raises:
        ConfigError: The model or the methods cannot be used as configured.
    """
    config, planned = prepared.config, prepared.planned
    with importing("PyTorch", "torch"):  # a typo in a column is told before
        from seraser_core.methods import method_class
        from seraser_core.models.clip_model import get_model
        from seraser_core.runner.inputs import (
            build_run_prompts,
            describe_device,
            fingerprint_inputs,
        )
    if model is None:
        with waiting(f"loading the model {config.model.name}"):
            model = get_model(config.model)
    prompts = build_run_prompts(config, planned.classes, model)
    say(
        f"model {config.model.name}: {model.precision} on {model.device}, "
        f"weights {model.weights_hash[:12]}"
    )
    if model.random:
        say(RANDOM.format(config.model.name))
    for method in config.methods:
        method_class(method).check(method, prompts, model)
    return Identified(
        fingerprint_inputs(
            config,
            planned.classes,
            planned.attributes,
            prompts,
            model,
            prepared.hashed,
            pool_hashes(prepared.pools),
        ),
        prompts.texts,
        model.random,
        describe_device(model.device),
    )
