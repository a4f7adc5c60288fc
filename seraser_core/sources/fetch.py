"""Fetching one image or mask, within limits, with faults sorted into permanent and passing."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal

from seraser_core import storage
from seraser_core.config.options import DatasetOptions, LimitOptions
from seraser_core.errors import ChangedError, ItemError
from seraser_core.sources.cells import read_cell

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")


def fetch(
    url: str,
    options: Mapping[str, Any],
    limits: LimitOptions,
    span: tuple[int, int] | None = None,
    version: str | None = None,
) -> bytes:
    """Fetch all bytes of `url`, at most limits.max_bytes of them.

    Args:
        url: A file.
        options: fsspec options.
        limits: Its limits.
        span: First byte and number of bytes of a part of the file; the whole file when None.
        version: Version of the file, see `storage.read_bytes` and `storage.read_range`.

    Raises:
        ItemError: The file is missing, forbidden, changed, cut short or too large; it will stay so.
        TransientError: A fault that may pass.
    """
    with permanent_faults(url):
        if span is None:
            return _as_spelt(url, lambda name: _whole(name, options, limits, version))
        start, length = span
        _check_size(length, limits)
        data = storage.read_range(url, start, length, options, version)
    if len(data) < length:
        raise ItemError(
            "fetch", "cut_short", f"{url} ends before byte {start + length}; it changed since"
        )
    return data


def fetch_image(item: Mapping[str, Any], dataset: DatasetOptions) -> bytes:
    """The image of a planned item; see `fetch` for what is raised."""
    place = item["image"], item["offset"], item["length"], item["version"]
    data = _fetch(*place, dataset.image, dataset)
    if item["offset"] is None and item["size"] not in (None, len(data)):
        raise ItemError(
            "fetch",
            "changed",
            f"{item['image']} has {len(data)} bytes and had {item['size']} when it was planned "
            "with; plan the run anew",
        )
    return data


def fetch_mask(item: Mapping[str, Any], dataset: DatasetOptions) -> bytes:
    """The mask of a planned item that has one; see `fetch` for what is raised."""
    # A mask in its own file has its own version, which is not known.
    version = None if item["mask_offset"] is None else item["version"]
    place = item["mask"], item["mask_offset"], item["mask_length"], version
    if dataset.masks is not None:  # which lie elsewhere than the images
        dataset = dataset.model_copy(update={"storage_options": {}})
    return _fetch(*place, dataset.mask or "mask", dataset)


@contextmanager
def of_the_mask() -> Iterator[None]:
    """Mark the codes of fetch faults as those of the mask."""
    try:
        yield
    except ItemError as error:
        code = "missing_mask" if error.code == "missing" else f"mask_{error.code}"
        code = error.code if error.code.startswith("mask_") else code
        raise ItemError(error.stage, code, f"the mask: {error.message}") from None


def _fetch(
    url: str,
    offset: int | None,
    length: int | None,
    version: str | None,
    column: str,
    dataset: DatasetOptions,
) -> bytes:
    options, limits = dataset.storage_options, dataset.limits
    if offset is None:
        return fetch(url, options, limits, None, version)
    if length is not None:
        return fetch(url, options, limits, (offset, length), version)
    with permanent_faults(url):
        data = read_cell(url, column, offset, options, version)
    _check_size(len(data), limits)
    return data


def _as_spelt(url: str, read: Callable[[str], bytes]) -> bytes:
    """Call `read` with the URL, or with its composed or decomposed Unicode form.

    Disks and tables differ in that, in folders and in names.

    Raises:
        FileNotFoundError: There is none of these.
    """
    try:
        return read(url)
    except FileNotFoundError:
        folder, slash, name = url.rpartition("/")
        folders, names = (_forms(part) for part in (folder, name))
        for other in [one + slash + two for one in folders for two in names]:
            if other != url:
                with suppress(FileNotFoundError):
                    return read(other)
        raise


def _forms(text: str) -> list[str]:
    if text.isascii():
        return [text]
    return list(dict.fromkeys([text, *(unicodedata.normalize(form, text) for form in _FORMS)]))


def _whole(
    url: str, options: Mapping[str, Any], limits: LimitOptions, version: str | None
) -> bytes:
    place = storage.at(url, options)
    _check_size(place.local_size() or 0, limits)
    # Request one byte more than allowed: that saves asking for the size.
    data = place.read(limits.max_bytes + 1, version)
    _check_size(len(data), limits)
    return data


def _check_size(size: int, limits: LimitOptions) -> None:
    if size > limits.max_bytes:
        raise ItemError(
            "fetch", "too_large", f"more than dataset.limits.max_bytes = {limits.max_bytes} bytes"
        )


@contextmanager
def permanent_faults(url: str) -> Iterator[None]:
    """Turn permanent faults into faults of the image."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ItemError("fetch", "missing", f"there is no file {url}") from None
    except PermissionError:
        raise ItemError("fetch", "forbidden", f"{url} may not be read") from None
    except ChangedError as error:
        raise ItemError("fetch", "changed", str(error)) from None
    except (ValueError, ImportError) as error:
        raise ItemError("fetch", "missing", f"{url} is not a usable location: {error}") from None
