"""Data sets without labels: a list of images, or all files of a name."""

from __future__ import annotations

import polars as pl

from seraser_core import storage
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.base import Listing, Source, check_paths, listed
from seraser_core.sources.names import class_names, text_lines
from seraser_core.sources.patterns import expand, expand_braces, split_root


class UrlsSource(Source):
    """A text file with one image per line, a URL or a path relative to the file.

    The id of an image is its line, without the blanks and tabs around it. Empty lines, and those
    that begin with #, are passed over.
    """

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        try:
            content = storage.read_bytes(options.path, options.storage_options)
            lines = [line.strip(" \t") for line in text_lines(content.decode("utf-8-sig"))]
        except FileNotFoundError:
            raise ConfigError("dataset.path", options.path, "there is no such file") from None
        except (OSError, TransientError, ValueError, ImportError) as error:
            raise ConfigError("dataset.path", options.path, f"cannot be read: {error}") from None
        images = [line for line in lines if line and not line.startswith("#")]
        if not images:
            raise ConfigError("dataset.path", options.path, "holds no lines")
        base = storage.parent(options.path)
        column = pl.Series(images, dtype=pl.String)
        check_paths(column, base, "path", options.allow_outside, remote=True)
        items = listed(column, column)
        return Listing(items, class_names(options) or [], [], {"lines": len(lines)}, base)


class FilesSource(Source):
    """All files whose names follow a pattern; the id of an image is its path below the folder
    before the first wildcard."""

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        found = expand(options)
        roots = {
            split_root(p)[0] if any(c in p for c in "*?[") else storage.parent(p)
            for p in expand_braces(options.path)
        }
        root = f"{roots.pop().rstrip('/')}/" if len(roots) == 1 else ""
        images = pl.Series(list(found), dtype=pl.String)
        ids = images.str.strip_prefix(root)
        return Listing(listed(ids, images, found.values()), class_names(options) or [], [])
