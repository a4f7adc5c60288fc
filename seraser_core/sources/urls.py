"""Data sets without labels: a list of images, or all files that match a pattern."""

from __future__ import annotations

import re

import polars as pl

from seraser_core import storage
from seraser_core.errors import ConfigError, TransientError
from seraser_core.sources.decode import IMAGE_ENDINGS
from seraser_core.sources.names import class_names
from seraser_core.sources.paths import clean_paths, same_files
from seraser_core.sources.patterns import expand, expand_braces, split_root
from seraser_core.sources.shown import all_composed
from seraser_core.sources.source import Listing, Source, check_paths, listed
from seraser_core.sources.table_file import no_file
from seraser_core.sources.texts import read_text, text_lines, unpacked

_QUOTED = re.compile('"[^"]+"')
_LABELLED = re.compile(
    rf".*({'|'.join(map(re.escape, IMAGE_ENDINGS))})([ \t]+|[ \t]*[,;][ \t]*)\S+", re.IGNORECASE
)


class UrlsSource(Source):
    """A text file with one image per line, a URL or a path relative to the file.

    The id of an image is its line, without the blanks and tabs around it. Empty lines, and those
    that begin with #, are passed over.
    """

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        said: list[str] = []
        try:
            content = unpacked(storage.read_bytes(options.path, options.storage_options))
            lines = [line.strip(" \t") for line in text_lines(read_text(content, said))]
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise no_file(options.path, "name the list in it, or use format: files") from None
        except (OSError, TransientError, ValueError, ImportError) as error:
            raise ConfigError("dataset.path", options.path, f"cannot be read: {error}") from None
        images = [line for line in lines if line and not line.startswith("#")]
        if not images:
            raise ConfigError("dataset.path", options.path, "holds no lines")
        if all(_QUOTED.fullmatch(line) for line in images):
            images = [line[1:-1] for line in images]
            said.append("all of its lines are in quotes, which are left out")
        if all(_LABELLED.fullmatch(line) for line in images[1:] or images):
            raise ConfigError(
                "dataset.path",
                f"{options.path}: {images[-1]!r}",
                "its lines are paths with labels; put a line with names above them, such as "
                "`image label`, if there is none, call it .txt or .csv, and use format: table",
            )
        base = storage.parent(options.path)
        column = pl.Series(images, dtype=pl.String)
        column = clean_paths(column, base, "path", options.storage_options, said)
        check_paths(column, base, "path", options.allow_outside, remote=True)
        first = same_files(column, base).is_first_distinct()
        if not first.all():
            again = column.filter(~first)
            said.append(
                f"{len(again)} lines repeat others, e.g. {again[0]!r}; each image is evaluated once"
            )
        column = column.filter(first)
        items = listed(all_composed(column), column)
        facts = {"lines": len(lines)}
        return Listing(items, class_names(options) or [], [], facts, base, said)


class FilesSource(Source):
    """All files whose names follow a pattern; the id of an image is its path below the folder
    before the first wildcard."""

    def listing(self) -> Listing:
        """See `Source.listing`."""
        options = self.options
        said: list[str] = []
        files = expand(options, IMAGE_ENDINGS, said)
        roots = {
            split_root(p)[0] if any(c in p for c in "*?[") else storage.parent(p)
            for p in expand_braces(options.path)
        }
        root = f"{roots.pop().rstrip('/')}/" if len(roots) == 1 else ""
        images = pl.Series(list(files), dtype=pl.String)
        ids = images.str.strip_prefix(root)
        items = listed(ids, images, files.values())
        return Listing(items, class_names(options) or [], [], warnings=said)
