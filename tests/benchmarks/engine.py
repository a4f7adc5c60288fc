"""Speed of SEraser against the literal procedure, in one process on one machine.

    uv run python tests/benchmarks/engine.py --models ViT-B-32 --classes 2 50

The literal procedure is what the authors' program does per image and step (METHODS, "Known
faults"): encode four pictures, the untouched and the tuned prompts over all 77 positions, and go
back, one image at a time. Two versions of it are timed: *published*, in which every weight asks for
its gradient, and *frozen*, in which the towers are frozen, and pictures and untouched prompts are
encoded without a graph, as a careful user would do. Weights are random, which changes no time.

Prints one row per model and number of classes, and writes them as JSON. *floor* is the fewest
multiply-adds that the method needs (see `floor_macs`) over the machine's measured rate of matrix
products; the fraction of it says how much is left to gain.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from seraser_core.config.options import ModelOptions, SeraserOptions
from seraser_core.methods import Setting
from seraser_core.methods.seraser import Seraser
from seraser_core.models.loading import ClipModel, get_model
from seraser_core.models.prompts import Prompts, build_prompts
from seraser_core.runner.infer import PICTURES_AT_ONCE

TEMPLATE = "a photo of {}"
_ANIMALS = ("landbird", "waterbird", "camel", "deer", "spider", "crab", "dog", "cat")
_VIEWS = {"image": 1, "mask_background": 1, "mask_foreground": 1}


def class_names(count: int) -> list[str]:
    """`count` names of one to four tokens, like those of real data sets."""
    sizes = ("", "small ", "grey ", "red billed ", "northern ", "young ")
    names = [f"a {size}{name}" for size in sizes for name in _ANIMALS]
    while len(names) < count:
        names += [f"{name} of {len(names) % 97}" for name in names[: count - len(names)]]
    return names[:count]


def literal(
    model: ClipModel, prompts: Prompts, pictures: dict[str, torch.Tensor], steps: int, frozen: bool
) -> torch.Tensor:
    """Logits (C,) of one image by the literal procedure, `reference` preset."""
    net, device = model.net, model.device
    tokens = prompts.tokens.to(device)
    net.requires_grad_(not frozen)
    order = ("image", "mask_background", "black", "mask_foreground")
    stack = torch.stack([pictures[name] for name in order]).to(device, model.dtype)
    base = (net.token_embedding(tokens) + net.positional_embedding).detach()
    prompt = base[0, 1:4].float().clone().requires_grad_()
    optimiser = torch.optim.AdamW([prompt], lr=5e-4, weight_decay=0.01)

    def text(embedded: torch.Tensor) -> torch.Tensor:
        hidden = net.transformer(embedded, attn_mask=net.attn_mask)
        hidden = net.ln_final(hidden)[torch.arange(len(tokens)), tokens.argmax(-1)]
        return F.normalize((hidden @ net.text_projection).float(), dim=-1)

    def tuned() -> torch.Tensor:
        block = prompt.to(model.dtype).expand(len(tokens), -1, -1)
        return text(torch.cat([base[:, :1], block, base[:, 4:]], dim=1))

    for _ in range(steps):
        with torch.set_grad_enabled(not frozen):
            features = F.normalize(net.encode_image(stack).float(), dim=-1)
            text(base)
        log_p = (model.logit_scale * features @ tuned().T).log_softmax(-1)
        uniform = torch.full_like(log_p[1:3], 1 / len(tokens))
        erase = (uniform * (uniform.log() - log_p[1:3])).sum(-1).mean()
        loss = erase - (log_p[3].exp() * log_p[3]).sum()
        net.zero_grad(set_to_none=True)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.requires_grad_(False)
    with torch.no_grad():
        features = F.normalize(net.encode_image(stack[:1]).float(), dim=-1)
        return model.logit_scale * (features @ tuned().T)[0]


def engine(
    model: ClipModel, prompts: Prompts, steps: int
) -> Callable[[dict[str, torch.Tensor]], torch.Tensor]:
    """The package's way: pictures (B, ...) per view -> logits (B, C)."""
    method = Seraser(SeraserOptions(steps=steps), Setting(model, prompts))

    @torch.no_grad()
    def predict(pictures: dict[str, torch.Tensor]) -> torch.Tensor:
        count = len(pictures["image"])
        stacked = torch.cat([pictures[name] for name in _VIEWS])
        at_once = PICTURES_AT_ONCE[model.device.type]
        encoded = torch.cat([model.encode_image(part) for part in stacked.split(at_once)])
        parts = encoded.split(count)
        features = {name: part[:, None] for name, part in zip(_VIEWS, parts, strict=True)}
        return method.predict(features).logits

    return predict


