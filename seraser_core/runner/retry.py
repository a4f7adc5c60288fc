"""Computing again the images of a run that failed, and no others."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seraser_core import storage
from seraser_core.engines.base import Progress
from seraser_core.errors import ConfigError, RunDirectoryError
from seraser_core.results import records
from seraser_core.results.counting import shard_sums
from seraser_core.results.outcomes import MethodOutcome
from seraser_core.results.parquet_files import with_inputs
from seraser_core.results.picture_sums import PictureSums
from seraser_core.results.records import Commit, Input, RunRecord
from seraser_core.results.samples import add_to_sample, write_sample
from seraser_core.results.schema import with_footer
from seraser_core.results.shards import RunDirectory, opened
from seraser_core.results.states import Done
from seraser_core.runner.attempt import Attempt
from seraser_core.runner.scoring import ScoredItems, score_items
from seraser_core.runner.session import open_session
from seraser_core.runner.shard import keep_words, recorded
from seraser_core.sources.items import ShardRange
from seraser_core.waiting import waiting


@dataclass(frozen=True)
class Retry:
    """Computes the failed images of shards again; called as `run_shard` is.

    Attributes:
        codes: Error codes of these images; any when empty.
    """

    codes: Sequence[str] = ()

    def shards(self, run_url: str, one_of_many: bool = False) -> dict[ShardRange, int]:
        """Committed shards with such images -> how many images are to be computed.

        Args:
            run_url: The run directory.
            one_of_many: Whether the codes may be those of other runs.

        Raises:
            ConfigError: A method of the run learns from a sample of the images.
            RunDirectoryError: There is no run, or no image of it has such a code.
        """
        directory = RunDirectory(run_url)
        failed = {
            shard_id: [sums.errors for sums in commit.methods.values()]
            for shard_id, commit in directory.commits().items()
        }
        known = sorted({code for errors in failed.values() for codes in errors for code in codes})
        if not known and not self.codes:
            return {}
        with waiting("loading the model"):
            session = open_session(run_url)
        methods = session.methods
        whole = any(method.stateful for method in methods)
        counts = {
            shard: max(sum(codes.get(code, 0) for code in self.codes or known) for codes in errors)
            for shard in directory.shards()
            if (errors := failed.get(shard.id))
        }
        images = {shard: len(shard) if whole else n for shard, n in counts.items() if n}
        learning = [m.id for m in methods if m.sample and m.id not in session.pools]
        if learning and (images or not one_of_many):
            raise ConfigError(
                f"methods.{learning[0]}",
                "learns from a sample of the images",
                "failed images may belong to it, and all others would change with them; run "
                "the configuration under another name",
            )
        if self.codes and not {*self.codes} & {*known} and not one_of_many:
            raise RunDirectoryError(
                f"no image of {run_url} has the error code {' or '.join(map(repr, self.codes))}",
                f"there are: {', '.join(known) or 'none'}",
            )
        return images

    def __call__(
        self, run_url: str, shard_id: str, progress: Progress | None = None, attempt: int = 1
    ) -> Commit:
        """Replace a shard by its old good rows and new ones of the images that failed.

        With a stateful method, whose rows depend on each other, all rows are new.

        Returns:
            The shard's newest commit.

        Raises:
            RunDirectoryError: The shard is not done.
            As `run_shard`; the shard then stays as it is.
        """
        directory = opened(run_url)
        latest = directory.latest(shard_id)
        this = Attempt(attempt, isolated=latest is not None and latest.is_suspicious)
        with recorded(directory, shard_id, this):
            state = directory.state(shard_id, deep=True)
            if not isinstance(state, Done):
                raise RunDirectoryError(
                    f"shard {shard_id} is not done", "`seraser repair` computes it again"
                )
            before, data = state.commit, directory.rows_of(state)
            # Parquet names the items of lists otherwise, and equal rows are to give equal bytes.
            old = pq.read_table(io.BytesIO(data)).cast(with_footer(directory.run))
            failed = self._failed(pl.DataFrame(old))
            if not failed.height:
                return before
            session = open_session(run_url)
            whole = any(method.stateful for method in session.methods)
            planned = _of(
                directory.items(shard_id), _mended(failed, 1 if whole else len(session.methods))
            )
            items = directory.items_to_read(shard_id, state)
            changed = _as_they_are_now(planned, items, session.config.dataset.storage_options)
            items = with_inputs(items, changed)
            wanted = items if whole else _of(items, failed["item_index"].to_numpy())
            if failed["error_code"].is_in(["timeout", "crashed"]).any():
                this = replace(this, isolated=True)
            part = score_items(session, wanted, this, progress)
            computed = part.computed.model_copy(update={"images": items.num_rows})
            predictions = part.predictions
            if not whole:
                predictions = _replaced(old, predictions, failed, directory.run)
                outcomes = _outcomes_of(part, failed)
                computed = computed.model_copy(
                    update={
                        "methods": shard_sums(predictions, outcomes, before.methods),
                        "pictures": _pictures(before, old, part),
                    }
                )
            if whole:
                write_sample(directory, shard_id, part.sample)
            else:
                again = wanted["item_index"].to_numpy()
                add_to_sample(directory, shard_id, part.sample, again)
            keep_words(directory, session, part.sample)
            return directory.write_shard(shard_id, predictions, computed, state, "retry", changed)

    def _failed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """item_index, method and error_code of the rows that are to be computed again."""
        wanted = pl.col("status") == "error"
        if self.codes:
            wanted &= pl.col("error_code").is_in(list(self.codes))
        return rows.filter(wanted).select("item_index", "method", "error_code")


def _mended(failed: pl.DataFrame, methods: int) -> np.ndarray:
    """item_index of the images that may be other files than were planned: mended ones.

    One that has rows which stay, of another method, must be the same file still; and what changed
    when the run had not read it was not mended.
    """
    images = failed.group_by("item_index", maintain_order=True)
    known = images.agg(rows=pl.len(), changed=(pl.col("error_code") == "changed").any())
    return known.filter((pl.col("rows") >= methods) & ~pl.col("changed"))["item_index"].to_numpy()


def _of(table: pa.Table, items: np.ndarray) -> pa.Table:
    """The rows of these items."""
    return table.filter(pa.array(np.isin(table["item_index"].to_numpy(), items)))


def _as_they_are_now(
    planned: pa.Table, items: pa.Table, options: Mapping[str, Any]
) -> dict[int, Input]:
    """Size and version of the files of planned images, where they are not as in `items`.

    Of those that are away, nothing: they may come back as they were.
    """
    known = pc.or_(pc.is_valid(planned["size"]), pc.is_valid(planned["version"]))
    files = planned.filter(pc.and_(known, pc.is_null(planned["offset"])))

    def look(url: str) -> storage.FileInfo | None:
        try:
            return storage.find(url, options)
        except (OSError, ValueError, ImportError):  # an error row will say so
            return None

    with ThreadPoolExecutor(records.READERS) as pool:
        infos = list(pool.map(look, files["image"].to_pylist()))
    now = dict(zip(files["item_index"].to_pylist(), infos, strict=True))
    columns = (items[name].to_pylist() for name in ("item_index", "size", "version"))
    believed = {index: (size, version) for index, size, version in zip(*columns, strict=True)}
    return {
        i: Input(size=file.size, version=file.version)
        for i, file in now.items()
        if file is not None and believed[i] != (file.size, file.version)
    }


def _replaced(old: pa.Table, new: pa.Table, failed: pl.DataFrame, run: RunRecord) -> pa.Table:
    """The old rows, with new ones in place of those that failed, in the order of a shard."""
    keys = ["item_index", "method"]
    kept = pl.DataFrame(old).join(failed, on=keys, how="anti")
    rows = pl.concat([kept, pl.DataFrame(new).join(failed, on=keys, how="semi")])
    rows = rows.sort("item_index", pl.col("method").cast(pl.Enum(run.method_ids)))
    return rows.to_arrow().cast(with_footer(run))


def _outcomes_of(part: ScoredItems, failed: pl.DataFrame) -> list[MethodOutcome]:
    """Return of every method the outcomes of the images that had failed under it."""
    items = failed.group_by("method").agg("item_index")
    again = dict(zip(items["method"], items["item_index"], strict=True))
    return [
        outcome.of(np.isin(part.done, again.get(outcome.method, []))) for outcome in part.outcomes
    ]


def _pictures(before: Commit, old: pa.Table, part: ScoredItems) -> PictureSums:
    """The sums of the shard's pictures with those that could not be used until now."""
    rows = pl.DataFrame(old.select(["item_index", "status", "error_stage"]))
    usable = (pl.col("status") == "ok") | (pl.col("error_stage") == "infer")
    known = set(rows.filter(usable)["item_index"])
    new = PictureSums.count(facts for index, facts in part.facts.items() if index not in known)
    return PictureSums.total([before.pictures, new])
