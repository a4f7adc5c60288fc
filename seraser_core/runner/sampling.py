"""Keeping the sample of a shard: features and logits of both sides, and pictures worth showing."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from seraser_core.config import RunConfig
from seraser_core.kinds import BOX, IMAGE, KINDS, MASK, RELEVANCE, SEGMENT
from seraser_core.methods import Scores
from seraser_core.methods.method import cosine_logits
from seraser_core.results.failed_pictures import METADATA, encode
from seraser_core.results.picture_sums import PictureFacts
from seraser_core.results.rows import NAN_OUTPUT
from seraser_core.results.samples import (
    PICTURES,
    SAMPLE_SCHEMA,
    highest_key,
    keys_of,
    sample_size,
)
from seraser_core.runner.feed import Batch
from seraser_core.runner.infer import encode_views
from seraser_core.runner.pictures import Sampled
from seraser_core.runner.session import Session
from seraser_core.runner.thumbnails import FailedPictures, webp

_SHOWN = 60
"""Pictures of each kind that a run keeps at least, where there are so many."""
_SHOWN_PER_SHARD = 2
_COMPUTED = ("item_index", "area", "feature", "whole", "background", "foreground", "erased")


@dataclass(frozen=True, order=True)
class _Shown:
    """An image whose pictures are kept; those with small keys are.

    Attributes:
        key: Minus its key.
        index: Its item_index.
        pixels: (3, 3, H, W) uint8: the image, its background alone, its foreground alone.
    """

    key: int
    index: int
    pixels: Tensor = field(compare=False)


class Sampler:
    """The part of a run's sample that is in some items of a shard.

    There is none where no method looks at a foreground: all images would need masks for it.

    Args:
        session: The run.
        items: Rows of its plan.

    Attributes:
        sampled: Which these are, and what they need beside the others.
    """

    def __init__(self, session: Session, items: pa.Table) -> None:
        self._session = session
        self._rows: list[tuple[Any, ...]] = []  # `_COMPUTED` of an image
        self._shown: dict[str, list[_Shown]] = {}
        self._keys: dict[int, int] = {}
        wanted, looked = session.config.shortcuts.sample, {view.region for view in session.views}
        regions = [region for region in (MASK, BOX, SEGMENT, RELEVANCE) if region in looked]
        self._region = regions[0] if wanted and regions else None
        self._eraser = _eraser(session.config)
        if self._region is not None:
            self._choose(items, wanted)
        kind = None if self._region is None else KINDS[self._region.name]
        self._views = () if kind is None else (kind.spurious[0], kind.foreground)
        extra = tuple(view for view in self._views if view not in session.views and view.make)
        self._failed = None if kind is None else FailedPictures(session.config.seed)
        self.sampled = Sampled(self._keys.keys(), extra, self._region, self._failed)

    def _choose(self, items: pa.Table, wanted: int) -> None:
        """Find the images of the sample."""
        names = ("item_index", "item_id", "label", "attribute")
        columns = [items[name].to_pylist() for name in names]
        self._planned = {index: rest for index, *rest in zip(*columns, strict=True)}
        session, images = self._session, self._session.images.count
        keys = keys_of(session.config.seed, (item_id for item_id, *_ in self._planned.values()))
        features = session.context.class_features.shape[-1]
        size = sample_size(wanted, len(session.run.classes), features)
        self._highest = highest_key(size, images)
        named = zip(self._planned, keys.tolist(), strict=True)
        self._keys = {index: key for index, key in named if key <= self._highest}
        self._most = max(_SHOWN_PER_SHARD, -(-_SHOWN * items.num_rows // images))

    def add(
        self,
        batch: Batch,
        facts: Sequence[PictureFacts],
        features: Mapping[str, Tensor],
        scores: Mapping[str, Scores],
    ) -> None:
        """Keep what a batch has of the sample.

        Args:
            batch: Of B images.
            facts: Statistics of their pictures.
            features: View name -> (B, K, D), of its views.
            scores: Method -> scores of the B images.
        """
        indices, views, extra = batch.items, batch.views, batch.extra
        self._keep_failed(batch, scores)
        places = [place for place, index in enumerate(indices) if index in self._keys]
        if self._region is None or not places:
            return
        context = self._session.context
        found = encode_views(self._session, extra) if extra else {}
        names = [view.name for view in self._views]
        sides = [(found[name] if name in extra else features[name][places])[:, 0] for name in names]
        logits = [
            scores[""].logits[places],
            *(cosine_logits(s, context.class_features, context.logit_scale) for s in sides),
            *([] if self._eraser is None else [scores[self._eraser].logits[places]]),
        ]
        numbers = [tensor.detach().float().cpu().numpy() for tensor in (sides[0], *logits)]
        good = np.all([np.isfinite(array).all(1) for array in numbers], axis=0)
        for s in np.flatnonzero(good):
            index, fact = indices[places[s]], facts[places[s]]
            values = [array[s] for array in numbers] + [None] * (self._eraser is None)
            self._rows.append((index, fact.foregrounds[self._region.name], *values))
            whole, _background, alone, *after = (int(array[s].argmax()) for array in numbers[1:])
            kind = _kind(self._planned[index][1], whole, after[0] if after else whole, alone)
            if kind is not None:
                small = batch.thumbnails.get(index)
                if small is None:  # the model's own masks, of its own view
                    seen = (views[name][places[s], 0] for name in (IMAGE.name, *names))
                    small = torch.stack([*seen])
                self._show(kind, index, small)

    def _keep_failed(self, batch: Batch, scores: Mapping[str, Scores]) -> None:
        """Keep pictures of images whose logits or losses are not finite."""
        if self._failed is None:
            return
        numbers = [
            tensor.reshape(len(tensor), -1)
            for one in scores.values()
            for tensor in (one.logits, one.loss_first, one.loss_last)
            if tensor is not None
        ]
        good = torch.stack([torch.isfinite(one).all(1) for one in numbers]).all(0)
        for place in torch.nonzero(~good)[:, 0].tolist():
            index = batch.items[place]
            item_id = self._planned[index][0]
            if self._failed.wants(item_id, NAN_OUTPUT.code):
                seen = batch.views[IMAGE.name][place, 0].cpu()
                self._failed.add(index, item_id, NAN_OUTPUT, _image(seen))

    def _show(self, kind: str, index: int, pixels: Tensor) -> None:
        """Keep the pictures of an image, if its key is among the smallest of its kind."""
        heap = self._shown.setdefault(kind, [])
        if len(heap) == self._most and -self._keys[index] <= heap[0].key:
            return
        one = _Shown(-self._keys[index], index, pixels.cpu())
        (heapq.heappush if len(heap) < self._most else heapq.heapreplace)(heap, one)

    def table(self) -> pa.Table | None:
        """Return the rows of the sample, by rising item_index; None where a run has no sample."""
        if self._region is None:
            return None
        rows = sorted(self._rows, key=itemgetter(0))
        shown = {one.index: one.pixels for heap in self._shown.values() for one in heap}
        columns: dict[str, list[Any]] = {
            name: [row[place] for row in rows] for place, name in enumerate(_COMPUTED)
        }
        indices = columns["item_index"]
        for place, name in enumerate(("item_id", "label", "attribute")):
            columns[name] = [self._planned[index][place] for index in indices]
        columns["key"] = [self._keys[index] for index in indices]
        for side, name in enumerate(PICTURES):
            columns[name] = [
                _webp(shown[index][side]) if index in shown else None for index in indices
            ]
        table = pa.table(columns, SAMPLE_SCHEMA)
        told = {
            "region": self._region.name,
            "eraser": self._eraser or "",
            "fingerprint": self._session.run.fingerprint,
            "highest": str(self._highest),
            METADATA: encode(self._failed.kept() if self._failed else []),
        }
        return table.replace_schema_metadata(told)


def _eraser(config: RunConfig) -> str | None:
    """Return the id of the method whose logits are kept as ``erased``: SEraser, or the first other.

    None where there is none that could help.
    """
    others = [one for one in config.methods if one.name not in ("zero_shot", "background")]
    erasing = [method for method in others if method.name.startswith("seraser")]
    return next((method.id for method in (*erasing, *others)), None)


def _kind(label: int | None, before: int, after: int, alone: int) -> str | None:
    """Return why an image is worth showing; None if it is not."""
    if label is not None:
        if before != label:
            return "fixed" if after == label else "wrong"
        return "broken" if after != label else None
    if before != after:
        return "changed"
    return "decided by its surroundings" if before != alone else None


def _webp(pixels: Tensor) -> bytes:
    """Encode a (3, H, W) picture, see `webp`."""
    return webp(_image(pixels))


def _image(pixels: Tensor) -> Image.Image:
    """Return a (3, H, W) picture as an image."""
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
