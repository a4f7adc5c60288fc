"""The tokenizer in a folder of transformers: CLIP's is known again, and others are refused."""

from __future__ import annotations

import json

import pytest
import transformers
from open_clip.tokenizer import SimpleTokenizer

from seraser_core.errors import ConfigError
from seraser_core.models.transformers_tokenizer import check_tokenizer

TEXTS = [
    "a photo of a red-billed oxpecker",
    "It's the BLACK-footed albatross's nest, isn't it?!",
    "déjà-vu in Zürich; naïve coöperation ½ ℃",
    "route 66, 3.14159 and 1,000,000 (x2)",
    "日本の鳥 и птица 🐦 مرغ",
    "antidisestablishmentarianism supercalifragilistic zyzzyva",
    "  two   spaces\tand a tab ",
    "",
]


@pytest.fixture(scope="module")
def clip():
    """CLIP's own tokenizer, and its vocabulary and merges in transformers' words."""
    own = SimpleTokenizer()
    marks = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    words = {marks.get(word, word): number for word, number in own.encoder.items()}
    return own, words, list(own.bpe_ranks)


@pytest.fixture
def folder(clip, tmp_path):
    """A folder with CLIP's tokenizer as transformers saves it."""
    transformers.CLIPTokenizer(vocab=clip[1], merges=clip[2]).save_pretrained(tmp_path)
    return tmp_path


def write_old(folder, words, merges):
    """A folder as releases before the fast tokenizers saved it."""
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(words))
    lines = ["#version: 0.2", *map(" ".join, merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def refused(folder):
    with pytest.raises(ConfigError, match="than CLIP's tokenizer") as caught:
        check_tokenizer(str(folder))
    assert caught.value.field == "model.name"
    return caught.value.remedy


def test_what_is_accepted_gives_the_token_ids_of_open_clip(clip, folder, tmp_path):
    old = write_old(tmp_path / "old", *clip[1:])
    for place in (folder, old):
        check_tokenizer(str(place))
        theirs = transformers.CLIPTokenizer.from_pretrained(place)
        for text in TEXTS:
            assert theirs(text).input_ids == [49406, *clip[0].encode(text), 49407]


def test_a_folder_without_a_tokenizer_has_that_of_clip(tmp_path):
    check_tokenizer(str(tmp_path))


def test_merges_behind_those_of_clip_are_not_read(clip, tmp_path):
    check_tokenizer(str(write_old(tmp_path / "old", clip[1], [*clip[2], ("x", "y")])))


@pytest.mark.parametrize("pairs", [False, True])
def test_other_words_or_merges_in_one_file_are_refused(folder, pairs):
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    model = document["model"]
    merges = [merge if pairs else " ".join(merge) for merge in model["merges"]]

    def rewritten(**changes):
        path.write_text(json.dumps(document | {"model": model | {"merges": merges} | changes}))
        return folder

    check_tokenizer(str(rewritten()))
    swapped = model["vocab"] | {"cat</w>": model["vocab"]["dog</w>"]}
    assert "tokenizer.json has another vocabulary" in refused(rewritten(vocab=swapped))
    assert "vocabulary" in refused(rewritten(vocab=model["vocab"] | {"camelid": 49408}))
    assert "list of merges" in refused(rewritten(merges=merges[1:]))
    assert "list of merges" in refused(rewritten(merges=[merges[1], merges[0], *merges[2:]]))
    assert "list of merges" in refused(rewritten(merges=None))
    path.write_text('{"model": 3}')
    assert "vocabulary" in refused(folder)


def test_other_words_or_merges_in_two_files_are_refused(clip, tmp_path):
    _, words, merges = clip
    assert "vocab.json" in refused(write_old(tmp_path / "words", {"c": 2, "a": 3}, merges))
    assert "merges.txt" in refused(write_old(tmp_path / "merges", words, merges[:-1]))


def test_a_tokenizer_of_another_class_is_refused(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    assert "tokenizer_class BertTokenizer" in refused(tmp_path)


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "vocab.json").write_text("[" * 200_000)
    with pytest.raises(ConfigError, match=r"vocab\.json(.|\n)*is no JSON"):
        check_tokenizer(str(tmp_path))
    (tmp_path / "vocab.json").unlink()
    (tmp_path / "merges.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        check_tokenizer(str(tmp_path))
