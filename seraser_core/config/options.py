"""The configuration tree: every option, its default and its description, in one place."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from seraser_core.config.auxiliary import RelevanceOptions, SegmentOptions
from seraser_core.config.classes import Entry, entries
from seraser_core.config.execution import ExecutionOptions
from seraser_core.config.formats import ROW_OPTIONS, FormatName, format_choices, offered_formats
from seraser_core.config.methods import AnyMethod, default_methods, offered_methods
from seraser_core.config.methods.contexts import with_contexts_of
from seraser_core.config.option_group import TEMPLATE_RULE, Options, is_template, mistake
from seraser_core.config.secrets import refuse_secret_url, refuse_secrets
from seraser_core.config.series import SeriesOptions
from seraser_core.kinds import Region

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


Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=int | str)]


_Named = list[str | list[str]] | dict[str, str]
"""Names as a list or a mapping."""


def _in_order(value: Any) -> Any:
    """Return entries of names as a list: JSON objects do not keep the order of keys everywhere."""
    if value is None:
        return None
    return entries(value)


def _in_order_or_file(value: Any) -> Any:
    return value if isinstance(value, str) else _in_order(value)


class SplitOptions(Options):
    """The rows of the table, or the split of a benchmark, that belong to the data set."""

    column: str | None = Field(
        default=None,
        description="Column of a table that names the split of each row. A benchmark data set has "
        "no such column: write `split: test`; the default is the first split that it lists.",
    )
    values: list[int | str] = Field(
        description="Use the rows with one of these values; 2 also finds 2.0, and a quoted '007' "
        "finds only this text."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"values": [data]} if isinstance(data, str) else data


class LimitOptions(Options):
    """Limits beyond which an image is refused and becomes an error row."""

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
        description="Largest number of pixels of an image, read from its header.",
    )


class DatasetOptions(Options):
    """The source of the images, labels, attributes and masks."""

    format: FormatName = Field(default="table", description=f"{format_choices()}.")
    path: str = Field(
        description="Table file, root folder, or tars or files of a name with `*`, `**`, `?`, "
        "`[a-c]`, `{000..009}` or `{a,b}` (`[[]` is a bracket): a local path or any fsspec URL. A "
        "relative path is relative to the config file."
    )
    name: str | None = Field(
        default=None,
        description="Name of the benchmark data set, see `seraser datasets`; path is its root.",
    )
    metadata: str | None = Field(
        default=None,
        description="Of a benchmark data set with a table: the file in its root that replaces the "
        "published one, as a corrected metadata file of Waterbirds.",
    )
    id: str | None = Field(
        default=None, description="Column with unique ids; by default the image path is the id."
    )
    image: str = Field(
        default="image",
        description="Column with image paths, relative to the table, or URLs; of parquet, with "
        "bytes or {bytes, path}; of webdataset, an ending where a sample has several images.",
    )
    label: str | None = Field(
        default=None,
        description="Column with labels: class names or indices; of webdataset cls, txt or a field "
        "of json, by default cls if there is one. A value that is the name of one "
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
        "the image's shape, in which everything but 0 is foreground. In a palette, black is "
        "background if only black and white are used, else index 0, which must be black. A mask "
        "of zeros is a mask: nothing is foreground.",
    )
    masks: str | None = Field(
        default=None,
        description="Table with the columns id and mask, such as `seraser masks` makes: the images "
        "with these ids get these masks, in place of the data set's own. Paths are relative "
        "to the table; table and masks are read with the credentials of the environment.",
    )
    box: list[str] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        description="Four columns of the foreground box, in the order that box_format says.",
    )
    box_format: Literal["xyxy", "xywh", "fractions"] = Field(
        default="xyxy",
        description="Form of the box. xyxy: left, top, right and bottom in pixels of "
        "the upright image, right and bottom exclusive. xywh: left, top, width and height in "
        "pixels, as in COCO. fractions: left, top, right and bottom as parts of the image's "
        "width and height, 0 to 1; convert YOLO's centre, width and height "
        "(left = centre - width / 2).",
    )
    check_foregrounds: bool = Field(
        default=True,
        description="When a run is planned, check some of the boxes and masks that methods need, "
        "and refuse those that cannot be intended.",
    )
    split: SplitOptions | None = Field(default=None, description="Filter on a split column.")
    classes: Annotated[
        list[Entry] | str | None,
        BeforeValidator(_in_order_or_file, json_schema_input_type=_Named | str | None),
    ] = Field(
        default=None,
        description="Names of the classes: a list (index = label), a mapping of labels or folders "
        "to names (`{n02437312: african elephant}`, in its order), of numbers to names (`{0: cat, "
        "1: dog}`), or a file of any of these as text, JSON, YAML, CSV or TSV. The names go "
        "into the prompts. A folder data set has the sorted folder names by default.",
    )
    attributes: Annotated[
        list[Entry] | None, BeforeValidator(_in_order, json_schema_input_type=_Named | None)
    ] = Field(
        default=None,
        description="Names of the attribute values: a list (index = attribute) or a mapping, as "
        "for classes.",
    )
    train_counts: dict[str, Annotated[int, Field(ge=0, lt=2**53)]] | None = Field(
        default=None,
        description="Group -> its images in the training split, as {a landbird / land: 3498, ...}, "
        "for the adjusted average, which weighs the groups as in training. Known for Waterbirds, "
        "CelebA, SpuCoBirds and SpuCoDogs.",
    )
    allow_empty_classes: bool = Field(
        default=False, description="Accept classes that have no image."
    )
    template: str | None = Field(
        default=None,
        description="Prompt template; {} stands for the class name. Default: that of the "
        "benchmark data set, or `a photo of {}`.",
    )
    decode: Literal["full", "reduced"] = Field(
        default="full",
        description="reduced: decode large JPEG photographs at 1/2, 1/4 or 1/8 of their size, "
        "never below twice the size that the model sees. Much faster; changes predictions "
        "slightly, and those of methods that look at small crops, such as tpt, a little more.",
    )
    limits: LimitOptions = Field(default_factory=LimitOptions, description="Limits per image.")
    allow_outside: bool = Field(
        default=False,
        description="Accept image and mask paths outside the table's folder, and links that lead "
        "out of a folder data set.",
    )
    storage_options: dict[str, Any] = Field(
        default_factory=dict,
        description="fsspec options for reading the data set. No secrets: they come from the "
        "environment, a profile or a Prefect block.",
    )

    @model_validator(mode="after")
    def _check(self) -> DatasetOptions:
        if self.template is not None and not is_template(self.template):
            raise mistake(repr(self.template), TEMPLATE_RULE, "template")
        if self.classes == []:
            raise mistake("empty", "name at least two classes", "classes")
        form = offered_formats().members[self.format]
        if self.classes is None and not form.finds_classes:
            raise mistake("missing", "name the classes (index = label)", "classes")
        for option in ROW_OPTIONS:
            value = getattr(self, option)
            if value is not None and option not in form.options:
                reason = form.without.format(format=self.format)
                raise mistake(f"{value!r} {reason}", form.remedy, option)
        self._check_benchmark()
        if self.box is None and self.box_format != "xyxy":
            raise mistake(
                f"{self.box_format!r} without dataset.box",
                "name the four columns there",
                "box_format",
            )
        if self.mask is not None and self.masks is not None:
            raise mistake(f"{self.mask!r} beside dataset.masks", "leave one of them out", "mask")
        refuse_secrets("storage_options", self.storage_options)
        refuse_secret_url("path", self.path)
        refuse_secret_url("masks", self.masks or "")
        if isinstance(self.classes, str):
            refuse_secret_url("classes", self.classes)
        return self

    def _check_benchmark(self) -> None:
        if self.format != "benchmark":
            for option in ("name", "metadata"):
                if (given := getattr(self, option)) is not None:
                    raise mistake(f"{given!r} is of a benchmark", "set format: benchmark", option)
            if self.split is not None and self.split.column is None:
                raise mistake(
                    "missing",
                    "name the column and its values, as {column: split, values: [test]}",
                    "split.column",
                )
            return
        if self.name is None:
            raise mistake("missing", "name the data set, see `seraser datasets`", "name")
        if self.split is not None and (self.split.column or len(self.split.values) != 1):
            raise mistake("is of a table", "give the name of one split, as split: test", "split")


_FOLDER = re.compile(r"^(/|\.|~|[A-Za-z][A-Za-z0-9+.-]*://)")
_FOLDER_WEIGHTS = "model.safetensors"


def is_folder(name: str) -> bool:
    """Return whether a model's name is a folder: a path or URL, but not of a model JSON."""
    return _FOLDER.match(name) is not None and not name.endswith(".json")


