"""A tiny BLIP-2 of transformers' own classes with random weights, and its processor."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForImageTextRetrieval,
    BlipImageProcessor,
)

SIDE = 32
"""Of the pictures."""
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = (
    "a photo of place camel deer land ##bird in the desert lake on red - billed ox ##pe ##cker ."
)
VOCABULARY = (*_MARKS, *_WORDS.split())


def write_blip2(folder: Path, **saving: object) -> Blip2ForImageTextRetrieval:
    """Write all that a run needs into `folder`; returns the model.

    Args:
        folder: Made if it is not there.
        saving: Options of ``save_pretrained``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Blip2ForImageTextRetrieval(_config()).eval()
        with torch.no_grad():
            for parameter in net.parameters():  # as drawn, every query token is the same
                parameter += 0.1 * torch.randn(parameter.shape)
    net.save_pretrained(folder, **saving)
    BertTokenizer({word: number for number, word in enumerate(VOCABULARY)}).save_pretrained(folder)
    BlipImageProcessor(
        size={"height": SIDE, "width": SIDE},
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.25, 0.3],
    ).save_pretrained(folder)
    return net


def _config() -> Blip2Config:
    return Blip2Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": SIDE,
            "patch_size": 8,
        },
        qformer_config={
            "vocab_size": len(VOCABULARY),
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 40,
            "encoder_hidden_size": 32,
            "use_qformer_text_input": True,
        },
        text_config={  # of the language model, which image-text retrieval has none of
            "model_type": "opt",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "ffn_dim": 16,
            "word_embed_proj_dim": 16,
        },
        num_query_tokens=4,
        image_text_hidden_size=24,
    )
