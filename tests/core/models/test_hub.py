"""Models of a hub that cannot be reached, or that refuses them: one clear message, soon."""

from __future__ import annotations

import errno
import shutil
import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import torch
from huggingface_hub import constants, errors
from huggingface_hub.utils import HfHubHTTPError

from seraser_core.auxiliary.segment import Segmenter
from seraser_core.config.auxiliary import SegmentOptions
from seraser_core.config.options import ModelOptions
from seraser_core.errors import ConfigError, TransientError
from seraser_core.models import cached, early, hub
from seraser_core.models.clip_model import get_model
from seraser_core.models.hub import check_server, fetching
from seraser_core.open_clip_tables import table

OPENAI = ModelOptions(name="ViT-B-32-quickgelu", pretrained="openai", device="cpu")
REPO = "timm/vit_base_patch32_clip_224.openai"
ANSWERS = {
    "gated": (403, {"X-Error-Code": "GatedRepo"}, "licence must be accepted"),
    "unknown": (404, {"X-Error-Code": "RepoNotFound"}, "no such repository"),
    "private": (401, {"X-Error-Code": "RepoNotFound"}, "no such repository, or a private one"),
    "without it": (404, {"X-Error-Code": "EntryNotFound"}, "does not have this file"),
    "forbidden": (403, {}, r"refuses it to this account \(status 403\)"),
}


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Starts a hub that gives one answer to everything, and makes it the one that is asked."""
    servers = []

    def start(status, headers):
        asked = []

        class Answers(BaseHTTPRequestHandler):
            def do_HEAD(self):
                asked.append(self.path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_HEAD  # noqa: N815

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        point_at(monkeypatch, tmp_path, server.server_address[1])
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def point_at(monkeypatch, tmp_path, port):
    """Make a port of this machine the hub, with an empty cache."""
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(cached, "_CLIP_CACHE", tmp_path / "clip")


@pytest.fixture
def nothing(monkeypatch, tmp_path, unused_port):
    """There is no hub, and nothing is on this machine."""
    point_at(monkeypatch, tmp_path, unused_port)


@pytest.mark.parametrize("kind", ANSWERS)
def test_refusals_of_a_hub_say_what_to_do(serve, kind):
    status, headers, message = ANSWERS[kind]
    asked = serve(status, headers)
    with pytest.raises(ConfigError, match=message) as caught:
        get_model(OPENAI)
    assert (caught.value.field, caught.value.value) == ("model.pretrained", "'openai'")
    assert "give the path of a weights file" in caught.value.remedy
    assert not isinstance(caught.value, TransientError)
    assert any(REPO in path for path in asked)


def test_without_a_network_all_say_so_before_anything_is_fetched(nothing, monkeypatch):
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    said = r"is not on this machine, and 127\.0\.0\.1 cannot be reached \(Connection refused\)"
    for early_or_late in (early.check_model, get_model):
        with pytest.raises(ConfigError, match=said) as caught:
            early_or_late(OPENAI)
        assert caught.value.field == "model.pretrained"
        assert isinstance(caught.value, TransientError), "a worker may try its shard again"
    siglip = ModelOptions(name="ViT-B-16-SigLIP", pretrained=None, device="cpu")
    with pytest.raises(ConfigError, match=f"tokenizer timm/ViT-B-16-SigLIP\n.*{said}") as caught:
        get_model(siglip)
    assert caught.value.field == "model.name" and "HF_HOME" in caught.value.remedy
    with pytest.raises(ConfigError, match=said) as caught:
        Segmenter(SegmentOptions(), ["a camel"], torch.device("cpu"))
    assert caught.value.field == "segment.detector" and "give a folder" in caught.value.remedy


def test_a_url_is_asked_for_as_a_hub_is(nothing, monkeypatch, unused_port):
    described = {"url": f"http://127.0.0.1:{unused_port}/weights.pt"}
    monkeypatch.setattr(table("pretrained"), "get_pretrained_cfg", lambda *_: described)
    with pytest.raises(ConfigError, match="cannot be reached"):
        early.check_fetchable("RN50", "yfcc15m")


def test_offline_mode_is_named(nothing, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set"):
        early.check_model(OPENAI)


def test_what_was_fetched_before_needs_no_network(nothing, tmp_path, demo_weights, monkeypatch):
    folder = tmp_path / "hub" / f"models--{REPO.replace('/', '--')}"
    kept = folder / "snapshots" / "1234" / "open_clip_model.safetensors"
    kept.parent.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("1234")
    shutil.copy(demo_weights, kept)
    early.check_model(OPENAI)
    with pytest.raises(ConfigError, match=r"open_clip_model\.safetensors"):  # of another model
        get_model(OPENAI)


@pytest.fixture
def demo_weights():
    return Path(cached.__file__).parents[1] / "demo/model/seraser-demo.safetensors"


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch):
    asked = threading.Event()
    monkeypatch.setattr(hub, "_CONNECT_S", 0.01)
    monkeypatch.setattr(hub, "_connect", lambda *_: asked.wait())
    with pytest.raises(ConfigError, match="no connection within"):
        check_server("https://hub.invalid/a", "model.name", "a", "do b")
    asked.set()


def test_a_name_that_is_not_known_is_no_text_of_a_library():
    assert hub._connect("hub.invalid", 443) in (
        "its name is not known here",
        f"no connection within {hub._CONNECT_S:g} s",
    )


def response(status):
    return httpx.Response(status, request=httpx.Request("GET", "https://hub/a"))


@pytest.mark.parametrize(
    ("error", "message", "passes"),
    [
        (HfHubHTTPError("x", response=response(429)), "allows no more requests", True),
        (HfHubHTTPError("x", response=response(503)), r"fails \(status 503\)", True),
        (HfHubHTTPError("x", response=response(410)), r"does not give it \(status 410\)", False),
        (urllib.error.HTTPError("u", 404, "x", {}, None), r"does not give it \(status", False),
        (urllib.error.URLError("x"), "connection failed", True),
        (httpx.ReadTimeout("timed out"), r"connection failed \(timed out\)", True),
        (ConnectionResetError("reset"), r"connection failed \(reset\)", True),
        (OSError(errno.ENOSPC, "x"), "disk is full; make room", False),
        (errors.OfflineModeIsEnabled("x"), "HF_HUB_OFFLINE", False),
        (RuntimeError("checksum\nmore"), "RuntimeError: checksum; give a file", False),
    ],
)
def test_faults_of_fetching_are_told_by_what_they_mean(error, message, passes):
    with (
        pytest.raises(ConfigError, match=message) as caught,
        fetching("a.b", "c", "d", "give a file"),
    ):
        try:
            raise error
        except type(error) as first:  # as open_clip and transformers do
            raise FileNotFoundError("Failed to download") from first
    assert isinstance(caught.value, TransientError) == passes
    assert caught.value.remedy.startswith("d could not be fetched: ")


@pytest.mark.parametrize("name", ["hf-hub:org/model", "local-dir:/data/model"])
def test_names_of_other_schemas_say_how_to_write_them(name):
    with pytest.raises(ConfigError, match=r"open_clip_config\.json") as caught:
        early.check_model(ModelOptions(name=name))
    assert ("hf download org/model" in caught.value.remedy) == name.startswith("hf-hub")
