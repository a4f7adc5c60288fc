"""The options of every method."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from seraser_core.config.base import TEMPLATE_RULE, Options, is_template
from seraser_core.open_clip_tables import table

Auxiliary = Literal[
    "mask", "box", "segment", "relevance", "augment", "mask+augment", "noise", "black"
]

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"kl": "p_u", "foreground": "none"},
    "reference": {"kl": "u_p", "foreground": "entropy"},
    "preserve": {"kl": "u_p", "foreground": "preserve"},
}


class MethodOptions(Options):
    """What every method has."""

    id: str = Field(
        default="",
        description="Name in the results; the method's name unless given.",
        pattern=r"^[A-Za-z0-9_.+-]*$",
    )

    @model_validator(mode="before")
    @classmethod
    def _default_id(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("id"):
            return {**data, "id": data.get("name") or cls.model_fields["name"].default}
        return data


class ZeroShotOptions(MethodOptions):
    """Zero-shot classification with the untouched prompts."""

    name: Literal["zero_shot"] = "zero_shot"


class ForegroundOptions(MethodOptions):
    """Zero-shot classification of the foreground image (what a segmenter alone buys)."""

    name: Literal["foreground"] = "foreground"
    auxiliary: Literal["mask", "box", "segment", "relevance"] = Field(
        default="mask", description="Where the foreground comes from."
    )


class SeraserOptions(MethodOptions):
    """SEraser, arXiv 2403.00376: tune prompt tokens until auxiliary images are undecided."""

    name: Literal["seraser"] = "seraser"
    preset: Literal["paper", "reference", "preserve"] = Field(
        default="reference",
        description="paper: KL(p||U), no foreground term; reference: KL(U||p) and entropy on the "
        "foreground; preserve: KL(U||p) and KL to the untouched prediction on the foreground. "
        "Options given beside the preset override it.",
    )
    kl: Literal["u_p", "p_u"] = Field(
        default="u_p", description="Erase term: u_p = KL(U||p), p_u = KL(p||U)."
    )
    foreground: Literal["none", "entropy", "preserve"] = Field(
        default="entropy",
        description="Foreground term: none, entropy H(p(x_f)), or preserve KL(p0(x_f)||p(x_f)).",
    )
    pseudo_label: bool = Field(default=False, description="Add CE(p(x), argmax p(x_f)).")
    auxiliary: Auxiliary = Field(
        default="mask", description="Kind of auxiliary images that hold only the spurious part."
    )
    steps: int = Field(default=20, ge=0, le=100_000, description="AdamW steps.")
    lr: float = Field(default=5e-4, gt=0, le=1e3, description="AdamW learning rate.")
    weight_decay: float = Field(default=0.01, ge=0, le=1e3, description="AdamW weight decay.")
    context_tokens: int = Field(
        default=3, ge=1, description="Tuned prompt tokens, from position 1."
    )

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {**PRESETS.get(str(data.get("preset", "reference")), {}), **data}


Views = Annotated[
    int,
    Field(ge=2, le=1024, description="Pictures looked at: the image and random crops of it."),
]


class TptOptions(MethodOptions):
    """TPT, arXiv 2209.07511: tune the prompt until random crops agree and are decided."""

    name: Literal["tpt"] = "tpt"
    views: Views = 64
    selection: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of the views, those of lowest entropy, that is tuned on; at least one.",
    )
    context: str = Field(
        default="a photo of a",
        pattern=r"^[^{}]*[^{}\s][^{}]*$",
        max_length=1000,
        description="Words that are tuned; the prompt of a class is `<context> <class>.`, whatever "
        "dataset.template is.",
    )
    steps: int = Field(default=1, ge=0, le=100_000, description="AdamW steps.")
    lr: float = Field(default=5e-3, gt=0, le=1e3, description="AdamW learning rate.")
    weight_decay: float = Field(default=0.01, ge=0, le=1e3, description="AdamW weight decay.")


TEMPLATE_SETS = ("imagenet7", "imagenet80")
_TEMPLATES_HELP = (
    "Prompt templates, {} stands for the class name: a list, a file with one per line, or "
    "`imagenet7` or `imagenet80`, the sets published with CLIP."
)


def _template_set(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in TEMPLATE_SETS:
        raise ValueError(f"neither a list, a readable file, nor one of {', '.join(TEMPLATE_SETS)}")
    published = table("zero_shot_metadata")
    name = f"{'SIMPLE' if value == 'imagenet7' else 'OPENAI'}_IMAGENET_TEMPLATES"
    return [template("{}") for template in getattr(published, name)]


def _check_templates(templates: list[str]) -> list[str]:
    for template in templates:
        if not is_template(template):
            raise ValueError(f"{template!r} {TEMPLATE_RULE}")
    repeated = [text for text, count in Counter(templates).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is there more than once; name each template once")
    return templates


Templates = Annotated[
    list[str], Field(min_length=1), BeforeValidator(_template_set), AfterValidator(_check_templates)
]


class EnsembleOptions(MethodOptions):
    """Zero-shot with the mean text feature of many prompt templates, arXiv 2103.00020."""

    name: Literal["ensemble"] = "ensemble"
    templates: Templates = Field(
        default="imagenet80", validate_default=True, description=_TEMPLATES_HELP
    )


class GroupPromptOptions(MethodOptions):
    """Zero-shot with prompts per class and context; the best prompt of a class counts."""

    name: Literal["group_prompt"] = "group_prompt"
    prompts: dict[str, list[str]] = Field(
        description="Class name -> whole prompts, e.g. `a camel: [a camel in a desert, a camel in "
        "a forest]`; a mapping, or a YAML file with one."
    )

    @model_validator(mode="after")
    def _some_each(self) -> GroupPromptOptions:
        for name, prompts in self.prompts.items():
            if not prompts:
                raise ValueError(f"prompts: {name!r} has none; give every class at least one")
        return self


class VteOptions(MethodOptions):
    """VTE: the mean feature of confident random crops, against a template ensemble; no gradient."""

    name: Literal["vte"] = "vte"
    views: Views = 64
    selection: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of the views, those of lowest entropy, that is averaged; at least one.",
    )
    templates: Templates = Field(
        default="imagenet80", validate_default=True, description=_TEMPLATES_HELP
    )


class TdaOptions(MethodOptions):
    """TDA (CVPR 2024): caches of confident features; needs order, so every shard begins anew."""

    name: Literal["tda"] = "tda"
    positive_shots: int = Field(
        default=3, ge=0, le=10_000, description="Features kept per predicted class."
    )
    positive_alpha: float = Field(default=2.0, ge=0, description="Weight of the positive cache.")
    positive_beta: float = Field(default=5.0, ge=0, description="Its sharpness.")
    negative_shots: int = Field(
        default=2, ge=0, le=10_000, description="Undecided features kept per predicted class."
    )
    negative_alpha: float = Field(default=0.117, ge=0, description="Weight of the negative cache.")
    negative_beta: float = Field(default=1.0, ge=0, description="Its sharpness.")
    negative_entropy: tuple[float, float] = Field(
        default=(0.2, 0.5),
        description="An image is undecided when H / log2(C), H in nats, lies between these.",
    )
    negative_mask: tuple[float, float] = Field(
        default=(0.03, 1.0),
        description="Classes count against an image when their probability, in the negative "
        "cache, lies between these.",
    )


class RoboshotOptions(MethodOptions):
    """RoboShot, arXiv 2309.04344: project image features by insights, given as pairs of texts."""

    name: Literal["roboshot"] = "roboshot"
    reject: list[tuple[str, str]] = Field(
        default_factory=list,
        description="Pairs of texts whose difference is removed, e.g. [[a photo of a desert, a "
        "photo of a forest]].",
    )
    accept: list[tuple[str, str]] = Field(
        default_factory=list, description="Pairs of texts whose difference is amplified."
    )
    insights: str | None = Field(
        default=None, description="Instead of both: a YAML file with `reject` and `accept`."
    )

    @model_validator(mode="after")
    def _some(self) -> RoboshotOptions:
        if self.insights is not None:
            raise ValueError("insights: given beside reject or accept; give one of them")
        if not self.reject and not self.accept:
            raise ValueError("reject: no pairs, and none in accept; give at least one of either")
        return self


class SeraserTaskOptions(SeraserOptions):
    """SEraser for a whole task: one prompt, tuned on a sample of the images, applied to all."""

    name: Literal["seraser_task"] = "seraser_task"  # type: ignore[assignment]
    sample: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Images, drawn without labels from the whole data set, that the prompt is "
        "tuned on.",
    )


_METHODS = (
    ZeroShotOptions
    | SeraserOptions
    | SeraserTaskOptions
    | ForegroundOptions
    | EnsembleOptions
    | GroupPromptOptions
    | TptOptions
    | VteOptions
    | TdaOptions
    | RoboshotOptions
)
METHOD_OPTIONS: dict[str, type[MethodOptions]] = {
    get_args(m.model_fields["name"].annotation)[0]: m for m in get_args(_METHODS)
}


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


AnyMethod = Annotated[Annotated[_METHODS, Field(discriminator="name")], BeforeValidator(_from_name)]


def default_methods() -> list[_METHODS]:
    """What a configuration without methods runs."""
    return [ZeroShotOptions(), SeraserOptions()]
