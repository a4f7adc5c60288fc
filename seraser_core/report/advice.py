"""Next steps by rule: what to do with what the report shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from seraser_core.display import count, percent
from seraser_core.report.facts import Effect, Facts
from seraser_core.results.significance import wilson
from seraser_core.shortcuts.findings import Findings

_ENOUGH = 100
"""Labels that give an accuracy to within ten points."""
_MOST_STEPS = 5
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
    better = [one for one in facts.effects if one.helps]
    if not better:
        yield _keep(facts, effect)
        return
    if facts.best is not None and facts.best is not effect:
        yield _use(facts, facts.best, effect)
    if effect.harms:
        why = f"It breaks {count(effect.broken, 'image')} and fixes {effect.fixed:,}."
        yield Step(f"Do not use {effect.method} on this data", why)
    elif effect.helps and effect.broken:
        yield Step(
            f"Look at the {count(effect.broken, 'image')} that {effect.method} breaks",
            f"It fixes {count(effect.fixed, 'image')}, so the gain outweighs the harm; the broken "
            "ones say what it costs.",
            _broken_rows(facts, effect),
        )
    elif effect.helps and facts.best in (None, effect):
        why = f"It fixes {count(effect.fixed, 'image')} and breaks none."
        yield Step(f"Use {effect.method}", why)


def _keep(facts: Facts, effect: Effect) -> Step:
    """Zero-shot, where no method is clearly better."""
    shares = [("zero_shot", effect.before), *((e.method, e.after) for e in facts.effects)]
    told = ", ".join(f"{name} {percent(share.value)}" for name, share in shares)
    why = f"No method of this run is clearly better (average: {told})."
    if effect.harms:
        why += f" {effect.method} breaks {count(effect.broken, 'image')}, fixes {effect.fixed:,}."
    elif effect.fixed or effect.broken:
        why += (
            f" {count(effect.fixed, 'image')} fixed and {effect.broken:,} broken by "
            f"{effect.method} are too few to tell gain from chance; more images may."
        )
    return Step("Keep zero_shot", why)


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
    name = next((m.name for m in facts.run.methods if m.id == best.method), best.method)
    return Step(f"Use {best.method}", why, f"methods:\n  - name: {name}")


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
