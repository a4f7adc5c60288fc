"""The configuration tree: every option, its default and its description, in one place."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from seraser_core.config.secrets import refuse_secret_url, refuse_secrets

_SIZE = re.compile(r"^\s*(\d{1,18}(?:\.\d{1,18})?)\s*([KMGT]?)(i?)B?\s*$", re.IGNORECASE)


def parse_size(value: Any) -> Any:
    """Bytes from a number or a text such as ``512MiB`` or ``2 GB``."""
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value)
    if not match:
        raise ValueError("not a size; write bytes, or e.g. 512MiB")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " KMGT".index(match[2].upper() or " "))


Size = Annotated[int, BeforeValidator(parse_size)]


class Options(BaseModel):
    """Base of all option groups: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SplitOptions(Options):
    """Which rows of the table belong to the data set."""

    column: str = Field(description="Column that names the split of a row.")
    values: list[int | str] = Field(
        description="Rows with one of these values are used; 2 also finds 2.0, and a quoted "
        "'007' only this text."
    )


class LimitOptions(Options):
    """What one image may cost before it is refused and becomes an error row."""

    max_bytes: Size = Field(
        default=128 * 2**20,
        gt=0,
        le=2**34,
        description="Largest image file, in bytes or e.g. 128MiB; at most 16GiB.",
    )
    max_pixels: int = Field(
        default=100_000_000,
        gt=0,
        le=2**31,
        description="Most pixels of an image, read from its header.",
    )


class DatasetOptions(Options):
    """Where the images, labels, attributes and masks come from."""

    format: Literal["table", "folder"] = Field(
        default="table",
        description="table (CSV, TSV, Parquet) or folder (one folder of images per class).",
    )
    path: str = Field(
        description="Table file or root folder: a local path or any fsspec URL. A relative path "
        "is relative to the config file."
    )
    id: str | None = Field(
        default=None, description="Column with unique ids; without it the image path is the id."
    )
    image: str = Field(
        default="image", description="Column with image paths, relative to the table, or URLs."
    )
    label: str | None = Field(
        default=None,
        description="Column with labels: class names or indices. A value that is the name of one "
        "class and the index of another is refused. Without labels the run is an audit.",
    )
    attribute: str | None = Field(
        default=None,
        description="Column with the spurious attribute: names or indices, as for labels; "
        "group = (label, attribute).",
    )
    mask: str | None = Field(
        default=None,
        description="Column with foreground mask paths, relative to the table: lossless files of "
        "the image's shape, where non-zero is foreground. Of a palette, black is background when "
        "only black and white are used, else index 0, which must be black. A mask that is all "
        "zero counts as given: nothing is foreground.",
    )
    box: list[str] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        description="Four columns x0, y0, x1, y1 of the foreground box, in pixels of the image.",
    )
    split: SplitOptions | None = Field(default=None, description="Filter on a split column.")
    classes: list[str] | str | None = Field(
        default=None,
        description="Class names (index = label), or a text file with one name per line. A folder "
        "data set takes the sorted folder names when none are given.",
    )
    attributes: list[str] | None = Field(
        default=None, description="Names of the attribute values (index = attribute)."
    )
    allow_empty_classes: bool = Field(
        default=False, description="Accept classes that have no image."
    )
    template: str = Field(
        default="a photo of {}", description="Prompt template; {} stands for the class name."
    )
    decode: Literal["full", "reduced"] = Field(
        default="full",
        description="reduced: decode large JPEG photographs at 1/2, 1/4 or 1/8 of their size, "
        "never below twice what the model sees. Much faster, and changes predictions slightly, "
        "those of tpt, which looks at small crops, a little more.",
    )
    limits: LimitOptions = Field(default_factory=LimitOptions, description="Limits per image.")
    allow_outside: bool = Field(
        default=False,
        description="Accept image and mask paths outside of the table's folder, and links that "
        "lead out of a folder data set.",
    )
    storage_options: dict[str, Any] = Field(
        default_factory=dict,
        description="fsspec options for reading the data set. No secrets: those come from the "
        "environment, a profile or a Prefect block.",
    )

    @model_validator(mode="after")
    def _check(self) -> DatasetOptions:
        if not re.fullmatch(r"[^{}]*\{\}[^{}]*", self.template):
            raise ValueError(
                f"template: {self.template!r}; must contain {{}} exactly once, for the class "
                "name, and no other brace"
            )
        if self.classes == []:
            raise ValueError("classes: empty; name at least two classes")
        for option, names in (("classes", self.classes), ("attributes", self.attributes)):
            if isinstance(names, list) and len(set(names)) < len(names):
                repeated = sorted(name for name, count in Counter(names).items() if count > 1)
                raise ValueError(f"{option}: {repeated} named more than once; names must differ")
        if self.format == "table" and self.classes is None:
            raise ValueError("classes: missing; a table needs the class names (index = label)")
        if self.format == "folder":
            given = [
                n
                for n in ("mask", "box", "attribute", "split", "label", "id")
                if getattr(self, n) is not None
            ]
            if given:
                raise ValueError(
                    f"{given[0]}: {getattr(self, given[0])!r} needs columns, and a folder has "
                    "none; use format: table"
                )
        refuse_secrets("storage_options", self.storage_options)
        refuse_secret_url("path", self.path)
        if isinstance(self.classes, str):
            refuse_secret_url("classes", self.classes)
        return self


