"""`seraser init`: a first configuration, from what is in a folder or a table."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seraser_core.cli.arguments import JsonOption, absolute_location
from seraser_core.cli.console import as_command, errors, print_json, results, say_error, say_next
from seraser_core.cli.datasets import benchmark_names
from seraser_core.display import printable
from seraser_core.errors import ConfigError

if TYPE_CHECKING:
    from seraser_core.sources.guessing import Guess

_OFFERED = {
    "label": "label",
    "attribute": "background",
    "mask": "mask",
    "masks": "masks.csv",
    "box": ["left", "top", "right", "bottom"],
    "split": {"column": "split", "values": ["test"]},
    "template": "a photo of {}",
}
"""Options of a data set that it may need, with a value to begin with."""
_OF_TABLES = ("label", "attribute", "mask", "split")
_WHERE_NOTED = ("masks", "box")
_MOST_CORRECTIONS = 8


def init(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Folder, table, tars or Parquet files; a path or a URL.",
            show_default=False,
            callback=absolute_location,
        ),
    ],
    benchmark: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="DATA is the root of this one, see `seraser datasets`.",
            autocompletion=benchmark_names,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Configuration to write."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Look at DATA, and write a configuration with comments that `seraser plan` takes.

    Finds folders of classes, images without labels, tables (CSV, TSV, JSONL, Parquet) with their
    columns of images, labels, attributes, masks and splits, tars of WebDataset, and Parquet files
    with images. Says what was guessed and why; an existing FILE is never overwritten.
    """
    from seraser_core.config.written import commented
    from seraser_core.sources.guessing import guess

    found = _benchmark(benchmark, data) if benchmark else guess(data)
    name = _run_name(benchmark or data)
    file = output or Path(f"{name}.yaml")
    if file.exists():
        raise ConfigError("-o", file, "is there already; name another file with -o")
    tree, fault = _accepted(found, name)
    tree["dataset"]["path"] = _beside(tree["dataset"]["path"], file)
    notes: dict[str, str] = {}
    for line in found.todo:
        option, _, what = line.partition(": ")
        notes[option] = f"{notes.get(option, '')} TO DO: {what}.".strip()
    is_table = tree["dataset"]["format"] == "table"
    offered = {
        "dataset": {
            option: value
            for option, value in _OFFERED.items()
            if option not in (_WHERE_NOTED if is_table else (*_WHERE_NOTED, *_OF_TABLES))
            or f"dataset.{option}" in notes
        }
    }
    text = _head(data, file) + commented(tree, offered, notes)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise ConfigError("-o", file, f"cannot be written: {error}") from None
    if json:
        print_json(
            {"config": str(file), "options": tree, "guessed": found.reasons, "to_do": found.todo}
        )
    else:
        for reason in found.reasons:
            errors.print(f"guessed {reason}")
        for line in found.todo:
            errors.print(f"to do   {line}")
        results.print(str(file))
    if fault is not None:
        say_error("configuration", str(fault))
        raise typer.Exit(1)
    if not json:
        say_next("plan", str(file))


def _benchmark(name: str, root: str) -> Guess:
    from seraser_core.sources.benchmarks.registry import find_benchmark
    from seraser_core.sources.guessing import Guess

    known = find_benchmark(name)
    found = Guess({"format": "benchmark", "name": name, "path": root})
    found.reasons.append(f"split: the first one of {', '.join(known.splits)}")
    return found


def _accepted(found: Guess, name: str) -> tuple[dict[str, Any], ConfigError | None]:
    """Return the configuration of a guess, and what a plan still refuses.

    What a plan refuses of the guessed columns is left out, and said.
    """
    from seraser_core.config import load_config
    from seraser_core.runner.foregrounds import check_foregrounds
    from seraser_core.runner.plan import prepare_run

    fault, masked = None, False
    for _ in range(_MOST_CORRECTIONS):
        tree = _tree(found, name, masked or "mask" in found.dataset)
        try:
            prepared = prepare_run(load_config(tree), lambda line: None, model=False)
            check_foregrounds(prepared.config, prepared.planned.table, lambda line: None)
        except ConfigError as error:
            fault = error
            corrected = [_corrected(found, mistake) for mistake in error.mistakes]
            if not any(corrected):
                return tree, fault
        else:
            masks = prepared.planned.table["mask"]
            if masked or found.dataset["format"] != "benchmark" or masks.null_count == len(masks):
                return tree, None
            masked = True
            found.reasons.append("mask: the data set has masks")
    return tree, fault


def _corrected(found: Guess, mistake: ConfigError) -> bool:
    """Change a guess so that it no longer makes a mistake; whether it could."""
    from seraser_core.sources.walk import LINK_TO_NOTHING

    if LINK_TO_NOTHING in mistake.remedy:
        return False
    dataset = found.dataset
    for option in ("allow_outside", "allow_empty_classes"):
        if f"dataset.{option}" in mistake.remedy and option not in dataset:
            dataset[option] = True
            found.reasons.append(f"{option}: {mistake.field} {mistake.value} needs it")
            return True
    option = mistake.field.removeprefix("dataset.").partition(".")[0].rstrip("s")
    option = option.removesuffix("_format")
    if option not in dataset or option not in ("mask", "box", "attribute", "id", "split", "label"):
        return False
    value = dataset.pop(option)
    for more in (f"{option}s", f"{option}_format"):
        dataset.pop(more, None)
    found.todo.append(
        f"dataset.{option}: {value!r} was left out: {mistake.value}; {mistake.remedy}"
    )
    if option == "label":
        found.without_classes()
    return True


def _tree(found: Guess, name: str, masked: bool) -> dict[str, Any]:
    """Return the configuration of a guess: with masks or boxes, methods that use them."""
    made = "box" if "box" in found.dataset else "relevance"
    more = {} if masked else {"auxiliary": made}
    methods: list[Any] = ["zero_shot"]
    methods += [{"name": one, **more} if more else one for one in ("seraser", "foreground")]
    return {
        "name": name,
        "dataset": dict(found.dataset),
        "model": {"name": "ViT-B-32-quickgelu", "pretrained": "openai"},
        "methods": methods,
        "output": "runs",
    }


def _run_name(data: str) -> str:
    """Return a name for runs: the end of a path, in the letters that one may have."""
    last = re.sub(r"[*?\[\]{}]+", "", data.rstrip("/")).rstrip("/").rpartition("/")[2]
    stem = last.partition(".")[0] if last.partition(".")[0] else last
    ascii_ = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", ascii_).strip("-_")[:60] or "run"


def _beside(path: str, file: Path) -> str:
    """Return a path as a configuration has it: relative to its file, where it is below that."""
    folder = str(file.absolute().parent)
    if not path.startswith(folder.rstrip("/") + "/"):
        return path
    inner = os.path.relpath(path, folder)
    return f"./{inner}" if inner.startswith("~") or "://" in inner else inner


def _head(data: str, file: Path) -> str:
    from seraser_core.config.described import SCHEMA_FILE

    schema = file.absolute().parent / SCHEMA_FILE
    lines = [f"yaml-language-server: $schema={SCHEMA_FILE}"] if schema.exists() else []
    lines += [
        f"Made by: {as_command('init', data)}",
        f"Check it: {as_command('plan', str(file))}",
        "What is not here has its default; `seraser options` lists all options.",
    ]
    return "".join(f"# {printable(' '.join(line.splitlines()))}\n" for line in lines) + "\n"
