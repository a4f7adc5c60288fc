"""Shortcuts that were found: as a table, in a notebook and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seraser_core import storage
from seraser_core.results.records import RunRecord
from seraser_core.shortcuts.findings import Findings

if TYPE_CHECKING:
    import polars as pl

_COLUMNS = {
    "kind": "String",
    "place": "String",
    "class": "String",
    "decided": "Int64",
    "tested": "Int64",
    "share": "Float64",
    "share_low": "Float64",
    "share_high": "Float64",
    "pull": "Float64",
    "pull_low": "Float64",
    "q": "Float64",
    "voice": "Float64",
    "cure": "Float64",
    "pasted_here": "Float64",
    "pasted_elsewhere": "Float64",
    "images": "Int64",
    "conflicts": "Int64",
}


class Found:
    """Shortcuts that `find_shortcuts` found. A notebook shows it as cards with examples.

    Attributes:
        findings: All of it, see `Findings`: ``shortcuts``, ``latent`` ones, places that are merely
            ``hard``, ``remedies`` as configuration, and what would have been ``detectable``.
        run: How it was computed, as run.json has it.
        pictures: Examples, as `SAMPLE_SCHEMA` has them.
    """

    def __init__(self, findings: Findings, run: RunRecord, pictures: pl.DataFrame) -> None:
        self.findings, self.run, self.pictures = findings, run, pictures

    def __len__(self) -> int:
        """Number of shortcuts."""
        return len(self.findings.shortcuts)

    def __bool__(self) -> bool:
        """True: something was looked for, whether or not there are shortcuts."""
        return True

    def __repr__(self) -> str:
        return f"<Found: {self.findings.sentence()}>"

    def _repr_html_(self) -> str:
        from seraser_core.api.cells import found_cell

        return found_cell(self)

    def to_polars(self) -> pl.DataFrame:
        """Return one row per finding.

        The column ``kind`` is ``shortcut``, ``latent`` or ``hard``; ``share`` is that of images of
        the place that it decides, ``decided`` of ``tested``, with Wilson's 95 % interval.
        ``pasted_here`` and ``pasted_elsewhere`` are shares of objects that become the class when
        they are pasted there; null unless that was tried.
        """
        import polars as pl

        rows: list[dict[str, Any]] = []
        for kind in ("shortcuts", "latent", "hard"):
            for one in getattr(self.findings, kind):
                row: dict[str, Any] = {name: getattr(one, name, None) for name in _COLUMNS}
                row |= {"kind": kind.removesuffix("s"), "class": one.class_name}
                row["place"] = ", ".join(one.words) or None
                if kind == "shortcuts":
                    rate = one.decided
                    row |= {"decided": rate.hits, "tested": rate.n, "share": rate.value}
                    row |= {"share_low": rate.low, "share_high": rate.high}
                    if (moved := one.transplant) is not None:
                        row["pasted_here"] = moved.here.value
                        row["pasted_elsewhere"] = moved.elsewhere.value
                rows.append(row)
        schema = {name: getattr(pl, kind) for name, kind in _COLUMNS.items()}
        return pl.DataFrame(rows, schema)

    def write_html(self, path: str | Path) -> None:
        """Write a page that needs no network and no script.

        Args:
            path: A local path or a URL of object storage.

        Raises:
            OSError: It cannot be written.
        """
        from seraser_core.report.shortcuts import shortcuts_page

        page = shortcuts_page(self.findings, self.run, self.pictures)
        storage.write_bytes(storage.absolute(str(path), Path.cwd()), page)
