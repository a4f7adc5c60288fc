"""Masks of the detector and the segmenter: tiny ones of the real classes, with random weights."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
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

from seraser_core.auxiliary import segment
from seraser_core.auxiliary.segment import Segmenter
from seraser_core.config.auxiliary import SegmentOptions
from seraser_core.errors import ConfigError, ItemError

CLASSES = ["a Landbird", "a waterbird"]
CPU = torch.device("cpu")
SIZES = [(90, 60), (50, 110), (64, 64), (31, 200)]
SIDE = 64  # of the segmenter's input
TEXT_LENGTH = 16
THRESHOLD = 0.7
NMS = 0.5
TEXT_NORM = "model.encoder.layers.0.text_enhancer_layer.layer_norm_after"
WORDS = ["a", "landbird", "waterbird", "bird"]
# Ids of Bert's vocabulary that Grounding DINO knows by number.
SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
SPECIAL |= {".": 1012, "?": 1029}


def shake(net: torch.nn.Module, seed: int, scale: float) -> None:
    """Move all weights at random; as they are drawn, every output is nearly the same."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)


def write_detector(folder: Path) -> None:
    names = {number: f"[unused{number}]" for number in range(1030)}
    names |= {number: word for word, number in SPECIAL.items()}
    names |= dict(enumerate(WORDS, start=1030))
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
    shake(net, seed=0, scale=0.1)
    with torch.no_grad():
        for parameter in net.model.decoder.layer_norm.parameters():
            parameter *= 0.1  # scores short of 1
        net.bbox_embed[0].layers[-1].bias[2:] += 3.5  # boxes large enough to overlap
    net.save_pretrained(folder)
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)


def write_segmenter(folder: Path) -> None:
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
    shake(net, seed=3, scale=0.3)
    net.save_pretrained(folder)
    SamProcessor(images).save_pretrained(folder)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a tiny detector and a tiny segmenter, as options."""
    root = tmp_path_factory.mktemp("segment")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write_detector(root / "detector")
        write_segmenter(root / "segmenter")
    return {"detector": str(root / "detector"), "segmenter": str(root / "segmenter")}


@pytest.fixture
def copies(folders: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Copies of the folders, to be changed."""
    return {name: shutil.copytree(folder, str(tmp_path / name)) for name, folder in folders.items()}


def segmenter(folders: dict[str, str], **options: Any) -> Segmenter:
    options = {"box_threshold": THRESHOLD, "nms": NMS} | options
    return Segmenter(SegmentOptions(**folders, **options), CLASSES, CPU)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Blots of colour."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


class Oracle:
    """The masks as METHODS.md states them, box by box and from the models' raw outputs."""

    def __init__(self, folders: dict[str, str], prompt: str) -> None:
        self.prompt = prompt
        self.detector = GroundingDinoForObjectDetection.from_pretrained(folders["detector"])
        self.reader = GroundingDinoProcessor.from_pretrained(folders["detector"])
        self.segmenter = SamModel.from_pretrained(folders["segmenter"])
        self.images = SamImageProcessor.from_pretrained(folders["segmenter"])

    @torch.no_grad()
    def candidates(self, image: Image.Image) -> list[tuple[float, list[float]]]:
        """Score and left, top, right, bottom of every query, best first."""
        inputs = self.reader(images=image, text=self.prompt, return_tensors="pt")
        outputs = self.detector(**inputs)
        found = []
        for logits, box in zip(outputs.logits[0], outputs.pred_boxes[0].tolist(), strict=True):
            x, y, w, h = box
            corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            sides = [image.width, image.height] * 2
            scaled = [part * side for part, side in zip(corners, sides, strict=True)]
            found.append((float(logits.sigmoid().max()), scaled))
        return sorted(found, key=lambda one: -one[0])

    def boxes(self, image: Image.Image, threshold: float, nms: float) -> list[list[float]]:
        """Boxes above the threshold, or all; none that overlaps with a better one."""
        found = self.candidates(image)
        kept: list[list[float]] = []
        for _, box in [one for one in found if one[0] > threshold] or found:
            if all(overlap(box, other) <= nms for other in kept):
                kept.append(box)
        return kept

    @torch.no_grad()
    def mask(
        self, image: Image.Image, box: list[float], pick: Callable[[list[float]], float] = max
    ) -> np.ndarray:
        """The one of the three masks that the segmenter thinks best."""
        scale = SIDE / max(image.size)
        width, height = (int(side * scale + 0.5) for side in image.size)
        ratios = [width / image.width, height / image.height] * 2
        prompt = [part * ratio for part, ratio in zip(box, ratios, strict=True)]
        outputs = self.segmenter(
            pixel_values=self.images(image, return_tensors="pt")["pixel_values"],
            input_boxes=torch.tensor([[prompt]]),
        )
        guesses = outputs.iou_scores[0, 0].tolist()
        assert len(guesses) == 3
        logits = outputs.pred_masks[0, 0, guesses.index(pick(guesses))]
        square = F.interpolate(logits[None, None], (SIDE, SIDE), mode="bilinear")
        cut = square[..., :height, :width]
        full = F.interpolate(cut, (image.height, image.width), mode="bilinear")
        return (full[0, 0] > 0).numpy()

    def union(
        self, image: Image.Image, threshold: float = THRESHOLD, nms: float = NMS, **pick: Any
    ) -> np.ndarray:
        masks = [self.mask(image, box, **pick) for box in self.boxes(image, threshold, nms)]
        return np.any(masks, axis=0)


