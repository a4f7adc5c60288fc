"""The rules of the page: its sentence, its doubts, its tiles, and what to do next."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from made_reports import some_findings, trusted

from seraser_core.config.methods.tie import TieOptions
from seraser_core.demo.config import demo_config
from seraser_core.report.advice import next_steps
from seraser_core.report.facts import Effect, Facts, GroupEffect, Share
from seraser_core.report.intro import about, better, explained
from seraser_core.report.verdict import assurance, doubts, one_seed, sentence, tiles
from seraser_core.results.significance import mcnemar
from seraser_core.shortcuts.findings import Findings

RUN = trusted(methods=["zero_shot", "seraser", "foreground"]).run


def effect(method="seraser", fixed=30, broken=5, right=60, n=100, groups=None) -> Effect:
    worst = (
        GroupEffect("deer / desert", Share(5, 50), Share(35, 50), small=False),
        GroupEffect("deer / sea", Share(0, 2), Share(0, 2), small=True),
        GroupEffect("camel / desert", Share(30, 50), Share(25, 50), small=False),
    )
    return Effect(
        method=method,
        before=Share(right - fixed + broken, n),
        after=Share(right, n),
        fixed=fixed,
        broken=broken,
        p=mcnemar(fixed, broken),
        changed=Share(fixed + broken, n),
        groups=worst if groups is None else groups,
    )


def facts(*effects: Effect, **changes) -> Facts:
    known = effects or (effect(),)
    made = Facts(
        run=RUN,
        url="/runs/x",
        images=100,
        total=100,
        ok=100,
        labelled=100,
        effects=known,
        zero_shot=known[0].before,
        zero_shot_groups=known[0].groups,
        shards=4,
    )
    return replace(made, **changes)


def unlabelled(**changes) -> Facts:
    blind = Effect("seraser", Share(0, 0), Share(0, 0), 0, 0, None, Share(35, 100))
    return facts(blind, labelled=0, zero_shot_groups=(), **changes)


def test_the_sentence_of_a_method_that_helps():
    assert sentence(facts(), None) == (
        "seraser fixes 30 images and breaks 5, and the worst group rises from 10.0 % to 50.0 %."
    )


def test_the_sentence_names_the_shortcuts():
    assert sentence(facts(), some_findings()).startswith(
        "The model answers “a camel” because of “desert”: seraser fixes 30 images"
    )


def test_the_sentence_names_two_shortcuts_and_counts_the_others():
    (desert,) = some_findings().shortcuts
    sea = desert.model_copy(update={"words": ["sea"], "class_name": "a gull"})
    nameless = desert.model_copy(update={"words": []})

    def told(*shortcuts) -> str:
        found = some_findings().model_copy(update={"shortcuts": [*shortcuts]})
        return sentence(facts(), found).partition(":")[0]

    assert told(desert, sea) == (
        "The model answers “a camel” because of “desert” and “a gull” because of “sea”"
    )
    assert told(desert, sea, nameless, nameless) == (
        "The model answers “a camel” because of “desert” and “a gull” because of “sea” "
        "(2 more shortcuts)"
    )
    assert told(nameless, nameless) == "Some surroundings make the model answer “a camel”"


def test_the_sentence_of_a_gain_that_costs_the_worst_group():
    groups = (GroupEffect("a", Share(20, 50), Share(15, 50), small=False),)
    assert sentence(facts(effect(groups=groups)), None) == (
        "seraser fixes 30 images and breaks 5, but the worst group falls from 40.0 % to 30.0 %."
    )


def test_the_sentence_of_a_run_without_groups_tells_the_average():
    assert sentence(facts(effect(groups=())), None) == (
        "seraser fixes 30 images and breaks 5 of 100; the pooled average rises from 35.0 % to "
        "60.0 %."
    )


def test_the_sentence_of_harm_and_of_chance():
    harm = effect(fixed=2, broken=20, groups=())
    assert sentence(facts(harm), None) == (
        "seraser breaks 20 images and fixes 2, so the pooled average falls from 78.0 % to 60.0 %."
    )
    chance = effect(fixed=4, broken=3)
    assert sentence(facts(chance), None) == (
        "seraser makes no clear difference: of 100 images it fixes 4 and breaks 3."
    )


def test_the_sentence_without_labels_without_a_method_and_without_a_model():
    assert sentence(unlabelled(), None) == (
        "seraser changes 35.0 % of 100 images; without labels, nobody can say if for the better."
    )
    alone = facts(effects=())
    assert sentence(alone, None) == (
        "zero_shot is right on 35.0 % of 100 images, and on 10.0 % of deer / desert."
    )
    random = facts(run=RUN.model_copy(update={"random_weights": True}))
    assert "weights are random" in sentence(random, some_findings())
    assert "all failed" in sentence(facts(ok=0, labelled=0), None)


def test_nothing_speaks_against_a_whole_run():
    assert doubts(facts()) == []
    assert assurance(facts()) == (
        "Complete: all 100 planned images have a prediction and a label, and no group is small."
    )
    assert one_seed(facts()) == "One seed: how the figures vary is not known."


@pytest.mark.parametrize(
    ("changes", "text", "grave"),
    [
        ({"missing": 2}, "2 of 4 shards are missing from this report.", True),
        (
            {"ok": 88, "labelled": 88, "errors": {"seraser": {"undecodable": 10, "gone": 2}}},
            "12 of 100 images have no prediction (12.0 %): undecodable 10, gone 2.",
            False,
        ),
        ({"labelled": 40}, "Only 40 of 100 images have a label.", False),
        ({"small_groups": 2}, "2 groups of fewer than 5 images: left out of", False),
        ({"doubts": ["masks are empty"]}, "masks are empty.", False),
        (
            {"run": RUN.model_copy(update={"random_weights": True})},
            "The model's weights are random: these figures say nothing about any model.",
            True,
        ),
    ],
)
def test_what_speaks_against_the_figures(changes, text, grave):
    (found,) = doubts(facts(**changes))
    assert found.text.startswith(text)
    assert found.grave == grave


def test_the_gravest_doubt_comes_first():
    found = doubts(facts(labelled=40, small_groups=1, missing=1))
    assert [one.grave for one in found] == [True, False, False]
    assert "/runs/x" in found[0].remedy


def test_a_worst_group_of_few_images_is_doubted_with_its_interval():
    groups = (GroupEffect("a", Share(1, 9), Share(3, 9), small=False),)
    (found,) = doubts(facts(effect(groups=groups)))
    assert found.text == (
        "The worst group, a, has only 9 images: its accuracy may be anything from 12.1 % to 64.6 %."
    )


def test_every_tile_has_its_n_and_interval():
    average, worst, fixed, shortcuts = tiles(facts(), some_findings())
    assert (average.value, average.change) == ("35.0 → 60.0 %", "gain")
    assert average.note == "seraser: 95 % CI 50.2–69.1 %, n = 100"
    assert worst.value == "10.0 → 50.0 %"
    assert worst.note.startswith("deer / desert, then camel / desert: 95 % CI ")
    assert fixed.value == "+30 / −5"
    assert fixed.note == "McNemar's p < 0.001, n = 100"
    assert shortcuts.value == "1"
    assert shortcuts.note == "desert → a camel in 58 of 60 other objects, 95 % CI 88.6–99.1 %"


def test_a_change_is_clear_where_mcnemar_says_so():
    """Intervals that overlap say nothing: the images are the same before and after."""
    group = GroupEffect("a", Share(120, 120), Share(114, 120), False, fixed=0, broken=6)
    assert group.before.low < group.after.high
    harm = effect(fixed=0, broken=6, right=474, n=480, groups=(group,))
    assert (group.change, harm.change, harm.worst_change) == ("loss", "loss", "loss")
    assert [one.change for one in tiles(facts(harm), None)[:3]] == ["loss"] * 3
    few = replace(group, broken=5, after=Share(115, 120))
    assert (few.change, effect(fixed=5, broken=0).change) == ("", "")
    assert replace(group, fixed=None, broken=None).change == "", "of an earlier version"
    other = GroupEffect("b", Share(110, 120), Share(120, 120), False, fixed=10, broken=0)
    assert effect(groups=(group, other)).worst_change == "", "not the same images"


def test_the_first_screen_says_what_its_methods_do():
    kinds = {"zero_shot": {}, "seraser": {"auxiliary": "mask"}, "foreground": {}}
    methods = [m.model_copy(update={"options": kinds[m.id]}) for m in RUN.methods]
    run = RUN.model_copy(update={"methods": methods})
    best = effect("foreground", fixed=60, right=90)
    told = (
        "zero_shot is the model as it is. seraser tunes the prompt on each image until the "
        "background alone decides nothing."
    )
    assert explained(facts(run=run)) == told
    assert explained(facts(effect(), best, run=run)) == (
        f"{told} foreground is the model on the object alone."
    )


def test_no_group_is_the_worst_where_all_are_equal():
    groups = [GroupEffect(name, Share(50, 50), Share(50, 50), small=False) for name in "ab"]
    worst = tiles(facts(effect(groups=groups)), None)[1]
    assert worst.note.startswith("95 % CI")
    groups[1] = replace(groups[1], after=Share(40, 50))
    assert tiles(facts(effect(groups=groups)), None)[1].note.startswith("b: 95 % CI")


def test_the_first_line_tells_drawn_pictures():
    config = RUN.config.document()
    plain = RUN.config.model_validate(config | {"seed": 3})
    assert about(RUN.model_copy(update={"config": plain}))[-1] == "seed 3"
    drawn = demo_config("/data/metadata.csv", "")
    for dataset, told in ((drawn["dataset"], True), (drawn["dataset"] | {"id": "x"}, False)):
        one = RUN.config.model_validate(config | {"dataset": dataset})
        found = about(RUN.model_copy(update={"config": one}))
        assert found[0] == "data/metadata.csv split 2"
        assert ("drawn pictures" in found) == told


def test_tiles_of_an_audit_and_of_a_search_that_found_nothing():
    nothing = Findings(used=90, detectable=some_findings().detectable)
    changed, done, failed, shortcuts = tiles(unlabelled(), nothing)
    assert (changed.value, changed.note[-7:]) == ("35.0 %", "n = 100")
    assert done.value == "100"
    assert failed.value == "0.0 %"
    assert shortcuts.value == "0"
    assert tiles(unlabelled(), None)[-1].value == "–"


def titles(found: Facts, findings: Findings | None = None) -> list[str]:
    return [step.title for step in next_steps(found, findings)]


def test_the_foreground_is_advised_where_it_is_clearly_better():
    best = effect("foreground", fixed=60, right=90)
    found = facts(effect(), best)
    assert titles(found, some_findings()) == [
        "Use foreground",
        "Look at the 5 images that foreground breaks",
        "Try group_prompt",
    ]
    assert better(found) == "foreground is better here: pooled average 90.0 %, worst group 50.0 %."
    alike = effect("foreground", fixed=31, right=61)
    assert "Use foreground" not in titles(facts(effect(), alike))
    assert better(facts(effect(), alike)) == ""
    useless = effect("foreground", fixed=2, broken=2, right=75)
    assert "Use foreground" not in titles(facts(effect(), useless)), "zero-shot is as good"


def test_the_method_to_use_is_written_with_its_options():
    options = TieOptions(id="pooled", contexts="camel_deer", pool={"sample": 9})
    record = RUN.methods[-1].model_copy(
        update={"id": "pooled", "name": "tie", "options": options.model_dump(mode="json")}
    )
    run = RUN.model_copy(update={"methods": [*RUN.methods, record]})
    found = facts(effect(), effect("pooled", fixed=60, right=90), run=run)
    (written,) = yaml.safe_load(next_steps(found, None)[0].code)["methods"]
    assert TieOptions(**written) == options
    strange = record.model_copy(update={"options": {"gone": 1}})
    run = RUN.model_copy(update={"methods": [*RUN.methods, strange]})
    assert next_steps(replace(found, run=run), None)[0].code == ""


@pytest.mark.parametrize(
    ("seraser", "told"),
    [
        ("mask", " Both need a mask of every image."),
        ("blur", " It needs a mask of every image, which seraser does not."),
    ],
)
def test_what_the_foreground_needs_is_told_beside_what_seraser_needs(seraser, told):
    kinds = {
        "zero_shot": {},
        "seraser": {"auxiliary": seraser},
        "foreground": {"auxiliary": "mask"},
    }
    methods = [m.model_copy(update={"options": kinds[m.id]}) for m in RUN.methods]
    run = RUN.model_copy(update={"methods": methods})
    found = facts(effect(), effect("foreground", fixed=60, right=90), run=run)
    assert next_steps(found, None)[0].why == (
        "It is right on 90.0 % of the images, seraser on 60.0 % and zero_shot on 35.0 %." + told
    )


def test_zero_shot_is_kept_where_nothing_is_better():
    harm = effect(fixed=0, broken=6, right=94, groups=())
    alike = effect("foreground", fixed=0, broken=0, right=100, groups=())
    step, look = next_steps(facts(harm, alike, masked=True), None)
    assert step.title == "Keep zero_shot"
    assert step.why == (
        "It is right on 100.0 % of 100 images; seraser is clearly worse (94.0 %; fixes 0, "
        "breaks 6), foreground is as good (100.0 %; no image differs)."
    )
    assert look.title == "Look at the 6 images that seraser breaks"
    chance = effect(fixed=4, broken=3)
    assert next_steps(facts(chance), None)[0].why.endswith(
        "seraser is not clearly different (60.0 %; fixes 4, breaks 3). More images may tell."
    )


def test_harm_above_gain_means_another_method():
    harm = effect(fixed=2, broken=20)
    best = effect("foreground", fixed=40, right=75)
    assert titles(facts(harm, best))[:2] == ["Use foreground", "Do not use seraser on this data"]


def test_a_method_that_ran_already_is_not_advised():
    run = RUN.model_copy(
        update={"methods": [RUN.methods[1].model_copy(update={"name": "group_prompt"})]}
    )
    assert "Try group_prompt" not in titles(facts(run=run), some_findings())


def test_steps_of_a_partial_run_begin_with_what_is_missing():
    found = next_steps(facts(missing=1, ok=90, labelled=90), None)
    assert found[0].code == "seraser repair /runs/x"
    assert found[1].code == "seraser retry-errors /runs/x"


def test_an_audit_is_told_how_many_labels_say_how_much():
    (step, *_) = next_steps(unlabelled(), None)
    assert step.title == "Label 35 changed images"
    assert "to within 16 points" in step.why


def test_random_weights_leave_one_step():
    random = facts(run=RUN.model_copy(update={"random_weights": True}))
    assert titles(random, some_findings()) == ["Run a trained model"]
