"""Lines around the report's sentence: what was run, what the methods do, and which does best."""

from __future__ import annotations

from seraser_core.demo.config import demo_config
from seraser_core.demo.dataset import CONTROL, SHORTCUT
from seraser_core.display import percent
from seraser_core.kinds import KINDS
from seraser_core.report.facts import UNTOUCHED, Facts
from seraser_core.results.names import dataset_name, model_name
from seraser_core.results.records import RunRecord

_BRIEFLY = {
    "seraser": "tunes the prompt on each image until {surroundings} nothing",
    "seraser_task": "tunes one prompt for all images until {surroundings} nothing",
    "foreground": "is the model on the object alone",
    "background": "is the model on the image without the object",
}
"""Methods that the first screen explains; the section of the methods has a line on each."""


def about(run: RunRecord) -> list[str]:
    """Data set with its split, model and seed; that the pictures are drawn, where they are."""
    config = run.config.document()
    dataset, seed = config["dataset"], config.get("seed")
    wanted = [demo_config(str(dataset.get("path")), "", task=task) for task in (SHORTCUT, CONTROL)]
    drawn = any(one["dataset"].items() <= dataset.items() for one in wanted)
    return [
        *([name] if (name := dataset_name(dataset)) else []),
        *(["drawn pictures"] if drawn else []),
        model_name(config["model"]),
        *([f"seed {seed}"] if seed is not None else []),
    ]


def explained(facts: Facts) -> str:
    """Say what the methods of the first screen do."""
    names = {method.id: method.name for method in facts.run.methods}
    told = [
        f"{next((i for i, n in names.items() if n == UNTOUCHED), UNTOUCHED)} is the model as it is."
    ]
    for method in dict.fromkeys(e.method for e in (facts.main, facts.best) if e):
        kind = KINDS.get(facts.foreground_of(method))
        seen = (
            "the background alone decides"
            if kind and kind.regions
            else "its auxiliary images decide"
        )
        if names.get(method) in _BRIEFLY:
            told.append(f"{method} {_BRIEFLY[names[method]].format(surroundings=seen)}.")
    return " ".join(told)


def better(facts: Facts) -> str:
    """Name the method that is clearly better than the one of the tiles; empty if none is."""
    best = facts.best
    if best is None or best is facts.main:
        return ""
    worst = f", worst group {percent(best.worst[1].after.value)}" if best.worst else ""
    return f"{best.method} is better here: pooled average {percent(best.after.value)}{worst}."
