"""One turn of clip-retrieval's inference, in an environment of its own; see `zero_shot.py`.

It wants older packages than we do, and has no option for random weights: so it gets a file of them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import packaging.version
import torch
from stopwatch import Stopwatch

# What is left of setuptools has no pkg_resources, of which the package clip takes one module.
sys.modules.setdefault("pkg_resources", SimpleNamespace(packaging=packaging))  # type: ignore[arg-type]
from all_clip import load_clip  # noqa: E402
from clip_retrieval.clip_inference import main as inference  # noqa: E402
from clip_retrieval.clip_inference import worker  # noqa: E402

BATCH = 64


class Mapper(worker.ClipMapper):
    """Starts the clock once the model is loaded and warm."""

    watch: Stopwatch

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        type(self).watch = Stopwatch()


class NoLog:
    """In place of its loggers: processes of their own, which import all packages once more."""

    def __init__(self, **_: Any) -> None:
        self.start = self.end = lambda: None

    def __call__(self, _: Any) -> None:
        """Take the times of a batch."""


def main(folder: str, model: str, weights: str, workers: str, *texts: str) -> None:
    """Print the wall and processor seconds for the pictures, and the predictions."""
    worker.ClipMapper = Mapper
    worker.LoggerWriter = inference.LoggerReader = NoLog
    name = f"open_clip:{model}/{weights}"
    with tempfile.TemporaryDirectory() as output:
        inference.main(
            input_dataset=folder,
            output_folder=output,
            batch_size=BATCH,
            num_prepro_workers=int(workers),
            enable_text=False,
            clip_model=name,
        )
        seconds = Mapper.watch.seconds()
        pictures = np.load(Path(output) / "img_emb" / "img_emb_0.npy").astype(np.float32)
    net, _, tokenizer = load_clip(name, use_jit=False, warmup_batch_size=BATCH)
    with torch.no_grad():
        classes = torch.nn.functional.normalize(net.encode_text(tokenizer(list(texts))), dim=-1)
    print(json.dumps([seconds, (pictures @ classes.numpy().T).argmax(-1).tolist()]))


if __name__ == "__main__":
    main(*sys.argv[1:])