def floor_macs(model: ClipModel, prompts: Prompts, steps: int, context: int = 3) -> float:
    """Fewest multiply-adds per image: matrix products of the three pictures and of the prompts.

    Per step forward and back: the tuned positions and every class's own, in the layers where they
    are needed (of the last, the keys and values of all and the rest of end-of-text alone; of the
    first, no projection of the classes' own tokens). Back through a frozen product costs one.
    """
    net = model.net
    width = net.ln_final.weight.shape[0]
    layers = len(net.transformer.resblocks)
    lengths = prompts.tokens.argmax(-1) + 1
    own = int((lengths - 1 - context).sum())
    classes = len(lengths)
    block, key_value = 12 * width**2, 2 * width**2
    forward = (layers - 1) * (own + context) * block - own * 3 * width**2
    forward += (own + context) * key_value + classes * (block - key_value)
    forward += classes * width * net.text_projection.shape[1]
    return len(_VIEWS) * picture_macs(model) + (2 * steps + 1) * forward


def picture_macs(model: ClipModel) -> float:
    """Multiply-adds of one picture through a vision transformer."""
    visual = model.net.visual
    width, tokens = visual.conv1.weight.shape[0], visual.positional_embedding.shape[0]
    patches = (tokens - 1) * visual.conv1.weight.numel()
    layers = len(visual.transformer.resblocks)
    return patches + layers * tokens * (12 * width**2 + 2 * tokens * width)


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Multiply-adds per second of a large matrix product: the best of several."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return size**3 / min(seconds(lambda: a @ b, device) for _ in range(8))


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Wall time of `work`."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def compare(name: str, count: int, batch: int, repeats: int, slow: bool) -> dict[str, Any]:
    """One row of the table."""
    model = get_model(ModelOptions(name=name, pretrained=None))
    steps = 20
    prompts = build_prompts(class_names(count), TEMPLATE, model.tokenizer, 77)
    side = model.preprocess_cfg.size
    size = side if isinstance(side, int) else side[0]
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 3, size, size)
    pictures = {view: torch.randn(shape, generator=generator) for view in _VIEWS}
    predict = engine(model, prompts, steps)
    predict(pictures)  # warm
    ours = min(seconds(lambda: predict(pictures), model.device) for _ in range(repeats)) / batch
    row: dict[str, Any] = {
        "model": name,
        "classes": count,
        "batch": batch,
        "precision": model.precision,
        "engine_s": ours,
        "floor_fraction": floor_macs(model, prompts, steps)
        / matrix_rate(model.device, model.dtype)
        / ours,
        "peak_gib": peak_gib(model.device),
    }
    if slow:
        from PIL import Image

        black = model.preprocess(Image.new("RGB", (size, size)))
        one = {view: picture[0] for view, picture in pictures.items()} | {"black": black}
        for kind in ("frozen", "published"):
            found: list[torch.Tensor] = []

            def run(kind: str = kind, found: list[torch.Tensor] = found) -> None:
                found.append(literal(model, prompts, one, steps, kind == "frozen"))

            row[f"{kind}_s"] = min(seconds(run, model.device) for _ in range(repeats))
            row[f"{kind}_ratio"] = row[f"{kind}_s"] / ours
            logits = found[-1]
        row["difference"] = float((predict(pictures)[0] - logits).abs().max())
    return row


def peak_gib(device: torch.device) -> float:
    """Peak memory of the device, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def machine() -> dict[str, Any]:
    """Name of the machine that the figures belong to."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Run, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["ViT-B-32"])
    parser.add_argument("--classes", nargs="+", type=int, default=[2, 50])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--engine-only", action="store_true", help="leave the literal ones out")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for name in given.models:
        for count in given.classes:
            row = compare(name, count, given.batch, given.repeats, not given.engine_only)
            rows.append(row)
            print(
                "  ".join(
                    f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()
                )
            )
            sys.stdout.flush()
    document = {"machine": machine(), "rows": rows}
    print(json.dumps(document["machine"]))
    if given.json:
        given.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
