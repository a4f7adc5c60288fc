"""Features of short texts are those of the model's own encode_text."""

from __future__ import annotations

import pytest
import torch
from demo_samples import demo_model

from seraser_core.models.short_texts import encode_short_texts


def test_short_texts_have_the_features_of_the_whole_context():
    model = demo_model()
    tokens = model.tokenizer(["a photo of a camel", "snow", "a photo of a deer in the forest"])
    features = encode_short_texts(model, tokens)
    assert features == pytest.approx(model.encode_text(tokens), abs=1e-6)
    assert model.net.positional_embedding.shape[0] == model.context_length


def test_the_padding_is_not_computed():
    model = demo_model()
    tokens = model.tokenizer(["snow"] * 256 + ["a photo of a beach"] * 40)
    seen = []
    hook = model.net.transformer.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].shape[1])
    )
    encode_short_texts(model, tokens[torch.randperm(len(tokens))])
    hook.remove()
    used = (tokens != 0).sum(1)
    assert seen == [int(used.min()) + 1, int(used.max()) + 1]


def test_texts_that_fill_the_context_are_encoded_whole():
    model = demo_model()
    tokens = torch.randint(1, 400, (2, model.context_length))
    assert torch.equal(encode_short_texts(model, tokens), model.encode_text(tokens))
