"""Small models that the tests make themselves."""

from __future__ import annotations

import pytest

from seraser_core.config.options import ModelOptions
from seraser_core.models.clip_model import ClipModel, get_model


@pytest.fixture
def tiny_model(tiny_json: str) -> ClipModel:
    """A tiny CLIP with random weights, fp32 on the CPU."""
    return get_model(ModelOptions(name=tiny_json, pretrained=None, device="cpu"))


@pytest.fixture(scope="session")
def segment_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a tiny detector and a tiny segmenter, as options."""
    from tiny_segment import write_models  # takes seconds to import

    return write_models(tmp_path_factory.mktemp("segment"))
