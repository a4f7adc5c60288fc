"""Speed of TPT (arXiv 2209.07511) against its literal procedure, on this machine.

    uv run python tests/benchmarks/tpt.py --models ViT-B-32 --classes 2 50 --json tpt.json

The literal procedure takes one image at a time: it encodes the views, and the prompts over all 77
positions, goes back, makes one step, and encodes the image and the prompts again to predict. The
towers are frozen and the views encoded without a graph, as in the authors' program. Weights are
random, which changes no time.

Both have to encode the views, which nobody can save: *views* is that part of our time, and with few
classes it is nearly all. *crops* is what making the views from a picture of 512 pixels takes in one
thread; neither time contains it, as a run does it beside the model.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from inputs import class_prompts
from literal import graph_bytes
from machine import available_bytes, machine, seconds
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from seraser_core.auxiliary import Picture, make_view
from seraser_core.config.methods.tpt import TptOptions
from seraser_core.config.options import ModelOptions
from seraser_core.kinds import IMAGE, crops_view
from seraser_core.methods import MethodContext
from seraser_core.methods.tpt import Tpt, tpt_prompts
from seraser_core.models.clip_model import ClipModel, get_model
from seraser_core.models.prompts import Prompts
from seraser_core.runner.infer import PICTURES_AT_ONCE

_SIDE = 512


def measure(
    model: ClipModel, classes: int, options: TptOptions, batch: int, repeats: int
) -> dict[str, Any]:
    """One row; times are seconds per image, the best of `repeats`."""
    context = MethodContext(model, class_prompts(model, classes))
    method, device = Tpt(options, context), model.device
    pictures = [_picture(number) for number in range(batch)]
    made: list[Tensor] = []
    crops = seconds(lambda: made.extend(_views(model, p, options.views) for p in pictures), device)
    views = torch.stack(made).to(device)
    features = _encode(model, views)
    for _ in range(2 if device.type == "cuda" else 1):  # the first one is recorded
        ours = method.predict(features).logits[0]
    encode, tune = (
        min(seconds(work, device) for _ in range(repeats)) / batch
        for work in (lambda: _encode(model, views), lambda: method.predict(features))
    )
    row: dict[str, Any] = {
        "classes": classes,
        "views": options.views,
        "batch": batch,
        "precision": model.precision,
        "crops_s": crops / batch,
        "engine_s": encode + tune,
        "views_share": encode / (encode + tune),
    }
    needed, free = graph_bytes(model, classes, "frozen"), available_bytes(device)
    if needed > free:
        return row | {"skipped": f"literal: would need {needed / 2**30:.0f} GiB"}
    prompts = tpt_prompts(
        options, context.prompts.classes, model.tokenizer, model.net.context_length
    )
    one = model.preprocessing.normalise(views[0]).to(model.dtype)
    found: list[Tensor] = []
    times = [
        seconds(lambda: found.append(literal(model, prompts, one, options)), device)
        for _ in range(repeats + (device.type == "cuda"))  # the first lets libraries choose kernels
    ]
    return row | {
        "literal_s": min(times),
        "ratio": min(times) / row["engine_s"],
        "difference": float((found[0] - ours).abs().max()),
    }


def literal(model: ClipModel, prompts: Prompts, views: Tensor, options: TptOptions) -> Tensor:
    """Logits (C,) of one image by the literal procedure; `views`: (V, 3, H, W), it is the first."""
    net, tokens, context = model.net, prompts.tokens.to(model.device), slice(1, prompts.shared)
    embedded = net.token_embedding(tokens).detach()
    prompt = embedded[0, context].float().clone().requires_grad_()
    optimiser = torch.optim.AdamW([prompt], lr=options.lr, weight_decay=options.weight_decay)

    def logits_of(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            features = F.normalize(net.encode_image(pictures).float(), dim=-1)
        block = prompt.to(model.dtype).expand(len(tokens), -1, -1)
        hidden = torch.cat([embedded[:, :1], block, embedded[:, context.stop :]], dim=1)
        hidden = hidden + net.positional_embedding.to(model.dtype)
        hidden = net.ln_final(net.transformer(hidden, attn_mask=net.attn_mask))
        text = hidden[torch.arange(len(tokens)), tokens.argmax(-1)] @ net.text_projection
        return model.logit_scale * features @ F.normalize(text.float(), dim=-1).T

    for _ in range(options.steps):
        log_p = logits_of(views).log_softmax(-1)
        entropies = -(log_p.exp() * log_p).sum(-1)
        kept = entropies.argsort()[: max(1, int(options.selection * len(views)))]
        mean = log_p[kept].exp().mean(0)
        loss = -(mean * mean.log()).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return logits_of(views[:1])[0]


def _picture(number: int) -> Picture:
    """Blots of all sizes."""
    generator = torch.Generator().manual_seed(number)
    total = torch.zeros(1, 3, _SIDE, _SIDE)
    for cells in (1, 3, 9, 27):
        blots = torch.randn(1, 3, cells, cells, generator=generator)
        total += F.interpolate(blots, _SIDE, mode="bilinear") / cells**0.5
    pixels = (128 + 64 * total[0]).clamp(0, 255).byte()
    return Picture(Image.fromarray(pixels.permute(1, 2, 0).numpy()))


def _views(model: ClipModel, picture: Picture, count: int) -> Tensor:
    """The image and its crops, (V, 3, H, W) uint8."""
    views = (IMAGE, crops_view(count - 1, model.preprocessing.size))
    made = [image for view in views for image in make_view(view, picture, 0, "")]
    return torch.stack([model.preprocessing.resize(image) for image in made])


def _encode(model: ClipModel, views: Tensor) -> dict[str, Tensor]:
    """Features of views (B, V, 3, H, W) under the names of TPT's views."""
    at_once = PICTURES_AT_ONCE[model.device.type]
    parts = views.flatten(0, 1).split(at_once)
    encoded = torch.cat([model.encode_pixels(part) for part in parts]).unflatten(0, views.shape[:2])
    crops = crops_view(views.shape[1] - 1, model.preprocessing.size)
    return {"image": encoded[:, :1], crops.name: encoded[:, 1:]}


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--models", nargs="+", default=["ViT-B-32"])
    add("--classes", nargs="+", type=int, default=[2, 50])
    add("--views", type=int, default=64)
    add("--batch", type=int, default=4, help="images at once")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    add("--device", default="auto")
    add("--repeats", type=int, default=2, help="times each is measured; the best one counts")
    add("--json", type=Path, help="write the machine and the rows here")
    given = parser.parse_args()
    about, rows = machine(), []
    for name in given.models:
        model = get_model(
            ModelOptions(name=name, pretrained=None, precision=given.precision, device=given.device)
        )
        for classes in given.classes:
            print(f"{name}, {classes} classes", file=sys.stderr)
            options = TptOptions(views=given.views)
            row = measure(model, classes, options, given.batch, given.repeats)
            rows.append({"model": name, **row})
            if given.json:
                given.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n")
    table = Table("model", "classes", "batch", "precision", "literal s/img", "ours s/img", "ratio")
    for head in ("apart", "views", "crops s/img"):
        table.add_column(head)
    for row in rows:
        literally = [f"{row['literal_s']:.3g}"] if "ratio" in row else [row["skipped"]]
        table.add_row(
            *(str(row[key]) for key in ("model", "classes", "batch", "precision")),
            *literally,
            f"{row['engine_s']:.3g}",
            f"{row['ratio']:.2f}" if "ratio" in row else "-",
            f"{row['difference']:.1e}" if "ratio" in row else "-",
            f"{row['views_share']:.0%}",
            f"{row['crops_s']:.3g}",
        )
    console = Console()
    console.width = max(console.width, 140)
    console.print(table)
    console.print(f"{about['device']}, {about['threads']} threads, torch {about['torch']}")


if __name__ == "__main__":
    main()
