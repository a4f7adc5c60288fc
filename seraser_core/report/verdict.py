"""First screen of the report by rule: the sentence, what speaks against the figures, the tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from seraser_core.display import count, percent
from seraser_core.report.facts import Effect, Facts, Share
from seraser_core.results.headlines import headline_of
from seraser_core.shortcuts.findings import Findings, Rate
from seraser_core.sources.benchmarks.headline import Misled
from seraser_core.sources.items import SMALL_GROUP

_FEW = 30
"""Fewer images in the worst group than this leave its accuracy open by 15 points or more."""
_NAMED = 2
"""Shortcuts that the sentence names."""


@dataclass(frozen=True)
class Doubt:
    """A reason to doubt the figures.

    Attributes:
        text: The reason, as a sentence.
        remedy: What to do about it; empty if that is obvious.
        grave: True if it makes the figures worthless.
    """

    text: str
    remedy: str = ""
    grave: bool = False


@dataclass(frozen=True)
class Tile:
    """A figure of the first screen.

    Attributes:
        title: Name of the figure.
        value: The figure.
        note: Its interval, its number of images, its test.
        change: ``gain``, ``loss`` or empty.
        track: Shares before and after, drawn below the figure.
    """

    title: str
    value: str
    note: str
    change: str = ""
    track: tuple[Share, Share] | None = None


def sentence(facts: Facts, findings: Findings | None) -> str:
    """Say in one sentence what happened."""
    if facts.run.random_weights:
        return "The model's weights are random: this run tests the pipeline, not a model."
    if not facts.ok:
        return (
            f"No method has a prediction for every image: of {count(facts.images, 'image')}, "
            + ("all failed under at least one.")
        )
    effect, told = facts.main, _told(findings)
    if effect is None:
        return told + _alone(facts)
    if not facts.labelled:
        return told + (
            f"{effect.method} changes {percent(effect.changed.value)} of "
            f"{count(effect.changed.n, 'image')}; without labels, nobody can say if for the better."
        )
    return told + _verdict(effect)


def _told(findings: Findings | None) -> str:
    """The surest shortcuts as the beginning of the sentence."""
    if findings is None or not findings.shortcuts:
        return ""
    named = [one for one in findings.shortcuts if one.words]
    if not named:
        classes = dict.fromkeys(f"“{one.class_name}”" for one in findings.shortcuts)
        return f"Some surroundings make the model answer {_joined([*classes], 'or')}: "
    told = [f"“{one.class_name}” because of “{one.place}”" for one in named[:_NAMED]]
    more = len(findings.shortcuts) - len(told)
    end = f" ({count(more, 'more shortcut')})" if more else ""
    return f"The model answers {_joined(told)}{end}: "


def _joined(parts: list[str], word: str = "and") -> str:
    """Parts as a list within a sentence."""
    return f" {word} ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _alone(facts: Facts) -> str:
    if not facts.labelled:
        return f"zero_shot gave each of {count(facts.images, 'image')} a class; no label is known."
    right, worst = facts.zero_shot, facts.worst
    end = f", and on {percent(worst.before.value)} of {worst.name}" if worst else ""
    return f"zero_shot is right on {percent(right.value)} of {count(right.n, 'image')}{end}."


def _verdict(effect: Effect) -> str:
    name, worst = effect.method, effect.worst
    worst_text, direction = "", 0.0
    if worst is not None:
        before, after = (group.value for group in (worst[0].before, worst[1].after))
        direction = after - before
        worst_text = f"the worst group {_moves(before, after)}"
    if effect.helps:
        done = f"{name} fixes {count(effect.fixed, 'image')} and breaks {effect.broken:,}"
        if not worst_text:
            return f"{done} of {effect.after.n:,}; the pooled average {_moves_of(effect)}."
        joint = "and" if direction > 0 else "but"
        return f"{done}, {joint} {worst_text}."
    if effect.harms:
        done = f"{name} breaks {count(effect.broken, 'image')} and fixes {effect.fixed:,}"
        rises = worst_text and direction > 0
        end = worst_text if rises else f"the pooled average {_moves_of(effect)}"
        joint = "but" if rises else "so"
        return f"{done}, {joint} {end}."
    return (
        f"{name} makes no clear difference: of {count(effect.after.n, 'image')} it fixes "
        f"{effect.fixed:,} and breaks {effect.broken:,}."
    )


def _moves_of(effect: Effect) -> str:
    return _moves(effect.before.value, effect.after.value)


def _moves(before: float, after: float) -> str:
    """A share that goes from one value to another."""
    was, now = percent(before), percent(after)
    if was == now:
        return f"stays at {now}"
    return f"{'rises' if after > before else 'falls'} from {was} to {now}"


def doubts(facts: Facts) -> list[Doubt]:
    """Everything that makes the figures untrustworthy, the gravest first."""
    found = [*_of_the_run(facts), *_of_the_images(facts), *_of_the_labels(facts)]
    return sorted(found, key=lambda warning: not warning.grave)


def one_seed(facts: Facts) -> str:
    """Limit of a run with one seed; empty where it has no seed."""
    known = "seed" in facts.run.config.document()
    return "One seed: how the figures vary is not known." if known else ""


def _of_the_run(facts: Facts) -> Iterator[Doubt]:
    if facts.run.random_weights:
        text = "The model's weights are random: these figures say nothing about any model."
        yield Doubt(text, "Set model.pretrained.", grave=True)
    if facts.missing:
        text = f"{facts.missing} of {facts.shards} shards are missing from this report."
        yield Doubt(text, f"`seraser repair {facts.url}` computes them.", grave=True)
    for method, codes in facts.errors.items():
        if sum(codes.values()) == facts.images:
            yield Doubt(f"Every image failed under {method}.", _codes(codes), grave=True)


def _of_the_images(facts: Facts) -> Iterator[Doubt]:
    failed = facts.images - facts.ok
    if failed and facts.ok:
        most = max(facts.errors.values(), key=lambda codes: sum(codes.values()))
        text = f"{failed:,} of {count(facts.images, 'image')} have no prediction"
        share = f" ({percent(failed / facts.images)})"
        yield Doubt(f"{text}{share}: {_codes(most)}", "They count in no figure.")
    for doubt in facts.doubts:
        yield Doubt(f"{doubt}.")


def _of_the_labels(facts: Facts) -> Iterator[Doubt]:
    if not facts.ok:
        return
    if not facts.labelled:
        yield Doubt(
            "No image has a label, so there are no accuracies: “changed” counts the images for "
            "which a method disagrees with zero-shot."
        )
        return
    if isinstance(headline_of(facts.run), Misled):
        text = "The labels are of classes that the images do not show: the lower, the better."
        yield Doubt(text, "“Fixed” images are those that mislead a method anew.", grave=True)
    if facts.labelled < facts.ok:
        yield Doubt(f"Only {facts.labelled:,} of {count(facts.ok, 'image')} have a label.")
    effect = facts.main
    worst = effect.worst if effect else None
    if facts.small_groups:
        groups = count(facts.small_groups, "group")
        left = "left out of the worst group" if worst else "there is no worst group"
        yield Doubt(f"{groups} of fewer than {SMALL_GROUP} images: {left}.")
    if worst and worst[1].after.n < _FEW:
        group = worst[1]
        span = f"{percent(group.after.low)} to {percent(group.after.high)}"
        text = f"The worst group, {group.name}, has only {count(group.after.n, 'image')}"
        yield Doubt(f"{text}: its accuracy may be anything from {span}.")


def _codes(codes: Mapping[str, int]) -> str:
    return ", ".join(f"{code} {n:,}" for code, n in codes.items()) + "."


def assurance(facts: Facts) -> str:
    """Say that the run is complete, where nothing speaks against the figures."""
    small = ", and no group is small" if facts.main and facts.main.groups else ""
    return f"Complete: all {facts.images:,} planned images have a prediction and a label{small}."


def tiles(facts: Facts, findings: Findings | None) -> list[Tile]:
    """The four figures of the first screen."""
    effect = facts.main
    if not facts.labelled:
        return [*_audit_tiles(facts), _shortcut_tile(findings)]
    if effect is None:
        right = facts.zero_shot
        none = Tile("Fixed and broken", "–", "zero_shot is the only method of this run")
        average = Tile("Average (pooled)", percent(right.value), _interval(right))
        return [average, _worst_alone(facts), none, _shortcut_tile(findings)]
    return [
        _share_tile("Average (pooled)", effect.before, effect.after, effect.method, effect.change),
        _worst_tile(effect),
        _fixed_tile(effect),
        _shortcut_tile(findings),
    ]


def _share_tile(title: str, before: Share, after: Share, note: str, change: str) -> Tile:
    value = f"{100 * before.value:.1f} → {percent(after.value)}"
    named = f"{note}: " if note else ""
    return Tile(title, value, f"{named}{_interval(after)}", change, (before, after))


def _worst_tile(effect: Effect) -> Tile:
    if effect.worst is None:
        return _no_worst("no groups" if not effect.groups else "all groups are small")
    first, last = effect.worst
    names = ", then ".join(effect.worst_names)
    return _share_tile("Worst group", first.before, last.after, names, effect.worst_change)


def _worst_alone(facts: Facts) -> Tile:
    worst = facts.worst
    if worst is None:
        return _no_worst("no groups" if not facts.zero_shot_groups else "all groups are small")
    note = f"{worst.name}: {_interval(worst.before)}"
    return Tile("Worst group", percent(worst.before.value), note)


def _no_worst(why: str) -> Tile:
    return Tile("Worst group", "–", why)


def _fixed_tile(effect: Effect) -> Tile:
    p = effect.p if effect.p is not None else 1.0
    note = f"McNemar's {_p(p)}, n = {effect.after.n:,}"
    return Tile("Fixed and broken", f"+{effect.fixed:,} / −{effect.broken:,}", note, effect.change)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _audit_tiles(facts: Facts) -> list[Tile]:
    failed = Share(facts.images - facts.ok, facts.images)
    done = Tile("Images", f"{facts.ok:,}", f"with a prediction, of {facts.total:,} planned")
    lost = Tile("Without a prediction", percent(failed.value), _interval(failed))
    if facts.main is None:
        return [done, lost, Tile("Changed", "–", "zero_shot is the only method of this run")]
    changed = facts.main.changed
    note = f"by {facts.main.method}: {_interval(changed)}"
    return [Tile("Changed", percent(changed.value), note), done, lost]


def _shortcut_tile(findings: Findings | None) -> Tile:
    title = "Shortcuts found"
    if findings is None or not findings.detectable:
        return Tile(title, "–", "not looked for; see below")
    if not findings.shortcuts:
        return Tile(title, "0", f"n = {findings.used:,}; the limits of the search are below")
    first, *others = findings.shortcuts[:_NAMED]
    what = "other objects" if first.others else "images"
    rate = first.leading
    note = f"{first.place} → {first.class_name} in {rate.hits:,} of {rate.n:,} {what}, 95 % CI "
    note += _ends(rate)
    for one in others:
        rate = one.leading
        note += f"; {one.place} → {one.class_name} in {rate.hits:,} of {rate.n:,}, {_ends(rate)}"
    return Tile(title, f"{len(findings.shortcuts)}", note, "loss")


def _ends(share: Share | Rate) -> str:
    return f"{100 * share.low:.1f}–{percent(share.high)}"


def _interval(share: Share | Rate) -> str:
    return f"95 % CI {_ends(share)}, n = {share.n:,}"
