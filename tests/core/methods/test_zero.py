"""ZERO against its slow literal twin."""

from __future__ import annotations

import literal_views as literal
import numpy as np
import pytest
import torch

from seraser_core.config.methods.zero import ZeroOptions
from seraser_core.methods import many_views
from seraser_core.methods.zero import vote
from seraser_core.results.outcomes import reduce_scores


def assert_voted(logits: torch.Tensor, count: int, votes: list[list[int]], winners) -> None:
    """Assert that rows hold these votes and winners, all to the last digit."""
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    array = logits.numpy()
    assert array.argmax(1).tolist() == list(winners)
    labels = [None] * len(array)
    outcome = reduce_scores("zero", array, array, labels)
    assert outcome.top[:, 0].tolist() == list(winners)
    found = np.zeros(array.shape)
    np.put_along_axis(found, outcome.top, outcome.top_probabilities * count, axis=1)
    assert np.abs(found - votes).max() <= 1e-5
    shares = np.array(votes).max(1) / count
    assert np.abs(outcome.top_probabilities[:, 0] - shares).max() <= 1e-7


@pytest.mark.parametrize("views", [30, 20, 7, 2])
def test_equals_literal_twin(crowd, views):
    found = crowd.predict(ZeroOptions(views=views), crowd.views[:, :views]).logits
    images, texts, scale = crowd.literal
    votes, winners = zip(
        *(literal.zero(image[:views], texts, scale) for image in images), strict=True
    )
    assert_voted(found, max(1, int(0.3 * views)), list(votes), winners)
    if views == 30:
        assert min(map(max, votes)) < 9, "where all agree, nothing is counted"


BY_NEXT = "the first other view is of a tied class"
BY_LATER = "a later other view is of a tied class"
BY_LOGIT = "no other view is of a tied class"
THREE = "three tied classes"
WON = "no tie, though an other view is of another class"
# Predictions of ten views, from the most certain one on, of which three vote; the second choices.
CASES = {
    WON: ([2, 2, 4, 4, 4, 4, 4, 4, 4, 4], 0, 2),
    BY_NEXT: ([3, 1, 4, 1, 3, 3, 3, 3, 3, 3], 0, 1),
    BY_LATER: ([3, 1, 4, 0, 0, 4, 1, 1, 1, 1], 0, 4),
    THREE: ([0, 1, 2, 4, 3, 3, 2, 0, 0, 0], 4, 2),
    BY_LOGIT: ([3, 1, 4, 0, 2, 0, 0, 2, 2, 2], 4, 4),
}


@pytest.mark.parametrize("name", CASES)
def test_ties(name):
    """In any order of the views; the winner is not simply the first of the tied classes."""
    said, second, winner = CASES[name]
    logits = torch.zeros(10, 5, dtype=torch.float64)
    logits[:, second] = 0.5
    for view, predicted in enumerate(said):
        logits[view, predicted] = 5 - 0.3 * view
    generator = torch.Generator().manual_seed(1)
    orders = [torch.arange(10), *(torch.randperm(10, generator=generator) for _ in range(5))]
    shuffled = torch.stack([logits[order] for order in orders])
    votes = [said[:3].count(c) for c in range(5)]
    for image, order in zip(shuffled, orders, strict=True):
        by_entropy = np.argsort(order.numpy()).tolist()
        assert literal.vote(list(image.numpy()), by_entropy, 3) == (votes, winner)
    assert_voted(vote(shuffled), 3, [votes] * 6, [winner] * 6)


def test_random_ties_equal_the_literal_twin():
    """Votes of few views among few classes: a third of them are ties."""
    logits = 3 * torch.randn(400, 14, 3, dtype=torch.float64, generator=torch.manual_seed(2))
    expected, ties = [], 0
    for image in logits.numpy():
        entropies = [literal.entropy_of(literal.softmax(z)) for z in image]
        order = sorted(range(14), key=lambda v: entropies[v])
        expected.append(literal.vote(list(image), order, 4))
        ties += sorted(expected[-1][0])[-2:] == [2, 2]
    assert ties > 50
    votes, winners = zip(*expected, strict=True)
    assert_voted(vote(logits), 4, list(votes), winners)


def test_an_image_does_not_depend_on_its_batch(crowd, monkeypatch):
    together = crowd.predict(ZeroOptions(views=30)).logits
    alone = [crowd.predict(ZeroOptions(views=30), view[None]).logits for view in crowd.views]
    assert torch.equal(torch.cat(alone), together)
    monkeypatch.setattr(many_views, "_MOST_NUMBERS", 2 * 30 * 32)
    assert torch.equal(crowd.predict(ZeroOptions(views=30)).logits, together)
