"""The tables of open_clip: names, tags and templates, read without importing torch.

`import open_clip` takes seconds, most of them for torch. The modules here are open_clip's own
files, under another package name, and what they would import of torch is missing for them.
"""

from __future__ import annotations

import builtins
import importlib.util
import json
import sys
import threading
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "seraser_open_clip_tables"
_WITHOUT = ("huggingface_hub", "safetensors", "torch", "torchvision")
_lock = threading.Lock()


def table(name: str) -> Any:
    """A module of open_clip that is nothing but tables, such as ``pretrained``.

    Raises:
        ImportError: open_clip is not installed, or has no such module.
    """
    with _lock:
        package = sys.modules.setdefault(_PACKAGE, _package())
        whole = f"{_PACKAGE}.{name}"
        if whole not in sys.modules:
            spec = importlib.util.spec_from_file_location(whole, _folder() / f"{name}.py")
            if spec is None or spec.loader is None:
                raise ImportError(f"open_clip has no module {name}")
            module = importlib.util.module_from_spec(spec)
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
            spec.loader.exec_module(module)
            sys.modules[whole] = module
            setattr(package, name, module)
        return sys.modules[whole]


@cache
def model_names() -> tuple[str, ...]:
    """Names of open_clip's models, sorted."""
    files = _folder().glob("model_configs/*.json")
    return tuple(sorted(path.stem for path in files if _is_clip(path)))


def _package() -> ModuleType:
    package = ModuleType(_PACKAGE)
    package.__path__ = [str(_folder())]
    return package


def _folder() -> Path:
    spec = importlib.util.find_spec("open_clip")  # finds it, and runs nothing of it
    if spec is None or spec.origin is None:
        raise ImportError("open_clip_torch is not installed")
    return Path(spec.origin).parent


def _import(name: str, *rest: Any) -> ModuleType:
    if name.partition(".")[0] in _WITHOUT:
        raise ImportError(f"{name} is not imported for tables")
    return __import__(name, *rest)


def _is_clip(path: Path) -> bool:
    keys = {"embed_dim", "vision_cfg", "text_cfg"}
    return bool(keys <= json.loads(path.read_bytes()).keys())
