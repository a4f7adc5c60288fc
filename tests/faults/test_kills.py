"""A worker is killed at every step of a shard's life, and another one goes on."""

from __future__ import annotations

import pytest
from harness import KILLED

COMPUTING = ["taken", "fetched", "decoded", "tuned", "scored"]
WRITING = ["before predictions", "after predictions", "before metrics", "after metrics"]
WRITING += ["before commits", "after commits"]
KINDS = ["predictions", "metrics", "commits"]
LOCAL = [f"{kind} {moment}" for kind in KINDS for moment in ("opened", "unrenamed")]
PLANNING = ["before plan", "plan unrenamed", "after plan"]
REMOTE = [f"{kind} half sent" for kind in KINDS]
IN_SECOND_SHARD = {"fetched": 8, "decoded": 8, "tuned": 18, "scored": 4}
"""Of three shards of 5, 5 and 4 images, in batches of 2: in the middle of it."""


def kill_and_go_on(workers, tree, undisturbed, step):
    trap = {"step": step, "nth": IN_SECOND_SHARD.get(step, 2)}
    assert workers.run(tree, trap) == KILLED
    before = undisturbed.check_committed(tree)
    workers.finish(tree)
    undisturbed.check_finished(tree)
    return before


@pytest.mark.parametrize("step", [*PLANNING, *COMPUTING, *WRITING, *LOCAL])
def test_a_worker_killed_on_a_local_disk(workers, tree, undisturbed, step):
    before = kill_and_go_on(workers, tree, undisturbed, step)
    assert len(before) >= 2 if step == "after commits" else len(before) < 3


@pytest.mark.parametrize("step", ["fetched", "tuned", *WRITING, *REMOTE])
def test_a_worker_killed_in_object_storage(workers, tree, undisturbed, bucket, step):
    tree["output"] = f"{bucket}/runs"
    kill_and_go_on(workers, tree, undisturbed, step)
