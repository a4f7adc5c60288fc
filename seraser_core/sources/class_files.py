"""Files that name classes: text, JSON, YAML, CSV and TSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import PydanticCustomError

from seraser_core import storage
from seraser_core.config.classes import Entry, entries
from seraser_core.config.option_group import mistake
from seraser_core.config.options import DatasetOptions
from seraser_core.config.yaml_files import parse_yaml
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.class_lines import of_lines
from seraser_core.sources.json_text import parse
from seraser_core.sources.texts import read_text, unpacked, with_line_feeds

_FIELD = "dataset.classes"
_WITHIN = ("id2label", "label2id", "names", "classes", "class_names", "categories", "labels")
"""Keys under which documents of other programs hold their class names."""
_KEYS = re.compile(
    "((class|category|label)_)?(id|idx|index|number|key|code)|folder(_name)?|dir(ectory)?"
    "|(wordnet|synset|imagenet)_?(id)?|wnid"
)
_NAMES = re.compile(
    "(class_?|category_|label_|prompt_|common_|english_|human_)?names?|text|prompt|description"
    "|title|(human_)?readable|species|english|words?|meaning|caption|display(_name)?"
)
_EITHER = re.compile("labels?|class(es)?|category|categories")
_ALONE = re.compile("((class|category|label)_?)?names?|labels?|class(es)?|categor(y|ies)|species")
"""Usual names of the columns of such tables, in lower case with ``_`` between words: for labels,
for names, for either beside the other, and for names that stand alone."""
_CALLED = "leave two columns, the label in the data and the name, and call them label and name"
_IDS = re.compile("n[0-9]{8}|[0-9]{1,9}")


def read_entries(options: DatasetOptions, said: list[str] | None = None) -> list[Entry] | None:
    """The configured classes, of the options or of their file; None when none are given.

    Args:
        options: The data set.
        said: Gets a line about what was taken for granted.

    Raises:
        ConfigError: The file cannot be read, or does not name classes.
    """
    location = options.classes
    if not isinstance(location, str):
        return location
    lines: list[str] = []
    ending = location[location.rfind(".") :].lower()
    try:
        text = read_text(unpacked(storage.read_bytes(location, options.storage_options)), lines)
        named = entries(_READERS.get(ending, _of_text)(with_line_feeds(text)))
    except FileNotFoundError:
        raise ConfigError(_FIELD, location, "there is no such file") from None
    except (OSError, TransientError, ImportError) as error:
        raise ConfigError(_FIELD, location, f"cannot be read: {error}") from None
    except PydanticCustomError as error:
        told = error.context or {}
        raise ConfigError(_FIELD, f"{location}: {told['value']}", told["remedy"]) from None
    except ValueError as error:
        raise ConfigError(_FIELD, location, str(error)) from None
    if not named:
        raise ConfigError(_FIELD, location, "holds no names; one per line")
    if said is not None:
        said += [f"dataset.classes: {line}" for line in lines]
    return named


def _of_text(text: str) -> Any:
    """Names of lines, or pairs where all have one tab or as `of_lines` says."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if lines and lines[0][0] + lines[-1][-1] in ("[]", "{}"):
        try:
            return _of_json(text)
        except ValueError:
            return _of_yaml(text)  # which reads what Python prints
    if lines and all(line.count("\t") == 1 for line in lines):
        return _of_rows([[cell.strip() for cell in line.split("\t")] for line in lines])
    return of_lines(lines)


def _of_json(text: str) -> Any:
    try:
        return _within(parse(text))
    except json.JSONDecodeError as error:
        raise mistake(f"it is no JSON in line {error.lineno}", "correct it there") from None


def _of_yaml(text: str) -> Any:
    return _within(parse_yaml(text))


