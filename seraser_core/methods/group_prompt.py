"""Zero-shot classification with prompts that name the context as well ("group prompting")."""

from __future__ import annotations

import difflib

import torch

from seraser_core.config.methods.group_prompt import GroupPromptOptions
from seraser_core.errors import ConfigError
from seraser_core.kinds import IMAGE
from seraser_core.methods.context import MethodContext
from seraser_core.methods.method import Features, Method, Scores, cosine_logits
from seraser_core.models.clip_model import ClipModel
from seraser_core.models.prompts import Prompts, tokenise


class GroupPrompt(Method):
    """The prediction is the class of the nearest prompt.

    A class's logit is the largest of its prompts', so the argmax over classes is that over all
    prompts, collapsed to the class.
    """

    views = (IMAGE,)

    def __init__(self, options: GroupPromptOptions, context: MethodContext) -> None:
        super().__init__(options, context)
        model = context.model
        groups = group_prompts(options, context.prompts)
        texts = [text for some in groups.values() for text in some]
        self._counts = [len(some) for some in groups.values()]
        self._features = model.encode_text(model.tokenizer(texts))
        self._scale = context.logit_scale

    @classmethod
    def check(cls, options: GroupPromptOptions, prompts: Prompts, model: ClipModel) -> None:
        """See `Method.check`."""
        field = f"methods.{options.id}.prompts"
        for name in options.prompts:
            if name not in prompts.classes:
                near = difflib.get_close_matches(name, prompts.classes, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "use the names in dataset.classes"
                raise ConfigError(field, repr(name), f"is no class of the data set; {hint}")
        for name in prompts.classes if options.prompts else ():
            if name not in options.prompts:
                raise ConfigError(field, f"no prompts for {name!r}", "give every class some")
        texts = [text for some in group_prompts(options, prompts).values() for text in some]
        tokenise(texts, model.tokenizer, model.context_length, field)

    def predict(self, features: Features) -> Scores:
        """See `Method.predict`."""
        logits = cosine_logits(features["image"][:, 0], self._features, self._scale)
        best = [part.amax(-1) for part in logits.split(self._counts, dim=-1)]
        return Scores(torch.stack(best, dim=-1))


def group_prompts(options: GroupPromptOptions, prompts: Prompts) -> dict[str, list[str]]:
    """Return the prompts of every class, in the order of the classes."""
    if options.prompts:
        return {name: options.prompts[name] for name in prompts.classes}
    places = [text for some in (options.contexts or {}).values() for text in some]
    named = zip(prompts.classes, prompts.texts, strict=True)
    return {name: [f"{text} {place}".rstrip() for place in places] for name, text in named}
