"""Options of where a run is computed."""

from __future__ import annotations

import pytest

from seraser_core.config import load_config
from seraser_core.engines import open_engine
from seraser_core.errors import ConfigError

PARTS = {"engine": "deployments", "deployment": "seraser-part/gpu"}


@pytest.mark.parametrize(
    ("execution", "field", "remedy"),
    [
        ({"engine": "deployments"}, "execution.engine", "write deployment: seraser-part/gpu"),
        ({"deployment": "seraser-part/gpu"}, "execution.deployment", "engine: deployments"),
        (PARTS | {"deployment": "gpu"}, "execution.deployment", "write flow and deployment"),
        (PARTS | {"parts": 0}, "execution.parts", "must be 1 or more"),
    ],
)
def test_options_of_parts_that_do_not_fit(tree, execution, field, remedy):
    with pytest.raises(ConfigError, match=f"(?s){field}.*{remedy}"):
        load_config(tree | {"execution": execution})


def test_parts_are_refused_outside_of_a_flow(tree):
    config = load_config(tree | {"execution": PARTS})
    with pytest.raises(ConfigError, match=r"(?s)execution\.engine: deployments.*only a flow"):
        open_engine(config)
