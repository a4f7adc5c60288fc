"""Planning a run: list the source, check everything that can be checked, make the run directory."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from seraser_core import storage
from seraser_core.config.options import RunConfig
from seraser_core.engines.base import Engine
from seraser_core.engines.threads import ThreadEngine
from seraser_core.errors import ConfigError
from seraser_core.models.early import check_model
from seraser_core.results.fingerprints import fingerprint, plan_hash
from seraser_core.results.records import (
    ConfigRecord,
    FingerprintInputs,
    MethodRecord,
    Plan,
    RunRecord,
)
from seraser_core.results.series import described_run
from seraser_core.results.shards import RunDirectory, opened
from seraser_core.runner.foregrounds import check_foregrounds
from seraser_core.runner.identify import RANDOM, Identified, identify
from seraser_core.runner.pools import plan_pools
from seraser_core.sources.items import PLANNER_VERSION
from seraser_core.sources.planner import PlannedItems, plan_items
from seraser_core.waiting import waiting

logger = logging.getLogger(__name__)
ALGORITHM_VERSION = 4
DEFAULT_TEMPLATE = "a photo of {}"
_WARNING = "WARNING: "
_UNCONDITIONAL = (
    "WARNING: the storage of {} cannot create a file on the condition that there is none: "
    "let no two workers compute the same shard, or the rows of the last one count"
)
NOTHING_NEW = "series {}: none of the images is new"
_PACKAGES = ("seraser", "torch", "open_clip_torch", "pillow", "numpy", "pyarrow", "polars")


@dataclass(frozen=True)
class Prepared:
    """A run of which all is checked that needs no model.

    Attributes:
        config: The run, with its template.
        planned: Its images.
        hashed: Hash of the plan.
        command: See `RunRecord`.
        pools: Id of a method -> images of another split, see `plan_pools`.
    """

    config: RunConfig
    planned: PlannedItems
    hashed: str
    command: str = ""
    pools: Mapping[str, pa.Table] = field(default_factory=dict)


def plan_run(
    config: RunConfig,
    report: Callable[[str], None] | None = None,
    engine: Engine | None = None,
    command: str = "",
) -> str:
    """Plan `config` and create its run directory, or find the one it already has.

    Args:
        config: What to run.
        report: Called with one line of text per finished step.
        engine: Where its shards will be computed: there, the model is loaded. This process when
            None.
        command: How it was started, see `RunRecord`.

    Returns:
        URL of the run directory; of the series where the configuration is one's.

    Raises:
        ConfigError: The data set, the model or the methods cannot be used as configured.
        RunDirectoryError: The directory belongs to another configuration.
    """
    prepared = prepare_run(config, report, command=command)
    finished = find_finished(prepared, report)
    if finished is not None:
        return finished
    return (engine or ThreadEngine()).call(complete, prepared, report or _log)


def prepare_run(
    config: RunConfig,
    report: Callable[[str], None] | None = None,
    model: bool = True,
    command: str = "",
) -> Prepared:
    """Check all that needs no model, and so does not wait for one: output, data set, classes.

    Args:
        config: What to run.
        report: As of `plan_run`.
        model: Whether the files of the model must be there.
        command: As of `plan_run`.

    Raises:
        ConfigError: The data set cannot be used as configured, or nothing can be written.
    """
    say = report or _log
    check_output(config.output)
    with waiting("looking for the model"):
        check_model(config.model, files=model)
    with waiting(f"listing {config.dataset.path}"):
        planned = plan_items(config, say)
        hashed = plan_hash(planned.table, planned.shards)
        pools = plan_pools(config)
    for method, pool in pools.items():
        say(f"{method}: its pool has {pool.num_rows} images of another split")
    return Prepared(with_template(config, planned.template), planned, hashed, command, pools)


def find_finished(prepared: Prepared, report: Callable[[str], None] | None = None) -> str | None:
    """The finished run that `complete` would find, if it is sure that nothing has changed.

    It is found without loading the model, and takes on options that change no prediction. Of a
    series, all nights are finished, and none of the images is new.

    Args:
        prepared: The run.
        report: As of `plan_run`.

    Returns:
        URL of the run directory, or of the series.
    """
    from seraser_core.runner.recalled import recall

    with waiting("looking for a finished run"):
        url = recall(prepared)
    if url is None:
        return None
    run, planned = described_run(url), prepared.planned
    if (run.train_counts, run.labels) != (planned.train_counts, planned.labels):
        return None  # its report is to be made again
    if run.random_weights:
        (report or _log)(RANDOM.format(prepared.config.model.name))
    if prepared.config.series is not None:
        (report or _log)(NOTHING_NEW.format(run.run_id))
        return url
    _create(
        url,
        run.model_copy(update={"config": _config(prepared.config)}),
        prepared,
    )
    _say_planned(run.run_id, prepared, report)
    return url


def complete(prepared: Prepared, report: Callable[[str], None] | None = None) -> str:
    """Load the model of a prepared run, check what needs it and create the run directory.

    Of a series, that is the directory of a run of the images that are new, if there are any.

    Args:
        prepared: The run.
        report: As of `plan_run`.

    Returns:
        URL of the run directory, or of the series.

    Raises:
        ConfigError: The model or the methods cannot be used as configured.
        RunDirectoryError: The directory belongs to another configuration.
    """
    from seraser_core.runner.recalled import model_marks, remember

    say, config = report or _log, prepared.config
    before = model_marks(config)
    if config.series is not None:
        from seraser_core.runner.series import plan_night

        url = plan_night(prepared, config.series, say)
    else:
        with waiting("looking at some masks and boxes"):
            check_foregrounds(config, prepared.planned.table, say)
        url = create_run(prepared, identify(prepared, say), config.output, say)
    remember(prepared, url, before)
    return url


def create_run(
    prepared: Prepared, identified: Identified, output: str, say: Callable[[str], None]
) -> str:
    """Create the directory of a prepared run, or find it.

    Args:
        prepared: The run.
        identified: What it is made of beside its images.
        output: Folder or URL under which it is made.
        say: As of `identify`.

    Returns:
        Its URL.

    Raises:
        RunDirectoryError: It belongs to another configuration.
    """
    config, run = prepared.config, describe_run(prepared, identified)
    if not storage.honours_create(config.output):
        say(_UNCONDITIONAL.format(config.output))
    url = storage.join(output, run.run_id)
    directory = _create(url, run, prepared)
    _say_planned(run.run_id, prepared, say)
    return directory.url


def describe_run(prepared: Prepared, identified: Identified) -> RunRecord:
    """Return the run.json of a prepared run."""
    config, planned = prepared.config, prepared.planned
    inputs = identified.inputs | {"plan": prepared.hashed}
    mark = fingerprint(inputs)
    return RunRecord(
        run_id=f"{config.name}-{mark[:12]}",
        name=config.name,
        fingerprint=mark,
        fingerprint_inputs=FingerprintInputs(**inputs),
        plan_hash=prepared.hashed,
        config=_config(config),
        classes=planned.classes,
        labels=planned.labels,
        attributes=planned.attributes,
        train_counts=planned.train_counts,
        prompts=identified.prompts,
        methods=[MethodRecord(**method) for method in inputs["methods"]],
        random_weights=identified.random_weights,
        versions={name: importlib.metadata.version(name) for name in _PACKAGES}
        | {"python": platform.python_version()},
        device=identified.device,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=prepared.command,
    )


def resume(directory: RunDirectory, prepared: Prepared) -> None:
    """Have a run take on what a configuration of the same fingerprint says beside it."""
    planned = prepared.planned
    told = {
        "config": _config(prepared.config),
        "labels": planned.labels,
        "train_counts": planned.train_counts,
    }
    opened.cache_clear()
    directory.take_on(directory.run.model_copy(update=told))


def _log(line: str) -> None:
    warning = line.startswith(_WARNING)
    logger.log(logging.WARNING if warning else logging.INFO, line.removeprefix(_WARNING))


def _create(url: str, run: RunRecord, prepared: Prepared) -> RunDirectory:
    opened.cache_clear()  # what this process knew of it may be otherwise now
    items, plan = prepared.planned.table, _plan(prepared)
    return RunDirectory.create(url, run, items, plan, prepared.pools)


def _config(config: RunConfig) -> ConfigRecord:
    return ConfigRecord(**config.model_dump(mode="json", exclude={"execution", "series"}))


def _plan(prepared: Prepared) -> Plan:
    return Plan(
        planner_version=PLANNER_VERSION,
        source=prepared.planned.source,
        limits=prepared.config.shard.model_dump(mode="json"),
        shards=prepared.planned.shards,
    )


def _say_planned(
    run_id: str, prepared: Prepared, report: Callable[[str], None] | None = None
) -> None:
    shards = len(prepared.planned.shards)
    (report or _log)(
        f"run {run_id}: {prepared.planned.table.num_rows} images in {shards} "
        f"shard{'s' if shards > 1 else ''}"
    )


def with_template(config: RunConfig, template: str | None) -> RunConfig:
    """The run with its data set's own template, or the default one, where it names none."""
    if config.dataset.template is not None:
        return config
    template = template or DEFAULT_TEMPLATE
    return config.model_copy(
        update={"dataset": config.dataset.model_copy(update={"template": template})}
    )


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
