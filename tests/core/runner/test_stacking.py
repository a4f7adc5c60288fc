"""Views of a batch that are moved in parts, from memory that is written again meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seraser_core.kinds import IMAGE, NOISY_IMAGE, crops_view
from seraser_core.models.device import stream
from seraser_core.runner.stacking import Stack

SIDE, PART, PARTS = 64, 16, 20
VIEWS = (IMAGE, crops_view(3, (SIDE, SIDE)))


@pytest.mark.parametrize("kind", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_each_part_is_moved_before_its_memory_is_written_again(kind):
    device = torch.device(kind)
    copies = stream("copy", device) if kind == "cuda" else None
    memory = np.empty((PART, 4, 3, SIDE, SIDE), dtype=np.uint8)
    parts = [{"image": one[:1], VIEWS[1].name: one[1:]} for one in memory]
    stack = Stack(VIEWS, PART * PARTS + 5, device, copies)
    for number in range(PARTS):
        memory[:] = number
        memory[:, 1:] += 100
        stack.add(parts)
    stack.add([])
    if copies is not None:
        copies.synchronize()
    views = stack.views()
    numbers = torch.arange(PARTS, dtype=torch.uint8).repeat_interleave(PART)
    for view, more in zip(VIEWS, (0, 100), strict=True):
        pixels = views[view.name]
        assert pixels.device.type == kind
        expected = (numbers + more)[:, None, None, None, None]
        assert torch.equal(pixels.cpu(), expected.expand(PART * PARTS, view.count, 3, SIDE, SIDE))


def test_no_image_has_no_views():
    assert Stack([NOISY_IMAGE], 4, torch.device("cpu"), None).views() == {}
