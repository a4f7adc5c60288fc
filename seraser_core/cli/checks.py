"""Checks of this machine and its settings, for `seraser doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seraser_core.errors import ConfigError
from seraser_core.redaction import redacted

_PACKAGES = ("torch", "open_clip_torch", "prefect", "polars", "pyarrow", "pydantic", "transformers")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_S3 = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_COMPLETIONS = (
    ".bash_completions/seraser.sh",
    ".zfunc/_seraser",
    ".config/fish/completions/seraser.fish",
)
_LEAST_MEMORY, _LEAST_DISK, _LEAST_FILES = 4 * 2**30, 5 * 2**30, 1024
_CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: Name of it.
        state: Whether it will do.
        found: Description of what is there, without secrets.
        hint: Advice, where there is any.
    """

    name: str
    state: Literal["ok", "warn"]
    found: str
    hint: str = ""


def all_checks() -> Iterator[Check]:
    """Yield one check after the other; one that cannot be made is a warning."""
    checks: Mapping[str, Callable[[], Check]] = {
        "versions": _versions,
        "plug-ins": _plugins,
        "device": _device,
        "cores": _cores,
        "memory": _memory,
        "files": _files,
        "disk": _disk,
        "weights": _weights,
        "proxies": _proxies,
        "prefect": _prefect,
        "s3": _s3,
        "completion": _completion,
    }
    for name, check in checks.items():
        try:
            made = check()
        except Exception as error:  # a doctor must outlive what ails the patient
            made = Check(name, "warn", f"cannot be told: {type(error).__name__}: {error}")
        yield Check(name, made.state, redacted(made.found), redacted(made.hint))


def _check(fault: str, found: str, hint: str = "") -> Check:
    """Return a check that warns if there is a fault, which then is the advice."""
    return Check("", "warn" if fault else "ok", found, fault or hint)


def _versions() -> Check:
    parts = [f"seraser {importlib.metadata.version('seraser')}"]
    parts += [f"Python {platform.python_version()}", platform.platform()]
    for package in _PACKAGES:
        try:
            parts.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            parts.append(f"no {package}")
    return _check("", ", ".join(parts))


def _plugins() -> Check:
    from seraser_core.config.formats import offered_formats
    from seraser_core.config.methods import offered_methods

    groups = (offered_methods(), offered_formats())
    faults = [fault for group in groups for fault in group.faults.values()]
    origins = {name: origin for group in groups for name, origin in group.origins.items()}
    told = ", ".join(f"{name} of {origin}" for name, origin in origins.items()) or "none"
    return _check("; ".join(f"{one.problem}; {one.remedy}" for one in faults), told)


def _device() -> Check:
    import torch

    driver = _driver()
    if not torch.cuda.is_available():
        if driver is None:
            return _check("", f"the processor, {torch.get_num_threads()} threads; no GPU")
        return _check(
            f"torch {torch.__version__} cannot use it; install a build for its driver",
            f"a GPU with driver {driver}",
        )
    names = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        names.append(f"cuda:{index} {name}, {_size(free)} of {_size(total)} free")
    return _check("", f"{'; '.join(names)}; driver {driver}, CUDA {torch.version.cuda}")


def _driver() -> str | None:
    """Return the version of NVIDIA's driver; None without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else None


def _cores() -> Check:
    from seraser_core.cores import usable_cores

    usable, there = len(usable_cores()), os.cpu_count() or 1
    held = "" if usable == there else ", by affinity or the cgroup"
    return _check("", f"{usable} of {there}{held}")


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    room, told = memory.available, f"{_size(memory.available)} of {_size(memory.total)} available"
    try:
        limit = int(_CGROUP_MEMORY.read_text())
        room, told = min(room, limit), f"{told}, {_size(limit)} allowed by the cgroup"
    except (OSError, ValueError):  # no cgroup here, or "max"
        pass
    return _check("a model may not fit; free some" if room < _LEAST_MEMORY else "", told)


def _files() -> Check:
    try:
        import resource
    except ImportError:
        return _check("", "no limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= soft < _LEAST_FILES
    return _check(
        f"raise it: ulimit -n {_LEAST_FILES}" if few else "", f"{soft} open at once, at most {hard}"
    )


def _disk() -> Check:
    folders = {"here": Path.cwd(), "temporary": Path(tempfile.gettempdir())}
    free = {name: shutil.disk_usage(folder).free for name, folder in folders.items()}
    told = ", ".join(f"{_size(free[name])} free in {folders[name]}" for name in folders)
    return _check("free some room" if min(free.values()) < _LEAST_DISK else "", told)


def _weights() -> Check:
    from huggingface_hub import constants

    from seraser_core.config.options import ModelOptions
    from seraser_core.models.cached import cached_files, cached_weights
    from seraser_core.models.weights import cache_folder

    folder = Path(constants.HF_HUB_CACHE)
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free, weights = shutil.disk_usage(there).free, cached_weights()
    told = f"{len(weights)} models of open_clip in {folder}, {_size(free)} free; "
    told += f"own files in {cache_folder()}"
    if free < _LEAST_DISK:
        return _check("free some room, or set HF_HOME to another folder", told)
    usual = ModelOptions()
    if any(cached_files(usual.name, usual.pretrained or "")):
        return _check("", told)
    lacking = f"{usual.name} ({usual.pretrained}) is fetched on first use"
    return _check("", told, f"{lacking}; `seraser models` lists those that are here")


def _proxies() -> Check:
    from seraser_core.proxies import refuse_unusable

    names = [name for upper in _PROXIES for name in (upper, upper.lower()) if name in os.environ]
    told = ", ".join(f"{name}={os.environ[name]}" for name in names) or "none"
    try:
        refuse_unusable()
    except ConfigError as error:
        return _check(f"{error.value}; {error.remedy}", told)
    return _check("", told)


def _prefect() -> Check:
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME

    from seraser_core.cli.server import answers

    url, home = PREFECT_API_URL.value(), PREFECT_HOME.value()
    if url is None:
        return _check("", f"a temporary server for every command, home {home}")
    if answers(url):
        return _check("", f"a server answers at {url}, home {home}")
    return _check(
        "start it (seraser up), unset PREFECT_API_URL, or use --no-prefect",
        f"no server answers at {url}, home {home}",
    )


def _s3() -> Check:
    told = [f"{name}={os.environ[name]}" for name in _S3 if name in os.environ]
    keys = [name for name in _KEYS if name in os.environ]
    files = [name for name in ("credentials", "config") if (Path.home() / ".aws" / name).exists()]
    told += [f"{name} is set" for name in keys] + [f"there is ~/.aws/{name}" for name in files]
    half = len({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & set(keys)) == 1
    return _check(
        "set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if half else "",
        ", ".join(told) or "nothing is set",
    )


def _completion() -> Check:
    there = [Path.home() / name for name in _COMPLETIONS if (Path.home() / name).exists()]
    if there:
        return _check("", f"installed in {', '.join(map(str, there))}")
    return _check("", "not installed", "seraser --install-completion")


def _size(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
