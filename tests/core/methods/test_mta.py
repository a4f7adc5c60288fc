"""MTA against its slow literal twin."""

from __future__ import annotations

import literal_views as literal
import numpy as np
import pytest
import torch

from seraser_core.config.methods.mta import MtaOptions
from seraser_core.methods import many_views


@pytest.mark.parametrize("views", [30, 3, 2])
def test_equals_literal_twin(crowd, views):
    found = crowd.predict(MtaOptions(views=views), crowd.views[:, :views]).logits
    assert found.dtype == torch.float32
    images, texts, scale = crowd.literal
    expected = np.array([literal.mta(image[:views], texts, scale) for image in images])
    assert np.abs(found.numpy() - expected).max() <= 1e-5
    zero_shot = scale * images[:, 0] @ texts.T
    assert np.abs(expected - zero_shot).max() > 1e-2


def test_views_that_are_identical_have_a_bandwidth(crowd):
    views = crowd.views.clone()
    views[0] = views[0, :1]  # all of them
    views[1, 5:] = views[1, 5]  # more than a third, the image not among them
    views[2, :20] = views[2, 0]  # more than a third, the image among them
    found = crowd.predict(MtaOptions(views=30), views).logits
    _, texts, scale = crowd.literal
    expected = np.array([literal.mta(image, texts, scale) for image in views.double().numpy()])
    assert np.abs(found.numpy() - expected).max() <= 1e-5
    same = scale * views[0, 0].double().numpy() @ texts.T
    assert np.abs(found[0].numpy() - same).max() <= 1e-5


def test_an_image_does_not_depend_on_its_batch(crowd, monkeypatch):
    """Nor on one that stands still at once."""
    options = MtaOptions(views=30)
    views = torch.cat([crowd.views, crowd.views[:1, :1].expand(-1, 30, -1)])
    together = crowd.predict(options, views).logits
    alone = [crowd.predict(options, view[None]).logits for view in views]
    order = [3, 0, 6, 4, 2, 1, 5]
    shuffled = crowd.predict(options, views[order]).logits
    monkeypatch.setattr(many_views, "_MOST_NUMBERS", 2 * 30 * 32)
    parts = crowd.predict(options, views).logits
    for found, expected in (
        (torch.cat(alone), together),
        (shuffled, together[order]),
        (parts, together),
    ):
        assert (found - expected).abs().max() <= 1e-6
