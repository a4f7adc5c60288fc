"""`seraser models`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A machine without weights; its home."""
    from huggingface_hub import constants

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_machine_without_weights(seraser, empty):
    done = seraser("models")
    assert done.exit_code == 0
    assert "no weights of open_clip are on this machine" in done.stderr


def test_weights_of_the_hub_and_of_elsewhere(seraser, empty):
    commit = "1" * 40
    repo = empty / "hub" / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K"
    put(repo / "refs" / "main", commit.encode())
    hub = put(repo / "snapshots" / commit / "open_clip_model.safetensors", b"12345")
    clip = put(empty / ".cache" / "clip" / "RN50.pt", b"123")
    rows = json.loads(seraser("models", "--json").stdout)
    found = {(row["name"], row["pretrained"]): (row["file"], row["size"]) for row in rows}
    assert found["ViT-B-32", "laion2b_s34b_b79k"] == (str(hub), 5)
    assert found["RN50", "openai"] == (str(clip), 3)
    assert ("ViT-L-14", "openai") not in found
    listed = json.loads(seraser("models", "--all", "--json").stdout)
    here = {(row["name"], row["pretrained"]) for row in listed if row["here"]}
    assert here == set(found)
    assert len(listed) > 100
