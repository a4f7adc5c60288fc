"""Loading a model, most through open_clip, once per process."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import logging
import pickle
import tempfile
import threading
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.convert import convert_state_dict
from open_clip.factory import load_state_dict
from open_clip.transform import PreprocessCfg
from PIL import Image
from torch import Tensor, nn

from seraser_core import storage
from seraser_core.config.options import ModelOptions, is_folder
from seraser_core.errors import ConfigError, SeraserError
from seraser_core.models.blip2_folder import holds_blip2, read_blip2
from seraser_core.models.preprocessing import Preprocessing
from seraser_core.models.transformers_clip import as_open_clip, read_folder, weight_files
from seraser_core.models.weights import local_weights

WEIGHT_ENDINGS = (".safetensors", ".pt", ".pth", ".bin")
_RANDOM_WEIGHTS_SEED = 0
_TEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class ClipModel:
    """A frozen CLIP model with its tokenizer and preprocessing.

    Attributes:
        net: open_clip model (its attributes are untyped), or one that looks like it, in
            evaluation mode, on `device`, in `dtype`.
        tokenizer: Texts -> (N, context_length) int64 token ids.
        architecture: SHA-256 of this model's configuration.
        weights_hash: SHA-256 over the names, shapes and values of the loaded fp32 tensors.
        preprocessing: From pictures to the model's input.
        random: True when no weights were given.
    """

    net: Any
    tokenizer: Callable[..., Tensor]
    architecture: str
    weights_hash: str
    preprocessing: Preprocessing
    device: torch.device
    dtype: torch.dtype
    random: bool

    @property
    def logit_scale(self) -> float:
        """The scale s = exp(logit_scale)."""
        return float(self.net.logit_scale.detach().float().exp())

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
        moved = images.to(self.device, self.dtype)
        return nn.functional.normalize(self.net.encode_image(moved).float(), dim=-1)

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
        """Text embeddings as the tower gives them, (N, D) float32, see `encode_text`."""
        parts = tokens.to(self.device).split(_TEXTS_AT_ONCE)
        return torch.cat([self.net.encode_text(part).float() for part in parts])

    @property
    def context_length(self) -> int:
        """Positions of the text tower."""
        tower = self.net.text if hasattr(self.net, "text") else self.net
        return int(tower.context_length)

    @cached_property
    def black_feature(self) -> Tensor:
        """Feature of the all-black image: (D,) float32; a constant of the model."""
        height, width = self.preprocessing.size
        black = self.preprocess(Image.new("RGB", (width, height)))
        return self.encode_image(black[None])[0]


_preprocessing_of: dict[str, dict[str, Any]] = {}
"""Name of a registered model -> what its file says of the input beyond the architecture."""
_cache: dict[tuple[Any, ...], ClipModel] = {}
_cache_lock = threading.Lock()


def get_model(options: ModelOptions) -> ClipModel:
    """The model of `options`, loaded at most once per process (only the last one is kept).

    Raises:
        ConfigError: Unknown model or tag, missing device, weights that do not fit.
    """
    device = resolve_device(options.device)
    dtype = resolve_dtype(options.precision, device)
    key = (options.name, options.pretrained, device, dtype)
    with _cache_lock:
        if key not in _cache:
            _cache.clear()
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
    """The hash of the weights as they are now, whatever this process has loaded already.

    Raises:
        ConfigError: As of `get_model`.
    """
    return hash_weights(_read(options)[0])


def _load(options: ModelOptions, device: torch.device, dtype: torch.dtype) -> ClipModel:
    net, tokenizer, architecture, preprocessing = _read(options)
    net = net.eval().requires_grad_(False)
    weights_hash = hash_weights(net)
    return ClipModel(
        net=net.to(device=device, dtype=dtype),
        tokenizer=tokenizer,
        architecture=architecture,
        weights_hash=weights_hash,
        preprocessing=Preprocessing(PreprocessCfg(**preprocessing)),
        device=device,
        dtype=dtype,
        random=options.pretrained is None,
    )


def _read(options: ModelOptions) -> tuple[Any, Callable[..., Tensor], str, dict[str, Any]]:
    """A model in fp32 on the CPU: itself, its tokenizer, architecture and preprocessing."""
    read = read_blip2 if holds_blip2(options.name) else _read_open_clip
    return read(options)


def _read_open_clip(
    options: ModelOptions,
) -> tuple[Any, Callable[..., Tensor], str, dict[str, Any]]:
    """A model of open_clip: itself, its tokenizer, architecture and preprocessing."""
    name = _register(options.name)
    net = _create(name, options)
    tokenizer = open_clip.get_tokenizer(name)
    _check_vocabulary(net, tokenizer)
    preprocessing = {**net.visual.preprocess_cfg, **_preprocessing_of.get(name, {})}
    return net, tokenizer, _hash_config(name), preprocessing


def _register(name: str) -> str:
    """Make a model JSON or folder known to open_clip under a name made from its content."""
    if is_folder(name):
        document = read_folder(name)
        content = json.dumps(document, sort_keys=True).encode()
        return _add(document["model_cfg"], document["preprocess_cfg"], content)
    if not name.endswith(".json"):
        if open_clip.get_model_config(name) is None:
            raise ConfigError(
                "model.name", repr(name), f"open_clip does not know it; {_nearest_names(name)}"
            )
        return name
    try:
        content = storage.read_bytes(name)
        config = json.loads(content)
        preprocessing = config.get("preprocess_cfg", {})
        config = config.get("model_cfg", config)
        missing = [k for k in ("embed_dim", "vision_cfg", "text_cfg") if k not in config]
    except FileNotFoundError:
        raise ConfigError("model.name", name, "there is no such file") from None
    except (ValueError, AttributeError) as error:
        raise ConfigError("model.name", name, f"is not an open_clip model JSON: {error}") from None
    if missing:
        raise ConfigError("model.name", name, f"is not an open_clip model JSON: no {missing[0]}")
    return _add(config, _read_preprocessing(preprocessing, name), content)


def _add(config: dict[str, Any], preprocessing: dict[str, Any], content: bytes) -> str:
    """Make a configuration known to open_clip under a name made from `content`."""
    registered = f"seraser-{hashlib.sha256(content).hexdigest()[:16]}"
    if open_clip.get_model_config(registered) is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{registered}.json"
            path.write_text(json.dumps(config))
            open_clip.add_model_config(path)
    _preprocessing_of[registered] = preprocessing
    return registered


def _read_preprocessing(given: Any, name: str) -> dict[str, Any]:
    """What a model JSON as the Hugging Face hub has it says of the model's input.

    Raises:
        ConfigError: It holds what open_clip does not know.
    """
    known = {field.name for field in dataclasses.fields(PreprocessCfg)}
    if not isinstance(given, dict) or not given.keys() <= known:
        raise ConfigError(
            "model.name", name, f"its preprocess_cfg must hold none but {', '.join(sorted(known))}"
        )
    return given


def _nearest_names(name: str) -> str:
    near = difflib.get_close_matches(name, open_clip.list_models(), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else "see open_clip.list_models()"


def _create(name: str, options: ModelOptions) -> Any:
    tag = options.pretrained
    from_file = tag is not None and tag.endswith(WEIGHT_ENDINGS)
    if tag is not None and not from_file:
        tags = open_clip.list_pretrained_tags_by_model(name)
        if tag not in tags:
            raise ConfigError(
                "model.pretrained",
                repr(tag),
                f"{options.name} has the tags {', '.join(tags) or '(none)'}; or give a file "
                f"ending in {', '.join(WEIGHT_ENDINGS)}",
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_WEIGHTS_SEED)
        level = logging.root.level
        logging.root.setLevel(logging.ERROR)  # open_clip warns through the root logger
        try:
            net = open_clip.create_model(name, pretrained=None if from_file else tag)
        except (OSError, RuntimeError, urllib.error.URLError) as error:
            raise ConfigError(
                "model.pretrained",
                repr(tag),
                f"the weights could not be fetched ({error}); without a network, give the path of "
                "a weights file, or null to try the pipeline with random weights",
            ) from error
        except (TypeError, ValueError, AssertionError, AttributeError) as error:
            raise ConfigError(
                "model.name", options.name, f"its configuration makes no model: {error}"
            ) from error
        finally:
            logging.root.setLevel(level)
    if from_file:
        _load_file(net, str(tag))
    return net


def _read_tensors(url: str) -> dict[str, Tensor]:
    file = local_weights(url)
    try:
        return dict(load_state_dict(str(file), weights_only=True))
    except Exception:
        if not storage.is_local(url):
            file.unlink()  # or a damaged copy would be taken for ever
        raise


def _load_file(net: Any, url: str) -> None:
    field = "model.pretrained"
    state: dict[str, Tensor] = {}
    try:
        for part in weight_files(url):
            state |= _read_tensors(part)
    except FileNotFoundError:
        raise ConfigError(field, url, "there is no such file") from None
    except pickle.UnpicklingError:
        raise ConfigError(
            field, url, "holds more than tensors, which may run code; save it as safetensors"
        ) from None
    except SeraserError:
        raise
    except Exception as error:  # safetensors and torch raise their own types on damaged files
        raise ConfigError(field, url, f"is not a readable weights file: {error}") from error
    state = convert_state_dict(net, as_open_clip(state))
    wanted = net.state_dict()
    for scalar in ("logit_scale", "logit_bias"):
        if scalar in state and scalar in wanted:
            state[scalar] = state[scalar].reshape(wanted[scalar].shape)
    faults = [f"missing {k} {tuple(v.shape)}" for k, v in wanted.items() if k not in state]
    faults += [
        f"{k}: file {tuple(v.shape)}, model {tuple(wanted[k].shape)}"
        if k in wanted
        else f"unexpected {k} {tuple(v.shape)}"
        for k, v in state.items()
        if k not in wanted or v.shape != wanted[k].shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ConfigError(
            field, url, f"does not fit the model: {'; '.join(faults[:5])}{more}; check model.name"
        )
    net.load_state_dict(state)


def _check_vocabulary(net: Any, tokenizer: Callable[..., Tensor]) -> None:
    embedding = getattr(net.text if hasattr(net, "text") else net, "token_embedding", None)
    highest = int(tokenizer([""]).max())  # ids of start and end come last
    if isinstance(embedding, nn.Embedding) and highest >= embedding.num_embeddings:
        raise ConfigError(
            "model.name",
            f"text_cfg.vocab_size {embedding.num_embeddings}",
            f"its tokenizer gives ids up to {highest}; correct the model JSON",
        )


def _hash_config(name: str) -> str:
    """Of tensors of the same shapes, heads and activation make another function."""
    text = json.dumps(open_clip.get_model_config(name), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_weights(net: Any) -> str:
    """SHA-256 over the names, shapes and values of a module's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
