"""The commands in the order of the help: the task that each belongs to, and examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seraser_core.cli import (
    compare,
    datasets,
    demo,
    doctor,
    init,
    masks,
    methods,
    models,
    options,
    plan,
    repair,
    report,
    retry_errors,
    run,
    runs,
    shortcuts,
    status,
    up,
    verify,
    work,
)

START, RUN, RESULTS = "Start", "Run", "Results"
SERIES, LOOK_UP = "Series and fleets", "Look up"


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        task: Panel of the help.
        do: Function that does it; its docstring is the help.
        examples: Whole command lines, shown in its help.
    """

    task: str
    do: Callable[..., Any]
    examples: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the name of the command."""
        return self.do.__name__.replace("_", "-")

    @property
    def epilog(self) -> str:
        """Return the end of its help."""
        lines = "\n".join(f"  {line}" for line in self.examples)
        return f"Examples:\n{lines}".replace("[", r"\[")  # brackets are no markup


COMMANDS = (
    Command(START, demo.demo, ("seraser demo", "seraser demo --no-prefect --output /tmp/demo")),
    Command(
        START,
        init.init,
        ("seraser init photos/ -o birds.yaml", "seraser init data/birds --benchmark waterbirds"),
    ),
    Command(
        START,
        plan.plan,
        ("seraser plan birds.yaml --check-files", "seraser plan birds.yaml --no-model"),
    ),
    Command(
        RUN,
        run.run,
        (
            "seraser run birds.yaml",
            "seraser run birds.yaml --set 'methods=[zero_shot, tpt]' --no-prefect",
        ),
    ),
    Command(
        RUN,
        compare.compare,
        ("seraser compare birds.yaml faces.yaml", "seraser compare grid.yaml --json"),
    ),
    Command(
        RUN,
        retry_errors.retry_errors,
        (
            "seraser retry-errors runs/birds-0a1b2c3d4e5f",
            "seraser retry-errors runs/birds-0a1b2c3d4e5f --code missing",
        ),
    ),
    Command(
        RUN,
        masks.masks,
        ("seraser masks birds.yaml", "seraser masks birds.yaml --kind segment"),
    ),
    Command(
        RESULTS,
        status.status,
        (
            "seraser status runs/birds-0a1b2c3d4e5f",
            "seraser status runs/birds-0a1b2c3d4e5f --watch 10",
        ),
    ),
    Command(RESULTS, runs.runs, ("seraser runs", "seraser runs s3://bucket/runs --json")),
    Command(
        RESULTS,
        report.report,
        (
            "seraser report runs/birds-0a1b2c3d4e5f --open",
            "seraser report runs/birds-0a1b2c3d4e5f runs/birds-9f8e7d6c5b4a --md",
        ),
    ),
    Command(
        RESULTS,
        shortcuts.shortcuts,
        (
            "seraser shortcuts runs/birds-0a1b2c3d4e5f",
            "seraser shortcuts runs/birds-0a1b2c3d4e5f --confirm",
        ),
    ),
    Command(
        RESULTS,
        verify.verify,
        (
            "seraser verify runs/birds-0a1b2c3d4e5f",
            "seraser verify s3://bucket/runs/birds-0a1b2c3d4e5f --deep",
        ),
    ),
    Command(RESULTS, repair.repair, ("seraser repair runs/birds-0a1b2c3d4e5f",)),
    Command(
        SERIES,
        work.work,
        (
            "seraser work s3://bucket/runs/birds-0a1b2c3d4e5f",
            "seraser work s3://bucket/runs/birds-0a1b2c3d4e5f --part 3/8",
        ),
    ),
    Command(SERIES, up.up, ("seraser up", "seraser up --port 4300 --limit 2")),
    Command(LOOK_UP, doctor.doctor, ("seraser doctor", "seraser doctor --md")),
    Command(
        LOOK_UP,
        options.options,
        (
            "seraser options methods.seraser",
            "seraser options --schema",
        ),
    ),
    Command(LOOK_UP, methods.methods, ("seraser methods", "seraser methods seraser")),
    Command(LOOK_UP, models.models, ("seraser models", "seraser models --all --json")),
    Command(LOOK_UP, datasets.datasets, ("seraser datasets", "seraser datasets waterbirds")),
    Command(
        LOOK_UP,
        datasets.check,
        (
            "seraser check waterbirds data/waterbirds",
            "seraser check waterbirds data/waterbirds --split test --quick",
        ),
    ),
)
"""All commands."""
