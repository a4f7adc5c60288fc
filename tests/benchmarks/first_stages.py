"""Stages of `first_minutes.py` that look at one thing each; run by it, each in its own process."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from agreement import measure_agreement
from feed import write_pictures
from first_attention import relative, ways_to_attend
from floor import picture_macs, prompts_macs
from inputs import class_prompts, random_pictures
from machine import matrix_rate, peak_bytes, seconds
from stages import Engine, auto_batch
from torch import Tensor
from torch.autograd import DeviceType
from torch.nn.functional import normalize
from torch.profiler import ProfilerActivity, profile

from seraser_core.config import load_config
from seraser_core.config.methods.seraser import SeraserOptions
from seraser_core.config.options import ModelOptions
from seraser_core.methods import MethodContext, tuning
from seraser_core.methods.recording import release_memory
from seraser_core.methods.seraser import Seraser
from seraser_core.models.clip_model import ClipModel, get_model
from seraser_core.models.memory import begin_peak
from seraser_core.results.status import status
from seraser_core.runner.missing_shards import run_local
from seraser_core.runner.plan import plan_run

_KINDS = {
    "attention": ("fmha", "attention", "attend_rows", "flash"),
    "compiled": ("triton",),
    "matrix products": ("gemm", "nvjet", "cutlass", "xmma", "addmm", "::mm", "::bmm"),
    "norms": ("layer_norm", "layernorm"),
    "activation": ("gelu", "silu", "sigmoid"),
    "optimiser": ("adam", "multi_tensor"),
    "loss": ("softmax",),
    "joining and copying": ("cat", "copy", "index", "memcpy", "memset", "fill"),
    "adding": ("add", "mul", "elementwise"),
}
"""Kind of a kernel -> parts of names; the first that fits counts."""


class Look:
    """A stage at work: what it is given, and the figures that it has found so far.

    Args:
        given: The arguments of the command.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.device = torch.device(given.device)
        self.small_model, self.large_model = given.models
        self.small, self.out = given.small, given.out
        self._file, self._found = given.out / f"{given.stage}.json", {}

    @property
    def cuda(self) -> bool:
        """Whether this is a GPU."""
        return self.device.type == "cuda"

    def note(self, name: str, **figures: Any) -> None:
        """Keep figures at once: the stage may run out of time."""
        self._found[name] = figures
        print(name, figures, flush=True)
        self._file.write_text(json.dumps(self._found, indent=2))

    def model(self, name: str, precision: str = "auto", device: str = "") -> ClipModel:
        """A model with random weights."""
        where = device or str(self.device)
        return get_model(
            ModelOptions(name=name, pretrained=None, precision=precision, device=where)
        )

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """Note what fails, and go on."""
        try:
            yield
        except Exception as error:
            self.note(name, fails=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")


def agreement(look: Look) -> None:
    """The device in fp32 and its own precision against the CPU in fp32; predictions of both."""
    wanted = [("cpu", "fp32"), (str(look.device), "bf16")]
    if look.cuda:
        wanted.insert(1, (str(look.device), "fp32"))
    exact: dict[str, Tensor] = {}
    pictures: dict[str, Tensor] = {}
    for device, precision in wanted:
        label = f"{precision} on {device}, relative to fp32 on the CPU"
        with look.trying(label):
            model = look.model(look.small_model, precision, device)
            pictures = pictures or random_pictures(model, 4)  # a GPU's differ by a rounding
            found = _values(model, pictures)
            exact = exact or found
            if found is not exact:
                look.note(label, **{name: relative(found[name], x) for name, x in exact.items()})
    for classes in (2,) if look.small else (2, 200):
        images = 8 if look.small else 512
        how = ModelOptions(name=look.small_model, pretrained=None, device=str(look.device))
        with look.trying(f"predictions of {classes} classes"):
            compared = measure_agreement(how, classes, images)
            look.note(f"bf16 and fp32, C={classes}", **compared)


def _values(model: ClipModel, pictures: dict[str, Tensor]) -> dict[str, Tensor]:
    context = MethodContext(model, class_prompts(model, 8))
    engine = context.engine(3)
    prompt = (engine.initial_prompt + 0.01).repeat(4, 1, 1).requires_grad_()
    text = engine.text_features(prompt)
    found = {
        "image": model.encode_pixels(pictures["image"]),
        "text": text,
        "gradient": torch.autograd.grad((text**3).sum(), prompt)[0],
        "logits": Engine(context, 5).logits(pictures),
    }
    return {name: x.detach().float().cpu() for name, x in found.items()}


def files(look: Look) -> None:
    """Files to Parquet twice: images per second, where the time goes, whether bytes are equal."""
    count = 24 if look.small else 2048
    folder = look.out / "pictures"
    folder.mkdir(exist_ok=True)
    table = write_pictures(folder, count, 64 if look.small else 512)
    tree = {
        "name": "first-minutes",
        "dataset": {
            "path": str(table),
            "mask": "mask",
            "label": "y",
            "classes": ["a landbird", "a waterbird"],
        },
        "model": {"name": look.small_model, "pretrained": None, "device": str(look.device)},
        "methods": [
            "zero_shot",
            *({"name": "seraser", "id": each, "preset": each} for each in ("paper", "reference")),
        ],
        "shard": {"max_items": count // 4},
        "output": str(look.out / "runs"),
    }
    url = plan_run(load_config(tree))
    written: list[dict[str, bytes]] = []
    for turn in ("first", "second"):
        for commit in Path(url, "commits").glob("*.json"):
            commit.unlink()
        run_local(url)
        rows = sorted(Path(url, "predictions").glob("*.parquet"))
        written.append({file.name: file.read_bytes() for file in rows})
        told = status(url)
        spent = {name: value for name, value in told["seconds"].items() if value >= 0.01}
        speed = count / (told["seconds"]["wall"] - told["seconds"]["load"])
        look.note(f"{turn} time", images_per_s=speed, bound_by=told["bound_by"], **spent)
    look.note("bytes", files=len(written[0]), equal=written[0] == written[1])


def profile_step(look: Look) -> None:
    """Milliseconds of a tuning step by kind of kernel."""
    activity = ProfilerActivity.CUDA if look.cuda else ProfilerActivity.CPU
    where = DeviceType.CUDA if look.cuda else DeviceType.CPU
    cases = ((look.small_model, 2, 512), (look.large_model, 200, 64))
    for name, classes, batch in ((look.small_model, 2, 4),) if look.small else cases:
        for kernels in ("standard", "fused") if look.cuda else ("standard",):
            label = f"{Path(name).stem} C={classes} B={batch} {kernels}"
            with look.trying(label):
                step = _step(look, name, classes, batch, kernels)
                for _ in range(2):
                    step()
                with profile(activities=[activity]) as found:
                    seconds(step, look.device)
                events = [e for e in found.key_averages() if e.device_type == where]
                spent: Counter[str] = Counter()
                for event in events:
                    took = event.self_device_time_total if look.cuda else event.self_cpu_time_total
                    spent[_kind(event.key)] += took / 1e3
                count = sum(event.count for event in events)
                look.note(label, kernels=count, ms=sum(spent.values()), **dict(spent.most_common()))
                order = f"self_{look.device.type}_time_total".replace("cuda", "device")
                text = found.key_averages().table(order, row_limit=40, max_name_column_width=90)
                (look.out / f"profile {label}.txt").write_text(text)


def _step(look: Look, name: str, classes: int, batch: int, kernels: str) -> Callable[[], None]:
    model = look.model(name)
    method = Seraser(SeraserOptions(), MethodContext(model, class_prompts(model, classes), kernels))
    width = method._context.class_features.shape[1]
    features = {
        view.name: normalize(torch.randn(batch, 1, width, device=look.device), dim=-1)
        for view in method.views
    }
    initial = method.engine.initial_prompt.expand(batch, -1, -1)
    return tuning._Loop(method._tuner, initial, method.constants(features))._make_step


def _kind(kernel: str) -> str:
    name = kernel.lower()
    return next((k for k, parts in _KINDS.items() if any(p in name for p in parts)), "other")


def batches(look: Look) -> None:
    """Steps of smaller and larger batches than a run takes."""
    small, large = (look.small_model, 2), (look.large_model, 200)
    cases = {small: (256, 512, 1024, 4096), large: (16, 32, 64, 128)}
    for (name, classes), sizes in ({small: (2, 4)} if look.small else cases).items():
        model = look.model(name)
        context = MethodContext(model, class_prompts(model, classes))
        rate = matrix_rate(look.device, model.dtype)
        look.note(f"{Path(name).stem} C={classes} of a run", images=auto_batch(context))
        for size in sizes:
            label = f"{Path(name).stem} C={classes} B={size}"
            release_memory()
            begin_peak(look.device)
            with look.trying(label):
                found = Engine(context, 5).time(random_pictures(model, size), 2)
                step = found.tuning * size / 5
                look.note(
                    label,
                    images_per_s=1 / found.whole,
                    ms_per_step=1e3 * step,
                    matrix_rate_share=2 * prompts_macs(model, context.prompts) * size / rate / step,
                    gib=peak_bytes(look.device) / 2**30,
                )


def attention(look: Look) -> None:
    """Ways to attend within rows, forward and back: time, first call, repeatable, errors."""
    for label, measure in ways_to_attend(look.device, look.small):
        with look.trying(label):
            look.note(label, **measure())


def tower(look: Look) -> None:
    """Pictures per second of the image tower, and its share of the matrix rate."""
    for name in dict.fromkeys((look.small_model, look.large_model)):
        model = look.model(name)
        rate = matrix_rate(look.device, model.dtype)
        for count in (4,) if look.small else (64, 256, 512):
            with look.trying(f"{Path(name).stem} B={count}"):
                took = _encoding(model, count)
                share = picture_macs(model) * count / rate / took
                figures = {"pictures_per_s": count / took, "matrix_rate_share": share}
                look.note(f"{Path(name).stem} B={count}", **figures)


def _encoding(model: ClipModel, count: int) -> float:
    """Seconds that the image tower takes for so many pictures, the best of five times."""
    pixels = random_pictures(model, count)["image"]
    return min(seconds(lambda: model.encode_pixels(pixels), model.device) for _ in range(5))


STAGES = {
    "agreement": agreement,
    "files": files,
    "profile": profile_step,
    "batches": batches,
    "attention": attention,
    "tower": tower,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--device", required=True)
    parser.add_argument("--models", nargs=2, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    STAGES[arguments.stage](Look(arguments))