def folder_weights(name: str) -> str:
    """Return the default of `model.pretrained` where `model.name` is a folder."""
    return f"{name.rstrip('/')}/{_FOLDER_WEIGHTS}"


class ModelOptions(Options):
    """The CLIP model."""

    name: str = Field(
        default="ViT-B-32-quickgelu",
        description="open_clip model name, a path/URL of an open_clip model JSON, or a folder with "
        "a CLIP or BLIP-2 of transformers that begins with `/`, `./` or `../`.",
    )
    pretrained: str | None = Field(
        default="openai",
        description="open_clip tag, a path/URL of weights (safetensors, or torch loaded "
        "weights-only), or null for random weights. Default for a folder: its model.safetensors, "
        "which may be in parts.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: fp32 on CPU, bf16 towers on GPU."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")

    @model_validator(mode="before")
    @classmethod
    def _weights_of_folder(cls, data: Any) -> Any:
        name = data.get("name") if isinstance(data, dict) else None
        if isinstance(name, str) and is_folder(name) and "pretrained" not in data:
            return {**data, "pretrained": folder_weights(name)}
        return data

    @model_validator(mode="after")
    def _no_secrets(self) -> ModelOptions:
        refuse_secret_url("name", self.name)
        refuse_secret_url("pretrained", self.pretrained or "")
        return self


class ShardOptions(Options):
    """The sizes of the shards into which the data set is cut."""

    max_items: int = Field(
        default=4096, gt=0, lt=2**31, description="Largest number of images in a shard."
    )
    max_bytes: Size = Field(
        default=512 * 2**20,
        gt=0,
        lt=2**62,
        description="Largest number of image bytes in a shard, if sizes are known.",
    )


class RuntimeOptions(Options):
    """The execution of the work; never changes a prediction beyond rounding."""

    batch_size: Annotated[int, Field(ge=1, lt=2**31)] | Literal["auto"] = Field(
        default="auto", description="Images adapted at once; halved if memory runs out."
    )
    decode_threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        default="auto",
        description="Threads that decode images ahead of the model; auto: cores + 2.",
    )
    fetch_threads: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        default="auto", description="Files read at once, ahead of the model; auto: 32."
    )
    retries: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="How often a shard is retried after a transient fault.",
    )
    decoding: Literal["threads", "processes"] = Field(
        default="threads",
        description="Decode in threads, or in child processes, which are slower but survive a "
        "decoder that hangs or crashes: the image becomes an error row. A shard in which a decoder "
        "hung, or whose worker died, is retried in child processes.",
    )
    image_timeout: float = Field(
        default=120, gt=0, le=86400, description="Time limit for decoding an image, in seconds."
    )
    shard_timeout: float | None = Field(
        default=None,
        gt=0,
        description="Time limit for a shard, in seconds; then it is retried later.",
    )
    max_error_rate: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Largest share of a shard's images that may fail. If more fail, and more than "
        "32, the run stops without committing the shard, because the path or the credentials are "
        "probably wrong. 1 keeps them all as error rows.",
    )
    kernels: Literal["standard", "fused"] = Field(
        default="standard",
        description="Kernels with which prompts are tuned on a CUDA device. standard: PyTorch's. "
        "fused: attention by Triton, and the rest of a layer by torch.compile, which takes a C "
        "compiler and a minute per process; where one fails, a warning says so and PyTorch's are "
        "used. On a CPU always PyTorch's.",
    )
    parallel_shards: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Shards that one process computes at once; it prepares one more meanwhile.",
    )


