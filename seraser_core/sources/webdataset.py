"""WebDataset: images in tars, with what is known of each beside it under the same name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import polars as pl

from seraser_core import storage
from seraser_core.errors import ConfigError
from seraser_core.sources.base import Listing, Source
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.names import class_names, found_names, to_index
from seraser_core.sources.patterns import expand, short_names
from seraser_core.sources.tar import index_tar

_TARS_AT_ONCE = 8
_LABEL, _MASK = "cls", "mask.png"
_TEXTS = ("cls", "txt", "json")


class WebDatasetSource(Source):
    """One image per sample, the consecutive members of a tar with the same key.

    A sample ``x`` has the image ``x.jpg`` (or another ending of an image), perhaps the label
    ``x.cls``, ``x.txt`` or a field of ``x.json``, and the mask ``x.mask.png``. Its id is its
    tar's name and its key.
    """

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        tars = list(expand(options))
        # Python lists a tar that is at hand; of those that are far away, several are waited for.
        with ThreadPoolExecutor(1 if storage.is_local(tars[0]) else _TARS_AT_ONCE) as pool:
            samples = pl.concat(pool.map(self._samples, tars, short_names(tars)))
        lacking = samples["image_offset"].null_count()
        samples = samples.filter(pl.col("image_offset").is_not_null())
        if not samples.height:
            raise ConfigError(
                "dataset.path", options.path, f"no sample has an image ({', '.join(_endings())})"
            )
        label = options.label or (_LABEL if samples["cls"].count() else None)
        texts = {
            "label": _texts(samples, label, "label"),
            "attribute": _texts(samples, options.attribute, "attribute"),
        }
        classes = class_names(options) or []
        attributes = options.attributes or found_names(texts["attribute"])
        items = samples.select(
            (pl.col("name") + "/" + pl.col("key")).alias("item_id"),
            pl.col("tar").alias("image"),
            pl.col("image_offset").alias("offset"),
            pl.col("image_length").alias("length"),
            pl.col("image_length").alias("size"),
            pl.when(pl.col("mask_offset").is_not_null()).then("tar").alias("mask"),
            "mask_offset",
            "mask_length",
            pl.lit(None, pl.List(pl.Float64)).alias("box"),
            to_index(texts["label"], classes, "dataset.label", "dataset.classes").alias("label"),
            to_index(
                texts["attribute"], attributes, "dataset.attribute", "dataset.attributes"
            ).alias("attribute"),
        )
        warnings = [f"{lacking} samples have no image and are left out"] if lacking else []
        facts = {"tars": len(tars)}
        return Listing(items, classes, attributes, facts, warnings=warnings)

    def _samples(self, tar: str, name: str) -> pl.DataFrame:
        """One row per sample: tar, its short name, key, places of image and mask, texts."""
        members = index_tar(tar, self.options.storage_options, self.cache)
        ending = pl.col("ending")
        wanted = self.options.image
        is_image = ending == wanted if wanted in _endings() else ending.is_in(_endings())
        is_mask = ending == (self.options.mask or _MASK)
        sample = pl.col("key").rle_id().alias("sample")
        found = members.group_by(sample, maintain_order=True).agg(
            pl.lit(tar).first().alias("tar"),
            pl.lit(name).first().alias("name"),
            pl.col("key").first(),
            is_image.sum().alias("images"),
            *(
                pl.col(column).filter(chosen).first().alias(f"{name}_{column}")
                for name, chosen in (("image", is_image), ("mask", is_mask))
                for column in ("offset", "length")
            ),
            *(pl.col("text").filter(ending == name).first().alias(name) for name in _TEXTS),
        )
        several = found.filter(pl.col("images") > 1)
        if several.height:
            raise ConfigError(
                "dataset.image",
                f"{several['images'][0]} images in the sample {several['key'][0]!r} of {tar}",
                "name the ending to take, e.g. jpg",
            )
        return found.drop("sample", "images")


def _endings() -> list[str]:
    return [ending.removeprefix(".") for ending in IMAGE_ENDINGS]


def _texts(samples: pl.DataFrame, name: str | None, setting: str) -> pl.Series:
    """The texts of a member, ``cls`` or ``txt``, or of a field of ``json``."""
    if name is None:
        return pl.Series([None] * samples.height, dtype=pl.String)
    if name in ("cls", "txt"):
        return samples[name]
    field = name.removeprefix("json.").replace("'", "")
    texts = samples.select(pl.col("json").str.json_path_match(f"$['{field}']"))["json"]
    if not texts.count():
        raise ConfigError(
            f"dataset.{setting}",
            repr(name),
            "is neither cls nor txt, and no sample has a .json member with such a field",
        )
    return texts
