"""Makes nouns.txt and names.txt of WordNet 3.0: ``python -m seraser_core.shortcuts.nouns.make``.

Debian's package wordnet-base has the database in /usr/share/wordnet.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = {
    5: "animal", 6: "artifact", 8: "body", 13: "food", 14: "group", 15: "location", 17: "object",
    18: "person", 19: "phenomenon", 20: "plant", 25: "shape", 27: "substance", 28: "time",
}  # fmt: skip
"""WordNet's lexicographer files of things that a picture can show."""
_NAMED = ("animal", "food", "plant")
_NOTICE_LINES = 29
_ADDED = {
    "artifact": "watermark ruler bandage caption border indoor outdoor blurry",
    "plant": "bamboo",
    "colour": "red orange yellow green blue purple pink brown black white gray",
}


@dataclass(frozen=True)
class _Synset:
    kind: str
    words: list[str]
    broader: list[str]


class WordNet:
    """The nouns of a WordNet database.

    Args:
        folder: Folder with data.noun and index.noun.
    """

    def __init__(self, folder: Path) -> None:
        self._synsets = {fields[0]: _synset(fields) for fields in _lines(folder / "data.noun")}
        self._first: dict[str, str] = {}
        self._tagged: set[str] = set()
        for fields in _lines(folder / "index.noun"):
            word, after = fields[0], 4 + int(fields[3])
            first = self._synsets[fields[after + 2]]
            if re.fullmatch("[a-z]+", word) and first.kind and word in first.words:
                self._first[word] = fields[after + 2]
                if int(fields[after + 1]):  # texts were tagged with its first sense
                    self._tagged.add(word)

    def nouns(self) -> Iterator[str]:
        """Yield the lines of nouns.txt: word, kind, and words for the same or broader things."""
        for word in sorted(self._tagged):
            kin = sorted(self._kin(self._first[word]) & self._tagged - {word})
            yield " ".join([word, self._synsets[self._first[word]].kind, *kin])

    def names(self) -> Iterator[str]:
        """Yield the lines of names.txt: untagged animals, foods and plants with their kind."""
        for word in sorted(self._first.keys() - self._tagged):
            kind = self._synsets[self._first[word]].kind
            if kind in _NAMED:
                yield f"{word} {kind}"

    def _kin(self, offset: str) -> set[str]:
        synset = self._synsets[offset]
        kin = {word for word in synset.words if self._first.get(word) == offset}
        return kin.union(*map(self._kin, synset.broader))


def _lines(path: Path) -> Iterator[list[str]]:
    for line in path.read_text().splitlines()[_NOTICE_LINES:]:
        yield line.split()


def _synset(fields: list[str]) -> _Synset:
    words = int(fields[3], 16)
    after = 4 + 2 * words
    pointers = [fields[start : start + 4] for start in range(after + 1, len(fields) - 3, 4)]
    pointers = pointers[: int(fields[after])]
    broader = [target for symbol, target, part, _ in pointers if symbol[0] == "@" and part == "n"]
    return _Synset(KINDS.get(int(fields[1]), ""), fields[4:after:2], broader)


def make(wordnet: Path, output: Path) -> None:
    """Write nouns.txt and names.txt into `output`."""
    database = WordNet(wordnet)
    added = [f"{word} {kind}" for kind, words in _ADDED.items() for word in words.split()]
    there = {line.split()[0] for line in added}
    for name, lines in (("nouns.txt", database.nouns()), ("names.txt", database.names())):
        kept = [line for line in lines if line.split()[0] not in there]
        kept += added if name == "nouns.txt" else []
        (output / name).write_text("".join(f"{line}\n" for line in sorted(kept)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the word table of the shortcut finder.")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    make(arguments.wordnet, arguments.output)
