"""Images and masks as they are given: files, URLs, pictures, arrays, bytes, folders of files."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from seraser_core import storage
from seraser_core.api.arguments import as_arguments
from seraser_core.api.pixels import digest_of, file_of_image, file_of_mask
from seraser_core.config.options import DatasetOptions, LimitOptions
from seraser_core.display import kind_of
from seraser_core.errors import ConfigError, ItemError, TransientError
from seraser_core.proxy_check import check_proxy
from seraser_core.redaction import redacted
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.fetch import fetch
from seraser_core.sources.folder import find
from seraser_core.sources.shown import composed, ending_of, is_shown_image, is_text

logger = logging.getLogger(__name__)
_KINDS = "paths, URLs, PIL images, arrays (height, width, 3), or bytes of image files"
_WEB = ("http://", "https://")


@dataclass(frozen=True, kw_only=True, eq=False)
class Given(ABC):
    """One image or mask.

    Attributes:
        id: Its item_id: the path or URL as given, below a given folder the path in it, or a hash
            of the content.
        shown: Its location, or a description for people.
        stem: Path without ending by which a mask of a folder is found; None without a name.
    """

    id: str
    shown: str
    stem: str | None = None

    @property
    def size(self) -> int | None:
        """Bytes that it takes, where known without looking."""
        return None

    def name(self, position: int) -> str:
        """Return what people call it, given its place among the images."""
        return self.id

    @abstractmethod
    def read(self, limits: LimitOptions) -> bytes:
        """Return the bytes of an image file.

        Raises:
            ItemError: There is no usable image.
            ConfigError: The proxy that leads to it is not there.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class _File(Given):
    url: str

    def read(self, limits: LimitOptions) -> bytes:
        try:
            return fetch(self.url, {}, limits)
        except TransientError as error:
            if self.url.startswith(_WEB):  # without the proxy, every image would be an error
                check_proxy(self.url, fresh=True)
            raise ItemError("fetch", "unreachable", str(error)) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class _InMemory(Given):
    value: Any
    to_file: Callable[[Any], bytes]

    @property
    def size(self) -> int | None:
        return self.value.nbytes if isinstance(self.value, np.ndarray) else None

    def name(self, position: int) -> str:
        return self.stem or f"image {position}"  # which says more than the hash of its content

    def read(self, limits: LimitOptions) -> bytes:
        return self.value if isinstance(self.value, bytes) else self.to_file(self.value)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Unusable(Given):
    error: ItemError

    def read(self, limits: LimitOptions) -> bytes:
        raise self.error


def given_images(images: object) -> list[Given]:
    """List the images that are given.

    Args:
        images: One image, several, or a folder: all images below it, sorted by path.

    Raises:
        ConfigError: There are none, or they cannot be told.
    """
    folder = _folder_of(images)
    if folder is not None:
        return list(_in_folder(folder, "images").values())
    several = _listed(images, "images", most_dimensions=3)
    if not several:
        raise ConfigError("images", "none", f"give at least one image: {_KINDS}")
    return [_given(image, i, file_of_image) for i, image in enumerate(several)]


def given_masks(masks: object, images: list[Given]) -> list[Given | None]:
    """Find the mask of every image.

    Args:
        masks: None; one mask per image, or None for an image that has none; or a folder with a
            mask of the same name as the image, whatever its ending.
        images: The images.

    Raises:
        ConfigError: They are not as many as the images, or none has the name of an image.
    """
    if masks is None:
        return [None] * len(images)
    folder = _folder_of(masks)
    if folder is not None:
        return _of_names(folder, images)
    one = len(images) == 1 and not (isinstance(masks, np.ndarray) and masks.shape[:1] == (1,))
    several = _listed(masks, "masks", most_dimensions=3 if one else 2)
    if len(several) != len(images):
        raise ConfigError(
            "masks",
            f"{len(several)} for {len(images)} images",
            "give one mask per image, None for an image without one",
        )
    return [
        None if _is_missing(mask) else _given(mask, i, file_of_mask)
        for i, mask in enumerate(several)
    ]


def _of_names(folder: str, images: list[Given]) -> list[Given | None]:
    masks = _in_folder(folder, "masks")
    if all(image.stem is None for image in images):
        raise ConfigError(
            "masks",
            repr(folder),
            "images in memory have no names that masks could share; give a list of masks",
        )
    found = [None if image.stem is None else masks.get(image.stem) for image in images]
    if not any(found):
        example = next(image.stem for image in images if image.stem is not None)
        raise ConfigError(
            "masks",
            repr(folder),
            f"none of its {len(masks)} images has the name of an image, such as {example}.png",
        )
    return found


