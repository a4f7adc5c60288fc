"""Steps that a deployment takes before its flow, named in the `pull` section of prefect.yaml."""

from __future__ import annotations

from pathlib import Path


def make_demo_data(folder: str) -> dict[str, str]:
    """Write the demo's pictures to `folder` unless they are there.

    Args:
        folder: Relative paths start at the working directory.

    Returns:
        The path of the data set's table, as ``table``.
    """
    table = Path(folder).absolute() / "metadata.csv"
    if not table.exists():
        from seraser_core.demo.dataset import write_dataset  # every run waits for the imports above

        write_dataset(table.parent)
    return {"table": str(table)}
