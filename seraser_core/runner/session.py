"""What one process needs to compute shards of a run, made once and kept between shards."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from seraser_core.config import RunConfig, parse_config
from seraser_core.config.options import SeraserOptions
from seraser_core.errors import RunDirectoryError
from seraser_core.methods import Method, Setting, build_method
from seraser_core.models.engine import build_engine
from seraser_core.models.loading import ClipModel, get_model
from seraser_core.results.run_directory import RunDirectory
from seraser_core.runner.plan import build_run_prompts


@dataclass(frozen=True)
class Session:
    """A run, opened for computing.

    Attributes:
        directory: The run directory.
        run: Its run.json.
        settings: Method id -> what that method shares over all images (methods that tune
            different numbers of context tokens have engines of their own).
        batch_sizes: Stage of the work -> images at once; halved where memory ran out, and kept
            for the rest of the process.
        views: Names of all views that any method needs; ``image`` is always among them.
    """

    directory: RunDirectory
    run: dict[str, Any]
    config: RunConfig
    model: ClipModel
    methods: list[Method]
    settings: dict[str, Setting]
    zero_shot: Setting
    views: tuple[str, ...]
    batch_sizes: dict[str, int] = field(default_factory=dict)


_cache: dict[tuple[str, str], Session] = {}
_lock = threading.Lock()


def open_session(run_url: str) -> Session:
    """The session of a run; the last one is kept, so a worker loads its model once.

    Raises:
        RunDirectoryError: There is no run, or its weights are not those it was planned with.
    """
    directory = RunDirectory(run_url)
    run = directory.run()
    key = (directory.url, run["fingerprint"])
    with _lock:
        if key not in _cache:
            _cache.clear()
            _cache[key] = _open(directory, run)
        return _cache[key]


def _open(directory: RunDirectory, run: dict[str, Any]) -> Session:
    config = parse_config(run["config"])
    planned = run["fingerprint_inputs"]
    # The plan decided the precision; a worker with another device must not change it.
    model = get_model(config.model.model_copy(update={"precision": planned["precision"]}))
    if model.weights_hash != planned["weights"]:
        raise RunDirectoryError(
            f"{directory.url}: planned with weights {planned['weights'][:12]}, but "
            f"{config.model.pretrained} now holds {model.weights_hash[:12]}; plan a new run"
        )
    prompts = build_run_prompts(config, run["classes"], model)
    engines = {
        count: build_engine(model, prompts, count)
        for count in sorted(
            {m.context_tokens for m in config.methods if isinstance(m, SeraserOptions)} or {1}
        )
    }
    settings = {
        count: Setting(engine, engine.base_features, model.black_feature, model.logit_scale)
        for count, engine in engines.items()
    }
    untuned = next(iter(settings.values()))
    methods = [build_method(options) for options in config.methods]
    return Session(
        directory=directory,
        run=run,
        config=config,
        model=model,
        methods=methods,
        settings={
            m.id: settings[m.context_tokens] if isinstance(m, SeraserOptions) else untuned
            for m in config.methods
        },
        zero_shot=untuned,
        views=tuple(dict.fromkeys(["image", *(v for m in methods for v in m.views)])),
    )
