"""Processor cores that a process may use."""

from __future__ import annotations

import os

import pytest

from seraser_core.cores import usable_cores


@pytest.mark.parametrize(
    ("quota", "most"), [("max 100000", 3), ("200000 100000", 2), ("150000 100000", 2), ("1 10", 1)]
)
def test_a_container_has_its_share_of_the_cores_of_its_affinity(monkeypatch, tmp_path, quota, most):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 2, 5})
    file = tmp_path / "cpu.max"
    assert usable_cores(file) == [2, 5, 7], "without a control group"
    file.write_text(f"{quota}\n")
    assert usable_cores(file) == [2, 5, 7][:most]
