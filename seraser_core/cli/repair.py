"""`seraser repair`: compute the shards that are wrong again, and nothing else."""

from __future__ import annotations

from seraser_core.cli.arguments import JsonOption, NoPrefectOption, RunArgument
from seraser_core.cli.console import count
from seraser_core.cli.execute import execute_planned, watching
from seraser_core.cli.inspect import show_problems


def repair(run: RunArgument, no_prefect: NoPrefectOption = False, json: JsonOption = False) -> None:
    """Compute the shards of RUN that `verify` finds wrong or missing, and write its report.

    All other files stay as they are. Ends with what `verify` finds then; exit code 1 when that is
    not nothing, or when run.json or the plan is damaged, which is not mended here.
    """
    from seraser_core.results.repair import compute_again, plan_repair
    from seraser_core.results.summary import aggregate
    from seraser_core.results.verify import verify

    report = verify(run)
    todo = plan_repair(report)
    with watching() as display:
        for problem in report.problems:
            display.say(str(problem))
        if todo.shards:
            display.say(f"computing {count(len(todo.shards), 'shard')}: {', '.join(todo.shards)}")
            compute_again(run, todo.shards)
            execute_planned([run], no_prefect, display)
        elif todo.report:
            display.say("writing the report")
            aggregate(run)
    show_problems(verify(run) if report.problems else report, json)