def _of_table(separators: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        first, _, rest = text.partition("\n")
        if first.lower().startswith("sep="):  # of spreadsheets
            first, text = first[4:], rest
        separator = max(separators, key=first.count)
        try:
            rows = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
        except csv.Error:
            raise mistake("it is no table", "double the quotes that are part of a name") from None
        cells = [[cell.strip() for cell in row] for row in rows]
        while cells and not any(row[-1] for row in cells if row):  # columns of a spreadsheet
            cells = [row[:-1] for row in cells if row[:-1]]
        return _of_rows([row for row in cells if any(row)])

    return read


_READERS: dict[str, Callable[[str], Any]] = {
    ".json": _of_json,
    ".yaml": _of_yaml,
    ".yml": _of_yaml,
    ".csv": _of_table(",;\t"),
    ".tsv": _of_table("\t"),
    ".tab": _of_table("\t"),
}


def _within(document: Any) -> Any:
    """The part of a document that names classes, as entries; a list of objects as a table."""
    if isinstance(document, Mapping):
        held = [key for key in _WITHIN if isinstance(document.get(key), Mapping | list)]
        if len(held) == 1 or held[:1] == ["id2label"]:  # beside which label2id says the same
            document = document[held[0]]
        elif held:
            raise mistake(f"holds {' and '.join(held)}", "leave the one that names the classes")
    if isinstance(document, list) and document and all(isinstance(one, dict) for one in document):
        columns = list(document[0])
        if any(list(one) != columns for one in document) or _header(columns) is None:
            raise mistake(f"it holds objects with {', '.join(columns)}", "give each label and name")
        return _of_rows([columns, *(list(one.values()) for one in document)])
    return document


def _of_rows(rows: Sequence[Sequence[Any]]) -> Any:
    """Names of a table with one column, pairs of one with two, or the two that its header names."""
    if not rows:
        return []
    ragged = [number for number, row in enumerate(rows, 1) if len(row) != len(rows[0])]
    if ragged:
        raise mistake(
            f"row {ragged[0]} has {len(rows[ragged[0] - 1])} columns and the first {len(rows[0])}",
            "put texts with separators in quotes",
        )
    if len(rows[0]) == 1:
        (word,) = _words(rows[0])
        if _ALONE.fullmatch(word):
            rows = rows[1:]
        elif _KEYS.fullmatch(word) or _NAMES.fullmatch(word):
            raise mistake(
                f"its first line is {rows[0][0]}, a class or a heading",
                "write `name` in its place where it is a heading, and above it where it is a class",
            )
        return [row[0] for row in rows]
    header = _header(rows[0])
    if header is None and len(rows[0]) == 2 and not any(map(_is_id, rows[0])):
        usual = [cell for cell, word in zip(rows[0], _words(rows[0]), strict=True) if _usual(word)]
        if usual:
            raise mistake(
                f"its first line is {' and '.join(map(str, rows[0]))}, of which {usual[0]} is a "
                "usual heading",
                "write `label,name` in its place where it is a heading, and above "
                "it where it is a class",
            )
    if header is None and len(rows[0]) > 2:
        raise mistake(f"its rows have {len(rows[0])} columns", _CALLED)
    label, name = header or (0, 1)
    pairs = [(row[label], row[name]) for row in rows[header is not None :]]
    for column in zip(*pairs, strict=True):
        numbers = [str(one).isdecimal() for one in column]
        if len(pairs) > 1 and not numbers[0] and all(numbers[1:]):
            raise mistake(f"its columns are {' and '.join(map(str, rows[0]))}", _CALLED)
    return pairs


def _header(cells: Sequence[Any]) -> tuple[int, int] | None:
    """Places of the columns with labels and names, by what a header calls them; None of others.

    Raises:
        ValueError: It is a header, but which is which cannot be told.
    """
    words = _words(cells)
    keys, names, either = (
        [i for i, word in enumerate(words) if known.fullmatch(word)]
        for known in (_KEYS, _NAMES, _EITHER)
    )
    labels, shown = keys or either, names or either
    if len(labels) == len(shown) == 1 and labels != shown:
        return labels[0], shown[0]
    if len(keys) + len(names) + len(either) == len(words):
        raise mistake(f"its columns are {', '.join(words)}", _CALLED)
    return None


def _usual(word: str) -> bool:
    return any(known.fullmatch(word) for known in (_KEYS, _NAMES, _EITHER))


def _is_id(cell: Any) -> bool:
    return _IDS.fullmatch(str(cell)) is not None


def _words(cells: Sequence[Any]) -> list[str]:
    return [re.sub(r"[\s-]+", "_", str(cell).strip().lower()) for cell in cells]
