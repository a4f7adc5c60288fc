"""Findings of the shortcut finder, as they are written beside the report."""

from __future__ import annotations

from textwrap import indent
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from seraser_core.display import percent
from seraser_core.errors import RunDirectoryError
from seraser_core.results.significance import wilson

LEAST_CONFLICTS = 20
"""Images of other classes that surroundings must have before a shortcut is reported."""

_ALWAYS = ("sampled", "used", "shortcuts", "detectable", "notes")
"""Fields that every document has."""


class _Part(BaseModel):
    """Part of a document; fields of a newer version are ignored when it is read."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Rate(_Part):
    """A share of images with Wilson's 95 % interval.

    Attributes:
        hits: Images that count.
        n: Images looked at; without any, the interval is all of 0 to 1.
        value: hits / n, 0 without images.
        low: Lower end of the interval.
        high: Upper end.
    """

    hits: int
    n: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, n: int) -> Self:
        """Return the share of `hits` in `n`."""
        low, high = (round(end, 6) for end in wilson(hits, n))
        return cls(hits=hits, n=n, value=round(hits / n, 6) if n else 0.0, low=low, high=high)


class LabelSplit(_Part):
    """A class's rates in a place and elsewhere, from labels.

    Attributes:
        tpr_inside: Share of the class's images in the place that are predicted as the class.
        tpr_outside: The same elsewhere.
        fpr_inside: Share of other classes' images in the place that are predicted as the class.
        fpr_outside: The same elsewhere.
        verdict: ``shortcut`` if the place draws images into the class; ``merely hard`` if it draws
            hardly any, and the class is recognised less often there; ``neither`` if it draws hardly
            any, and the class is recognised as often as elsewhere.
    """

    tpr_inside: Rate
    tpr_outside: Rate
    fpr_inside: Rate
    fpr_outside: Rate
    verdict: Literal["shortcut", "merely hard", "neither"]


class Transplant(_Part):
    """Objects of other classes, pasted onto other pictures' backgrounds.

    Attributes:
        here: Share that becomes the class on backgrounds of this place.
        elsewhere: Share of the same objects that becomes it on other backgrounds.
    """

    here: Rate
    elsewhere: Rate


class Shortcut(_Part):
    """A place that decides a class.

    All figures but `conflicts` and `images` are of the half of the images that tests what the other
    half discovered.

    Attributes:
        words: Names of the place, best first; empty where none fits.
        class_index: Index of the class.
        class_name: Name of the class.
        decided: H, images in the place that are predicted as the class although their object
            alone is not.
        pull: T, how much more probable the place makes the class for objects of other classes.
        pull_low: Lower end of its 95 % bootstrap interval.
        p: Of the permutation test.
        q: The same after Benjamini and Hochberg's correction.
        conflicts: Images in the place, of both halves, whose object is another class.
        images: Images in the place, of both halves.
        cluster: Index of the place in `Findings.detectable`.
        voice: Mean probability of the class given the place alone.
        others: The same images as `decided`, of those whose object is another class.
        cure: Mean fall of the probability of the class after erasing, over the decided images;
            None without an erasing method or decided images.
        labels: Rates from labels; None if too few images have one to tell.
        examples: Ids of up to 60 decided images, the clearest first.
        transplant: Confirmation by pasted objects; None where it was not done.
    """

    words: list[str]
    class_index: int
    class_name: str
    decided: Rate
    pull: float
    pull_low: float
    p: float
    q: float
    conflicts: int
    images: int
    cluster: int
    voice: float
    others: Rate | None = None
    cure: float | None = None
    labels: LabelSplit | None = None
    examples: list[str] = []
    transplant: Transplant | None = None

    @property
    def place(self) -> str:
        """The place in one or two words."""
        return self.words[0] if self.words else "unnamed surroundings"

    @property
    def leading(self) -> Rate:
        """The share that is told first: `others`, else `decided`."""
        return self.others or self.decided


class LatentShortcut(_Part):
    """A place that speaks for a class and shows hardly any other, so that nothing contradicts it.

    Attributes:
        words: Names of the place, best first; empty where none fits.
        class_index: Index of the class.
        class_name: Name of the class.
        voice: Mean probability of the class given the place alone.
        conflicts: Images in the place, of both halves, whose object is another class.
        images: Images in the place, of both halves.
        cluster: Index of the place in `Findings.detectable`.
        examples: Ids of up to 12 images of the place that are predicted as the class.
    """

    words: list[str]
    class_index: int
    class_name: str
    voice: float
    conflicts: int
    images: int
    cluster: int
    examples: list[str] = []

    @property
    def place(self) -> str:
        """The place in one or two words."""
        return self.words[0] if self.words else "unnamed surroundings"


class HardPlace(_Part):
    """A place in which a class is recognised less often, without being drawn to another.

    Attributes:
        words: Names of the place, best first; empty where none fits.
        class_index: Index of the class.
        class_name: Name of the class.
        labels: Its rates there and elsewhere.
        images: Images in the place, of both halves.
        cluster: Index of the place in `Findings.detectable`.
    """

    words: list[str]
    class_index: int
    class_name: str
    labels: LabelSplit
    images: int
    cluster: int


class Detectable(_Part):
    """How small a shortcut of a place would have been reported.

    Attributes:
        words: Names of the place, best first; empty where none fits.
        tested: Images of the place in the half that tests.
        conflicts: Images of both halves whose object is not the class that the place pulls towards.
        share: A place that decides more than this share of its images would have been reported, in
            95 of 100 samples; 1 if it has too few conflict images for any report.
        examples: Ids of up to 12 images of the place, those with the smallest keys.
    """

    words: list[str]
    tested: int
    conflicts: int
    share: float
    examples: list[str] = []


class LeftOut(_Part):
    """Sampled images that were not used.

    Attributes:
        small: Their object covers too little of the picture.
        large: It covers too much.
        unreadable: Some of their features or logits are not finite, or are too few or too many.
        repeated: They are the same picture as another that was used.
    """

    small: int = 0
    large: int = 0
    unreadable: int = 0
    repeated: int = 0


class Remedy(_Part):
    """A method of the project against what was found.

    Attributes:
        method: Its name.
        reason: Why it helps.
        config: Entry for the option ``methods``, as YAML.
    """

    method: str
    reason: str
    config: str

    @property
    def entry(self) -> str:
        """The entry under its option, to be added to the methods of a configuration."""
        return f"methods:  # add to those that are there\n{indent(self.config, '  ')}"


class Findings(_Part):
    """Findings of the shortcut finder.

    Attributes:
        sampled: Images in the sample.
        used: Those that were used.
        left_out: Those that were not.
        region: Foreground with which the objects were cut out, e.g. ``mask``; None without one.
        eraser: Id of the erasing method; None without one.
        shortcuts: Surest first.
        latent: Most outspoken first.
        hard: Only with labels.
        detectable: One per place.
        remedies: Methods against the shortcuts.
        notes: What limits the findings, for people; without `detectable`, the last says why.
    """

    sampled: int = 0
    used: int = 0
    left_out: LeftOut = LeftOut()
    region: str | None = None
    eraser: str | None = None
    shortcuts: list[Shortcut] = []
    latent: list[LatentShortcut] = []
    hard: list[HardPlace] = []
    detectable: list[Detectable] = []
    remedies: list[Remedy] = []
    notes: list[str] = []

    @classmethod
    def parse(cls, data: bytes, url: str) -> Self:
        """Read the findings from the bytes of their file.

        Raises:
            RunDirectoryError: They are no findings; names the file `url`.
        """
        try:
            found = cls.model_validate_json(data)
        except ValidationError as error:
            raise RunDirectoryError(f"{url} is damaged: {error}") from None
        lacking = [name for name in _ALWAYS if name not in found.model_fields_set]
        if lacking:
            raise RunDirectoryError(f"{url} is damaged: it lacks {', '.join(lacking)}")
        return found

    @property
    def unreported(self) -> list[Detectable]:
        """Places without a shortcut."""
        reported = {one.cluster for one in self.shortcuts}
        return [one for place, one in enumerate(self.detectable) if place not in reported]

    def noting(self, note: str) -> Self:
        """Return the findings with one more note."""
        return self.model_copy(update={"notes": [*self.notes, note]})

    def document(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return self.model_dump(mode="json")

    def sentence(self) -> str:
        """Return what matters most, in one sentence."""
        if not self.detectable:
            return self.notes[-1] if self.notes else "Shortcuts were not looked for."
        if not self.shortcuts:
            return self._nothing()
        first, more = self.shortcuts[0], len(self.shortcuts) - 1
        rest = f" ({more} more {'shortcut' if more == 1 else 'shortcuts'} found)" if more else ""
        rate, end = first.leading, "although their object alone is something else"
        if first.others:
            end = "whose object alone is something else"
        return (
            f"The surroundings “{first.place}” make the model answer “{first.class_name}”: it does "
            f"so for {rate.hits} of {rate.n} images there ({percent(rate.value)}) {end}{rest}."
        )

    def _nothing(self) -> str:
        able = [place for place in self.detectable if place.conflicts >= LEAST_CONFLICTS]
        if not able:
            return (
                f"No shortcut can be shown: in none of the surroundings, {LEAST_CONFLICTS} of the "
                f"{self.used} images show another class than the one that they might decide."
            )
        seen = percent(max(place.share for place in able))
        return (
            f"No shortcut found in {self.used} images; a place that decides more than {seen} of "
            "its images would have been reported in 95 of 100 samples."
        )
