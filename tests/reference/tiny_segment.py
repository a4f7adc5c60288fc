"""A tiny Grounding DINO and a tiny SAM of transformers' own classes, with random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SamConfig,
    SamImageProcessor,
    SamMaskDecoderConfig,
    SamModel,
    SamProcessor,
    SamPromptEncoderConfig,
    SamVisionConfig,
    SwinConfig,
)

SIDE = 64
"""Of the segmenter's input."""
TEXT_LENGTH = 16
"""Tokens that the detector reads."""
_WORDS = ["a", "landbird", "waterbird", "bird"]
# Ids of Bert's vocabulary that Grounding DINO knows by number.
_SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
_SPECIAL |= {".": 1012, "?": 1029}


def write_models(root: Path) -> dict[str, str]:
    """Write both; returns their folders, as options of a segmenter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _write_detector(root / "detector")
        _write_segmenter(root / "segmenter")
    return {"detector": str(root / "detector"), "segmenter": str(root / "segmenter")}


def _shake(net: torch.nn.Module, seed: int, scale: float) -> None:
    """Move all weights at random; as they are drawn, every output is nearly the same."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)


def _write_detector(folder: Path) -> None:
    names = {number: f"[unused{number}]" for number in range(1030)}
    names |= {number: word for word, number in _SPECIAL.items()}
    names |= dict(enumerate(_WORDS, start=1030))
    vocabulary = {word: number for number, word in names.items()}
    tokenizer = BertTokenizer(vocabulary, do_lower_case=False)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=4,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=len(names),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
        ),
        d_model=64,
        num_queries=30,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=4,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=4,
        max_text_len=TEXT_LENGTH,
    )
    net = GroundingDinoForObjectDetection(config)
    _shake(net, seed=0, scale=0.1)
    with torch.no_grad():
        for parameter in net.model.decoder.layer_norm.parameters():
            parameter *= 0.1  # scores short of 1
        net.bbox_embed[0].layers[-1].bias[2:] += 3.5  # boxes large enough to overlap
    net.save_pretrained(folder)
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)


def _write_segmenter(folder: Path) -> None:
    images = SamImageProcessor(
        size={"longest_edge": SIDE},
        pad_size={"height": SIDE, "width": SIDE},
        mask_size={"longest_edge": 32},
        mask_pad_size={"height": 32, "width": 32},
    )
    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=16,
            output_channels=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=8,
            window_size=4,
            global_attn_indexes=[1],
            num_pos_feats=8,
            mlp_dim=16,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=16, image_size=SIDE, patch_size=8, mask_input_channels=4
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=16, mlp_dim=16, num_attention_heads=2, iou_head_hidden_dim=16
        ),
    )
    net = SamModel(config)
    _shake(net, seed=3, scale=0.3)
    net.save_pretrained(folder)
    SamProcessor(images).save_pretrained(folder)