def _folder_of(value: object) -> str | None:
    """The folder that a value is; None if it is something else."""
    if not isinstance(value, str | PurePath):
        return None
    url = _located(str(value))
    here = storage.local_path(url)
    if here is not None:
        return url if here.is_dir() else None
    if url.startswith(_WEB) or (ending_of(url) in IMAGE_ENDINGS and not url.endswith("/")):
        return None
    return url


def _in_folder(folder: str, argument: str) -> dict[str, Given]:
    """Stem -> image, of all images below a folder."""
    options = DatasetOptions(path=folder, classes=["a", "b"], allow_outside=True)
    said: list[str] = []
    with as_arguments({"dataset.path": argument}):
        files = find(options, folder, is_shown_image, said)
    for line in said:
        logger.warning("%s: %s", folder, line)
    names = sorted(name for name in files if is_shown_image(name))
    if not names:
        raise ConfigError(
            argument,
            repr(folder),
            f"none of the {len(files)} files below it is an image by its ending: "
            f"{', '.join(IMAGE_ENDINGS)}",
        )
    return {
        _without_ending(name): _File(
            id=composed(name),
            shown=storage.join(folder, name),
            stem=_without_ending(name),
            url=storage.join(folder, name),
        )
        for name in names
    }


def _without_ending(name: str) -> str:
    return composed(PurePosixPath(name).with_suffix("").as_posix())


def _listed(value: object, argument: str, most_dimensions: int) -> list[Any]:
    """The members of a value: itself if it is one picture."""
    if isinstance(value, str | PurePath):
        url = _located(str(value))
        here = storage.local_path(url)
        if here is not None and not here.exists() and ending_of(url) not in IMAGE_ENDINGS:
            raise ConfigError(
                argument,
                repr(str(value)),
                f"there is no such file or folder in {Path.cwd()}; give {_KINDS}, or a folder",
            )
        return [value]
    if isinstance(value, Image.Image | bytes):
        return [value]
    array = _as_array(value)
    if array is not None and (array.dtype.kind in "buif" or not array.ndim):
        return [array] if array.ndim <= most_dimensions else list(array)
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return list(value)
    raise ConfigError(argument, kind_of(value), f"give a list of {_KINDS}, or a folder")


def _given(value: Any, position: int, to_file: Callable[[Any], bytes]) -> Given:
    if isinstance(value, str | PurePath):
        return _file(str(value))
    array = None if isinstance(value, Image.Image | bytes) else _as_array(value)
    if array is not None:
        value = array
    if not isinstance(value, Image.Image | bytes | np.ndarray):
        error = ItemError("fetch", "unsupported_type", f"{kind_of(value)} is none of {_KINDS}")
        return _Unusable(id=f"unusable {position}", shown=kind_of(value), error=error)
    shown = _described(value)
    try:
        digest = f"sha256:{digest_of(value)}"
    except ItemError as error:
        return _Unusable(id=f"unusable {position}", shown=shown, error=error)
    return _InMemory(id=digest, shown=shown, stem=_stem_of(value), value=value, to_file=to_file)


def _file(name: str) -> Given:
    if not is_text(name):
        error = ItemError("fetch", "missing", f"{name!a} is no UTF-8; rename the file")
        return _Unusable(id=ascii(name), shown=ascii(name), error=error)
    try:
        url = _located(name)
    except ValueError as unknown:
        error = ItemError("fetch", "missing", str(unknown))
        return _Unusable(id=redacted(name), shown=redacted(name), error=error)
    last = PurePosixPath(url).name
    return _File(
        id=composed(redacted(name)),
        shown=redacted(url),  # presigned URLs are read, and shown without their signature
        stem=_without_ending(last) if last else None,
        url=url,
    )


def _located(name: str) -> str:
    return storage.absolute(name, Path.cwd())


def _as_array(value: object) -> np.ndarray | None:
    """The array that a value is or can give, as tensors can."""
    if isinstance(value, np.ndarray):
        return value
    if not hasattr(value, "__array__") or hasattr(value, "to_list") or hasattr(value, "to_numpy"):
        return None  # columns of tables are lists
    detached = value.detach().cpu() if hasattr(value, "detach") else value
    return np.asarray(detached)


def _stem_of(value: object) -> str | None:
    name = getattr(value, "filename", "")
    return _without_ending(PurePath(name).name) if isinstance(name, str) and name else None


def _described(value: Image.Image | np.ndarray | bytes) -> str:
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, np.ndarray):
        return f"<array {' x '.join(map(str, value.shape))}>"
    name = getattr(value, "filename", "")
    size = f"<PIL image {value.width} x {value.height}>"
    return str(name) if name and is_text(str(name)) else size


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
