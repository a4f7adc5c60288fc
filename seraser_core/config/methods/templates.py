"""Prompt templates as methods have them."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from seraser_core.config.option_group import TEMPLATE_RULE, is_template
from seraser_core.open_clip_tables import table

TEMPLATE_SETS = ("imagenet7", "imagenet80")
TEMPLATES_HELP = (
    "Prompt templates, {} stands for the class name: a list, a file with one per line, or "
    "`imagenet7` or `imagenet80`, the sets published with CLIP."
)


def _template_set(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in TEMPLATE_SETS:
        raise ValueError(f"neither a list, a readable file, nor one of {', '.join(TEMPLATE_SETS)}")
    published = table("zero_shot_metadata")
    name = f"{'SIMPLE' if value == 'imagenet7' else 'OPENAI'}_IMAGENET_TEMPLATES"
    return [template("{}") for template in getattr(published, name)]


def _check_templates(templates: list[str]) -> list[str]:
    for template in templates:
        if not is_template(template):
            raise ValueError(f"{template!r} {TEMPLATE_RULE}")
    repeated = [text for text, count in Counter(templates).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is there more than once; name each template once")
    return templates


Templates = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(_template_set, json_schema_input_type=list[str] | str),
    AfterValidator(_check_templates),
]
