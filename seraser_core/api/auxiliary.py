"""The choice of auxiliary images: by what is given, and by what the model can make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seraser_core.api.model import Model
from seraser_core.config.methods import method_options
from seraser_core.errors import ConfigError
from seraser_core.kinds import KINDS


def with_auxiliary(
    method: str | Mapping[str, Any], model: Model, has_masks: bool
) -> dict[str, Any]:
    """Return the options of a method with the auxiliary images that there can be.

    Raises:
        ConfigError: It needs masks, and there are none.
    """
    given = {"name": method} if isinstance(method, str) else method
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ConfigError("method", repr(method), 'give a name, or {"name": ..., options}')
    name = given["name"]
    options = {**model.method_options.get(name, {}), **given}
    group = method_options().get(name)
    if group is None or "auxiliary" not in group.model_fields:
        return options
    if "auxiliary" not in options:
        options["auxiliary"] = _best_auxiliary(name, model, has_masks)
    kind = KINDS.get(str(options["auxiliary"]))
    for region in kind.regions if kind else ():
        if region.made or (region.name == "mask" and has_masks):
            continue
        if region.name == "mask":
            raise ConfigError(
                "masks",
                None,
                f"method {name!r} has auxiliary {options['auxiliary']!r} and needs them; give "
                'masks, or choose auxiliary "relevance"',
            )
        raise ConfigError(
            "method.auxiliary",
            repr(options["auxiliary"]),
            f"images have no {region.name} here; draw it into masks and choose 'mask'",
        )
    return options


def _best_auxiliary(name: str, model: Model, has_masks: bool) -> str:
    if has_masks:
        return "mask"
    if model.makes_relevance:
        return "relevance"
    raise ConfigError(
        "masks",
        None,
        f"method {name!r} needs foregrounds, and this model makes none: its image tower is no "
        "plain vision transformer; give masks, or another auxiliary, as "
        f'method={{"name": "{name}", "auxiliary": "segment"}}',
    )
