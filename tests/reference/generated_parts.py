"""The parts of docs/ that are written from the code: the options and the benchmark data sets.

To write them: ``uv run python tests/reference/generated_parts.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from markdown_pages import ROOT

from seraser_core.config.described import all_options
from seraser_core.sources.benchmarks.benchmark import Benchmark, Names
from seraser_core.sources.benchmarks.registry import BENCHMARKS

_MOST_NAMES = 12


def options_table() -> str:
    """Every option with its default and description."""
    lines = ["| option | default | |", "|---|---|---|"]
    for option in all_options():
        method = f" ({', '.join(option.methods)})" if option.methods else ""
        cell = option.description.replace("|", "\\|")
        lines.append(f"| `{option.name}`{method} | `{option.default}` | {cell} |".replace("``", ""))
    return "\n".join(lines) + "\n"


def benchmark_sections() -> str:
    """A section of every benchmark data set."""
    return "\n".join(_section(one) for one in BENCHMARKS.values())


def _section(one: Benchmark) -> str:
    facts = {
        "Layout": f"`{one.layout}`" if "`" not in one.layout else one.layout,
        "Splits": _splits(one),
        "Classes": _names(one.classes),
        "Attributes": _names(one.attributes) if one.attribute is not None else "none, so no groups",
        "Prompt": f"`{one.template}`",
        "Foregrounds": _foregrounds(one),
        "Mind": one.trap,
        "Source": one.source,
        "Licence": one.licence,
    }
    lines = [f"- {name}: {text}" for name, text in facts.items() if text]
    return f"### {one.name}\n\n{one.what[0].upper()}{one.what[1:]}.\n\n" + "\n".join(lines) + "\n"


def _splits(one: Benchmark) -> str:
    def images(split: str) -> str:
        return f" ({one.counts[split].images:,} images)" if split in one.counts else ""

    if not one.splits:
        return f"none, all images are used{images('')}"
    names = [f"`{split}`{images(split)}" for split in one.splits]
    return f"{', '.join(names)}; the first is the default"


def _names(names: Names) -> str:
    if callable(names):
        return "read from the data set"
    shown = list(names.values())
    comma = "; " if any("," in name for name in shown) else ", "
    more = f"{comma}... ({len(shown)} in all)" if len(shown) > _MOST_NAMES else ""
    return comma.join(shown[:_MOST_NAMES]) + more


def _foregrounds(one: Benchmark) -> str:
    masks = f"masks if `{one.masks}/` is there" if one.masks else "masks that its table names"
    kinds = ["boxes" if one.box else "", masks if one.mask is not None else ""]
    return " and ".join(kind for kind in kinds if kind)


PARTS: dict[Path, tuple[str, Callable[[], str]]] = {
    ROOT / "docs" / "options.md": ("options", options_table),
    ROOT / "docs" / "benchmarks.md": ("data sets", benchmark_sections),
}
"""Page -> name of its part, and what writes it."""


def split(page: Path) -> tuple[str, str, str]:
    """Return what stands before the part of a page, the part, and what stands behind it."""
    name, _ = PARTS[page]
    before, begin, rest = page.read_text().partition(f"<!-- {name} -->\n")
    part, end, after = rest.partition(f"<!-- end of {name} -->\n")
    return before + begin, part, end + after


def write() -> None:
    """Write all parts."""
    for page, (_, make) in PARTS.items():
        before, _, after = split(page)
        page.write_text(before + make() + after)


if __name__ == "__main__":
    write()
