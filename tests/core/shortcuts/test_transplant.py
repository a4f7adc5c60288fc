"""Objects pasted onto other backgrounds, and what that says of a shortcut."""

from __future__ import annotations

import numpy as np
import pytest

from seraser_core.shortcuts.findings import Detectable, Findings, Rate, Shortcut
from seraser_core.shortcuts.transplant import Cutout, confirm, fill, paste

SIDE = 24
PLACES = {"sand": (200, 170, 90), "grass": (40, 150, 40)}
OBJECTS = ((250, 0, 0), (0, 0, 250))


def cutout(place: str, object_class: int, number: int, side: int = SIDE) -> Cutout:
    """A square object of its class's colour on a plain ground."""
    image = np.empty((side, side, 3), np.uint8)
    image[:] = PLACES[place]
    mask = np.zeros((side, side), bool)
    at = side // 4 + number % 3
    mask[at : at + side // 3, at : at + side // 3] = True
    image[mask] = OBJECTS[object_class]
    return Cutout(f"{place}-{object_class}-{number}", image, mask, object_class)


def test_a_pasted_object_stands_on_the_other_ground():
    thing, background = cutout("sand", 1, 0), cutout("grass", 0, 2)
    pasted = paste(thing, background, feather=0)
    assert (pasted[thing.mask] == OBJECTS[1]).all()
    assert (pasted[~thing.mask] == PLACES["grass"]).all()  # its own object is gone


def test_a_soft_edge_mixes_both():
    thing = cutout("sand", 1, 0)
    pasted = paste(thing, cutout("grass", 0, 0))
    hard = paste(thing, cutout("grass", 0, 0), feather=0)
    edge = (pasted != hard).any(-1)
    assert 0 < edge.mean() < 0.4
    assert (pasted[0, 0] == PLACES["grass"]).all()


def test_pictures_of_other_sizes_are_resized():
    thing, background = cutout("sand", 1, 0, side=48), cutout("grass", 0, 0)
    pasted = paste(thing, background, feather=0)
    assert pasted.shape == (SIDE, SIDE, 3)
    blue = (pasted[..., 2] > 145) & (pasted[..., 1] < 75)
    assert blue.mean() == pytest.approx(thing.mask.mean(), abs=0.03)


def test_filling_goes_on_smoothly_from_what_surrounds():
    x = np.linspace(0, 255, 33)
    image = np.broadcast_to(x[None, :, None], (21, 33, 3)).astype(np.uint8)
    mask = np.zeros((21, 33), bool)
    mask[6:14, 10:20] = True
    filled = fill(image, mask)
    assert np.array_equal(filled[~mask], image[~mask])
    assert np.abs(filled - image)[mask].max() < 48
    broken = image.copy()
    broken[mask] = 255
    assert np.array_equal(fill(broken, mask), filled)  # nothing of the object is left
    assert not fill(image, np.ones_like(mask)).any()


def shortcut_of(place: int, class_index: int) -> Findings:
    shortcut = Shortcut(
        words=["sand"],
        class_index=class_index,
        class_name="red",
        decided=Rate.of(5, 10),
        pull=0.5,
        pull_low=0.4,
        p=0.001,
        q=0.001,
        conflicts=20,
        images=30,
        cluster=place,
        voice=0.5,
    )
    place_ = Detectable(words=["sand"], tested=10, conflicts=20, share=0.3)
    return Findings(shortcuts=[shortcut], detectable=[place_, place_])


def by_ground(pictures) -> np.ndarray:
    """Logits of a model that calls everything on sand red, and else goes by the object."""
    sandy = np.array([(p == PLACES["sand"]).all(-1).mean() > 0.3 for p in pictures])
    blue = np.array([(p == OBJECTS[1]).all(-1).any() for p in pictures])
    return np.stack([sandy | ~blue, ~sandy & blue], axis=1).astype(float)


def by_object(pictures) -> np.ndarray:
    blue = np.array([(p == OBJECTS[1]).all(-1).any() for p in pictures])
    return np.stack([~blue, blue], axis=1).astype(float)


CUTOUTS = [cutout(place, y, n) for place in PLACES for y in range(2) for n in range(6)]
WHERE = {one.item_id: int(one.item_id.startswith("grass")) for one in CUTOUTS}


def test_a_shortcut_shows_on_its_place_alone():
    confirmed = confirm(shortcut_of(0, 0), WHERE, CUTOUTS, by_ground)
    transplant = confirmed.shortcuts[0].transplant
    assert (transplant.here.hits, transplant.here.n) == (12, 12)
    assert (transplant.elsewhere.hits, transplant.elsewhere.n) == (0, 12)
    assert confirm(shortcut_of(0, 0), WHERE, CUTOUTS[::-1], by_ground) == confirmed


def test_a_model_that_goes_by_the_object_confirms_nothing():
    transplant = confirm(shortcut_of(0, 0), WHERE, CUTOUTS, by_object).shortcuts[0].transplant
    assert transplant.here.hits == transplant.elsewhere.hits == 0


def test_at_most_200_objects_are_pasted():
    cutouts = [cutout(place, 1, n) for place in PLACES for n in range(150)]
    where = {one.item_id: int(one.item_id.startswith("grass")) for one in cutouts}
    transplant = confirm(shortcut_of(0, 0), where, cutouts, by_object).shortcuts[0].transplant
    assert transplant.here.n == transplant.elsewhere.n == 200


def test_without_pictures_of_the_place_nothing_is_said():
    grass = [one for one in CUTOUTS if one.item_id.startswith("grass")]
    assert confirm(shortcut_of(0, 0), WHERE, grass, by_object).shortcuts[0].transplant is None
    assert confirm(shortcut_of(0, 0), {}, CUTOUTS, by_object).shortcuts[0].transplant is None
