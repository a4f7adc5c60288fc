"""Verification of a run that includes its weights."""

from __future__ import annotations

from seraser_core.config import parse_config
from seraser_core.errors import SeraserError
from seraser_core.models.clip_model import read_weights_hash
from seraser_core.results.problems import Problem, VerifyReport
from seraser_core.results.shards import RunDirectory
from seraser_core.results.verify import verify


def verify_deep(run_url: str) -> VerifyReport:
    """Verify a run, and that the weights are those that it was planned with.

    Raises:
        RunDirectoryError: As of `verify`.
    """
    report, run = verify(run_url), RunDirectory(run_url).run
    try:
        options = parse_config(run.config.document()).model
        present = read_weights_hash(options)
    except (SeraserError, OSError, ImportError) as error:
        report.unchecked.append(f"weights: they cannot be loaded here: {error}")
        return report
    if present != run.fingerprint_inputs.weights:
        where = options.pretrained or options.name
        report.problems.append(Problem(where, "the weights are not those of the run"))
    return report