class ModelOptions(Options):
    """The CLIP model."""

    name: str = Field(
        default="ViT-B-32-quickgelu",
        description="open_clip model name, or a path/URL of an open_clip model JSON.",
    )
    pretrained: str | None = Field(
        default="openai",
        description="open_clip tag, a path/URL of weights (safetensors, or torch loaded "
        "weights-only), or null for random weights.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: fp32 on CPU, bf16 towers on GPU."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")

    @model_validator(mode="after")
    def _no_secrets(self) -> ModelOptions:
        refuse_secret_url("name", self.name)
        refuse_secret_url("pretrained", self.pretrained or "")
        return self


Auxiliary = Literal["mask", "box", "augment", "mask+augment", "noise", "black"]

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
    auxiliary: Literal["mask", "box"] = Field(
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


class TptOptions(MethodOptions):
    """TPT, arXiv 2209.07511: tune the prompt until random crops agree and are decided."""

    name: Literal["tpt"] = "tpt"
    views: int = Field(
        default=64,
        ge=2,
        le=1024,
        description="Pictures that are looked at: the image and random crops of it.",
    )
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


_METHODS = ZeroShotOptions | SeraserOptions | ForegroundOptions | TptOptions
AnyMethod = Annotated[_METHODS, Field(discriminator="name")]
METHOD_OPTIONS: dict[str, type[MethodOptions]] = {
    get_args(m.model_fields["name"].annotation)[0]: m for m in get_args(_METHODS)
}


def _method_from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _default_methods() -> list[_METHODS]:
    return [ZeroShotOptions(), SeraserOptions()]


class ShardOptions(Options):
    """How the data set is cut into units of work."""

    max_items: int = Field(default=4096, gt=0, lt=2**31, description="Most images of a shard.")
    max_bytes: Size = Field(
        default=512 * 2**20,
        gt=0,
        lt=2**62,
        description="Most image bytes of a shard, where sizes are known.",
    )


class RuntimeOptions(Options):
    """How the work is carried out; never changes a prediction beyond rounding."""

    batch_size: Annotated[int, Field(ge=1, lt=2**31)] | Literal["auto"] = Field(
        default="auto", description="Images adapted at once; halved when memory runs out."
    )
    decode_threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        default="auto", description="Threads that decode ahead of the model; auto: cores + 2."
    )
    fetch_threads: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        default="auto", description="Files that are read at once, ahead of the model; auto: 32."
    )
    retries: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="Times a shard is tried again after a passing fault.",
    )
    parallel_shards: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Shards computed at once by one process, which makes ready one more.",
    )


class RunConfig(Options):
    """One run: a data set, a model and the methods to compare."""

    name: str = Field(
        default="run",
        description="First part of the run id.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
    )
    dataset: DatasetOptions = Field(description="The images.")
    model: ModelOptions = Field(default_factory=ModelOptions, description="The CLIP model.")
    methods: list[Annotated[AnyMethod, BeforeValidator(_method_from_name)]] = Field(
        default_factory=_default_methods,
        min_length=1,
        description="Methods to run, by name or with options.",
    )
    output: str = Field(
        default="runs",
        min_length=1,
        description="Folder or URL under which run directories are made. A relative path is "
        "relative to the config file, also when it is not given there.",
    )
    shard: ShardOptions = Field(default_factory=ShardOptions, description="Size of a shard.")
    runtime: RuntimeOptions = Field(default_factory=RuntimeOptions, description="How to work.")
    save_logits: bool = Field(default=False, description="Keep every class logit in the rows.")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="Seed of all random numbers, with the item id."
    )

    @model_validator(mode="after")
    def _no_secrets(self) -> RunConfig:
        refuse_secret_url("output", self.output)
        return self

    @model_validator(mode="after")
    def _unique_methods(self) -> RunConfig:
        ids = [m.id for m in self.methods]
        repeated = sorted({i for i in ids if ids.count(i) > 1})
        if repeated:
            raise ValueError(f"methods: id {repeated[0]!r} appears more than once; set `id`")
        return self
