"""Lines of text that name classes, in the forms that people and data sets write them in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_LABELLED = re.compile(r"(n[0-9]{8}|[0-9]{1,9})(?:\s*[:,;=]\s*|\s+)(\S.*)")
_NUMBERED = re.compile(r"[(\[]?([0-9]{1,9})[.)\]]\s+(\S.*)")
_THEN_NUMBER = re.compile(r"(\S.*?)(?:\s*[:,;=]\s*|\s+)([0-9]{1,9})")
_BULLET = re.compile(r"[-*+\u2022\u2013]\s+(\S.*)")
_QUOTED = re.compile(r"([\"'])(.*)\1")
_ONE_FORM = "write every line in the same form, one name in each"


def of_lines(lines: Sequence[str]) -> Any:
    """Names, or pairs of a label and a name, of lines without blanks at their ends.

    Raises:
        ValueError: Some lines have another form than the others; the text is ``value; remedy``.
    """
    notes = [line for line in lines if line.startswith(("#", "//"))]
    if notes:
        raise ValueError(
            f"{_show(notes[0])} looks like a comment, and every line is a class; take such lines "
            "out, or use a JSON list where they are names"
        )
    bare = list(lines)
    if len(bare) > 1 and any(line.endswith(",") for line in bare[:-1]):
        _all(bare[:-1], [line for line in bare[:-1] if line.endswith(",")], "ends with a comma")
        bare = [line.removesuffix(",").rstrip() for line in bare]
    bare = _without(_BULLET, bare, "begins with a bullet")
    numbered = [match.groups() for line in bare if (match := _NUMBERED.fullmatch(line))]
    if numbered:
        _all(bare, [line for line in bare if _NUMBERED.fullmatch(line)], "begins with a number")
        numbers = [int(number) for number, _ in numbered]
        if numbers[0] > 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise ValueError("its lines are not numbered one after the other; correct the numbers")
        bare = [name for _, name in numbered]
    bare = _without(_QUOTED, bare, "is in quotes")
    labelled = [match.groups() for line in bare if (match := _LABELLED.fullmatch(line))]
    if labelled and len(labelled) == len(bare):
        return [(label, _unquoted(name)) for label, name in labelled]
    counted = [match.groups() for line in bare if (match := _THEN_NUMBER.fullmatch(line))]
    numbers = sorted(int(number) for _, number in counted)
    different = len({name for name, _ in counted}) == len(bare)  # not of "class 0" and "class 1"
    if different and numbers == list(range(len(bare))):
        return [(number, _unquoted(name)) for name, number in counted]
    signs = [line for line in bare if re.fullmatch(r".*\S\s*[:=]\s*[0-9]{1,9}", line)]
    if signs:
        raise ValueError(
            f"{_show(signs[0])} is a name with a number, and not every line has one of 0 to "
            f"{len(bare) - 1}; number all of them so, or none"
        )
    return bare


def _without(form: re.Pattern[str], lines: list[str], what: str) -> list[str]:
    """Return the last group of each line if all have a form; the lines as they are if not."""
    matches = [match for line in lines if (match := form.fullmatch(line))]
    if not matches:
        return lines
    _all(lines, [match[0] for match in matches], what)
    return [match[match.re.groups].strip() for match in matches]


def _all(lines: Sequence[str], matching: Sequence[str], what: str) -> None:
    if len(matching) < len(lines):
        raise ValueError(f"{_show(matching[0])} {what}, and other lines do not; {_ONE_FORM}")


def _unquoted(name: str) -> str:
    match = _QUOTED.fullmatch(name)
    return match[2].strip() if match else name


def _show(line: str) -> str:
    return repr(line[:60]).replace(";", ",")
