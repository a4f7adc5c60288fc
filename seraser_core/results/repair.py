"""Choice of the parts of a damaged run that are to be made again."""

from __future__ import annotations

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
        shards: Ids of the shards to compute, in order.
        report: Whether RUN/report is to be written.
        left: Problems that nothing here can mend.
    """

    shards: list[str]
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
            + f"\nnothing was repaired: what belongs in {report.run} is not known for sure; delete "
            + " and ".join(f"{report.run}/{file}" for file in files)
            + ", and run the same configuration again: it writes them, and keeps the shards that "
            "are right"
        )
    shards = [problem.shard for problem in report.problems if problem.shard is not None]
    others = [problem for problem in report.problems if problem.shard is None]
    return Repair(
        shards=sorted(set(shards)),
        report=bool(shards) or any(_of_report(problem) for problem in others),
        left=[problem for problem in others if not _of_report(problem)],
    )


def _of_report(problem: Problem) -> bool:
    return problem.file.startswith("report/")


def mend(run_url: str, shard_ids: list[str]) -> list[str]:
    """Restore the rows of wrong shards that are whole elsewhere, and ask for all others anew.

    Returns:
        Ids of the shards that whoever runs the run computes again.
    """
    directory = RunDirectory(run_url)
    states = {name: directory.state(name, deep=True) for name in shard_ids}
    directory.restore(states)
    again = [n for n, state in states.items() if not isinstance(state, Done) or not state.faults]
    for name in again:
        directory.compute_again(name)
    return again
