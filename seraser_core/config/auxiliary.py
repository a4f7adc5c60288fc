"""The options of auxiliary images."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from seraser_core.config.option_group import Options, choice
from seraser_core.kinds import KINDS, REGIONS

AuxiliaryKind = Annotated[
    str, BeforeValidator(partial(choice, KINDS)), WithJsonSchema({"enum": list(KINDS)})
]
"""Name of a kind of auxiliary images."""
RegionKind = Annotated[
    str, BeforeValidator(partial(choice, REGIONS)), WithJsonSchema({"enum": list(REGIONS)})
]
"""Name of a kind that consists of the two sides of a foreground."""


class RelevanceOptions(Options):
    """Masks from the model's own patch evidence; a ViT image tower is all that is needed."""

    neutral: str = Field(
        default="a photo of a place",
        min_length=1,
        max_length=1000,
        description="Prompt that names no class; evidence is for the classes against it.",
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["otsu"] = Field(
        default="otsu",
        description="Foreground is where the evidence is above this fraction of its range in the "
        "image; otsu: above the threshold that Otsu's method finds.",
    )


class SegmentOptions(Options):
    """Masks from a text-prompted detector and a segmenter; needs the extra `segment`."""

    detector: str = Field(
        default="IDEA-Research/grounding-dino-tiny",
        description="Grounding DINO: a model id of the Hugging Face hub, or a local folder that "
        "begins with `/`, `./` or `../`.",
    )
    segmenter: str = Field(
        default="facebook/sam-vit-base",
        description="SAM: a model id of the Hugging Face hub, or a local folder, as above.",
    )
    prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Things that the detector looks for, e.g. `bird.`; by default the class names.",
    )
    box_threshold: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Lowest score of a box that counts, see Grounding DINO.",
    )
    text_threshold: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Lowest score of a word that counts, see Grounding DINO.",
    )
    nms: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Of boxes that overlap by more than this, only the best is kept.",
    )
