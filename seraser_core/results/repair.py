"""Choice of the parts of a damaged run that are to be made again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from seraser_core.errors import RunDirectoryError
from seraser_core.results.problems import Problem, VerifyReport
from seraser_core.results.shards import RunDirectory
from seraser_core.results.states import Done

_PLANNED = ("run.json", "plan/")


@dataclass(frozen=True)
class Repair:
    """Parts of a run that are to be made again.

    Attributes:
        shards: Id of a shard to mend -> paths of its wrong files, in order.
        report: Whether RUN/report is to be written.
        left: Problems that nothing here can mend.
    """

    shards: dict[str, set[str]]
    report: bool
    left: list[Problem]


def plan_repair(report: VerifyReport) -> Repair:
    """Choose what mends the problems that `verify` found.

    Raises:
        RunDirectoryError: The run or its plan is damaged, so that nothing else can be judged.
    """
    damaged = [problem for problem in report.problems if problem.file.startswith(_PLANNED)]
    if damaged:
        files = list(dict.fromkeys(problem.file for problem in damaged))
        raise RunDirectoryError(
            "\n".join(map(str, damaged))
            + f"\nnothing was repaired: what belongs in {report.run} is not known for sure",
            "delete "
            + " and ".join(f"{report.run}/{file}" for file in files)
            + ", and run the same configuration again: it writes them, and keeps the shards that "
            "are right",
        )
    shards: defaultdict[str, set[str]] = defaultdict(set)
    for problem in report.problems:
        if problem.shard is not None:
            shards[problem.shard].add(problem.file)
    others = [problem for problem in report.problems if problem.shard is None]
    return Repair(
        shards={name: shards[name] for name in sorted(shards)},
        report=bool(shards) or any(_of_report(problem) for problem in others),
        left=[problem for problem in others if not _of_report(problem)],
    )


def _of_report(problem: Problem) -> bool:
    return problem.file.startswith("report/")


def mend(run_url: str, shards: Mapping[str, set[str]]) -> list[str]:
    """Restore the rows of wrong shards that are whole elsewhere, and ask for all others anew.

    Args:
        run_url: The run directory.
        shards: As of `Repair`.

    Returns:
        Ids of the shards that whoever runs the run computes again.
    """
    directory = RunDirectory(run_url)
    states = {name: directory.state(name, deep=True) for name in shards}
    directory.restore(states)
    again = [
        name
        for name, state in states.items()
        if not isinstance(state, Done) or shards[name] - state.faults.keys()
    ]
    for name in again:
        directory.compute_again(name)
    return again
