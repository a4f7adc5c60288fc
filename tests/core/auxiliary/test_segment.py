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
from tiny_segment import SIDE, TEXT_LENGTH
from transformers import (
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    SamImageProcessor,
    SamModel,
)

from seraser_core.auxiliary import segment
from seraser_core.auxiliary.segment import Segmenter
from seraser_core.config.auxiliary import SegmentOptions
from seraser_core.errors import ConfigError, ItemError

CLASSES = ["a Landbird", "a waterbird"]
CPU = torch.device("cpu")
SIZES = [(90, 60), (50, 110), (64, 64), (31, 200)]
THRESHOLD = 0.7
NMS = 0.5
TEXT_NORM = "model.encoder.layers.0.text_enhancer_layer.layer_norm_after"


@pytest.fixture
def copies(segment_models: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Copies of the folders, to be changed."""
    return {
        name: shutil.copytree(folder, str(tmp_path / name))
        for name, folder in segment_models.items()
    }


def segmenter(segment_models: dict[str, str], **options: Any) -> Segmenter:
    options = {"box_threshold": THRESHOLD, "nms": NMS} | options
    return Segmenter(SegmentOptions(**segment_models, **options), CLASSES, CPU)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Blots of colour."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


class Oracle:
    """The masks as METHODS.md states them, box by box and from the models' raw outputs."""

    def __init__(self, segment_models: dict[str, str], prompt: str) -> None:
        self.prompt = prompt
        self.detector = GroundingDinoForObjectDetection.from_pretrained(segment_models["detector"])
        self.reader = GroundingDinoProcessor.from_pretrained(segment_models["detector"])
        self.segmenter = SamModel.from_pretrained(segment_models["segmenter"])
        self.images = SamImageProcessor.from_pretrained(segment_models["segmenter"])

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
def oracle(segment_models: dict[str, str]) -> Oracle:
    return Oracle(segment_models, "a landbird. a waterbird.")


@pytest.fixture(scope="session")
def ours(segment_models: dict[str, str]) -> Segmenter:
    return segmenter(segment_models)


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
def test_boxes_that_overlap_are_left_out_as_the_option_says(segment_models, oracle, nms):
    image = picture(90, 60)
    mask = segmenter(segment_models, nms=nms).mask(image)
    assert np.array_equal(mask, oracle.union(image, nms=nms))


def test_the_same_image_has_the_same_mask_again(segment_models, ours):
    image = picture(90, 60)
    first = ours.mask(image)
    ours.mask(picture(50, 110, seed=3))
    assert np.array_equal(ours.mask(image), first)
    assert np.array_equal(segmenter(segment_models).mask(image), first)


def test_where_nothing_is_found_all_boxes_are_taken(segment_models, ours, oracle):
    image = picture(90, 60)
    mask = segmenter(segment_models, box_threshold=1.0, text_threshold=1.0).mask(image)
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
    segment_models, oracle, monkeypatch, at_once
):
    image = picture(90, 60)
    all_boxes = segmenter(segment_models, box_threshold=0.0, nms=1.0)
    assert len(oracle.boxes(image, 0.0, 1.0)) > segment._BOXES_AT_ONCE
    mask = all_boxes.mask(image)
    monkeypatch.setattr(segment, "_BOXES_AT_ONCE", at_once)
    assert np.array_equal(all_boxes.mask(image), mask)


def test_the_prompt_is_the_class_names_or_the_option(segment_models, ours):
    image = picture(90, 60)
    given = segmenter(segment_models, prompt="A landbird. a Waterbird ")
    assert given.identity == ours.identity
    assert np.array_equal(given.mask(image), ours.mask(image))
    other = segmenter(segment_models, prompt="bird.")
    assert differing(other, ours) == {"prompt_tokens"}
    nothing = segmenter(segment_models, prompt=".")  # as the authors' program asks for it
    assert differing(nothing, ours) == {"prompt_tokens"}
    assert nothing.mask(picture(90, 60)).shape == (60, 90)
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


def refused(segment_models: dict[str, str], **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        segmenter(segment_models, **options)
    return caught.value


def test_a_prompt_of_the_greatest_length_is_taken_and_a_longer_one_refused(segment_models):
    words = TEXT_LENGTH - 3  # beside start, full stop and end
    segmenter(segment_models, prompt="bird " * words).mask(picture(90, 60))
    error = refused(segment_models, prompt="bird " * (words + 1))
    assert error.field == "segment.prompt"
    assert f"{TEXT_LENGTH + 1} tokens" in str(error)
    assert "shorter prompt" in error.remedy


def test_too_many_classes_for_the_prompt_are_refused(segment_models):
    with pytest.raises(ConfigError, match="superclass") as caught:
        Segmenter(SegmentOptions(**segment_models), ["a bird"] * 6, CPU)
    assert caught.value.field == "segment.prompt"


def test_without_transformers_the_module_imports_and_the_remedy_is_told(
    segment_models, monkeypatch
):
    monkeypatch.setitem(sys.modules, "transformers", None)
    spec = importlib.util.spec_from_file_location("segment_alone", segment.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(ConfigError, match=r"pip install 'seraser\[segment\]'"):
        module.Segmenter(SegmentOptions(**segment_models), CLASSES, CPU)


@pytest.mark.parametrize("kind", ["detector", "segmenter"])
def test_a_folder_of_another_kind_of_model_is_refused(segment_models, kind):
    other = segment_models["segmenter" if kind == "detector" else "detector"]
    error = refused(segment_models | {kind: other})
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
def test_a_hub_out_of_reach_is_told(segment_models, monkeypatch, tmp_path, unused_port, kind):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)  # it knows the hub's address
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between its attempts
    error = refused(segment_models | {kind: "nobody/nothing"})
    assert error.field == f"segment.{kind}"
    assert "give a folder" in error.remedy
