"""The shard task: which faults are tried again by the same process."""

from __future__ import annotations

from typing import Any, cast

import pytest
from prefect.states import Failed

from seraser_core.errors import (
    DeviceLostError,
    ErrorRateError,
    HangError,
    SeraserError,
    TransientError,
)
from tasks.shard import is_passing


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (TransientError("503"), True),
        (HangError("decoding"), True),
        (DeviceLostError("the GPU is lost to this process"), False),
        (ErrorRateError("too many"), False),
        (SeraserError("no"), False),
        (RuntimeError("no"), False),
    ],
)
def test_a_lost_gpu_is_not_asked_again_by_the_process_that_lost_it(error, again):
    nothing = cast(Any, None)
    assert is_passing(nothing, nothing, Failed(data=error)) == again
