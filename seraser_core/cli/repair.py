"""`seraser repair`: compute damaged shards again, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seraser_core.cli.arguments import (
    ExecutionOption,
    JsonOption,
    NoPrefectOption,
    RunArgument,
)
from seraser_core.cli.execute import execute_planned, watching
from seraser_core.cli.several import each_run
from seraser_core.cli.verify import show_all_problems, show_problems
from seraser_core.display import count

if TYPE_CHECKING:
    from seraser_core.cli.progress import RunDisplay
    from seraser_core.results.problems import VerifyReport


def repair(
    run: RunArgument,
    set_: ExecutionOption = None,
    no_prefect: NoPrefectOption = False,
    json: JsonOption = False,
) -> None:
    """Repair the shards of RUN that `verify` finds wrong or missing, and write its report.

    Rows that are whole in one of their two files are restored from there, and all others computed
    again. All other files stay as they are. Then prints what `verify` finds; exit code 1 if there
    still are problems, or if run.json or the plan is damaged, which `repair` cannot fix. RUN may be
    a comparison or a series: then all its runs are repaired, and the report of a series is written.
    """
    from seraser_core.results.nights import is_series
    from seraser_core.results.summary import aggregate

    with watching() as display:
        set_ = set_ or []
        done = each_run(run, lambda url: _repaired(url, set_, no_prefect, display))
        report = _repaired(run, set_, no_prefect, display) if done is None else None
        if is_series(run) and all(one.result and not one.result.problems for one in done or ()):
            aggregate(run)
    if report is not None:
        show_problems(report, json)
    elif done is not None:
        show_all_problems(run, done, json)


def _repaired(
    run: str, overrides: list[str], no_prefect: bool, display: RunDisplay
) -> VerifyReport:
    """Repair a run and return what `verify` finds afterwards."""
    from seraser_core.engines import open_engine
    from seraser_core.engines.planned import config_here
    from seraser_core.results.repair import mend, plan_repair
    from seraser_core.results.summary import aggregate
    from seraser_core.results.verify import verify

    report = verify(run)
    todo = plan_repair(report)
    config = config_here(run, overrides)
    for problem in report.problems:
        display.say(str(problem))
    again = mend(run, todo.shards)
    if again:
        display.say(f"computing {count(len(again), 'shard')}: {', '.join(again)}")
        with open_engine(config) as engine:
            execute_planned([run], no_prefect, display, engine)
    elif todo.report:
        display.say("writing the report")
        aggregate(run)
    return verify(run) if report.problems else report