class ShortcutOptions(Options):
    """The sample of images in which shortcuts are looked for; never changes a prediction."""

    sample: int = Field(
        default=5000,
        ge=0,
        le=10**6,
        description="Images whose features are kept, and some of their pictures, to find shortcuts "
        "and to show them in the report; 0: none. Needs a method that uses a foreground.",
    )


class RunConfig(Options):
    """One run: a data set, a model and the methods to compare."""

    model_config = ConfigDict(defer_build=True)  # see `AnyMethod`

    name: str = Field(
        default="run",
        description="First part of the run id.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$",
    )
    dataset: DatasetOptions = Field(description="The images.")
    model: ModelOptions = Field(default_factory=ModelOptions, description="The CLIP model.")
    methods: list[AnyMethod] = Field(
        default_factory=default_methods,
        min_length=1,
        description="Methods to run, by name or with options.",
    )
    relevance: RelevanceOptions = Field(
        default_factory=RelevanceOptions, description="Masks of `auxiliary: relevance`."
    )
    segment: SegmentOptions = Field(
        default_factory=SegmentOptions, description="Masks of `auxiliary: segment`."
    )
    output: str = Field(
        default="runs",
        min_length=1,
        description="Folder or URL for the run directories. A relative path is relative to the "
        "config file, also if it is the default.",
    )
    shard: ShardOptions = Field(default_factory=ShardOptions, description="Size of a shard.")
    runtime: RuntimeOptions = Field(default_factory=RuntimeOptions, description="How to work.")
    execution: ExecutionOptions = Field(
        default_factory=ExecutionOptions, description="Where to work."
    )
    shortcuts: ShortcutOptions = Field(
        default_factory=ShortcutOptions, description="Look for shortcuts."
    )
    series: SeriesOptions | None = Field(
        default=None, description="Evaluate data that grows, in one run after the other."
    )
    save_logits: bool = Field(default=False, description="Keep every class logit in the rows.")
    save_masks: bool = Field(
        default=False,
        description="Keep the masks of `auxiliary: relevance` as PNG files in the run's folder "
        "masks; those of `segment` are always kept.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="Seed of all random numbers, with the item id.",
    )

    def origins(self) -> dict[str, str]:
        """Return what other packages add to the run -> their distribution and its version."""
        groups = {
            "dataset.format": ([self.dataset.format], offered_formats().origins),
            "methods": ([method.name for method in self.methods], offered_methods().origins),
        }
        return {
            f"{option} {name}": origins[name]
            for option, (names, origins) in groups.items()
            for name in names
            if name in origins
        }

    def needs(self, region: Region) -> bool:
        """Return whether any method needs this foreground."""
        return any(region in method.regions() for method in self.methods)

    @model_validator(mode="before")
    @classmethod
    def _contexts_of_dataset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "methods" not in data:
            return data
        return {**data, "methods": with_contexts_of(data.get("dataset"), data["methods"])}

    @model_validator(mode="after")
    def _no_secrets(self) -> RunConfig:
        refuse_secret_url("output", self.output)
        return self

    @model_validator(mode="after")
    def _same_names_in_a_series(self) -> RunConfig:
        data, remedy = self.dataset, "name them: in a series they must not depend on the images"
        if self.series is None or data.format == "benchmark":
            return self
        if data.classes is None:
            raise mistake("missing", remedy, "dataset.classes")
        if data.attribute is not None and data.attributes is None:
            raise mistake("missing", remedy, "dataset.attributes")
        return self

    @model_validator(mode="after")
    def _whole_masks(self) -> RunConfig:
        if self.save_masks and self.dataset.decode == "reduced":
            raise mistake(
                "needs images in their own size", "set dataset.decode: full", "save_masks"
            )
        return self

    @model_validator(mode="after")
    def _unique_methods(self) -> RunConfig:
        ids = [m.id for m in self.methods]
        repeated = sorted({i for i in ids if ids.count(i) > 1})
        if repeated:
            raise mistake(f"id {repeated[0]!r} appears more than once", "set `id`", "methods")
        return self
