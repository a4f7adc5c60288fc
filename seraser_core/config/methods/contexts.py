"""Prompts of contexts as methods have them, and the sets that come with the package."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from seraser_core.config.yaml_files import parse_yaml

_FOLDER = Path(__file__).parent.parent / "contexts"
CONTEXT_SETS = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))
"""Names of the sets: a data set and its contexts, see docs/methods.md."""
OF_DATASET = "dataset"
"""Stands for the set of the benchmark data set of a run."""
CONTEXTS_HELP = (
    "Whole prompts that name the contexts and no class: a list, a file with one per line, or the "
    f"name of a set: {', '.join(CONTEXT_SETS)}; `dataset` is that of the benchmark data set."
)
DESCRIPTIONS_HELP = (
    "Name of a context -> its descriptions, e.g. `desert: [in the desert, on sand]`; an empty one "
    "leaves the prompt as it is. A mapping, a YAML file with one, or the name of a set of "
    "contexts; `dataset` is that of the benchmark data set."
)


def is_context_file(text: str) -> bool:
    """Whether a text in place of contexts is the path of a file, not the name of a set."""
    return "/" in text or "." in text


def with_contexts_of(dataset: Any, methods: Any) -> Any:
    """Return methods, as a configuration has them, with the set of a data set by its name.

    One that has none is left to be refused.
    """
    name = dataset.get("name") if isinstance(dataset, dict) else None
    own = next(
        (one for one in CONTEXT_SETS if name == one or f"{name}".startswith(f"{one}-")), None
    )
    if own is None or not isinstance(methods, list):
        return methods
    return [
        {**method, "contexts": own}
        if isinstance(method, dict) and method.get("contexts") == OF_DATASET
        else method
        for method in methods
    ]


@cache
def _context_set(name: str) -> Any:
    return parse_yaml((_FOLDER / f"{name}.yaml").read_bytes())


def _part(value: Any, part: str) -> Any:
    """Return the part of a set that a text names, or the value.

    Raises:
        ValueError: There is no such set.
    """
    if not isinstance(value, str):
        return value
    if value == OF_DATASET:
        sets = ", ".join(CONTEXT_SETS)
        raise ValueError(f"stands for a set that this data set does not have; there are {sets}")
    if value not in CONTEXT_SETS:
        near = difflib.get_close_matches(value, CONTEXT_SETS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"sets: {', '.join(CONTEXT_SETS)}"
        raise ValueError(f"is no set of contexts, nor a path such as ./contexts.txt; {hint}")
    return _context_set(value)[part]


def _prompts(value: Any) -> Any:
    return _part(value, "prompts")


def _descriptions(value: Any) -> Any:
    return _part(value, "descriptions")


def _check_prompts(prompts: list[str]) -> list[str]:
    if not all(text.strip() for text in prompts):
        raise ValueError("a prompt is empty; write a whole prompt, such as a photo of a forest")
    _refuse_repeated(prompts)
    return prompts


def _check_descriptions(contexts: dict[str, list[str]]) -> dict[str, list[str]]:
    stripped = {name: [text.strip() for text in texts] for name, texts in contexts.items()}
    for name, texts in stripped.items():
        if not texts:
            raise ValueError(f"{name!r} has no description; give it one, which may be empty: ['']")
        braces = [text for text in texts if "{" in text or "}" in text]
        if braces:
            raise ValueError(f"{braces[0]!r} has braces; describe the context alone")
        _refuse_repeated(texts)
    return stripped


def _refuse_repeated(texts: Iterable[str]) -> None:
    repeated = [text for text, count in Counter(texts).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is there more than once; name each once")


Contexts = Annotated[
    list[str],
    Field(min_length=1, description=CONTEXTS_HELP),
    BeforeValidator(_prompts, json_schema_input_type=list[str] | str),
    AfterValidator(_check_prompts),
]
ContextDescriptions = Annotated[
    dict[str, list[str]],
    Field(min_length=1, description=DESCRIPTIONS_HELP),
    BeforeValidator(_descriptions, json_schema_input_type=dict[str, list[str]] | str),
    AfterValidator(_check_descriptions),
]
