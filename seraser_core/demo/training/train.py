"""Training of the demo model: ``python -m seraser_core.demo.training.train --output DIR``.

Everything that was chosen by looking at pictures was chosen on validation pictures.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg
from safetensors.torch import save_file
from torch import Tensor

from seraser_core.config.methods.foreground import ForegroundOptions
from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.methods.zero_shot import ZeroShotOptions
from seraser_core.config.options import ModelOptions
from seraser_core.demo.config import MODEL_JSON
from seraser_core.demo.dataset import plan_split
from seraser_core.demo.training.data import TrainingSet, draw_items, make_training_set
from seraser_core.demo.training.evaluation import Evaluation, GroupAccuracies
from seraser_core.models.clip_model import get_model

logger = logging.getLogger(__name__)

_VALIDATION = 400
_PRESETS = ("paper", "reference", "preserve")
_LEARNING_RATES = (5e-3, 1e-2, 2e-2, 3e-2, 5e-2)
_STEPS = 20


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of the training."""

    pictures: int = 10_000
    epochs: int = 6
    batch: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 100


def contrastive_loss(image: Tensor, text: Tensor, caption_of: Tensor, scale: Tensor) -> Tensor:
    """CLIP's loss, in which all pairs with the same caption are positives.

    Args:
        image: (B, D) L2-normalised.
        text: (T, D) L2-normalised features of the distinct captions.
        caption_of: (B,) index of each image's caption.
        scale: s, a scalar.
    """
    logits = scale * image @ text[caption_of].T
    same = caption_of[:, None] == caption_of[None, :]
    target = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def train(recipe: Recipe, data: TrainingSet, config: dict[str, Any], seed: int) -> Any:
    """A CLIP of the given open_clip `config`, trained on `data`."""
    torch.manual_seed(seed)
    net: Any = open_clip.CLIP(**config)
    cfg = PreprocessCfg()
    mean = torch.tensor(cfg.mean)[:, None, None]
    std = torch.tensor(cfg.std)[:, None, None]
    tokens = open_clip.SimpleTokenizer()(data.captions, config["text_cfg"]["context_length"])
    decayed = [p for n, p in net.named_parameters() if p.ndim > 1 and "embedding" not in n]
    others = [p for n, p in net.named_parameters() if p.ndim <= 1 or "embedding" in n]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.lr,
        betas=(0.9, 0.98),
    )
    per_epoch = len(data.pixels) // recipe.batch
    last = per_epoch * recipe.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(
            (step + 1) / recipe.warmup, 0.5 * (1 + math.cos(math.pi * step / last)) + 1e-3
        ),
    )
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(data.pixels))
        total = 0.0
        for start in range(0, per_epoch * recipe.batch, recipe.batch):
            chosen = order[start : start + recipe.batch]
            pixels = (data.pixels[chosen].float() / 255 - mean) / std
            captions, caption_of = data.caption_of[chosen].unique(return_inverse=True)
            image = net.encode_image(pixels, normalize=True)
            text = net.encode_text(tokens[captions], normalize=True)
            loss = contrastive_loss(image, text, caption_of, net.logit_scale.exp())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                net.logit_scale.clamp_(0, math.log(100))
            total += float(loss.detach())
        logger.info("epoch %d of %d: loss %.4f", epoch + 1, recipe.epochs, total / per_epoch)
    _forget_unread_words(net, tokens)
    return net.eval()


def _forget_unread_words(net: Any, tokens: Tensor) -> None:
    """Zero the embeddings of tokens in no caption: they are noise, and zeros compress."""
    read = torch.zeros(net.vocab_size, dtype=torch.bool)
    read[tokens.flatten()] = True
    with torch.no_grad():
        net.token_embedding.weight[~read] = 0


def save(net: Any, path: Path) -> None:
    """Write the weights as fp16 safetensors, whole or not at all."""
    state = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    temporary = path.with_suffix(".tmp")
    save_file(state, temporary)
    temporary.chmod(0o644)  # safetensors writes files that only their owner may read
    temporary.replace(path)


def choose_options(evaluation: Evaluation) -> tuple[SeraserOptions, list[dict[str, Any]]]:
    """The SEraser options with the best worst group (then the best average), and all tried."""
    tried: list[tuple[GroupAccuracies, SeraserOptions]] = []
    for preset in _PRESETS:
        for lr in _LEARNING_RATES:
            options = SeraserOptions.model_validate({"preset": preset, "lr": lr, "steps": _STEPS})
            tried.append((evaluation.accuracies(options), options))
    _, best = max(tried, key=lambda pair: (pair[0].worst, pair[0].average))
    rows = [{"preset": o.preset, "lr": o.lr, "steps": o.steps, **a.document()} for a, o in tried]
    return best, rows


def validate(name: Path, weights: Path, seed: int) -> dict[str, Any]:
    """Validation figures of a saved model, and the SEraser options chosen by them."""
    items = plan_split("validation", _VALIDATION, seed)
    model = get_model(ModelOptions(name=str(name), pretrained=str(weights), device="cpu"))
    evaluation = Evaluation(model, items, draw_items(items))
    best, tried = choose_options(evaluation)
    return {
        "pictures": _VALIDATION,
        "zero_shot": evaluation.accuracies(ZeroShotOptions()).document(),
        "foreground": evaluation.accuracies(ForegroundOptions()).document(),
        "seraser": evaluation.accuracies(best).document(),
        "chosen": {"preset": best.preset, "lr": best.lr, "steps": best.steps},
        "tried": tried,
    }


def main() -> None:
    """Train, save and validate."""
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--output", type=Path, required=True, help="folder for model and figures")
    parser.add_argument("--seed", type=int, default=0, help="seed of pictures and weights")
    for field, default in vars(Recipe()).items():
        parser.add_argument(f"--{field.replace('_', '-')}", type=type(default), default=default)
    given = vars(parser.parse_args())
    output, seed = given.pop("output"), given.pop("seed")
    recipe = Recipe(**given)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    started = time.monotonic()
    config = json.loads(MODEL_JSON.read_text())
    size = config["vision_cfg"]["image_size"]
    logger.info("drawing %d pictures on %s cores", recipe.pictures, os.cpu_count())
    data = make_training_set(recipe.pictures, seed, PreprocessCfg(size=size))
    logger.info("drew them in %.0f s", time.monotonic() - started)
    net = train(recipe, data, config, seed)
    output.mkdir(parents=True, exist_ok=True)
    name, weights = output / MODEL_JSON.name, output / "seraser-demo.safetensors"
    if name.resolve() != MODEL_JSON.resolve():
        shutil.copyfile(MODEL_JSON, name)
    save(net, weights)
    figures = validate(name, weights, seed)
    (output / "validation.json").write_text(json.dumps(figures, indent=2) + "\n")
    logger.info("zero-shot %s", figures["zero_shot"])
    logger.info("seraser %s with %s", figures["seraser"], figures["chosen"])
    logger.info("took %.0f s", time.monotonic() - started)


if __name__ == "__main__":
    main()
