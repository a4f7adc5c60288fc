"""The published order of labels and attributes of every benchmark data set, written out.

Labels in the wrong order raise no error and give a wrong number, so each order stands here a second
time, from the papers and their programs, and is held against miniatures of the published trees.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from miniatures import MINIATURES, put, text

from seraser_core.config import load_config
from seraser_core.config.options import DatasetOptions
from seraser_core.errors import ConfigError
from seraser_core.sources.benchmarks.audit import audit
from seraser_core.sources.benchmarks.benchmark_source import BenchmarkSource
from seraser_core.sources.benchmarks.published_names import imagenet_by_index, wordnet_ids
from seraser_core.sources.benchmarks.registry import BENCHMARKS
from seraser_core.sources.planner import plan_items
from seraser_core.sources.source import Listing

_BREEDS = ["bulldog", "corgi", "dachshund", "labrador"]
_PLACES = ["beach", "desert", "dirt", "jungle", "mountain", "snow"]
_DOMAINS = ["clipart", "infograph", "painting", "quickdraw", "real", "sketch"]
_CONTEXTS = ["autumn", "dim", "grass", "outdoor", "rock", "water"]
_HARD = (
    "howler monkey,balance beam,swimming cap,dog sled,gymnastic horizontal bar,miniskirt,patio,"
    "hockey puck,seat belt,ski,snorkel,keyboard space bar,sunglasses,volleyball,baseball player"
)
_IN9 = "dog,bird,wheeled vehicle,reptile,carnivore,insect,musical instrument,primate,fish"
ORDERS: dict[str, tuple[list[str], list[str]]] = {
    "waterbirds": (["landbird", "waterbird"], ["land", "water"]),
    "celeba": (["person with dark hair", "person with blond hair"], ["female", "male"]),
    "camel_deer": (["camel", "deer"], ["desert", "grassland"]),
    "spider_crab": (["crab", "spider"], ["beach", "net"]),
    "spuco_birds": (["landbird", "waterbird"], ["land", "water"]),
    "spuco_dogs": (["small dog", "big dog"], ["indoor", "outdoor"]),
    "urbancars": (
        ["urban", "country"],
        [f"{a} background, {b} object" for a in ("urban", "country") for b in ("urban", "country")],
    ),
    "metashift": (["dog", "cat"], ["outdoor", "indoor"]),
    **{
        f"spawrious-{kind}_{level}": (_BREEDS, _PLACES)
        for kind in ("o2o", "m2m")
        for level in ("easy", "medium", "hard")
    },
    "pacs": (
        ["dog", "elephant", "giraffe", "guitar", "horse", "house", "person"],
        ["art painting", "cartoon", "photo", "sketch"],
    ),
    "vlcs": (
        ["bird", "car", "chair", "dog", "person"],
        ["Caltech101", "LabelMe", "SUN09", "VOC2007"],
    ),
    # The numbers of these are in their files: of the miniature's classes, as it numbers them.
    "domainnet": (["air plane", "zebra"], _DOMAINS),
    "nicopp": (["hot air balloon", "bird"], _CONTEXTS),
    "imagenet9": (_IN9.split(","), []),
    "hard_imagenet": (_HARD.split(","), []),
    "tiny_imagenet": (["Egyptian cat", "goldfish", "pop bottle"], []),
    "cub": (["Black footed Albatross", "Laysan Albatross"], []),
    "stanford_dogs": (["Chihuahua", "Pekinese", "soft-coated wheaten terrier"], []),
    "oxford_pets": (["Abyssinian", "american bulldog", "Bengal"], []),
}
_IMAGENET = {
    "counter_animal": {"tench, Tinca tinca": 0, "black swan": 100, "class 999": 999},
    "spurious_imagenet": {"great white shark": 2, "brambling": 10, "toilet paper": 999},
    "imagenet-a": {"stingray": 0, "goldfinch": 1, "junco": 2, "acorn": 199},
    "imagenet-r": {"goldfish": 0, "great white shark": 1, "hammerhead shark": 2, "stingray": 3},
    "imagenet-v2": {"tench": 0, "goldfish": 1, "great white shark": 2, "toilet paper": 999},
    "imagenet-sketch": {"tench": 0, "goldfish": 1, "great white shark": 2, "toilet paper": 999},
}
SHARED = Path(__file__).parents[4] / "shared" / "data" / "camel_deer"
"""Ten of the public pictures, with masks and a table, where this repository lies beside them."""


def listed(name: str, path: Path | str, **options: Any) -> Listing:
    dataset = {"format": "benchmark", "name": name, "path": str(path), **options}
    return BenchmarkSource(DatasetOptions.model_validate(dataset)).listing()


def images(listing: Listing) -> dict[str, tuple[int | None, int | None]]:
    rows = listing.items.select("image", "label", "attribute").iter_rows()
    return {image: (label, attribute) for image, label, attribute in rows}


def test_every_data_set_is_here():
    assert {*ORDERS, *_IMAGENET} == BENCHMARKS.keys()


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_labels_and_attributes(name, tmp_path):
    MINIATURES[name].write(tmp_path)
    listing = listed(name, tmp_path)
    assert (listing.classes, listing.attributes) == ORDERS[name]
    names = {image: (label, attribute) for image, label, attribute in MINIATURES[name].rows}
    expected = {
        image: (ORDERS[name][0].index(label), attribute and ORDERS[name][1].index(attribute))
        for image, (label, attribute) in names.items()
    }
    assert images(listing) == expected


@pytest.mark.parametrize("name", _IMAGENET)
def test_order_of_imagenet_classes(name, tmp_path):
    MINIATURES[name].write(tmp_path)
    classes = listed(name, tmp_path).classes
    assert {one: classes.index(one) for one in _IMAGENET[name]} == _IMAGENET[name]


def test_labels_of_counter_animal_are_the_numbers_of_its_folders(tmp_path):
    MINIATURES["counter_animal"].write(tmp_path)
    put(tmp_path, "007 cock/counter-snow/1.jpg")
    listing = listed("counter_animal", tmp_path)
    assert listing.attributes == ["common", "counter"]
    assert images(listing) == {
        "007 cock/counter-snow/1.jpg": (7, 1),
        "100 black swan/common-water/a-1.jpg": (100, 0),
        "100 black swan/counter-earth/b.jpg": (100, 1),
        "10 brambling/common-green tree/c.jpg": (10, 0),
        "10 brambling/counter-sky/d.jpg": (10, 1),
        "9 ostrich/common-ground/e.jpg": (9, 0),
        "134 crane/counter-sky/f.jpg": (134, 1),
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("3\tclass 3\n", "", "one line for each of ImageNet's 1000 classes"),
        ("3\tclass 3", "4\tclass 3", "one line for each of ImageNet's 1000 classes"),
        ("3\tclass 3\n", "1000\tclass 3\n", "that of 'class 3' is 1000"),
        ("3\tclass 3\n", "x\tclass 3\n", "labels are not all numbers: that of 'class 3'"),
        ("3\tclass 3\n", "class 3\n", "'imagenet_names.txt'"),
    ],
)
def test_lists_of_imagenet_names_that_are_wrong(old, new, said, tmp_path):
    MINIATURES["counter_animal"].write(tmp_path)
    path = tmp_path / "imagenet_names.txt"
    path.write_text(path.read_text().replace(f"\n{old}", f"\n{new}", 1))
    with pytest.raises(ConfigError) as caught:
        listed("counter_animal", tmp_path)
    assert said in str(caught.value)


def test_classes_that_can_only_be_mistaken_are_no_fault(tmp_path):
    MINIATURES["counter_animal"].write(tmp_path)
    found = audit("counter_animal", str(tmp_path))
    shown = {count.name: count.images for count in found.counts if count.kind == "class"}
    assert shown == {
        "class 9": 1,
        "brambling, Fringilla montifringilla": 2,
        "black swan": 2,
        "crane bird": 1,
    }
    assert found.problems == [
        "all: 6 images, published 13100",
        "attribute common: 3 images, published 7174",
        "attribute counter: 3 images, published 5926",
    ]
    dataset = {"format": "benchmark", "name": "counter_animal", "path": str(tmp_path)}
    said: list[str] = []
    planned = plan_items(load_config({"dataset": dataset, "methods": ["zero_shot"]}), said.append)
    assert len(planned.classes) == 1000
    assert said[0].startswith("6 images: class 9 1, brambling, Fringilla montifringilla 2, black")


def test_both_sides_of_the_background_gap_in_one_listing(tmp_path):
    MINIATURES["imagenet9"].write(tmp_path)
    listing = listed("imagenet9", tmp_path, split="mixed")
    assert (listing.classes, listing.attributes) == (_IN9.split(","), ["mixed same", "mixed rand"])
    assert images(listing) == {
        f"{variant}/val/0{label}_{name}/fg_n0_1_bg_2.JPEG": (label, attribute)
        for attribute, variant in enumerate(("mixed_same", "mixed_rand"))
        for label, name in enumerate(_IN9.split(","))
    }
    (tmp_path / "mixed_same" / "val" / "00_dog").rename(tmp_path / "dog")
    with pytest.raises(ConfigError, match="there is no 'mixed_same/val/00_dog'"):
        listed("imagenet9", tmp_path, split="mixed")


def test_labels_of_spurious_imagenet_are_third_in_the_names_of_its_folders(tmp_path):
    MINIATURES["spurious_imagenet"].write(tmp_path)
    put(tmp_path, "images/no_number/d.jpg")
    with pytest.raises(ConfigError, match=r"class .no_number. of images/no_number/d\.jpg"):
        listed("spurious_imagenet", tmp_path)
    shutil.rmtree(tmp_path / "images" / "no_number")
    labels = [label for label, _ in images(listed("spurious_imagenet", tmp_path)).values()]
    assert sorted(labels) == [2, 10, 100]
    assert audit("spurious_imagenet", str(tmp_path)).problems == ["all: 3 images, published 7500"]


def test_masks_of_hard_imagenet_lead_to_its_images(tmp_path):
    MINIATURES["hard_imagenet"].write(tmp_path)
    train = listed("hard_imagenet", tmp_path, split="train").items.sort("image")
    masks = dict(train.select("mask", "image").rows())
    assert masks["hardImageNet/train/n02777292_n02777292_42.png"] == (
        "imagenet/train/n02777292/n02777292_42.JPEG"
    )
    assert train["size"].null_count() == 15, "the masks' sizes are not those of the images"
    found = audit("hard_imagenet", str(tmp_path))
    assert found.problems == [
        "val: 15 images, published 750",
        *(f"val, class {one}: 1 images, published 50" for one in _HARD.split(",")),
    ]
    for mask in (tmp_path / "hardImageNet" / "val").glob("n02777292_*"):
        mask.unlink()
    with pytest.raises(ConfigError, match="there are masks of 14 classes, not of 15"):
        listed("hard_imagenet", tmp_path)


def test_imagenet_indices_follow_the_wordnet_ids():
    for subset, count in (("imagenet", 1000), ("imagenet_a", 200), ("imagenet_r", 200)):
        ids = wordnet_ids(subset)
        assert ids == sorted(set(ids))
        assert len(ids) == count
    names = imagenet_by_index(None, None)  # type: ignore[arg-type]
    assert [names[index] for index in ("2", "10", "999")] == [
        "great white shark",
        "brambling",
        "toilet paper",
    ]


def test_labels_of_a_table_of_waterbirds(tmp_path):
    text(tmp_path, "metadata.csv", "img_filename,y,split,place", "l.jpg,0,2,1", "w.jpg,1,2,0")
    assert images(listed("waterbirds", tmp_path)) == {"l.jpg": (0, 1), "w.jpg": (1, 0)}


def test_labels_of_a_corrected_table_of_waterbirds(tmp_path):
    MINIATURES["waterbirds"].write(tmp_path)
    published = images(listed("waterbirds", tmp_path))
    rows = ("1,001.Black_footed_Albatross/a_1.jpg,0,2,0", "2,018.Spotted_Catbird/e_5.jpg,1,0,0")
    header = "img_id,img_filename,y,split,place"
    text(tmp_path, "tables/corrected.csv", header, *rows, "3,002.Laysan_Albatross/f_6.jpg,1,0,1")
    listing = listed("waterbirds", tmp_path, metadata="tables/corrected.csv")
    assert images(listing) == {"001.Black_footed_Albatross/a_1.jpg": (0, 0)}
    assert published["001.Black_footed_Albatross/a_1.jpg"] == (1, 0)
    assert listing.train_counts == {(1, 0): 1, (1, 1): 1}, "of that table, not the published ones"
    found = audit("waterbirds", str(tmp_path), "test", metadata="tables/corrected.csv")
    assert found.problems == ["test, class waterbird: no image"]
    (tmp_path / "metadata.csv").unlink()
    assert images(listed("waterbirds", tmp_path, metadata="tables/corrected.csv"))


@pytest.mark.parametrize(
    ("name", "table", "said"),
    [
        ("waterbirds", "corrected.csv", "there is no 'corrected.csv'"),
        ("waterbirds", "../corrected.csv", "name a file below"),
        ("waterbirds", "/data/corrected.csv", "name a file below"),
        ("celeba", "corrected.csv", "celeba has no such table"),
    ],
)
def test_tables_that_cannot_replace_the_published_one(name, table, said, tmp_path):
    MINIATURES[name].write(tmp_path)
    with pytest.raises(ConfigError, match=said):
        listed(name, tmp_path, metadata=table)


@pytest.mark.parametrize(
    ("name", "first", "other", "contexts"),
    [
        ("camel_deer", "camel_grassland", "deer_desert", ["desert", "grassland"]),
        ("spider_crab", "crab_net", "spider_beach", ["beach", "net"]),
    ],
)
def test_labels_of_a_table_of_pairs(name, first, other, contexts, tmp_path):
    names = [f"pictures/{first}_0.png", f"pictures/{other}_0.png"]
    put(tmp_path, *names)
    header = "filename,mask,y,a,split"
    text(tmp_path, "metadata.csv", header, f"{names[0]},m/0.png,0,1,2", f"{names[1]},,1,0,2")
    listing = listed(name, tmp_path)
    assert images(listing) == {names[0]: (0, 1), names[1]: (1, 0)}
    assert [listing.classes, listing.attributes] == [ORDERS[name][0], contexts]
    assert listing.items["mask"].to_list() == ["m/0.png", None]
    # The other way round, the labels are not those of the pictures.
    text(tmp_path, "metadata.csv", header, f"{names[0]},,1,1,2", f"{names[1]},,0,0,2")
    with pytest.raises(ConfigError, match="by its label") as caught:
        listed(name, tmp_path)
    assert f"write 0 for {first.split('_')[0]} and 1 for {other.split('_')[0]}" in str(caught.value)


def test_contexts_keep_their_numbers_where_names_do_not_tell(tmp_path):
    rows = ("camel_sea_0.png,0,0,2", "camel_ice_0.png,0,0,2", "deer_sand_0.png,1,10,2")
    text(tmp_path, "metadata.csv", "filename,y,a,split", *rows, "deer_sea_1.png,1,2,2")
    listing = listed("camel_deer", tmp_path)
    assert listing.attributes == ["0", "2", "10"]
    assert [attribute for _, attribute in images(listing).values()] == [0, 0, 2, 1]


@pytest.mark.parametrize("mask", ["../m.png", "/m.png", "s3://bucket/m.png"])
def test_masks_of_pairs_stay_in_the_root(mask, tmp_path):
    text(tmp_path, "metadata.csv", "filename,mask,y,a,split", f"a.png,{mask},0,0,2", "b.png,,1,1,2")
    with pytest.raises(ConfigError, match="is outside of it"):
        listed("camel_deer", tmp_path)


@pytest.mark.parametrize(
    ("name", "folder"), [("camel_deer", "CamelDeer"), ("spider_crab", "crab_spider")]
)
def test_the_folder_of_a_pair_is_known(name, folder, tmp_path):
    MINIATURES[name].write(tmp_path / folder)
    with pytest.raises(ConfigError, match=f"did you mean {tmp_path / folder}[?]"):
        listed(name, tmp_path)


@pytest.mark.parametrize("name", ["camel_deer", "spider_crab"])
def test_splits_that_were_never_published_are_no_fault(name, tmp_path):
    MINIATURES[name].write(tmp_path)
    found = audit(name, str(tmp_path))
    assert (found.problems, {count.split for count in found.counts}) == ([], {"test"})
    one, other = ORDERS[name][0]
    rows = (f"{one}_x_0.png,0,0,2", f"{other}_y_0.png,1,1,2")
    text(tmp_path, "metadata.csv", "filename,y,a,split", *rows)
    put(tmp_path, *(row.split(",")[0] for row in rows))
    assert audit(name, str(tmp_path)).problems == []
    asked = audit(name, str(tmp_path), "train").problems
    assert len(asked) == 1
    assert "no image is of split 'train'" in asked[0]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the sample pictures are not here")
def test_sample_pictures_with_their_own_table(tmp_path):
    assert audit("camel_deer", str(SHARED)).problems == []
    config = load_config(
        {
            "dataset": {"format": "benchmark", "name": "camel_deer", "path": str(SHARED)},
            "methods": [{"name": "seraser", "auxiliary": "mask"}],
        }
    )
    planned = plan_items(config)
    table = planned.table.select(["item_id", "label", "attribute", "mask"]).to_pylist()
    assert len(table) == 10
    for row in table:
        animal, context, _ = row["item_id"].split("_")
        assert planned.classes[row["label"]] == animal
        assert planned.attributes[row["attribute"]] == context
        assert row["mask"] == f"{SHARED}/masks/{row['item_id']}"
