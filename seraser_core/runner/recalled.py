"""Recognising a finished run or series without its model, if nothing relevant has changed.

What was planned is remembered on this machine, in small files beside the weights that were fetched:
under all that decided it, the run that it made, and the files of the model with their marks. A
file's mark changes with every write to it, so nothing is hashed anew that cannot have changed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import seraser_core
from seraser_core import storage
from seraser_core.errors import SeraserError
from seraser_core.kinds import SEGMENT
from seraser_core.models.weights import cache_folder
from seraser_core.results import records
from seraser_core.results.fingerprints import fingerprint, pool_hashes
from seraser_core.results.records import RunRecord
from seraser_core.results.series import described_run
from seraser_core.results.summary import is_finished, is_series_finished

if TYPE_CHECKING:
    from seraser_core.config.options import RunConfig
    from seraser_core.runner.plan import Prepared

logger = logging.getLogger(__name__)
_LIBRARIES = (
    "numpy",
    "open_clip_torch",
    "pillow",
    "polars",
    "safetensors",
    "timm",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
)
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HIP_VISIBLE_DEVICES",
    "HOME",
    "HUGGINGFACE_HUB_CACHE",
    "SERASER_CACHE",
    "XDG_CACHE_HOME",
)
"""Environment variables that decide the device, or where files are looked for."""
_DEVICES = ("nvidia[0-9]*", "dxg", "kfd", "nvidia-caps/*")
_FAULTS = (SeraserError, OSError, ValueError, ImportError, KeyError, TypeError)
Marks = dict[str, str]
_seen: dict[str, Marks | None] = {}
"""Models of this process -> marks of their files when they were loaded; one is loaded once."""


def recall(prepared: Prepared) -> str | None:
    """Return the URL of the finished run or series that planning would find; None if unsure."""
    with suppress(*_FAULTS):
        known = json.loads(_place(prepared).read_bytes())
        url = storage.join(prepared.config.output, known["run_id"])
        if _marks(known["marks"]) != known["marks"]:
            return None
        if prepared.config.series is not None:
            same = described_run(url).fingerprint == known["fingerprint"]
            return url if same and is_series_finished(url) else None
        data = records.read(storage.join(url, "run.json"))
        run = RunRecord.parse(data, url)
        same = (run.fingerprint, run.plan_hash) == (known["fingerprint"], prepared.hashed)
        if same and records.seal_fault(data) is None and is_finished(url):
            return url
    return None


def remember(prepared: Prepared, url: str, before: Marks | None) -> None:
    """Remember the run that planning `prepared` made.

    Args:
        prepared: The run.
        url: Its directory; that of the series if it is of one.
        before: `model_marks` before the model was loaded; also None if it was fetched.
    """
    with suppress(*_FAULTS):
        place, run, config = _place(prepared), described_run(url), prepared.config
        marks = model_marks(config)
        loaded = _seen.setdefault(fingerprint([repr(config.model), repr(config.segment)]), marks)
        if marks is None or before not in (None, marks) or loaded != marks:
            place.unlink(missing_ok=True)  # written to since it was read
            return
        known = {"run_id": run.run_id, "fingerprint": run.fingerprint, "marks": marks}
        storage.write_bytes(str(place), records.encode(known))


def model_marks(config: RunConfig) -> Marks | None:
    """The files that the models of a run are read from, with their marks.

    Returns:
        None where not all of them can be named, or a change of them could not be seen.
    """
    from seraser_core.models.files import model_files, segment_files

    try:
        files = list(model_files(config.model))
        if config.needs(SEGMENT):
            files += segment_files(config.segment)
        return _marks(files)
    except _FAULTS as error:
        logger.debug("the files of the model cannot be told: %s", error)
        return None


def _marks(files: Any) -> Marks:
    return {place: _mark(place) for place in files}


def _mark(place: str) -> str:
    """Mark that changes when a file, or a file of a folder, is written to.

    Raises:
        ValueError: Nothing does.
    """
    path = storage.local_path(place)
    if path is not None:
        inside = sorted(path.iterdir()) if path.is_dir() else []
        return "; ".join(map(_local_mark, [path, *inside]))
    tag = storage.version(place)
    if not tag.replace("None", "").strip(" 0123456789"):
        raise ValueError(f"{place} has no tag")
    return tag


def _local_mark(path: Path) -> str:
    facts = path.stat()  # programs cannot set the change time back
    size = facts.st_size if path.is_file() else ""
    return f"{path.name} {size} {facts.st_ino} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def _place(prepared: Prepared) -> Path:
    config = prepared.config.model_dump(mode="json", exclude={"runtime", "execution"})
    decided = {
        "config": config,
        "plan": prepared.hashed,
        "pools": pool_hashes(prepared.pools),
        "classes": prepared.planned.classes,
        "labels": prepared.planned.labels,
        "attributes": prepared.planned.attributes,
        "code": _code(),
        "plugins": prepared.config.origins(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "variables": {name: os.environ.get(name) for name in _VARIABLES},
        "devices": sorted(str(path) for name in _DEVICES for path in Path("/dev").glob(name)),
        "host": platform.node(),
    }
    return cache_folder() / "plans" / f"{fingerprint(decided)}.json"


@cache
def _version(name: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(seraser_core.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
