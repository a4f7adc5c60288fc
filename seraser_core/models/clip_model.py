"""Loading a model, most through open_clip, once per process."""

from __future__ import annotations

import copy
import functools
import gc
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.transform import PreprocessCfg
from PIL import Image
from torch import Tensor, nn

from seraser_core import storage
from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.models.blip2_folder import holds_blip2, read_blip2
from seraser_core.models.blocks import Blocks, read_blocks
from seraser_core.models.device import prepare
from seraser_core.models.files import given_files
from seraser_core.models.image_tower import ImageTower, serves
from seraser_core.models.open_clip_models import read_open_clip
from seraser_core.models.preprocessing import Preprocessing
from seraser_core.models.quick_gelu import fold_quick_gelu

_TEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class ClipModel:
    """A frozen CLIP model with its tokenizer and preprocessing.

    Attributes:
        net: open_clip model (its attributes are untyped), or one that looks like it, in
            evaluation mode, on `device`, in `dtype`; QuickGELU is folded into its weights.
        tokenizer: Texts -> (N, context_length) int64 token ids.
        architecture: SHA-256 of this model's configuration.
        weights_hash: SHA-256 over the names, shapes and values of the loaded fp32 tensors.
        preprocessing: Turns pictures into the model's input.
        random: True when no weights were given.
        logit_scale: s = exp(logit_scale), from the fp32 weights: bf16 would make 98.86 of 100.
        black_feature: (D,) float32, L2-normalised feature of the all-black image, from the fp32
            weights.
    """

    net: Any
    tokenizer: Callable[..., Tensor]
    architecture: str
    weights_hash: str
    preprocessing: Preprocessing
    device: torch.device
    dtype: torch.dtype
    random: bool
    logit_scale: float
    black_feature: Tensor

    @property
    def precision(self) -> str:
        """``fp32`` or ``bf16``."""
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"

    def preprocess(self, image: Image.Image) -> Tensor:
        """open_clip's own evaluation transform, see `Preprocessing.resize`.

        Returns:
            (3, H, W) float32.
        """
        return self.preprocessing.normalise(self.preprocessing.resize(image))

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """L2-normalised features of resized pictures.

        Args:
            pixels: (N, 3, H, W) uint8, see `Preprocessing.resize`.

        Returns:
            (N, D) float32.
        """
        return self.encode_image(self.preprocessing.normalise(pixels.to(self.device)))

    @torch.no_grad()
    def encode_image(self, images: Tensor) -> Tensor:
        """L2-normalised image features.

        Args:
            images: (N, 3, H, W) float32, preprocessed.

        Returns:
            (N, D) float32.
        """
        features = self._encode_image(images.to(self.device, self.dtype))
        return nn.functional.normalize(features.float(), dim=-1)

    @functools.cached_property
    def _encode_image(self) -> Callable[[Tensor], Tensor]:
        tower = getattr(self.net, "visual", None)
        return ImageTower(tower) if serves(tower) else self.net.encode_image

    def encode_text(self, tokens: Tensor) -> Tensor:
        """L2-normalised text features.

        Args:
            tokens: (N, context_length) token ids.

        Returns:
            (N, D) float32.
        """
        return nn.functional.normalize(self.embed_text(tokens), dim=-1)

    @torch.no_grad()
    def embed_text(self, tokens: Tensor) -> Tensor:
        """Text embeddings as the tower gives them, (N, D) float32, see `encode_text`.

        They are constants of a run, and differences between them are measured: so they are
        computed in fp32, whatever the precision of the towers.
        """
        net = self.net if self.dtype == torch.float32 else _text_part(self.net).float()
        parts = tokens.to(self.device).split(_TEXTS_AT_ONCE)
        return torch.cat([net.encode_text(part).float() for part in parts])

    @property
    def text_tower(self) -> Any:
        """The module that holds the text transformer: `net` itself or its ``text``."""
        return self.net.text if hasattr(self.net, "text") else self.net

    @functools.cached_property
    def text_blocks(self) -> Blocks:
        """The blocks of a text tower that has such, see `seraser_core.models.blocks.are_blocks`."""
        tower = self.text_tower
        return read_blocks(tower.transformer.resblocks, tower.ln_final)

    @property
    def context_length(self) -> int:
        """Positions of the text tower."""
        return int(self.text_tower.context_length)


def _text_part(net: Any) -> Any:
    """A copy of `net` that can encode texts; the image tower, most of its bytes, is left out."""
    part = copy.copy(net)
    part._modules = {name: child for name, child in net._modules.items() if name != "visual"}
    return copy.deepcopy(part)


_cache: dict[tuple[Any, ...], ClipModel] = {}
_cache_lock = threading.Lock()


