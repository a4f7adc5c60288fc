"""Next steps by rule: what to do with what the report shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from seraser_core.config.methods import method_options
from seraser_core.display import count, percent
from seraser_core.report.facts import Effect, Facts
from seraser_core.results.records import MethodRecord
from seraser_core.results.significance import wilson
from seraser_core.shortcuts.findings import Findings

_ENOUGH = 100
"""Labels that give an accuracy to within ten points."""
_MOST_STEPS = 5
_MOST_LINES = 20
_NEEDED = {"mask": "a mask of every image", "box": "a box in every image"}
_SCAN = 'import polars as pl\nfrom seraser_core.results import scan\n\nscan("{}")'


@dataclass(frozen=True)
class Step:
    """Something to do next.

    Attributes:
        title: The step, in the imperative.
        why: What of the report speaks for it.
        code: A command or part of a configuration to paste; empty if there is none.
    """

    title: str
    why: str
    code: str = ""


def next_steps(facts: Facts, findings: Findings | None) -> list[Step]:
    """Next steps, the most urgent first."""
    if facts.run.random_weights:
        why = "The weights of this run are random, so only the pipeline was tested."
        code = "model:\n  name: ViT-B-32-quickgelu\n  pretrained: openai"
        return [Step("Run a trained model", why, code)]
    steps = [
        *_repairs(facts),
        *_methods(facts),
        *_remedies(facts, findings),
        *_labels(facts, findings),
        *_search(facts, findings),
    ]
    nothing = Step("Nothing needs to be done", "No rule of this report finds anything to act on.")
    return steps[:_MOST_STEPS] or [nothing]


def _repairs(facts: Facts) -> Iterator[Step]:
    if facts.missing:
        why = f"{facts.missing:,} of {facts.shards:,} shards are not in any figure of this page."
        yield Step("Compute the missing shards", why, f"seraser repair {facts.url}")
    failed = facts.images - facts.ok
    if failed:
        why = f"{count(failed, 'image')} without a prediction; the reasons stand below."
        yield Step("Retry the failed images", why, f"seraser retry-errors {facts.url}")


def _methods(facts: Facts) -> Iterator[Step]:
    """Which method to go on with."""
    effect = facts.main
    if effect is None:
        why = "Only zero_shot was run, which erases nothing."
        yield Step("Run an erasing method beside it", why, "methods:\n  - name: seraser")
        return
    if not facts.labelled:
        return
    best = facts.best
    if not any(one.helps for one in facts.effects):
        yield Step("Keep zero_shot", _no_better(facts))
    elif best is effect:
        why = f"It is right on {percent(effect.after.value)} of the images, zero_shot on "
        yield Step(f"Use {effect.method}", f"{why}{percent(effect.before.value)}.")
    elif best is not None:
        yield _use(facts, best, effect)
    if best is not None and effect.harms:
        why = f"It breaks {count(effect.broken, 'image')} and fixes {effect.fixed:,}."
        yield Step(f"Do not use {effect.method} on this data", why)
    doubted = best or effect
    if doubted.broken:
        yield Step(
            f"Look at the {count(doubted.broken, 'image')} that {doubted.method} breaks",
            f"They show what its {count(doubted.fixed, 'fixed image')} cost."
            if doubted.fixed
            else "They show what it takes away.",
            _broken_rows(facts, doubted),
        )


def _no_better(facts: Facts) -> str:
    """Say how every method does, where none is clearly better than zero-shot."""
    told = []
    for one in facts.effects:
        counts = f"fixes {one.fixed:,}, breaks {one.broken:,}"
        how = "clearly worse" if one.harms else "not clearly different"
        if not one.fixed and not one.broken:
            how, counts = "as good", "no image differs"
        told.append(f"{one.method} is {how} ({percent(one.after.value)}; {counts})")
    right = facts.effects[0].before
    more = " More images may tell." if any("not clearly" in one for one in told) else ""
    known = f"It is right on {percent(right.value)} of {count(right.n, 'image')}"
    return f"{known}; {', '.join(told)}.{more}"


def _use(facts: Facts, best: Effect, other: Effect) -> Step:
    """The best method, with what it needs and the other does not."""
    why = (
        f"It is right on {percent(best.after.value)} of the images, {other.method} on "
        f"{percent(other.after.value)} and zero_shot on {percent(best.before.value)}."
    )
    kind = facts.foreground_of(best.method)
    if kind in _NEEDED and kind == facts.foreground_of(other.method):
        why += f" Both need {_NEEDED[kind]}."
    elif kind in _NEEDED:
        why += f" It needs {_NEEDED[kind]}, which {other.method} does not."
    (record,) = (one for one in facts.run.methods if one.id == best.method)
    return Step(f"Use {best.method}", why, _as_written(record))


def _as_written(record: MethodRecord) -> str:
    """The part of a configuration that has this method; empty if it is long."""
    try:
        kind = method_options()[record.name]
        options = kind.model_validate({**record.options, "id": record.id})
    except (KeyError, ValueError):  # of a package that is gone, or of another version
        return ""
    given = options.model_dump(mode="json", exclude_defaults=True)
    given = {k: v for k, v in given.items() if (k, v) != ("id", record.name)}
    tree = {"methods": [{"name": record.name, **given}]}
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=72)
    return "" if text.count("\n") > _MOST_LINES else text.rstrip("\n")


def _broken_rows(facts: Facts, effect: Effect) -> str:
    return (
        f"{_SCAN.format(facts.url)}.filter(\n"
        f'    pl.col("method") == "{effect.method}", ~pl.col("correct"), '
        'pl.col("zero_shot_correct")\n).collect()'
    )


def _remedies(facts: Facts, findings: Findings | None) -> Iterator[Step]:
    """The methods that the finder names against what it found."""
    if findings is None:
        return
    run = {method.name for method in facts.run.methods}
    for remedy in findings.remedies:
        if remedy.method not in run:
            yield Step(f"Try {remedy.method}", remedy.reason, remedy.entry)


def _labels(facts: Facts, findings: Findings | None) -> Iterator[Step]:
    effect = facts.main
    if facts.ok and not facts.labelled and effect is not None:
        few = min(_ENOUGH, effect.changed.hits)
        if few:
            low, high = wilson(few // 2, few)
            yield Step(
                f"Label {count(few, 'changed image')}",
                f"{effect.method} changed {effect.changed.hits:,}; labels of {few:,} of them give "
                f"the share that it fixed to within {100 * (high - low) / 2:.0f} points.",
                f"{_SCAN.format(facts.url)}.filter(\n"
                '    pl.col("prediction") != pl.col("zero_shot_prediction")\n)'
                f'.select("image", "prediction_name").head({few}).collect()',
            )
    if facts.small_groups:
        why = f"{count(facts.small_groups, 'group')} cannot be the worst: too few images."
        yield Step("Add images of the small groups", why)


def _search(facts: Facts, findings: Findings | None) -> Iterator[Step]:
    if facts.main and not facts.masked and (findings is None or not findings.used):
        yield Step(
            "Let the run look for shortcuts",
            "Surroundings and object are told apart by a foreground; this data set has no masks, "
            "so let a segmenter make them.",
            "methods:\n  - name: seraser\n    auxiliary: segment",
        )
