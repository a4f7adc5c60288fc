"""Texts that stand for a missing value."""

from __future__ import annotations

import re
from collections.abc import Collection

import polars as pl

from seraser_core.errors import ConfigError

_NOTHING = frozenset(
    [
        *("", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "nat"),
        *("none", "null", "<null>", "nil", "-", "--", "\u2013", "\u2014", "?", ".", "..", "_"),
        *("n.a", "#n/a!", "missing", "<missing>", "(missing)", "blank", "(blank)", "<blank>"),
        *("undefined", "unspecified", "#null!", "#value!", "#ref!"),
    ]
)
"""Texts for a missing value, in lower case, without surrounding blanks."""
_NO_CLASS = ("-1", "-1.0")
"""Labels that mark images without a label."""


_NO_NUMBER = re.compile(r"-9{2,6}(\.0+)?")
"""Numbers that surveys and sensors write for a missing value."""
_UNSURE = frozenset(["unknown", "unk", "unsure", "not sure", "not available", "other"])
"""Values that may be a group or a missing value."""
_SHOWN = 5
_LISTS = {"label": "classes", "attribute": "attributes"}


def is_missing(text: str, names: Collection[str] = ()) -> bool:
    """Return whether a text stands for a missing value; `names`, in any case, never do."""
    bare = text.strip().casefold()
    return bare in _NOTHING and bare not in {name.strip().casefold() for name in names}


def known(
    texts: pl.Series, names: Collection[str], setting: str, column: str, said: list[str]
) -> pl.Series:
    """The texts with nulls for those that stand for no value.

    Args:
        texts: A column of texts.
        names: Configured names, none of which is taken for a missing value.
        setting: The setting that names the column; of labels and attributes, -1 is none as well.
        column: Its name, for people.
        said: Gets a line about what was taken for no value.

    Raises:
        ConfigError: The column has -1 and 1 and no 0, so that -1 seems to be one of two values.
    """
    counts = dict(texts.drop_nulls().value_counts().rows())
    if setting == "mask":
        names = ("..",)  # the folder above, which is refused as a path
    nothing = [text for text in counts if is_missing(text, names)]
    nothing += _no_numbers(counts, nothing, names)
    if setting in _LISTS and not set(_NO_CLASS) & set(names):
        nothing += [text for text in _NO_CLASS if text in counts]
        values = counts.keys() - set(nothing)
        if nothing and set(_NO_CLASS) & set(nothing) and values and values <= {"1", "1.0"}:
            raise ConfigError(
                f"dataset.{setting}",
                f"-1 and 1 in {column!r}",
                "-1 is taken for a missing value; where it is one of two, write 0 and 1, or give "
                f"dataset.{_LISTS[setting]} as {{'-1': its name, '1': its name}}",
            )
    seen = [text for text in nothing if text.strip()]
    written = sorted(seen, key=lambda text: (-counts[text], text))
    if written:
        shown = ", ".join(f"{text!r} ({counts[text]})" for text in written[:_SHOWN])
        shown += f" and {len(written) - _SHOWN} more" if written[_SHOWN:] else ""
        where = f"; name it in dataset.{_LISTS[setting]} if it is one" if setting in _LISTS else ""
        said.append(f"in {column!r}, {shown} stands for no {setting}{where}")
    unsure = [text for text in counts if text.strip().casefold() in _UNSURE]
    if setting == "attribute" and unsure and not names:
        shown = ", ".join(f"{text!r} ({counts[text]})" for text in sorted(unsure))
        said.append(
            f"in {column!r}, {shown} is taken for a value of its own; leave the cells empty where "
            "nothing is known, or name it in dataset.attributes"
        )
    return texts.replace(nothing, None) if nothing else texts


def _no_numbers(
    counts: Collection[str], nothing: Collection[str], names: Collection[str]
) -> list[str]:
    """Find -999 and the like in a column of names or of otherwise non-negative numbers."""
    numbers = [text for text in counts if _NO_NUMBER.fullmatch(text) and text not in names]
    others = set(counts) - set(nothing) - set(numbers)
    if names or all(re.fullmatch(r"[0-9]+(\.[0-9]*)?|-1(\.0)?", text) for text in others):
        return numbers
    return []
