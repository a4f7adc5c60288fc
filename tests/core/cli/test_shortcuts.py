"""`seraser shortcuts`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seraser_core.shortcuts.findings import (
    Detectable,
    Findings,
    LatentShortcut,
    Rate,
    Remedy,
    Shortcut,
    Transplant,
)

FOUND = Findings(
    sampled=500,
    used=480,
    region="mask",
    shortcuts=[
        Shortcut(
            words=["desert", "sand", "dune", "heat"],
            class_index=0,
            class_name="a camel",
            decided=Rate.of(40, 50),
            pull=0.61,
            pull_low=0.5,
            p=0.001,
            q=0.004,
            conflicts=70,
            images=120,
            cluster=0,
            voice=0.2,
            cure=0.55,
            transplant=Transplant(here=Rate.of(30, 40), elsewhere=Rate.of(2, 40)),
        )
    ],
    latent=[
        LatentShortcut(
            words=[],
            class_index=1,
            class_name="a [deer]",
            voice=0.9,
            conflicts=1,
            images=33,
            cluster=1,
        )
    ],
    detectable=[Detectable(words=["desert"], tested=50, conflicts=70, share=0.06)],
    remedies=[Remedy(method="orth_cali", reason="It projects.", config="- name: orth_cali\n")],
    notes=["one thing"],
)


@pytest.fixture
def written(finished) -> str:
    Path(finished, "report", "shortcuts.json").write_text(FOUND.model_dump_json())
    return finished


def test_findings_are_told_as_a_sentence_tables_and_remedies(seraser, written):
    done = seraser("shortcuts", written)
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert words.startswith(FOUND.sentence())
    assert "desert, sand, dune a camel 40 50 80.0 % 67.0 % 88.8 % 0.610 0.004 -0.55" in words
    assert "75.0 % 5.0 %" in words
    assert "(unnamed) a [deer] 33 1 90.0 %" in words
    assert "orth_cali: It projects. In the configuration, under methods: - name: orth_cali" in words
    assert done.stderr.splitlines()[0] == "note: one thing"
    assert json.loads(seraser("shortcuts", written, "--json").stdout) == {
        "run": written,
        **FOUND.document(),
    }


def test_findings_that_are_not_there_are_made(seraser, finished):
    file = Path(finished, "report", "shortcuts.json")
    before = file.read_bytes()
    file.unlink()
    done = seraser("shortcuts", finished)
    assert done.exit_code == 0, done.output
    assert file.read_bytes() == before
    assert done.stdout.strip() == Findings.parse(before, "").sentence()


def test_no_run_and_damage_are_told(seraser, written, tmp_path):
    assert seraser("shortcuts", str(tmp_path)).exit_code == 1
    Path(written, "report", "shortcuts.json").write_text("[")
    done = seraser("shortcuts", written)
    assert (done.exit_code, "is damaged" in done.stderr) == (1, True)
