"""Miniatures of benchmark data sets, written literally as the real ones are laid out.

Label traps are those of the real ones: folders "0" to "999", labels -1 and 1, ids that begin at 1,
lists that name a part of the files, names out of order.
"""

from __future__ import annotations

import importlib.metadata
import io
import itertools
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

Row = tuple[str, str, str | None]
"""Image, name of its class, name of its attribute."""


@dataclass(frozen=True)
class Miniature:
    """One data set.

    Attributes:
        name: Of the data set.
        write: Writes it below a folder.
        rows: Of its default split.
        indices: Some class names with their indices.
        lacking: What to remove to make it incomplete.
        strange: Adds a class or attribute that does not belong.
        said: What the error then names.
        deeper: A folder inside.
        splits: Images of the other splits.
    """

    name: str
    write: Callable[[Path], None]
    rows: Sequence[Row]
    indices: dict[str, int]
    lacking: str
    strange: Callable[[Path], None]
    said: str
    deeper: str
    splits: dict[str, int] = field(default_factory=dict)

    def remove(self, root: Path) -> None:
        path = root / self.lacking
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def picture(path: Path) -> bytes:
    """A small picture in the format that the name says, as published ones are: any of them RGB."""
    data = io.BytesIO()
    pixels = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(10, 12, 3)
    Image.fromarray(pixels).save(data, "PNG" if path.suffix == ".png" else "JPEG")
    return data.getvalue()


_PICTURES = {kind: picture(Path(f"x{kind}")) for kind in (".png", ".jpg")}


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_PICTURES[".png" if path.suffix == ".png" else ".jpg"])


