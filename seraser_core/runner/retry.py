"""Computing again the images of a run that failed, and no others."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from seraser_core.errors import ConfigError, RunDirectoryError
from seraser_core.results import documents
from seraser_core.results.metrics import count_rows, proper_scores
from seraser_core.results.rows import MethodOutcome
from seraser_core.results.run_directory import RunDirectory
from seraser_core.results.schema import with_footer
from seraser_core.results.survey import survey
from seraser_core.runner.session import open_session
from seraser_core.runner.shard import Progress, recorded, score_items
from seraser_core.sources.items import ShardRange


@dataclass(frozen=True)
class Retry:
    """Computes the failed images of shards again; called as `run_shard` is.

    Attributes:
        codes: Error codes of these images; any when empty.
    """

    codes: Sequence[str] = ()

    def shards(self, run_url: str) -> dict[ShardRange, int]:
        """Committed shards with such images -> how many images are to be computed.

        Raises:
            ConfigError: A method of the run learns from a sample of the images.
            RunDirectoryError: There is no run, or no image of it has such a code.
        """
        directory, methods = RunDirectory(run_url), open_session(run_url).methods
        for method in methods:
            if method.sample:
                raise ConfigError(
                    f"methods.{method.id}",
                    "learns from a sample of the images",
                    "failed images may belong to it, and all others would change with them; run "
                    "the configuration under another name",
                )
        failed = {
            shard_id: [sums["errors"] for sums in metrics["methods"].values()]
            for shard_id, metrics in survey(directory).metrics.items()
        }
        known = sorted({code for errors in failed.values() for codes in errors for code in codes})
        for code in self.codes:
            if code not in known:
                raise RunDirectoryError(
                    f"no image of {run_url} has the error code {code!r}; there are: "
                    f"{', '.join(known) or 'none'}"
                )
        whole = any(method.stateful for method in methods)
        counts = {
            shard: max(sum(codes.get(code, 0) for code in self.codes or known) for codes in errors)
            for shard in directory.shards()
            if (errors := failed.get(shard.id))
        }
        return {shard: len(shard) if whole else n for shard, n in counts.items() if n}

    def __call__(
        self, run_url: str, shard_id: str, progress: Progress | None = None, attempt: int = 1
    ) -> None:
        """Replace a shard by its old good rows and new ones of the images that failed.

        With a stateful method, whose rows depend on each other, all rows are new.

        Raises:
            RunDirectoryError: The shard is not done.
            As `run_shard`; the shard then stays as it is.
        """
        directory = RunDirectory(run_url)
        with recorded(directory, shard_id, attempt):
            run, commit = directory.run(), directory.commit(shard_id)
            if commit is None or not directory.is_done(shard_id):
                raise RunDirectoryError(
                    f"shard {shard_id} is not done; running the same configuration again computes "
                    "it"
                )
            session, items = open_session(run_url), directory.items(shard_id)
            data = documents.read(directory.predictions_path(shard_id))
            # Parquet names the items of lists otherwise, and equal rows are to give equal bytes.
            old = pq.read_table(io.BytesIO(data)).cast(with_footer(run))
            failed = self._items(pl.DataFrame(old))
            if not len(failed):
                return
            if any(method.stateful for method in session.methods):
                failed = items["item_index"].to_numpy()
            # A file that was mended has another size than it was planned with.
            sizes = pa.nulls(items.num_rows, pa.int64())
            items = items.set_column(items.column_names.index("size"), "size", sizes)
            part = score_items(session, _of(items, failed), progress)
            predictions = _in_order([_of(old, failed, keep=False), part.predictions])
            before = directory.committed_metrics(shard_id, commit, run)
            metrics = part.metrics
            if len(failed) < items.num_rows:
                metrics = _metrics(before, old, part.predictions, part.outcomes, predictions)
            info = {**part.info, "images": items.num_rows}
            directory.write_shard(shard_id, predictions, metrics, info)

    def _items(self, rows: pl.DataFrame) -> np.ndarray:
        """item_index of the images that are to be computed again."""
        wanted = pl.col("status") == "error"
        if self.codes:
            wanted &= pl.col("error_code").is_in(list(self.codes))
        return rows.filter(wanted)["item_index"].unique().to_numpy()


def _of(table: pa.Table, items: np.ndarray, keep: bool = True) -> pa.Table:
    """The rows of these items, or of all others."""
    return table.filter(pa.array(np.isin(table["item_index"].to_numpy(), items) == keep))


def _in_order(parts: Sequence[pa.Table]) -> pa.Table:
    """Rows of several tables by item; those of an item stay as they are."""
    table = pa.concat_tables(parts)
    order = np.argsort(table["item_index"].to_numpy(), kind="stable")
    return table.take(pa.array(order))


def _metrics(
    before: dict[str, Any],
    old: pa.Table,
    new: pa.Table,
    outcomes: Sequence[MethodOutcome],
    predictions: pa.Table,
) -> dict[str, Any]:
    """The sums of a shard's rows when some were computed again.

    What rows do not tell, NLL and Brier score, is the old sum and that of rows that were not good.
    """
    methods = count_rows(pl.DataFrame(predictions), [outcome.method for outcome in outcomes])
    for outcome in outcomes:
        good = (pl.col("method") == outcome.method) & (pl.col("status") == "ok")
        had = pl.DataFrame(old).filter(good)["item_index"]
        rows = pl.DataFrame(new).filter(good)
        finite = np.isfinite(outcome.logits).all(1) & np.isfinite(outcome.zero_shot_logits).all(1)
        added = rows.select(
            pl.col("label").is_not_null() & ~pl.col("item_index").is_in(had.implode())
        )["label"]
        labels = rows["label"].filter(added).to_numpy()
        scores = proper_scores(outcome.logits[finite][added.to_numpy()], labels)
        sums = before["methods"][outcome.method]
        for name, value in zip(("nll", "brier"), scores, strict=True):
            methods[outcome.method][name] = sums[name] + value
    return {"methods": methods, "timings": before["timings"]}
