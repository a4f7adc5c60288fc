"""The shortcut finder on samples of which everything is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from synthetic_samples import synthetic_sample, synthetic_words

from seraser_core.config.methods.group_prompt import GroupPromptOptions
from seraser_core.config.methods.orthogonal import OrthCaliOptions
from seraser_core.errors import RunDirectoryError
from seraser_core.shortcuts.find import find_shortcuts
from seraser_core.shortcuts.findings import Findings

CLASSES = ["a cat", "a dog", "an owl", "a bat"]
PLANTED = {1: (2, 0.5), 4: (0, 0.3)}
WORDS = synthetic_words(6)


def pairs(findings: Findings) -> set[tuple[str, int]]:
    return {(one.place, one.class_index) for one in findings.shortcuts}


@pytest.fixture(scope="module")
def sample():
    return synthetic_sample(800, 4, 6, PLANTED)


@pytest.fixture(scope="module")
def findings(sample):
    return find_shortcuts(sample, CLASSES, WORDS, region="mask", eraser="seraser")


def test_planted_shortcuts_are_found_and_no_others(findings):
    assert pairs(findings) == {("place1", 2), ("place4", 0)}
    strong, weak = findings.shortcuts
    assert (strong.class_name, weak.class_name) == ("an owl", "a cat")
    for one, (class_index, share) in ((strong, PLANTED[1]), (weak, PLANTED[4])):
        assert one.class_index == class_index
        assert one.decided.low <= share * 0.75 <= one.decided.high  # a quarter is the class itself
        assert one.pull == pytest.approx(share, abs=0.15)
        assert 0.05 < one.pull_low < one.pull
        assert one.p == 0.001
        assert one.cure > 0.9
        assert one.voice > 0.3
        assert one.labels is None
    assert not findings.latent
    assert not findings.hard


@pytest.mark.slow  # a second of CPU alone, but BLAS threads spin where all cores are busy
def test_many_images_classes_and_words():
    planted = {1: (2, 0.5), 4: (0, 0.3), 7: (150, 0.2), 9: (33, 0.4)}
    sample = synthetic_sample(5000, 200, 25, planted, dimensions=256)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3000, 256)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    words = synthetic_words(25, 256)
    words = replace(
        words,
        words=[*words.words, *(f"word{i}" for i in range(3000))],
        kinds=[*words.kinds, *["artifact"] * 3000],
        features=np.vstack([words.features, noise]),
    )
    found = find_shortcuts(sample, [f"class {i}" for i in range(200)], words)
    assert pairs(found) == {(f"place{place}", one) for place, (one, _) in planted.items()}
    assert len(found.detectable) == 25


def test_figures_of_a_shortcut_are_those_of_its_images(sample, findings):
    """Recounted from the true places, which the clusters match."""
    one = findings.shortcuts[0]
    place = (sample.attributes == 1) & (sample.foreground.argmax(1) != 2)
    decided = place & (sample.whole.argmax(1) == 2)
    assert one.images == (sample.attributes == 1).sum()
    assert one.conflicts == place.sum()
    tests = sample.keys % 2 == 1
    assert (one.decided.hits, one.decided.n) == (
        (decided & tests).sum(),
        ((sample.attributes == 1) & tests).sum(),
    )
    assert set(one.examples) <= {sample.item_ids[row] for row in np.flatnonzero(decided)}
    assert len(one.examples) == 60
    place_of = dict(zip(sample.item_ids, sample.attributes, strict=True))
    assert {place_of[i] for i in findings.detectable[one.cluster].examples} == {1}


def test_the_order_of_the_images_makes_no_difference(sample, findings):
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(sample))
        again = find_shortcuts(sample.take(order), CLASSES, WORDS, region="mask", eraser="seraser")
        assert again == findings


def test_the_order_of_the_classes_makes_no_difference(sample, findings):
    order = np.array([2, 0, 3, 1])
    logits = ("whole", "background", "foreground", "erased")
    renamed = replace(sample, **{name: getattr(sample, name)[:, order] for name in logits})
    again = find_shortcuts(renamed, [CLASSES[one] for one in order], WORDS)
    assert [(one.place, one.class_name, one.decided) for one in again.shortcuts] == [
        (one.place, one.class_name, one.decided) for one in findings.shortcuts
    ]


def test_images_in_shuffled_places_show_nothing(sample):
    order = np.random.default_rng(0).permutation(len(sample))
    shuffled = replace(sample, features=sample.features[order], background=sample.background[order])
    found = find_shortcuts(shuffled, CLASSES, WORDS, region="mask")
    assert not found.shortcuts
    assert "No shortcut found in 800 images" in found.sentence()


def test_nothing_found_says_what_would_have_been_seen():
    found = find_shortcuts(synthetic_sample(600, 4, 6, {}), CLASSES, WORDS, region="mask")
    assert not found.shortcuts
    assert not found.remedies
    assert len(found.detectable) == 6
    for place in found.detectable:
        assert 3 / place.tested < 0.1 < place.share < 0.4
        assert 20 < place.conflicts < 100
    most = max(100 * place.share for place in found.detectable)
    assert f"more than {most:.1f} % of its images" in found.sentence()


def test_without_words_places_have_no_names(sample):
    found = find_shortcuts(sample, CLASSES)
    assert {one.class_index for one in found.shortcuts} >= {0, 2}
    assert {one.place for one in found.shortcuts} == {"unnamed surroundings"}
    assert "no names" in found.notes[0]
    assert not found.remedies


def test_a_word_that_does_not_tell_a_place_is_no_name(sample):
    words = replace(WORDS, features=np.roll(np.eye(24, dtype=np.float32), 10, axis=1)[:6])
    found = find_shortcuts(sample, CLASSES, words)
    assert all(not one.words for one in found.shortcuts)


def test_masks_that_are_too_small_or_too_large_are_left_out_and_counted(sample):
    area = sample.area.copy()
    area[:30], area[30:70] = 0.004, 0.91
    found = find_shortcuts(replace(sample, area=area), CLASSES, WORDS)
    assert (found.sampled, found.used) == (800, 730)
    assert (found.left_out.small, found.left_out.large) == (30, 40)
    again = find_shortcuts(sample.take(np.arange(70, 800)), CLASSES, WORDS)
    assert found.shortcuts == again.shortcuts


def test_labels_tell_a_shortcut_from_what_is_hard():
    sample = synthetic_sample(1200, 4, 6, PLANTED, labelled=True)
    # In place 3, half of the bats are taken for anything else, in the whole and alone.
    hard = (sample.attributes == 3) & (sample.labels == 3) & (sample.keys % 8 >= 4)
    whole = sample.whole.copy()
    whole[hard, 3] -= 30
    found = find_shortcuts(replace(sample, whole=whole), CLASSES, WORDS)
    assert pairs(found) == {("place1", 2), ("place4", 0)}
    for one in found.shortcuts:
        assert one.labels.verdict == "shortcut"
        assert one.labels.fpr_inside.low > one.labels.fpr_outside.high
        assert one.labels.tpr_inside.value >= one.labels.tpr_outside.value
    assert [(one.words[0], one.class_name) for one in found.hard] == [("place3", "a bat")]
    rates = found.hard[0].labels
    assert rates.verdict == "merely hard"
    own = (sample.attributes == 3) & (sample.labels == 3) & (sample.keys % 2 == 1)
    assert (rates.tpr_inside.hits, rates.tpr_inside.n) == ((own & ~hard).sum(), own.sum())


def test_places_are_not_hard_because_a_shortcut_helps_its_class_elsewhere():
    """Half of the owls are missed wherever no shortcut helps."""
    sample = synthetic_sample(1200, 4, 3, {1: (2, 0.9)}, labelled=True)
    whole = sample.whole.copy()
    whole[(sample.labels == 2) & (sample.attributes != 1) & (sample.keys % 4 >= 2), 2] -= 30
    found = find_shortcuts(replace(sample, whole=whole), CLASSES, synthetic_words(3))
    assert pairs(found) == {("place1", 2)}
    rates = found.shortcuts[0].labels
    assert rates.tpr_inside.low > rates.tpr_outside.high + 0.2
    assert not found.hard


def test_a_place_with_one_class_alone_is_latent():
    sample = synthetic_sample(900, 4, 6, {}, seed=3)
    objects = sample.foreground.argmax(1)
    background = sample.background.copy()
    background[sample.attributes == 2, 1] += 8
    only = (sample.attributes != 2) | (objects == 1)
    found = find_shortcuts(replace(sample, background=background).take(only), CLASSES, WORDS)
    assert not found.shortcuts
    (latent,) = found.latent
    assert (latent.place, latent.class_name, latent.conflicts) == ("place2", "a dog", 0)
    assert latent.voice > 0.9
    assert latent.images == (only & (sample.attributes == 2)).sum()
    # With counterexamples, the place is seen to decide nothing.
    assert not find_shortcuts(replace(sample, background=background), CLASSES, WORDS).latent


def test_the_remedies_are_valid_methods_that_name_the_places(findings):
    remedy, other = findings.remedies
    (entry,) = yaml.safe_load(remedy.config)
    options = GroupPromptOptions.model_validate(entry)
    assert list(options.prompts) == CLASSES
    assert options.prompts["a dog"] == [
        "a photo of a dog",
        "a photo of a dog in the place1",
        "a photo of a dog on the place1",
        "a photo of a dog in the place4",
        "a photo of a dog on the place4",
    ]
    assert "place1 and place4" in remedy.reason
    (entry,) = yaml.safe_load(other.config)
    projection = OrthCaliOptions.model_validate(entry)
    assert projection.contexts == ["a photo of the place1", "a photo of the place4"]
    assert projection.pairs is not None
    assert projection.pairs[:3] == [
        ("a photo of a cat", "a photo of a cat in the place1"),
        ("a photo of a cat", "a photo of a cat in the place4"),
        ("a photo of a dog", "a photo of a dog in the place1"),
    ]
    assert len(projection.pairs) == 2 * len(CLASSES)


@pytest.mark.parametrize(("n", "classes"), [(0, 4), (20, 4), (200, 1)])
def test_too_little_to_test_is_said(n, classes):
    found = find_shortcuts(synthetic_sample(n, classes, 3, {}), CLASSES[:classes], WORDS)
    assert not found.shortcuts
    assert found.sentence() == found.notes[-1]
    assert "are too few" in found.sentence()


def test_findings_survive_their_file(findings):
    data = findings.model_dump_json().encode()
    assert Findings.parse(data, "shortcuts.json") == findings
    assert findings.document()["shortcuts"][0]["class_name"] == "an owl"
    with pytest.raises(RunDirectoryError, match=r"shortcuts\.json is damaged"):
        Findings.parse(b"{}x", "shortcuts.json")


def test_the_sentence_names_the_surest_shortcut(findings):
    first = findings.shortcuts[0]
    others, decided = first.others, first.decided
    assert others.hits == decided.hits
    assert others.n < decided.n
    assert findings.sentence() == (
        "The surroundings “place1” make the model answer “an owl”: it does so for "
        f"{others.hits} of {others.n} images there ({100 * others.value:.1f} %) whose object "
        "alone is something else (1 more shortcut found)."
    )
    earlier = first.model_copy(update={"others": None})
    assert (
        f"for {decided.hits} of {decided.n} images there ({100 * decided.value:.1f} %) although "
        "their object alone is something else."
    ) in findings.model_copy(update={"shortcuts": [earlier]}).sentence()
    assert Findings(notes=["not looked for"]).sentence() == "not looked for"


def test_findings_without_content_are_damaged():
    with pytest.raises(RunDirectoryError, match="damaged: it lacks sampled, used"):
        Findings.parse(b"{}", "shortcuts.json")
    assert Findings().sentence() == "Shortcuts were not looked for."