def text(root: Path, name: str, *lines: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        content = (root / name).read_text()
        assert old in content
        (root / name).write_text(content.replace(old, new, 1))

    return change


def adding(*names: str) -> Callable[[Path], None]:
    return lambda root: put(root, *names)


def put_mask(path: Path) -> None:
    """Write a mask as CUB's are: grey, as many as annotators agree."""
    pixels = np.zeros((10, 12), np.uint8)
    pixels[3:8, 2:9] = 51
    pixels[4:7, 3:8] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_waterbirds(root: Path) -> None:
    rows = (
        "3,001.Black_footed_Albatross/a_1.jpg,1,2,0,/b/bamboo_forest/1.jpg",
        "1,002.Laysan_Albatross/b_2.jpg,1,2,1,/o/ocean/2.jpg",
        "4,018.Spotted_Catbird/c_3.jpg,0,2,1,/o/ocean/3.jpg",
        "2,018.Spotted_Catbird/d_4.jpg,0,2,0,/b/bamboo_forest/4.jpg",
        "6,018.Spotted_Catbird/e_5.jpg,0,0,0,/b/bamboo_forest/5.jpg",
        "5,002.Laysan_Albatross/f_6.jpg,1,1,1,/o/ocean/6.jpg",
    )
    text(root, "metadata.csv", "img_id,img_filename,y,split,place,place_filename", *rows)
    put(root, *(row.split(",")[1] for row in rows))


def write_waterbird_masks(root: Path) -> None:
    """CUB's segmentations of the miniature's birds."""
    for row in (root / "metadata.csv").read_text().splitlines()[1:]:
        put_mask(root / "segmentations" / Path(row.split(",")[1]).with_suffix(".png"))


WATERBIRDS = Miniature(
    "waterbirds",
    write_waterbirds,
    [
        ("001.Black_footed_Albatross/a_1.jpg", "waterbird", "land"),
        ("002.Laysan_Albatross/b_2.jpg", "waterbird", "water"),
        ("018.Spotted_Catbird/c_3.jpg", "landbird", "water"),
        ("018.Spotted_Catbird/d_4.jpg", "landbird", "land"),
    ],
    {"landbird": 0, "waterbird": 1},
    lacking="metadata.csv",
    strange=replace("metadata.csv", "a_1.jpg,1", "a_1.jpg,2"),
    said="class '2' of 001.Black_footed_Albatross/a_1.jpg",
    deeper="018.Spotted_Catbird",
    splits={"train": 1, "val": 1},
)


def write_celeba(root: Path) -> None:
    text(
        root,
        "list_attr_celeba.csv",
        "image_id,Bald,Blond_Hair,Male,Young",
        *("000001.jpg,-1,1,-1,1", "000002.jpg,-1,-1,1,1", "000003.jpg,-1,1,1,-1"),
        "000004.jpg,1,-1,-1,1",
    )
    # In another order: the tables are joined by name.
    text(
        root,
        "list_eval_partition.csv",
        *("image_id,partition", "000004.jpg,0", "000003.jpg,2", "000002.jpg,2", "000001.jpg,1"),
    )
    put(root, *(f"img_align_celeba/00000{k}.jpg" for k in range(1, 5)))


CELEBA = Miniature(
    "celeba",
    write_celeba,
    [
        ("img_align_celeba/000002.jpg", "person with dark hair", "male"),
        ("img_align_celeba/000003.jpg", "person with blond hair", "male"),
    ],
    {"person with dark hair": 0, "person with blond hair": 1},
    lacking="list_eval_partition.csv",
    strange=replace("list_attr_celeba.csv", "000002.jpg,-1,-1,1", "000002.jpg,-1,0,1"),
    said="class '0' of img_align_celeba/000002.jpg",
    deeper="img_align_celeba",
    splits={"train": 1, "val": 1},
)


def _pair(name: str, one: str, other: str, here: str, there: str) -> Miniature:
    rows = [
        (f"{one}_{there}_1.png", one, there),
        (f"{one}_{there}_10.png", one, there),
        (f"{other}_{here}_2.png", other, here),
    ]
    return Miniature(
        name,
        lambda root: put(root, *(image for image, _, _ in rows)),
        rows,
        {one: 0, other: 1},
        lacking="",
        strange=adding(f"cow_{here}_1.png"),
        said=f"class 'cow' of cow_{here}_1.png",
        deeper="",
    )


CAMEL_DEER = _pair("camel_deer", "camel", "deer", "desert", "grassland")
SPIDER_CRAB = _pair("spider_crab", "crab", "spider", "beach", "net")


_SYNONYMS = {0: "tench, Tinca tinca", 10: "brambling, Fringilla montifringilla", 100: "black swan"}
"""Some lines of the published list; elsewhere any name stands in, and both cranes are `crane`."""


def write_counter_animal(root: Path) -> None:
    names = {i: f"class {i}" for i in range(1000)} | _SYNONYMS | {134: "crane", 517: "crane"}
    text(root, "imagenet_names.txt", *(f"{i}\t{name}" for i, name in names.items()))
    put(root, *(image for image, _, _ in _COUNTER_ANIMAL))


# Sorted as texts, 100 comes before 11 and 9: the order of folders is not that of the indices.
_COUNTER_ANIMAL: list[Row] = [
    ("100 black swan/common-water/a-1.jpg", "black swan", "common"),
    ("100 black swan/counter-earth/b.jpg", "black swan", "counter"),
    ("10 brambling/common-green tree/c.jpg", _SYNONYMS[10], "common"),
    ("10 brambling/counter-sky/d.jpg", _SYNONYMS[10], "counter"),
    ("9 ostrich/common-ground/e.jpg", "class 9", "common"),
    ("134 crane/counter-sky/f.jpg", "crane bird", "counter"),
]
COUNTER_ANIMAL = Miniature(
    "counter_animal",
    write_counter_animal,
    _COUNTER_ANIMAL,
    {_SYNONYMS[0]: 0, "class 9": 9, _SYNONYMS[10]: 10, "black swan": 100, "crane bird": 134},
    lacking="imagenet_names.txt",
    strange=adding("1000 unicorn/common-grass/1.jpg"),
    said="class '1000' of 1000 unicorn/common-grass/1.jpg",
    deeper="10 brambling",
)


def _spuco(name: str, classes: dict[str, str], attributes: tuple[str, str]) -> Miniature:
    cells = list(itertools.product(("test", "train", "val"), classes, attributes))
    return Miniature(
        name,
        lambda root: put(root, *(f"{'/'.join(cell)}/n01_{i}.JPEG" for i, cell in enumerate(cells))),
        [
            (f"test/{one}/{place}/n01_{i}.JPEG", classes[one], place)
            for i, (_, one, place) in enumerate(cells[:4])
        ],
        {name: i for i, name in enumerate(classes.values())},
        lacking=f"test/{list(classes)[1]}/{attributes[0]}",
        strange=adding(f"test/{next(iter(classes))}/space/n01_9.JPEG"),
        said="attribute 'space'",
        deeper="test",
        splits={"train": 4, "val": 4},
    )


SPUCO = [
    _spuco("spuco_birds", {"landbirds": "landbird", "waterbirds": "waterbird"}, ("land", "water")),
    _spuco("spuco_dogs", {"small_dogs": "small dog", "big_dogs": "big dog"}, ("indoor", "outdoor")),
]


def _urbancars() -> Miniature:
    kinds = ("country", "urban")
    folder = "bg-0.5_co_occur_obj-0.5"
    names = [
        (f"obj-{car}_bg-{place}_co_occur_obj-{thing}", car, f"{place} background, {thing} object")
        for car, place, thing in itertools.product(kinds, repeat=3)
    ]

    def write(root: Path) -> None:
        for name, _, _ in names:
            put(root, f"{folder}/test/{name}/000.jpg", f"{folder}/val/{name}/000.jpg")

    return Miniature(
        "urbancars",
        write,
        [(f"{folder}/test/{name}/000.jpg", car, around) for name, car, around in names],
        {"urban": 0, "country": 1},
        lacking=f"{folder}/test/{names[3][0]}",
        strange=adding(f"{folder}/test/obj-rural_bg-urban_co_occur_obj-urban/1.jpg"),
        said="class 'rural'",
        deeper=folder,
        splits={"val": 8},
    )


METASHIFT = Miniature(
    "metashift",
    adding(
        "test/cat/cat(outdoor)/1.jpg",
        "test/dog/dog(indoor)/2.jpg",
        "train/cat/cat(indoor)/3.jpg",
        "train/dog/dog(outdoor)/4.jpg",
    ),
    [
        ("test/cat/cat(outdoor)/1.jpg", "cat", "outdoor"),
        ("test/dog/dog(indoor)/2.jpg", "dog", "indoor"),
    ],
    {"dog": 0, "cat": 1},
    lacking="test/dog",
    strange=adding("test/cow/cow(outdoor)/5.jpg"),
    said="class 'cow'",
    deeper="test",
    splits={"train": 2},
)

_PLACES = ("beach", "desert", "dirt", "jungle", "mountain", "snow")
_BREEDS = ("bulldog", "corgi", "dachshund", "labrador")


def write_spawrious(root: Path) -> None:
    for part, place, breed in itertools.product("01", _PLACES, _BREEDS):
        put(root, f"{part}/{place}/{breed}/{place}_{breed}_1.png")


def _spawrious(name: str, seen: dict[str, str], parts: str) -> Miniature:
    rows = [
        (f"{part}/{place}/{breed}/{place}_{breed}_1.png", breed, place)
        for breed, places in seen.items()
        for place in places.split()
        for part in parts
    ]
    return Miniature(
        f"spawrious-{name}",
        write_spawrious,
        rows,
        {"bulldog": 0, "corgi": 1, "dachshund": 2, "labrador": 3},
        lacking="0/" + seen["bulldog"].split()[0],
        strange=adding("0/beach/poodle/1.png"),
        said="class 'poodle'",
        deeper="0",
    )


SPAWRIOUS = [
    _spawrious(
        "o2o_easy",
        {"bulldog": "dirt", "dachshund": "snow", "labrador": "desert", "corgi": "jungle"},
        "01",
    ),
    _spawrious(
        "o2o_medium",
        {"bulldog": "jungle", "dachshund": "dirt", "labrador": "beach", "corgi": "snow"},
        "01",
    ),
    _spawrious(
        "o2o_hard",
        {"bulldog": "mountain", "dachshund": "snow", "labrador": "desert", "corgi": "jungle"},
        "01",
    ),
    _spawrious(
        "m2m_easy",
        {
            "bulldog": "dirt jungle",
            "dachshund": "dirt jungle",
            "labrador": "mountain desert",
            "corgi": "mountain desert",
        },
        "0",
    ),
    _spawrious(
        "m2m_medium",
        {
            "bulldog": "desert mountain",
            "dachshund": "desert mountain",
            "labrador": "beach snow",
            "corgi": "beach snow",
        },
        "0",
    ),
    _spawrious(
        "m2m_hard",
        {
            "bulldog": "snow beach",
            "dachshund": "snow beach",
            "labrador": "dirt jungle",
            "corgi": "dirt jungle",
        },
        "0",
    ),
]


def _domains(name: str, domains: Sequence[str], classes: Sequence[str]) -> Miniature:
    cells = list(itertools.product(domains, reversed(classes)))
    shown = {domain: domain.replace("_", " ") for domain in domains}
    return Miniature(
        name,
        lambda root: put(root, *(f"{domain}/{one}/pic_001.jpg" for domain, one in cells)),
        [(f"{domain}/{one}/pic_001.jpg", one, shown[domain]) for domain, one in cells],
        {one: index for index, one in enumerate(classes)},
        lacking=domains[1],
        strange=adding(f"{domains[0]}/hors/pic_009.jpg"),
        said="class 'hors'",
        deeper=domains[0],
    )


PACS = _domains(
    "pacs",
    ("art_painting", "cartoon", "photo", "sketch"),
    ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person"),
)
VLCS = _domains(
    "vlcs",
    ("Caltech101", "LabelMe", "SUN09", "VOC2007"),
    ("bird", "car", "chair", "dog", "person"),
)
_DOMAINNET = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")


def write_domainnet(root: Path) -> None:
    for domain in _DOMAINNET:
        zebra, plane = (
            f"{domain}/zebra/{domain}_343_1.jpg",
            f"{domain}/air_plane/{domain}_001_2.jpg",
        )
        train = f"{domain}/air_plane/{domain}_001_1.jpg"
        unlisted = f"{domain}/zebra/{domain}_343_9.jpg"
        put(root, zebra, plane, train, unlisted)
        text(root, f"{domain}_test.txt", f"{zebra} 1", f"{plane} 0")
        text(root, f"{domain}_train.txt", f"{train} 0")


DOMAINNET = Miniature(
    "domainnet",
    write_domainnet,
    [
        row
        for domain in _DOMAINNET
        for row in (
            (f"{domain}/zebra/{domain}_343_1.jpg", "zebra", domain),
            (f"{domain}/air_plane/{domain}_001_2.jpg", "air plane", domain),
        )
    ],
    {"air plane": 0, "zebra": 1},
    lacking="painting_test.txt",
    strange=replace("real_test.txt", "real_343_1.jpg 1", "real_343_1.jpg 0"),
    said="class 0 is 'air plane' and class 0 is 'zebra'",
    deeper="clipart",
    splits={"train": 6},
)
_NICOPP = ("autumn", "dim", "grass", "outdoor", "rock", "water")


def write_nicopp(root: Path) -> None:
    text(root, "dg_label_id_mapping.json", json.dumps({"bird": 1, "hot air balloon": 0}))
    for context in _NICOPP:
        folder = f"public_dg_0416/train/{context}"
        put(root, f"{folder}/bird/{context}_1.jpg", f"{folder}/hot air balloon/{context}_2.jpg")
    put(root, "public_dg_0416/public_test_flat/00a1.jpg")


NICOPP = Miniature(
    "nicopp",
    write_nicopp,
    [
        row
        for context in _NICOPP
        for row in (
            (f"public_dg_0416/train/{context}/bird/{context}_1.jpg", "bird", context),
            (
                f"public_dg_0416/train/{context}/hot air balloon/{context}_2.jpg",
                "hot air balloon",
                context,
            ),
        )
    ],
    {"hot air balloon": 0, "bird": 1},
    lacking="dg_label_id_mapping.json",
    strange=replace("dg_label_id_mapping.json", '"bird"', '"birds"'),
    said="class 'bird'",
    deeper="public_dg_0416",
)
_IN9 = {
    "00_dog": "dog",
    "01_bird": "bird",
    "02_wheeled vehicle": "wheeled vehicle",
    "03_reptile": "reptile",
    "04_carnivore": "carnivore",
    "05_insect": "insect",
    "06_musical instrument": "musical instrument",
    "07_primate": "primate",
    "08_fish": "fish",
}


def write_imagenet9(root: Path) -> None:
    for variant in ("original", "mixed_rand", "mixed_same", "only_fg", "no_fg"):
        put(root, *(f"{variant}/val/{folder}/fg_n0_1_bg_2.JPEG" for folder in reversed(_IN9)))


IMAGENET9 = Miniature(
    "imagenet9",
    write_imagenet9,
    [(f"mixed_rand/val/{f}/fg_n0_1_bg_2.JPEG", name, None) for f, name in _IN9.items()],
    {"dog": 0, "wheeled vehicle": 2, "fish": 8},
    lacking="mixed_rand/val/06_musical instrument",
    strange=adding("mixed_rand/val/6_musical/1.JPEG"),
    said="class '6_musical'",
    deeper="mixed_rand",
    splits={"original": 9, "mixed_same": 9, "only_fg": 9, "no_fg": 9, "mixed": 18},
)


def wordnet_ids(name: str) -> list[str]:
    """WordNet ids in class order, from the lists that timm has."""
    path = importlib.metadata.distribution("timm").locate_file(f"timm/data/_info/{name}.txt")
    return Path(str(path)).read_text().split()


_HARD = {
    379: "howler monkey",
    416: "balance beam",
    433: "swimming cap",
    537: "dog sled",
    602: "gymnastic horizontal bar",
    655: "miniskirt",
    706: "patio",
    746: "hockey puck",
    785: "seat belt",
    795: "ski",
    801: "snorkel",
    810: "keyboard space bar",
    837: "sunglasses",
    890: "volleyball",
    981: "baseball player",
}
"""Class index in ImageNet -> name."""


def _hard_imagenet() -> Miniature:
    ids = {wordnet_ids("imagenet_synsets")[index]: name for index, name in _HARD.items()}
    val, train = "ILSVRC2012_val_00000001", "{0}_42"

    def write(root: Path) -> None:
        for one in reversed(ids):
            for split, stem in (("val", val), ("train", train.format(one))):
                put(root, f"imagenet/{split}/{one}/{stem}.JPEG")
                put_mask(root / f"hardImageNet/{split}/{one}_{stem}.png")
        put(root, f"imagenet/val/n01440764/{val}.JPEG", f"imagenet/val/{one}/no_mask.JPEG")

    return Miniature(
        "hard_imagenet",
        write,
        [(f"imagenet/val/{one}/{val}.JPEG", name, None) for one, name in ids.items()],
        {"howler monkey": 0, "balance beam": 1, "baseball player": 14},
        lacking="imagenet/val",
        strange=adding("hardImageNet/val/n99999999_x_1.png"),
        said="class 'n99999999' of imagenet/val/n99999999/x_1.JPEG",
        deeper="hardImageNet",
        splits={"train": 15},
    )


# The published folders have the class index third and the component last.
SPURIOUS_IMAGENET = Miniature(
    "spurious_imagenet",
    adding(
        "images/class_idx_100_component_2/a.jpg",
        "images/class_idx_2_component_10/b.jpg",
        "images/class_idx_10_component_0/c.jpg",
    ),
    [
        ("images/class_idx_100_component_2/a.jpg", "black swan", None),
        ("images/class_idx_10_component_0/c.jpg", "brambling", None),
        ("images/class_idx_2_component_10/b.jpg", "great white shark", None),
    ],
    {"great white shark": 2, "brambling": 10, "black swan": 100},
    lacking="images",
    strange=adding("images/class_idx_1000_component_1/d.jpg"),
    said="class '1000' of images/class_idx_1000_component_1/d.jpg",
    deeper="images",
)


def _imagenet(name: str, ids: list[str], names: dict[str, str], indices: dict[str, int]):
    """Every folder has a picture; rows are given for those in `names` (folder -> class)."""
    return Miniature(
        name,
        lambda root: put(root, *(f"{i}/pic_0.JPEG" for i in reversed(ids))),
        [(f"{folder}/pic_0.JPEG", one, None) for folder, one in names.items()],
        indices,
        lacking=ids[0],
        strange=adding("n99999999/1.JPEG"),
        said="class 'n99999999'",
        deeper=ids[0],
    )


IMAGENETS = [
    _imagenet(
        "imagenet-a",
        wordnet_ids("imagenet_a_synsets"),
        {"n01498041": "stingray", "n12267677": "acorn"},
        {"stingray": 0},
    ),
    _imagenet(
        "imagenet-r",
        wordnet_ids("imagenet_r_synsets"),
        {"n01443537": "goldfish", "n01484850": "great white shark", "n07753275": "pineapple"},
        {"goldfish": 0, "great white shark": 1},
    ),
    _imagenet(
        "imagenet-sketch",
        wordnet_ids("imagenet_synsets"),
        {
            "n01440764": "tench",
            "n02012849": "crane bird",
            "n03773504": "missile",
            "n04008634": "projectile",
            "n15075141": "toilet paper",
        },
        {"tench": 0, "goldfish": 1, "crane bird": 134, "toilet paper": 999},
    ),
    _imagenet(
        "imagenet-v2",
        [str(index) for index in range(1000)],
        {"0": "tench", "2": "great white shark", "10": "brambling", "999": "toilet paper"},
        {"tench": 0, "great white shark": 2, "brambling": 10, "toilet paper": 999},
    ),
]


def write_tiny_imagenet(root: Path) -> None:
    # Not sorted, as in the real file.
    text(root, "wnids.txt", "n02124075", "n01443537", "n03983396")
    text(
        root,
        "words.txt",
        "n00001740\tentity",
        "n01443537\tgoldfish, Carassius auratus",
        "n02124075\tEgyptian cat",
        'n03983396\tpop bottle, "soda" bottle',
    )
    text(
        root,
        "val/val_annotations.txt",
        "val_0.JPEG\tn03983396\t0\t32\t44\t62",
        "val_1.JPEG\tn02124075\t0\t0\t63\t63",
        "val_2.JPEG\tn01443537\t5\t6\t7\t8",
    )
    put(root, *(f"val/images/val_{k}.JPEG" for k in range(3)), "test/images/test_0.JPEG")
    put(root, *(f"train/{i}/images/{i}_0.JPEG" for i in ("n01443537", "n02124075", "n03983396")))
    text(root, "train/n01443537/n01443537_boxes.txt", "n01443537_0.JPEG\t0\t10\t63\t58")


TINY_IMAGENET = Miniature(
    "tiny_imagenet",
    write_tiny_imagenet,
    [
        ("val/images/val_0.JPEG", "pop bottle", None),
        ("val/images/val_1.JPEG", "Egyptian cat", None),
        ("val/images/val_2.JPEG", "goldfish", None),
    ],
    {"Egyptian cat": 0, "goldfish": 1, "pop bottle": 2},
    lacking="wnids.txt",
    strange=replace("val/val_annotations.txt", "n01443537", "n00001740"),
    said="class 'n00001740' of val/images/val_2.JPEG",
    deeper="val",
    splits={"train": 3},
)


def write_cub(root: Path) -> None:
    files = (
        "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg",
        "002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg",
        "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg",
    )
    text(root, "images.txt", *(f"{k} {name}" for k, name in enumerate(files, start=1)))
    text(root, "image_class_labels.txt", "3 1", "1 1", "2 2")
    text(root, "train_test_split.txt", "1 0", "2 0", "3 1")
    text(root, "bounding_boxes.txt", "1 6.0 2.0 3.0 4.5", "2 1.0 1.0 2.0 2.0", "3 0.0 0.0 1.0 1.0")
    text(root, "classes.txt", "2 002.Laysan_Albatross", "1 001.Black_footed_Albatross")
    for name in files:
        put(root, f"images/{name}")


CUB = Miniature(
    "cub",
    write_cub,
    [
        (
            "images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg",
            "Black footed Albatross",
            None,
        ),
        (
            "images/002.Laysan_Albatross/Laysan_Albatross_0002_1027.jpg",
            "Laysan Albatross",
            None,
        ),
    ],
    {"Black footed Albatross": 0, "Laysan Albatross": 1},
    lacking="bounding_boxes.txt",
    strange=replace("image_class_labels.txt", "2 2", "2 0"),
    said="class '0' of images/002.Laysan_Albatross",
    deeper="images",
    splits={"train": 1},
)


def mat_file(files: Sequence[str], labels: Sequence[int]) -> bytes:
    """A MATLAB file with a cell array of texts and a column of numbers, as MATLAB 5 writes it."""

    def element(kind: int, content: bytes) -> bytes:
        if 0 < len(content) <= 4:  # a small element
            return struct.pack("<HH", kind, len(content)) + content.ljust(4, b"\0")
        return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    def matrix(name: str, kind: int, size: tuple[int, int], content: bytes) -> bytes:
        head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<ii", *size))
        return element(14, head + element(1, name.encode()) + content)

    texts = [matrix("", 4, (1, len(f)), element(4, f.encode("utf-16-le"))) for f in files]
    numbers = element(2, bytes(labels))  # small doubles are stored as bytes
    variables = [
        matrix("file_list", 1, (len(files), 1), b"".join(texts)),
        matrix("labels", 6, (len(labels), 1), numbers),
    ]
    packed = [zlib.compress(variable) for variable in variables]
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    return header + b"".join(struct.pack("<II", 15, len(data)) + data for data in packed)


_DOGS = (
    "n02086079-Pekinese/n02086079_1.jpg",
    "n02085620-Chihuahua/n02085620_2.jpg",
    "n02098105-soft-coated_wheaten_terrier/n02098105_3.jpg",
)


def write_stanford_dogs(root: Path) -> None:
    put(root, *(f"Images/{name}" for name in _DOGS), "Images/n02085620-Chihuahua/n02085620_9.jpg")
    (root / "test_list.mat").write_bytes(mat_file(_DOGS, [2, 1, 3]))
    (root / "train_list.mat").write_bytes(mat_file(["n02085620-Chihuahua/n02085620_9.jpg"], [1]))


STANFORD_DOGS = Miniature(
    "stanford_dogs",
    write_stanford_dogs,
    [
        (f"Images/{_DOGS[0]}", "Pekinese", None),
        (f"Images/{_DOGS[1]}", "Chihuahua", None),
        (f"Images/{_DOGS[2]}", "soft-coated wheaten terrier", None),
    ],
    {"Chihuahua": 0, "Pekinese": 1, "soft-coated wheaten terrier": 2},
    lacking="test_list.mat",
    strange=lambda root: (root / "test_list.mat").write_bytes(mat_file(_DOGS, [2, 1, 1])) and None,
    said="class 1 is 'Chihuahua'",
    deeper="Images",
    splits={"train": 1},
)


def write_oxford_pets(root: Path) -> None:
    text(
        root,
        "annotations/test.txt",
        "Bengal_20 3 1 2",
        "Abyssinian_201 1 1 1",
        "american_bulldog_10 2 2 1",
    )
    text(root, "annotations/trainval.txt", "Abyssinian_100 1 1 1")
    header = "#Image CLASS-ID SPECIES BREED ID"
    text(root, "annotations/list.txt", header, "Abyssinian_100 1 1 1")
    names = ("Bengal_20", "Abyssinian_201", "american_bulldog_10", "Abyssinian_100", "beagle_1")
    put(root, *(f"images/{name}.jpg" for name in names))
    text(root, "images/Abyssinian_100.mat", "not an image")


OXFORD_PETS = Miniature(
    "oxford_pets",
    write_oxford_pets,
    [
        ("images/Abyssinian_201.jpg", "Abyssinian", None),
        ("images/Bengal_20.jpg", "Bengal", None),
        ("images/american_bulldog_10.jpg", "american bulldog", None),
    ],
    {"Abyssinian": 0, "american bulldog": 1, "Bengal": 2},
    lacking="annotations/test.txt",
    strange=replace("annotations/test.txt", "Bengal_20 3", "Bengal_20 two"),
    said="labels are not all numbers",
    deeper="images",
    splits={"train": 1},
)

MINIATURES = {
    one.name: one
    for one in (
        WATERBIRDS,
        CELEBA,
        CAMEL_DEER,
        SPIDER_CRAB,
        COUNTER_ANIMAL,
        *SPUCO,
        _urbancars(),
        METASHIFT,
        *SPAWRIOUS,
        PACS,
        VLCS,
        DOMAINNET,
        NICOPP,
        IMAGENET9,
        _hard_imagenet(),
        SPURIOUS_IMAGENET,
        *IMAGENETS,
        TINY_IMAGENET,
        CUB,
        STANFORD_DOGS,
        OXFORD_PETS,
    )
}
