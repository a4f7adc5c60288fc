"""WebDataset: images in tars, each beside members of the same name with its facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from seraser_core import storage
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.json_text import parse, to_text
from seraser_core.sources.missing import known
from seraser_core.sources.names import alike, attribute_names, class_names, names_among, to_index
from seraser_core.sources.patterns import expand, short_names
from seraser_core.sources.source import Listing, Source
from seraser_core.sources.tar import MOST_TEXT, TEXT_ENDINGS, index_tar
from seraser_core.storage import FileInfo

_TARS_AT_ONCE = 8
_LABEL, _MASK = "cls", "mask.png"
_IMAGES = [ending.removeprefix(".") for ending in IMAGE_ENDINGS]
_SHOWN = 5


class WebDatasetSource(Source):
    """One image per sample, the consecutive members of a tar with the same key.

    A sample ``x`` has the image ``x.jpg`` (or another ending of an image), perhaps the label
    ``x.cls``, ``x.txt`` or a field of ``x.json``, and the mask ``x.mask.png``. Its id is its
    tar's name and its key.
    """

    def __init__(self, options: DatasetOptions, cache: str = "") -> None:
        super().__init__(options, cache)
        self._mask = (options.mask or _MASK).removeprefix(".").lower()
        image = options.image.removeprefix(".").lower()
        self._image = image if image != DatasetOptions.model_fields["image"].default else None
        if self._image and self._image.rpartition(".")[2] not in _IMAGES:
            raise ConfigError(
                "dataset.image",
                repr(options.image),
                f"of webdataset, must be an ending of images: {', '.join(_IMAGES)}",
            )

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        warnings: list[str] = []
        tars = _with_bytes(expand(options, [".tar"], warnings), warnings)
        # Listing a local tar is CPU work; several remote ones are awaited at once.
        with ThreadPoolExecutor(1 if storage.local_path(tars[0]) else _TARS_AT_ONCE) as pool:
            samples = pl.concat(pool.map(self._samples, tars, short_names(tars, options.path)))
        warnings += _empty(tars, samples) + self._split(samples)
        samples = samples.filter(pl.col("image_offset").is_not_null())
        if not samples.height:
            wanted = self._image or ", ".join(_IMAGES)
            said = f"no sample has an image ({wanted}); {'; '.join(warnings)}"
            raise ConfigError("dataset.path", options.path, said.removesuffix("; "))
        label = options.label or (_LABEL if samples["cls_length"].count() else None)
        classes = class_names(options) or []
        texts = {}
        for setting, member, names in (
            ("label", label, classes),
            ("attribute", options.attribute, attribute_names(options)),
        ):
            column = _texts(samples, member, setting)
            texts[setting] = known(column, names, setting, member or "", warnings)
        attributes = attribute_names(options)
        if not attributes:
            attributes = names_among(texts["attribute"])
            warnings += alike(attributes, texts["attribute"])
        items = samples.select(
            (pl.col("name") + "/" + pl.col("key")).alias("item_id"),
            pl.col("tar").alias("image"),
            pl.col("image_offset").alias("offset"),
            pl.col("image_length").alias("length"),
            pl.col("image_length").alias("size"),
            pl.when(pl.col("mask_offset").is_not_null()).then("tar").alias("mask"),
            "mask_offset",
            "mask_length",
            "version",
            pl.lit(None, pl.List(pl.Float64)).alias("box"),
            to_index(texts["label"], classes, "dataset.label", "dataset.classes").alias("label"),
            to_index(
                texts["attribute"],
                attributes,
                "dataset.attribute",
                "dataset.attributes",
                from_data=not options.attributes,
            ).alias("attribute"),
        )
        return Listing(items, classes, attributes, {"tars": len(tars)}, warnings=warnings)

    def _samples(self, tar: str, name: str) -> pl.DataFrame:
        """One row per sample: tar, its short name and version, key, endings, places of image and
        mask, texts and their lengths."""
        index = index_tar(tar, self.options.storage_options, self.cache)
        ending, key = pl.col("ending"), pl.col("key")
        last = ending.str.split(".").list.last()
        is_mask = ending == self._mask
        is_image = ending == self._image if self._image else ending.is_in(_IMAGES) & ~is_mask
        is_read = is_image | is_mask | ending.is_in(TEXT_ENDINGS)
        samples = index.members.group_by(key.rle_id().alias("sample"), maintain_order=True).agg(
            pl.lit(tar).first().alias("tar"),
            pl.lit(name).first().alias("name"),
            pl.lit(index.version).first().alias("version"),
            key.first(),
            ending.alias("endings"),
            is_image.sum().alias("images"),
            ending.filter(is_read & ending.is_duplicated()).first().alias("twice"),
            ending.filter(~is_read & last.is_in([*_IMAGES, *TEXT_ENDINGS])).alias("unread"),
            *(
                pl.col(column).filter(chosen).first().alias(f"{what}_{column}")
                for what, chosen in (("image", is_image), ("mask", is_mask))
                for column in ("offset", "length")
            ),
            *(
                pl.col(column).filter(ending == text).first().alias(f"{text}{suffix}")
                for text in TEXT_ENDINGS
                for column, suffix in (("text", ""), ("length", "_length"))
            ),
        )
        twice = samples.filter(pl.col("twice").is_not_null())
        if twice.height:
            raise ConfigError(
                "dataset.path",
                tar,
                f"the sample {twice['key'][0]!r} has more than one member .{twice['twice'][0]} "
                "(capitals do not count); leave one",
            )
        several = samples.filter(pl.col("images") > 1)
        if several.height:
            raise ConfigError(
                "dataset.image",
                f"{several['images'][0]} images in the sample {several['key'][0]!r} of {tar}",
                "name the ending to take, e.g. jpg",
            )
        whole = samples.filter(pl.col("images") > 0)["key"]
        torn = samples.filter((pl.col("images") == 0) & key.is_in(whole.implode()))
        if torn.height:
            raise ConfigError(
                "dataset.path",
                tar,
                f"the members of the sample {torn['key'][0]!r} do not follow each other; write "
                "the tar in the order of its names, e.g. with tar --sort=name",
            )
        return samples.drop("sample")

    def _split(self, samples: pl.DataFrame) -> list[str]:
        """Yield messages about samples with an unreadable image or mask."""
        said = []
        without = samples.filter(pl.col("images") == 0)
        if without.height:
            endings = without["endings"].explode().value_counts(sort=True).head(_SHOWN)
            seen = ", ".join(f".{name} {count}" for name, count in endings.iter_rows())
            said.append(
                f"{without.height} samples have no image and are left out; their members end in "
                f"{seen} (an ending begins at the first dot of a name)"
            )
        unread = samples.filter((pl.col("images") > 0) & (pl.col("unread").list.len() > 0))
        if unread.height:
            times = Counter(unread["unread"].explode())
            seen = ", ".join(f".{name} {count}" for name, count in times.most_common(_SHOWN))
            said.append(
                f"{times.total()} members end as images or texts do and are not read: {seen}, e.g. "
                f"{unread['key'][0]}.{unread['unread'][0][0]} of {unread['tar'][0]} (an ending "
                "begins at the first dot of a name)"
            )
        for what, then in (("image", "are left out"), ("mask", "count as without one")):
            place = f"{what}_offset", f"{what}_length"
            bad = samples.filter(pl.col(place[0]).is_null() & pl.col(place[1]).is_not_null())
            if bad.height:
                said.append(
                    f"{bad.height} samples whose {what} is a link or a sparse member {then}, e.g. "
                    f"{bad['key'][0]!r} of {bad['tar'][0]}; write the tar with --dereference "
                    "--hard-dereference and without --sparse"
                )
        return said


def _with_bytes(files: Mapping[str, FileInfo | None], said: list[str]) -> list[str]:
    """Return the tars without empty ones, unless all are."""
    tars = [tar for tar, file in files.items() if file is None or file.size]
    if tars and len(tars) < len(files):
        empty = next(tar for tar in files if tar not in tars)
        said.append(f"{len(files) - len(tars)} tars have 0 bytes and are passed over, e.g. {empty}")
    return tars or list(files)


def _empty(tars: list[str], samples: pl.DataFrame) -> list[str]:
    empty = sorted(set(tars) - set(samples["tar"]))
    return [f"{len(empty)} tars hold no members, e.g. {empty[0]}"] if empty else []


def _texts(samples: pl.DataFrame, name: str | None, setting: str) -> pl.Series:
    """The texts of a member, ``cls`` or ``txt``, or of a field of ``json``.

    Raises:
        ConfigError: No sample has it, or that of a sample cannot be read.
    """
    if name is None:
        return pl.Series([None] * samples.height, dtype=pl.String)
    field = f"dataset.{setting}"
    member = name if name in ("cls", "txt") else "json"
    lost = samples.filter(pl.col(f"{member}_length").is_not_null() & pl.col(member).is_null())
    if lost.height:
        place = f"the .{member} of {lost['key'][0]!r} in {lost['tar'][0]}"
        raise ConfigError(
            field, place, f"must be a plain member of at most {MOST_TEXT} bytes of UTF-8"
        )
    if member != "json":
        return samples[name]
    key = name.removeprefix("json.")
    texts = [
        None if document is None else _field(document, key, field, sample, tar)
        for document, sample, tar in samples.select("json", "key", "tar").iter_rows()
    ]
    if all(text is None for text in texts):
        raise ConfigError(
            field,
            repr(name),
            "is neither cls nor txt, and no sample has a .json member with such a field",
        )
    return pl.Series(texts, dtype=pl.String)


def _field(document: str, key: str, setting: str, sample: str, tar: str) -> str | None:
    """Return a field of a sample's JSON as text; None if it is missing."""
    place = f"the .json of {sample!r} in {tar}"
    try:
        value = parse(document)
    except ValueError as error:
        raise ConfigError(setting, place, f"is no JSON: {error}") from None
    try:
        return to_text(value.get(key)) if isinstance(value, dict) else None
    except (TypeError, ValueError) as error:
        raise ConfigError(setting, place, f"{error} as {key!r}; give texts or numbers") from None
