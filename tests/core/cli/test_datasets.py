"""`seraser datasets` and `seraser check`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml
from miniatures import MINIATURES, write_waterbird_masks

from seraser_core.sources.benchmarks.benchmark import Counts
from seraser_core.sources.benchmarks.registry import BENCHMARKS


@pytest.fixture
def birds(tmp_path, monkeypatch):
    """Root of a miniature of Waterbirds, whose counts are taken for the published ones."""
    root = tmp_path / "birds"
    MINIATURES["waterbirds"].write(root)
    counts = {
        "test": Counts(4, of_group=(1, 1, 1, 1)),
        "train": Counts(1, of_class=(1, 0)),
        "val": Counts(1, of_class=(0, 1)),
    }
    published = replace(BENCHMARKS["waterbirds"], counts=counts)
    monkeypatch.setitem(BENCHMARKS, "waterbirds", published)
    return root


def check(seraser, *arguments):
    """Exit code and document of `seraser check`."""
    done = seraser("check", *map(str, arguments), "--json")
    return done.exit_code, json.loads(done.stdout)


def test_all_data_sets_are_listed(seraser):
    shown = seraser("datasets")
    assert shown.exit_code == 0
    listed = json.loads(seraser("datasets", "--json").stdout)
    assert [one["name"] for one in listed] == list(BENCHMARKS)
    for one in listed:
        assert all(one[fact] for fact in ("what", "layout", "source", "licence", "template"))
        assert f"{one['name']}: {one['what']}\n" in shown.stdout
        assert f"  layout    {one['layout']}\n" in shown.stdout


def test_one_data_set(seraser):
    shown = seraser("datasets", "imagenet-v2")
    assert "class indices as text" in shown.stdout
    assert "did you mean 'imagenet-v2'?" in seraser("datasets", "imagenetv2").stderr


def test_a_whole_root(seraser, birds):
    shown = seraser("check", "waterbirds", str(birds), "--split", "test")
    assert shown.exit_code == 0, shown.output
    assert "landbird / water" in shown.stdout
    assert f"clean: waterbirds in {birds}" in shown.stdout
    assert shown.stderr.rstrip().endswith(f"seraser init {birds} --benchmark waterbirds")
    code, found = check(seraser, "waterbirds", birds, "--split", "test")
    assert (code, found["problems"]) == (0, [])
    groups = [one for one in found["counts"] if one["kind"] == "group"]
    assert [(one["images"], one["published"]) for one in groups] == [(1, 1)] * 4


def test_classes_without_images_and_wrong_counts(seraser, birds):
    table = birds / "metadata.csv"
    table.write_text(table.read_text().replace("d_4.jpg,0,2,0", "d_4.jpg,0,0,0"))
    code, found = check(seraser, "waterbirds", birds)
    assert code == 1
    assert "test: 3 images, published 4" in found["problems"]
    assert "test, group landbird / land: 0 images, published 1" in found["problems"]
    assert "train, class landbird: 2 images, published 1" in found["problems"]
    assert not any("val" in problem for problem in found["problems"])


def test_missing_extra_and_unreadable_files(seraser, birds):
    write_waterbird_masks(birds)
    spotted, laysan = birds / "018.Spotted_Catbird", birds / "002.Laysan_Albatross"
    (birds / "segmentations" / "018.Spotted_Catbird" / "c_3.png").unlink()
    (spotted / "d_4.jpg").rename(spotted / "another.jpg")
    (laysan / "f_6.jpg").write_bytes(b"<html>not found</html>")
    (laysan / "b_2.jpg").write_bytes(b"")
    code, found = check(seraser, "waterbirds", birds, "--split", "test")
    assert code == 1
    assert found["problems"] == [
        "1 image is missing: 018.Spotted_Catbird/d_4.jpg",
        "1 mask is missing: segmentations/018.Spotted_Catbird/c_3.png",
        "1 image is unreadable: 002.Laysan_Albatross/b_2.jpg (no picture)",
    ]
    code, found = check(seraser, "waterbirds", birds)
    assert "2 images are unreadable" in found["problems"][-1]
    code, found = check(seraser, "waterbirds", birds, "--quick")
    assert "missing" in found["problems"][-1]


def test_a_corrected_table_is_checked_by_itself(seraser, birds):
    table = (birds / "metadata.csv").read_text().replace("c_3.jpg,0,2", "c_3.jpg,1,2")
    (birds / "corrected.csv").write_text(table)
    code, found = check(seraser, "waterbirds", birds, "--metadata", "corrected.csv", "--quick")
    assert code == 1
    classes = {
        one["name"]: (one["images"], one["published"])
        for one in found["counts"]
        if (one["split"], one["kind"]) == ("test", "class")
    }
    assert classes == {"landbird": (1, None), "waterbird": (3, None)}
    assert found["problems"] == [
        "train, class waterbird: no image",
        "val, class landbird: no image",
    ]
    assert seraser("check", "pacs", str(birds), "--metadata", "corrected.csv").exit_code == 1


def test_of_many_classes_only_what_is_wrong_is_shown(seraser, tmp_path):
    MINIATURES["imagenet-a"].write(tmp_path)
    (tmp_path / "n01531178" / "pic_0.JPEG").rename(tmp_path / "n01498041" / "pic_1.JPEG")
    shown = seraser("check", "imagenet-a", str(tmp_path), "--quick")
    assert shown.exit_code == 1
    assert "all: 200 images, published 7500" in shown.stdout
    assert "class goldfinch: no image" in shown.stdout
    table = shown.stdout[: shown.stdout.index("note:")]
    assert table.count("class ") == table.count("goldfinch") == 1


def test_what_is_left_over_is_no_fault(seraser, tmp_path):
    root = tmp_path / "shift"
    MINIATURES["metashift"].write(root)
    (root / "test" / "cat" / "1.jpg").write_bytes(b"")
    code, found = check(seraser, "metashift", root)
    assert code == 0
    assert "1 image is not part of it: test/cat/1.jpg" in found["notes"]
    assert "cat is 1" in found["notes"][0]


def test_a_wrong_root(seraser, birds):
    code, found = check(seraser, "waterbirds", birds.parent, "--split", "test")
    assert code == 1
    assert f"did you mean {birds}?" in found["problems"][0]
    assert seraser("check", "waterbirds", str(birds), "--split", "dev").exit_code == 2
    assert seraser("check", "waterbrids", str(birds)).exit_code == 2


def test_a_run_of_waterbirds_with_its_masks(seraser, birds, tree, tmp_path):
    write_waterbird_masks(birds)
    tree |= {
        "name": "birds",
        "dataset": {"format": "benchmark", "name": "waterbirds", "path": "birds", "split": "test"},
        "methods": ["zero_shot", {"name": "seraser", "auxiliary": "mask", "steps": 2}],
    }
    config = tmp_path / "birds.yaml"
    config.write_text(yaml.safe_dump(tree))
    done = seraser("run", str(config), "--no-prefect", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    rows = [one for one in printed["groups"] if one["method"] == "seraser"]
    assert {one["group"]: one["n"] for one in rows} == {
        f"{bird} / {place}": 1 for bird in ("landbird", "waterbird") for place in ("land", "water")
    }
    assert all(one["errors"] == 0 for one in printed["summary"])
    run = json.loads((tmp_path / printed["run"] / "run.json").read_text())
    assert run["prompts"] == ["a photo of a landbird", "a photo of a waterbird"]
    assert run["config"]["dataset"]["template"] == "a photo of a {}"
