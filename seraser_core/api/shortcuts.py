"""Finding the surroundings that decide what a model answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.compute as pc

from seraser_core import storage
from seraser_core.api.call import Called, call
from seraser_core.api.found import Found
from seraser_core.api.model import Model
from seraser_core.api.of_run import shortcuts_of
from seraser_core.api.thumbnails import thumbnail
from seraser_core.display import count
from seraser_core.errors import ConfigError
from seraser_core.results.samples import to_sample
from seraser_core.runner.confirming import confirm_sample
from seraser_core.runner.plan import DEFAULT_TEMPLATE
from seraser_core.shortcuts.find import find_shortcuts as search
from seraser_core.shortcuts.findings import Findings
from seraser_core.shortcuts.usable import can_search

_EXAMPLES = 3
"""Examples of a shortcut whose pictures are kept."""


def find_shortcuts(
    model: Model | str | Path,
    images: Any = None,
    classes: Sequence[str] | None = None,
    *,
    masks: Any = None,
    labels: Iterable[Any] | None = None,
    attributes: Iterable[Any] | None = None,
    method: str | Mapping[str, Any] = "seraser",
    template: str | None = None,
    seed: int = 0,
    batch_size: int | str = "auto",
    progress: bool | None = None,
    sample: int = 5000,
    confirm: bool = False,
) -> Found:
    """Find which surroundings decide which class, with or without labels.

    Every image is seen whole, without its object, and as its object alone. Half of the images
    suggest shortcuts, the other half tests them, at a false-discovery rate of 5 %. Some hundred
    images are needed; with fewer, nothing can be shown, and the result says so.

    Args:
        model: A model of `load_model`; or the path or URL of the directory of a run or series,
            which has its own images: then the other arguments are left out.
        images: The images, see `erase`.
        classes: Names of the C classes, at least two.
        masks: Foregrounds, see `erase`; without masks, those that the model makes itself. Images
            without one are left out.
        labels: Name or index of the class of each image, None where unknown. With labels, a
            shortcut is told from surroundings that are merely hard.
        attributes: As of `erase`.
        method: The erasing method whose effect is shown, see `erase`; it must use a foreground.
            ``"foreground"`` takes least time.
        template: As of `erase`.
        seed: Seed of all random numbers and of the choice of images.
        batch_size: As of `erase`.
        progress: As of `erase`.
        sample: Most images that are looked at, those with the smallest hashes of seed and id.
        confirm: Whether objects are cut out by their masks and pasted onto the surroundings of each
            shortcut, and onto others: ``transplant`` of each then tells how many become its class.

    Returns:
        What was found, or what would have been reported.

    Raises:
        ConfigError: An argument cannot be used; names it, its value and the remedy.
        RunDirectoryError: There is no such run, or it is damaged.
        TransientError: Storage or the memory of the device failed; trying again may help.
    """
    if isinstance(model, str | Path):
        if images is not None or classes is not None:
            raise ConfigError(
                "model",
                repr(str(model)),
                "is taken for a run, which has its own images: leave the others out, or give a "
                "model of load_model",
            )
        if confirm:
            raise ConfigError(
                "confirm",
                "True",
                f"would write into the run; `seraser shortcuts {model} --confirm` does, and then "
                "this returns it",
            )
        return shortcuts_of(storage.absolute(str(model), Path.cwd()))
    called = call(
        model,
        images,
        classes,
        masks=masks,
        labels=labels,
        attributes=attributes,
        method=method,
        template=template,
        seed=seed,
        batch_size=batch_size,
        progress=progress,
        sample=sample,
        most=sample,
        needs_foreground=True,
        needs_mask=confirm,
    )
    names, kept = called.run.classes, to_sample(called.sample)
    if kept is None:
        return Found(_nothing_usable(called), called.run, pl.DataFrame(called.sample))
    # Of few images nothing will be named: a large text tower takes a minute for this on a CPU.
    enough, given = can_search(kept.sample, names), (names, template or DEFAULT_TEMPLATE)
    words = model.compute.submit(model.words, *given).result() if enough else None
    findings = search(
        kept.sample,
        names,
        words,
        called.config.seed,
        region=kept.region,
        eraser=kept.eraser,
    )
    if confirm and findings.shortcuts:
        findings = confirm_sample(called.session, findings, kept.sample, called.sample, words)
    if not enough:
        findings = findings.model_copy(update={"notes": findings.notes[-1:]})
    return Found(_with_faults(findings, called), called.run, _examples(findings, called))


def _nothing_usable(called: Called) -> Findings:
    n, faults = len(called.images), _faults(called)
    return Findings(notes=[f"None of the {count(n, 'image')} can be used: {faults}."])


def _with_faults(findings: Findings, called: Called) -> Findings:
    """The findings after notes on the images that were given twice or could not be used."""
    notes = []
    if called.repeated:
        again = count(called.repeated, "image")
        notes.append(f"Given more than once, and used once: {again}.")
    if faults := _faults(called):
        unusable = count(len(called.images) - findings.sampled, "image")
        notes.append(f"{unusable} could not be used: {faults}.")
    return findings.model_copy(update={"notes": [*notes, *findings.notes]})


def _faults(called: Called) -> str:
    """Error codes of images that cannot be used, such as ``missing 2``; empty without any."""
    of_method = called.rows.filter(pc.equal(called.rows["method"], called.run.method_ids[0]))
    codes = Counter(code for code in of_method["error_code"].to_pylist() if code is not None)
    return ", ".join(f"{code} {n:,}" for code, n in codes.most_common())


def _examples(findings: Findings, called: Called) -> pl.DataFrame:
    """Rows of the sample of some examples of every shortcut, all with a picture."""
    pictures = pl.DataFrame(called.sample).drop("feature")
    drawn = set(pictures.drop_nulls("image_webp")["item_id"])
    wanted: set[str] = set()
    for one in findings.shortcuts:
        wanted |= set(sorted(one.examples, key=lambda name: name not in drawn)[:_EXAMPLES])
    pictures = pictures.filter(pl.col("item_id").is_in(list(wanted)))
    limits = called.config.dataset.limits
    small = [
        seen or thumbnail(called.images[index], limits)
        for index, seen in pictures.select("item_index", "image_webp").iter_rows()
    ]
    names = [called.images[index].name(index) for index in pictures["item_index"]]
    return pictures.with_columns(
        image_webp=pl.Series(small, dtype=pl.Binary), name=pl.Series(names, dtype=pl.String)
    )
