"""The flow that makes masks of a data set's images."""

from __future__ import annotations

from typing import Any

import yaml
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.labels import label
from flows.reasons import reasons
from flows.seraser import seraser
from seraser_core.results.mask_table import write_mask_table
from seraser_core.results.shards import RunDirectory
from seraser_core.runner.mask_options import mask_options
from tasks.aggregate import artifact_key


@flow(name="seraser-masks", validate_parameters=True)
def masks(
    config: str | dict[str, Any],
    kind: str = "relevance",
    overrides: list[str] = [],  # noqa: B006
) -> str:
    """Make masks of a data set's images and a table that names them, as `seraser masks` does.

    The options of the data set with these masks are published as an artifact.

    Args:
        config: Path or URL of a YAML file, or the configuration itself.
        kind: ``relevance`` or ``segment``.
        overrides: Changes to it, ``a.b=value`` each.

    Returns:
        URL of the table.

    Raises:
        SeraserError: Shards failed for good; all others are computed and kept.
    """
    with reasons():
        wanted = mask_options(config, kind, overrides)
        label(config, wanted)
        run_url = seraser(config, wanted)
        table = write_mask_table(run_url, kind)
        get_run_logger().info("%d masks of %d images: %s", table.masks, table.images, table.url)
        options = yaml.safe_dump({"dataset": table.dataset}, sort_keys=False)
        create_markdown_artifact(
            key=artifact_key(RunDirectory(run_url).run.name, "masks"),
            markdown=f"```yaml\n{options}```",
            description=f"{table.masks} masks of {table.images} images, for another configuration",
        )
    return table.url
