"""Features that a CLIP model computed elsewhere, in the place of its towers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from seraser_core.models.clip_model import ClipModel

_WIDE = 10_000


class RecordedNet(nn.Module):
    """Looks the features of texts up; a picture is its own feature.

    Args:
        features: Text -> (D,).
        scale: s = exp(logit_scale).
    """

    context_length = 4

    def __init__(self, features: dict[str, Tensor], scale: float) -> None:
        super().__init__()
        self._features = features
        self._texts: list[str] = []
        self.logit_scale = nn.Parameter(torch.tensor(math.log(scale), dtype=torch.float64))

    def tokenise(self, texts: list[str], context_length: int = context_length) -> Tensor:
        """One token for every text that was ever seen, between start and end: (N, length)."""
        rows = torch.zeros(len(texts), context_length, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            if text not in self._texts:
                self._texts.append(text)
            row[0], row[1], row[2] = _WIDE, self._texts.index(text) + 1, _WIDE + 1
        return rows

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(N, D) features of the texts."""
        return torch.stack([self._features[self._texts[int(row[1]) - 1]] for row in tokens])

    def encode_image(self, pictures: Tensor) -> Tensor:
        """(N, D): the pictures themselves."""
        return pictures


class Recorded:
    """Features in an NPZ file of float and integer arrays.

    Attributes:
        image: (N, D) features of N images, L2-normalised here.
        labels: (N,) classes of the images.
        classes: (C, D) features of the classes' prompts.
        scale: s; 100 where the file has none.
        contexts: (K, D) features of prompts that name contexts and no class, or None.
        templates: (M, C, D) features of the classes in M templates, or None.
        views: (N, V, D) features of views of the images, of which the first is the image, or None.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files}
        self.labels = arrays["labels"].long()
        self.scale = float(arrays.get("scale", torch.tensor(100.0)))
        self.image, self.classes = (_unit(arrays[name]) for name in ("image", "classes"))
        some = (_unit(arrays[n]) if n in arrays else None for n in ("contexts", "templates"))
        self.contexts, self.templates = some
        self.views = _unit(arrays["views"]) if "views" in arrays else None

    def model(self, like: ClipModel) -> ClipModel:
        """A model whose texts are ``class c``, ``context k`` and ``template j of class c``.

        ``a photo of class c`` has the class's own feature, and ``a photo of class c, context j.``
        that of template j.
        """
        texts = {f"a photo of class {c}": one for c, one in enumerate(self.classes)}
        if self.contexts is not None:
            texts |= {f"context {k}": one for k, one in enumerate(self.contexts)}
        for j, of_template in enumerate([] if self.templates is None else self.templates):
            for c, one in enumerate(of_template):
                texts |= {f"template {j} of class {c}": one}
                texts |= {f"a photo of class {c}, context {j}.": one}
        net = RecordedNet(texts, self.scale)
        given = {"net": net, "tokenizer": net.tokenise, "logit_scale": self.scale}
        return replace(like, **given, black_feature=torch.zeros(self.image.shape[1]))


def _unit(features: Tensor) -> Tensor:
    return normalize(features.float(), dim=-1)
