"""Loading a model to call it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from seraser_core.api.arguments import as_arguments
from seraser_core.auxiliary.relevance import check_relevance
from seraser_core.config.loading import parse_options
from seraser_core.config.options import ModelOptions, is_folder
from seraser_core.demo.config import MODEL_JSON, SERASER, WEIGHTS
from seraser_core.errors import ConfigError
from seraser_core.methods import MethodContext
from seraser_core.models.clip_model import ClipModel, get_model
from seraser_core.models.early import check_model
from seraser_core.models.prompts import build_prompts
from seraser_core.shortcuts.words import Words, words_for

DEMO = "demo"
RANDOM = "random"


class Model:
    """A loaded CLIP model, as `load_model` returns it.

    It stays in memory as long as you keep it, and so do the text features of the classes that it
    was last used with.

    Attributes:
        name: Its name, as `load_model` was given it.
        pretrained: Its weights: a tag of open_clip, a path or URL; None if they are random.
        device: Its device, such as ``cpu`` or ``cuda``.
        precision: That of its towers: ``fp32`` or ``bf16``.
        image_size: Height and width of the pictures that it sees, in pixels.
        parameters: Their number.
    """

    def __init__(
        self,
        name: str,
        options: ModelOptions,
        clip: ClipModel,
        compute: ThreadPoolExecutor,
        method_options: dict[str, dict[str, Any]],
    ) -> None:
        self.name, self.pretrained = name, None if name == DEMO else options.pretrained
        self.device, self.precision = str(clip.device), clip.precision
        self.image_size = clip.preprocessing.size
        self.parameters = sum(part.numel() for part in clip.net.parameters())
        self.options, self.clip, self.compute = options, clip, compute
        self.method_options = method_options
        self._context: tuple[tuple[str, ...], MethodContext] | None = None
        self._words: tuple[tuple[str, ...], Words] | None = None

    def __repr__(self) -> str:
        height, width = self.image_size
        weights = "random weights" if self.clip.random else self.pretrained
        parts = [
            *([str(weights)] if weights else []),
            f"{self.parameters / 1e6:,.1f} M parameters",
            f"{width} x {height} px",
            f"{self.precision} on {self.device}",
        ]
        return f"<Model {self.name}: {', '.join(parts)}>"

    @cached_property
    def makes_relevance(self) -> bool:
        """True if masks can be made from the model's own evidence: it has a plain ViT."""
        try:
            self.compute.submit(check_relevance, self.clip, "method").result()
        except ConfigError:
            return False
        return True

    def context(self, classes: Sequence[str], template: str) -> MethodContext:
        """Return the features of the prompts of some classes; those of the last ones are kept.

        To be called in the thread of `compute`.

        Raises:
            ConfigError: A prompt is too long, or two classes have the same one.
        """
        key = (*classes, template)
        if self._context is None or self._context[0] != key:
            clip = self.clip
            prompts = build_prompts(classes, template, clip.tokenizer, clip.context_length)
            self._context = key, MethodContext(clip, prompts)
        return self._context[1]

    def words(self, classes: Sequence[str], template: str) -> Words:
        """Return the words that can name surroundings; those for the last classes are kept.

        To be called in the thread of `compute`.
        """
        key = (*classes, template)
        if self._words is None or self._words[0] != key:
            self._words = key, words_for(self.clip, classes, [template])
        return self._words[1]


def load_model(
    name: str, pretrained: str | None = None, device: str = "auto", precision: str = "auto"
) -> Model:
    """Load a CLIP model, once: later calls with the same arguments return at once.

    Args:
        name: A model of open_clip, such as ``"ViT-B-32-quickgelu"`` (``seraser models`` lists
            them); a path or URL of an open_clip model JSON; a folder with a CLIP or BLIP-2 of
            transformers that begins with ``/``, ``./`` or ``../``; or ``"demo"``, the small model
            of ``seraser demo``, which comes with the package and knows six animals.
        pretrained: A tag of open_clip, whose weights are fetched on first use; a path or URL of
            weights; or ``"random"``, to try things without any. By default ``"openai"``, and of a
            folder its ``model.safetensors``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"fp32"``, ``"bf16"`` for towers in half precision, or ``"auto"``: bf16 on a
            GPU, fp32 elsewhere.

    Raises:
        ConfigError: There is no such model, device or tag, or the weights do not fit or cannot be
            fetched; names the argument, the value and the remedy.

    Example:
        >>> model = load_model("demo")
        >>> model
        <Model demo: 2.9 M parameters, 96 x 96 px, fp32 on cpu>
    """
    options: dict[str, Any] = {"name": name, "device": device, "precision": precision}
    method_options: dict[str, dict[str, Any]] = {}
    if name == DEMO:
        if pretrained is not None:
            raise ConfigError("pretrained", repr(pretrained), "leave it out: the demo has its own")
        options |= {"name": str(MODEL_JSON), "pretrained": str(WEIGHTS)}
        # What SEraser does to it was chosen in fp32.
        options["precision"] = "fp32" if precision == "auto" else precision
        method_options = {"seraser": dict(SERASER)}
    elif pretrained is not None:
        options["pretrained"] = None if pretrained == RANDOM else pretrained
    elif isinstance(name, str) and name.endswith(".json") and not is_folder(name):
        raise ConfigError("pretrained", None, 'give the weights of a model JSON, or "random"')
    # Torch's own threads and memory belong to the thread that calls it: one does all the work.
    compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
    with as_arguments():
        parsed = parse_options(ModelOptions, options)
        check_model(parsed)
        clip = compute.submit(get_model, parsed).result()
    return Model(name, parsed, clip, compute, method_options)
