"""The options of prompts per class and context."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from seraser_core.config.methods.contexts import DESCRIPTIONS_HELP, ContextDescriptions
from seraser_core.config.methods.method_options import MethodOptions
from seraser_core.config.option_group import mistake


class GroupPromptOptions(MethodOptions):
    """Zero-shot with prompts per class and context; the best prompt of a class counts."""

    implementation: ClassVar[str] = "seraser_core.methods.group_prompt:GroupPrompt"
    name: Literal["group_prompt"] = "group_prompt"
    prompts: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Class name -> whole prompts, e.g. `a camel: [a camel in a desert, a camel in "
        "a forest]`; a mapping, or a YAML file with one.",
    )
    contexts: ContextDescriptions | None = Field(
        default=None,
        description="Instead of prompts: the run's prompt of every class, before each description. "
        f"{DESCRIPTIONS_HELP}",
    )

    @model_validator(mode="after")
    def _some_each(self) -> GroupPromptOptions:
        if not self.prompts and not self.contexts:
            raise mistake("missing", "required, or contexts in their place", "prompts")
        if self.prompts and self.contexts:
            raise mistake("given beside prompts", "give one of them", "contexts")
        for name, prompts in self.prompts.items():
            if not prompts:
                raise mistake(f"{name!r} has none", "give every class at least one", "prompts")
        return self