def get_model(options: ModelOptions) -> ClipModel:
    """The model of `options`, loaded at most once per process (only the last one is kept).

    Raises:
        ConfigError: Unknown model or tag, missing device, weights that do not fit.
    """
    device = resolve_device(options.device)
    dtype = resolve_dtype(options.precision, device)
    key = (options.name, options.pretrained, device, dtype, _versions(options))
    with _cache_lock:
        if key not in _cache:
            if _cache:  # collecting all imported objects takes a third of a second
                _cache.clear()
                gc.collect()  # or reference cycles would keep its memory beside the next model's
            _cache[key] = _load(options, device, dtype)
        return _cache[key]


def resolve_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` stands for.

    Raises:
        ConfigError: The device is not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError("model.device", repr(name), "use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError("model.device", repr(name), "use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            "model.device",
            repr(name),
            f"this machine has {torch.cuda.device_count()} CUDA devices; use auto or cpu",
        )
    return device


def resolve_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The towers' number type: fp32 on CPU and bf16 on GPU when `precision` is auto."""
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def read_weights_hash(options: ModelOptions) -> str:
    """Read the hash of the weights as they are now, not as this process loaded them.

    Raises:
        ConfigError: As of `get_model`.
    """
    return hash_weights(_read(options)[0])


def _versions(options: ModelOptions) -> tuple[str, ...]:
    """Versions of the model's files, which change when one of them is replaced in place.

    A file that cannot be looked at has none: what is wrong with it, loading will say.
    """
    versions = []
    for url in given_files(options):
        with suppress(SeraserError, OSError, ValueError, ImportError):
            versions.append(f"{url} {storage.version(url)}")
    return tuple(versions)


def _load(options: ModelOptions, device: torch.device, dtype: torch.dtype) -> ClipModel:
    prepare(device)
    net, tokenizer, architecture, preprocessing = _read(options)
    net = net.eval().requires_grad_(False)
    if options.pretrained is not None:  # open_clip leaves some unused tensors uninitialised
        _check_finite(net, options.pretrained)
    weights_hash = hash_weights(net)
    fold_quick_gelu(net)
    pictures = Preprocessing(PreprocessCfg(**preprocessing))
    scale = float(net.logit_scale.detach().float().exp())
    with _computing(options.name), torch.no_grad():
        black_feature = net.encode_image(pictures.black()[None])[0].float()
    model = ClipModel(
        net=net.to(device=device, dtype=dtype),
        tokenizer=tokenizer,
        architecture=architecture,
        weights_hash=weights_hash,
        preprocessing=pictures,
        device=device,
        dtype=dtype,
        random=options.pretrained is None,
        logit_scale=scale,
        black_feature=nn.functional.normalize(black_feature, dim=-1).to(device),
    )
    _check_features(model, options.name)
    return model


def _check_finite(net: nn.Module, weights: str) -> None:
    for name, tensor in net.state_dict().items():
        # Their sum takes a tenth of the time.
        if not (tensor.sum().isfinite() or tensor.isfinite().all()):
            raise ConfigError(
                "model.pretrained",
                repr(weights),
                f"its tensor {name} holds NaN or infinity; fetch or save the weights again",
            )


@contextmanager
def _computing(name: str) -> Iterator[None]:
    """Turn the faults of computing a feature into faults of the model `name`."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):  # which may pass
        raise
    except Exception as error:
        raise ConfigError("model.name", name, f"cannot compute a feature: {error}") from error


def _check_features(model: ClipModel, name: str) -> None:
    """Check that the model runs: encode one image and one text."""
    image = model.black_feature
    with _computing(name):
        text = model.encode_text(model.tokenizer(["a photo"]))[0]
        if image.is_cuda or model.dtype != torch.float32:  # else it has just been computed
            image = model.encode_image(model.preprocessing.black()[None])[0]
    if image.ndim != 1 or image.shape != text.shape:
        raise ConfigError(
            "model.name",
            name,
            f"its image feature has the shape {tuple(image.shape)} and its text feature "
            f"{tuple(text.shape)}; they must be vectors of one length",
        )
    if not (image.isfinite().all() and text.isfinite().all()):
        raise ConfigError(
            "model.name", name, "its feature of a black picture or of `a photo` is not finite"
        )


def _read(options: ModelOptions) -> tuple[Any, Callable[..., Tensor], str, dict[str, Any]]:
    """A model in fp32 on the CPU: itself, its tokenizer, architecture and preprocessing."""
    read = read_blip2 if holds_blip2(options.name) else read_open_clip
    return read(options)


def hash_weights(net: Any) -> str:
    """SHA-256 over the names, shapes and values of a module's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
