"""TPS against autograd and torch's AdamW."""

from __future__ import annotations

import literal_views as literal
import numpy as np
import pytest
import torch

from seraser_core.config.methods.tps import TpsOptions
from seraser_core.methods import tps
from seraser_core.methods.many_views import confident_views


@pytest.mark.parametrize("views", [30, 10, 2])
def test_equals_literal_twin(crowd, views):
    found = crowd.predict(TpsOptions(views=views), crowd.views[:, :views]).logits
    assert found.dtype == torch.float32
    images, texts, scale = crowd.literal
    expected, shifts = zip(
        *(literal.tps(image[:views], texts, scale) for image in images), strict=True
    )
    assert np.abs(found.numpy() - np.array(expected)).max() <= 1e-5
    zero_shot = scale * images[:, 0] @ texts.T
    assert np.abs(expected - zero_shot).max() > 0.1
    assert np.abs(shifts).max() == pytest.approx(5e-3, rel=1e-3)


@pytest.mark.parametrize("length", [1.0, 3.0])
@pytest.mark.parametrize("scale", [5.0, 20.0, 100.0])
def test_the_first_step_is_that_of_adamw(crowd, scale, length):
    """Features have any length; with large scales all views are decided, and gradients tiny."""
    images, texts = crowd.views.double(), length * crowd.context.class_features.double()
    confident = confident_views(images, texts, scale, 0.1)
    pulls = tps.logit_gradient(confident, texts, scale)
    found = tps.first_step(pulls, confident, texts, scale)
    for image, shifts in zip(images, found, strict=True):
        expected = literal.tps(image.numpy(), texts.numpy(), scale)[1]
        assert np.abs(shifts.numpy() - expected).max() <= 1e-6


def test_an_image_does_not_depend_on_its_batch(crowd, monkeypatch):
    together = crowd.predict(TpsOptions(views=30)).logits
    alone = [crowd.predict(TpsOptions(views=30), view[None]).logits for view in crowd.views]
    assert (torch.cat(alone) - together).abs().max() <= 1e-6
    monkeypatch.setattr(tps, "_MOST_SHIFTS", 2 * 6 * 32)
    parts = crowd.predict(TpsOptions(views=30)).logits
    assert (parts - together).abs().max() <= 1e-6