def overlap(a: list[float], b: list[float]) -> float:
    """Intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


@pytest.fixture(scope="session")
def oracle(folders: dict[str, str]) -> Oracle:
    return Oracle(folders, "a landbird. a waterbird.")


@pytest.fixture(scope="session")
def ours(folders: dict[str, str]) -> Segmenter:
    return segmenter(folders)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_mask_has_the_size_of_its_image(ours, width, height):
    mask = ours.mask(picture(width, height))
    assert mask.shape == (height, width)
    assert mask.dtype == bool


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_masks_are_those_of_the_literal_procedure(ours, oracle, width, height):
    image = picture(width, height)
    mask = ours.mask(image)
    assert 0.05 < mask.mean() < 0.95
    assert np.array_equal(mask, oracle.union(image))


@pytest.mark.parametrize(
    "fault",
    [{"threshold": 0.0}, {"threshold": 0.68}, {"nms": 0.8}, {"nms": 0.3}, {"pick": min}],
    ids=str,
)
def test_each_part_of_the_procedure_shows_in_the_masks(oracle, fault):
    """Else the test above would not see a part that is left out."""
    images = [picture(*size) for size in SIZES]
    assert not all(
        np.array_equal(oracle.union(image), oracle.union(image, **fault)) for image in images
    )


@pytest.mark.parametrize("nms", [0.1, 0.8, 1.0])
def test_boxes_that_overlap_are_left_out_as_the_option_says(folders, oracle, nms):
    image = picture(90, 60)
    mask = segmenter(folders, nms=nms).mask(image)
    assert np.array_equal(mask, oracle.union(image, nms=nms))


def test_the_same_image_has_the_same_mask_again(folders, ours):
    image = picture(90, 60)
    first = ours.mask(image)
    ours.mask(picture(50, 110, seed=3))
    assert np.array_equal(ours.mask(image), first)
    assert np.array_equal(segmenter(folders).mask(image), first)


def test_where_nothing_is_found_all_boxes_are_taken(folders, ours, oracle):
    image = picture(90, 60)
    mask = segmenter(folders, box_threshold=1.0, text_threshold=1.0).mask(image)
    assert np.array_equal(mask, oracle.union(image, threshold=0.0))
    assert not np.array_equal(mask, ours.mask(image))


def test_without_any_box_all_is_background(copies):
    """Of a detector so sure of nothing that its scores round to zero."""
    path = Path(copies["detector"]) / "model.safetensors"
    weights = load_file(path)
    for name, value in (("model.decoder.layer_norm", 100.0), (TEXT_NORM, -100.0)):
        weights[f"{name}.weight"].zero_()
        weights[f"{name}.bias"].fill_(value)
    save_file(weights, path, metadata={"format": "pt"})
    mask = segmenter(copies, box_threshold=0.0).mask(picture(90, 60))
    assert mask.shape == (60, 90)
    assert not mask.any()


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_masks_do_not_depend_on_how_many_boxes_are_done_at_once(
    folders, oracle, monkeypatch, at_once
):
    image = picture(90, 60)
    all_boxes = segmenter(folders, box_threshold=0.0, nms=1.0)
    assert len(oracle.boxes(image, 0.0, 1.0)) > segment._BOXES_AT_ONCE
    mask = all_boxes.mask(image)
    monkeypatch.setattr(segment, "_BOXES_AT_ONCE", at_once)
    assert np.array_equal(all_boxes.mask(image), mask)


def test_the_prompt_is_the_class_names_or_the_option(folders, ours):
    image = picture(90, 60)
    given = segmenter(folders, prompt="A landbird. a Waterbird ")
    assert given.identity == ours.identity
    assert np.array_equal(given.mask(image), ours.mask(image))
    other = segmenter(folders, prompt="bird.")
    assert differing(other, ours) == {"prompt_tokens"}
    assert not np.array_equal(other.mask(image), ours.mask(image))


def test_a_picture_too_narrow_for_the_models_is_told(ours):
    with pytest.raises(ItemError, match="2 x 81") as caught:
        ours.mask(Image.new("RGB", (2, 81)))
    assert (caught.value.stage, caught.value.code) == ("validate", "too_narrow")


def differing(one: Segmenter, other: Segmenter) -> set[str]:
    assert one.identity.keys() == other.identity.keys()
    return {key for key, value in one.identity.items() if value != other.identity[key]}


def test_copies_have_the_same_identity(copies, ours):
    assert differing(segmenter(copies), ours) == set()
    assert len(set(ours.identity.values())) == len(ours.identity) == 5


@pytest.mark.parametrize("kind", ["detector", "segmenter"])
def test_the_identity_tells_a_changed_weight(copies, ours, kind):
    path = Path(copies[kind]) / "model.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).view(-1)[0] += 1e-3
    save_file(weights, path, metadata={"format": "pt"})
    assert differing(segmenter(copies), ours) == {f"{kind}_weights"}


@pytest.mark.parametrize(
    ("kind", "file", "keys"),
    [
        ("detector", "config.json", ["text_config", "layer_norm_eps"]),
        ("detector", "processor_config.json", ["image_processor", "size", "shortest_edge"]),
        ("segmenter", "config.json", ["vision_config", "layer_norm_eps"]),
        ("segmenter", "processor_config.json", ["image_processor", "image_mean", 0]),
    ],
)
def test_the_identity_tells_a_changed_configuration(copies, ours, kind, file, keys):
    path = Path(copies[kind]) / file
    content = json.loads(path.read_text())
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] *= 0.5
    path.write_text(json.dumps(content))
    assert differing(segmenter(copies), ours) == {f"{kind}_config"}


def refused(folders: dict[str, str], **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        segmenter(folders, **options)
    return caught.value


def test_a_prompt_of_the_greatest_length_is_taken_and_a_longer_one_refused(folders):
    words = TEXT_LENGTH - 3  # beside start, full stop and end
    segmenter(folders, prompt="bird " * words).mask(picture(90, 60))
    error = refused(folders, prompt="bird " * (words + 1))
    assert error.field == "segment.prompt"
    assert f"{TEXT_LENGTH + 1} tokens" in str(error)
    assert "shorter prompt" in error.remedy


def test_too_many_classes_for_the_prompt_are_refused(folders):
    with pytest.raises(ConfigError, match="superclass") as caught:
        Segmenter(SegmentOptions(**folders), ["a bird"] * 6, CPU)
    assert caught.value.field == "segment.prompt"


def test_without_transformers_the_module_imports_and_the_remedy_is_told(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    spec = importlib.util.spec_from_file_location("segment_alone", segment.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(ConfigError, match=r"pip install 'seraser\[segment\]'"):
        module.Segmenter(SegmentOptions(**folders), CLASSES, CPU)


@pytest.mark.parametrize("kind", ["detector", "segmenter"])
def test_a_folder_of_another_kind_of_model_is_refused(folders, kind):
    other = folders["segmenter" if kind == "detector" else "detector"]
    error = refused(folders | {kind: other})
    assert error.field == f"segment.{kind}"
    assert "'sam'" in str(error)
    assert "'grounding-dino'" in str(error)


@pytest.mark.parametrize("kind", ["detector", "segmenter"])
@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "processor_config.json"])
def test_a_folder_without_one_of_its_files_is_refused(copies, kind, file):
    (Path(copies[kind]) / file).unlink()
    error = refused(copies)
    assert error.field == f"segment.{kind}"
    assert copies[kind] in str(error)


def test_a_detector_without_its_vocabulary_is_refused(copies):
    """transformers makes one of special tokens alone, for which all words are the same."""
    for path in Path(copies["detector"]).glob("tokenizer*"):
        path.unlink()
        error = refused(copies)
        assert error.field == "segment.detector"
        assert "tokenizer" in str(error)


@pytest.mark.parametrize("kind", ["detector", "segmenter"])
def test_weights_that_may_run_code_are_not_read(copies, kind):
    path = Path(copies[kind]) / "model.safetensors"
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()
    assert refused(copies).field == f"segment.{kind}"


@pytest.mark.parametrize("kind", ["detector", "segmenter"])
def test_damaged_and_incomplete_weights_are_refused(copies, kind):
    path = Path(copies[kind]) / "model.safetensors"
    weights = load_file(path)
    name = max(weights)
    value = weights.pop(name)
    save_file(weights, path, metadata={"format": "pt"})
    error = refused(copies)
    assert error.field == f"segment.{kind}"
    assert name in str(error)
    save_file(weights | {name: value.new_zeros(7, 7, 7)}, path, metadata={"format": "pt"})
    assert refused(copies).field == f"segment.{kind}"
    path.write_bytes(path.read_bytes()[:5000])
    assert refused(copies).field == f"segment.{kind}"


@pytest.mark.parametrize("kind", ["detector", "segmenter"])
def test_a_hub_out_of_reach_is_told(folders, monkeypatch, tmp_path, unused_port, kind):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)  # it knows the hub's address
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between its attempts
    error = refused(folders | {kind: "nobody/nothing"})
    assert error.field == f"segment.{kind}"
    assert "give a folder" in error.remedy
