"""Files that look like others: what could be read without a complaint, and mean something else."""

import io
import tarfile

from . import media
from .boxes import BOXES, coco, named, voc, xml, yolo
from .case import Case
from .evals import detections, found, mapped, masks, truth
from .imports import archived, camvid, crowd, folders
from .release import HEIGHT, WIDTH, case, fails, jpeg


def without(files: dict[str, bytes], *names: str) -> dict[str, bytes]:
    """A release with files less."""
    return {name: content for name, content in files.items() if name not in names}


def renamed(files: dict[str, bytes], name: str, other: str) -> dict[str, bytes]:
    """A release with a file of another name."""
    return without(files, name) | {other: files[name]}


def pairs(images: str, others: str) -> dict[str, bytes]:
    """Images and masks in folders of these names."""
    splits = [(split, i) for split in ("train", "val") for i in range(2)]
    files = {images.format(split, i): media.png(media.gray(WIDTH, HEIGHT, i)) for split, i in splits}
    return files | {others.format(split, i): media.png([[0, 1] * (WIDTH // 2)] * HEIGHT) for split, i in splits}


def cut_tar() -> bytes:
    """A tar archive that ends behind a whole member, though others follow it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("train/cat/0.jpg", "train/dog/0.jpg", "val/cat/0.jpg", "val/dog/0.jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = len(jpeg())
            archive.addfile(entry, io.BytesIO(jpeg()))
        end = archive.offset - 512 - (len(jpeg()) + 511) // 512 * 512
    return out.getvalue()[:end]


def doubled(content: dict) -> None:
    """An edit: an annotation under a second id."""
    content["annotations"].append(content["annotations"][0] | {"id": 77})


def other_unit(scale: float) -> dict[str, bytes]:
    """Boxes in parts of the sides of which `scale` are the whole."""
    sides = [WIDTH, HEIGHT] * 2
    return coco(boxes=[[scale * number / side for number, side in zip(box, sides)] for box in BOXES])


def release_cases() -> list[Case]:
    """What `import` makes of them."""
    four, names = "train: 2 images, 4 boxes", b"train: x\nnames: "
    truth_file = "train_data/ground-truth/GT_IMG_1.mat"
    fractions = [(0.4, 0.6, 60.3, 42.7)] * 3
    return [
        fails("alike/images-and-masks", pairs("{}/images/{}.png", "{}/masks/{}.png"), "images and their masks"),
        fails("alike/cityscapes", pairs("{}/leftImg8bit/a/{}.png", "{}/gtFine/a/{}.png"), "images and their masks"),
        fails("alike/masks-on-top", pairs("images/{}/{}.png", "masks/{}/{}.png"), "nearly camvid"),
        case("alike/classes-called-mask", pairs("{}/mask/{}.png", "{}/no_mask/{}.png"), "train: 4 images"),
        fails("alike/mask-of-other-name", renamed(camvid(), "trainannot/0.png", "trainannot/0_L.png"), "0_L.png"),
        fails("alike/mask-of-16-bits", camvid(media.png([[0] * WIDTH] * HEIGHT, depth=16)), "16 bits", "hint"),
        fails("alike/voc-fractions-from-0", voc(fractions), "xmin 0.4", "--first-pixel 0"),
        case("alike/voc-fractions-that-count-from-0", voc(fractions), "end before", options="--first-pixel 0"),
        case("alike/voc-utf-8-as-ascii", voc() | {
            "Annotations/train0.xml": xml("Käfer", head='<?xml version="1.0" encoding="ascii"?>'),
        }, "Käfer"),
        archived("alike/tar-without-its-last-member", "pets.tar", cut_tar(), "the end of a whole tar archive", code=1),
        case("alike/yaml-escapes", named(names + b'["\\u732B", "K\\xE4fer"]\n'), four, '["猫", "Käfer"]'),
        case("alike/yaml-quotes", named(names + b"['it''s', 'dog']\n"), four, "it's"),
        fails("alike/yaml-maps", named(names + b"\n- name: cat\n- name: dog\n"), "line 3", "a plain name"),
        case("alike/two-lists-of-classes", yolo() | {"classes.txt": b"dog\ncat\n"}, four, "other classes"),
        case("alike/label.TXT", renamed(yolo(), "labels/train/0.txt", "labels/train/0.TXT"), four, never="have no label file"),
        fails("alike/label.TXT-without-image", yolo() | {"labels/train/9.TXT": b""}, "9.TXT"),
        case("alike/truth.MAT", renamed(crowd(), truth_file, truth_file[:-3] + "MAT"), "train: "),
        case("alike/box-twice", coco(doubled), "1 boxes of the train split are twice"),
        fails("alike/jpeg-before-a-whole-one", folders() | {"train/cat/0.jpg": jpeg(1)[:-20] + jpeg(2)}, "lacks its end"),
        fails("alike/percent", other_unit(100), "of 3 of the train split are outside", "percent"),
        fails("alike/thousandths", other_unit(1000), "3 of 3 of the train split are outside", "percent"),
        fails("alike/split-of-no-name", {
            "annotations/instances_default.json": coco()["annotations/instances_train.json"],
        }, "called train, val and test", "default"),
        fails("alike/test-without-classes", folders() | {"test/0.jpg": jpeg()}, "in none", "hint: leave out"),
    ]


def eval_cases() -> list[Case]:
    """What `eval` makes of them."""
    true = [[0, 0, 1, 1, 2, 2]]
    green = {"truth/1.png": media.png(true), "predicted/1.png": media.png(true)}
    twice = truth()
    doubled(twice)
    file_twice = truth()
    file_twice["images"] = [image | {"file_name": "a.jpg"} for image in file_twice["images"]]
    weak = [[value] * 11 for value in (1, 2, 3)]
    stray = [[0, 0, 1, 255, 255, 255]]
    return [
        masks("tiff-beside", true, true, "--classes 3", "not scored", more={"truth/1.tif": b"II*\0"}, images=1),
        masks("stray-class", stray, mapped(stray, {0: 0, 1: 1, 255: 1}), "--classes 2", "3 of 6", "are not judged"),
        masks(
            "palettes-of-each-file",
            media.png([[0, 1, 1]], palette=["000000", "008000"]),
            media.png([[0, 2, 2]], palette=["000000", "800000", "008000"]),
            "--classes 3",
            "#008000 is 1 in the truth and 2 in predictions",
            more=green,
        ),
        masks("weak-and-shifted", weak, [[value - 1] * 3 + [4, 4, 5, 5, 6, 6, 7, 7] for value in (1, 2, 3)], "--classes 8", "higher"),
        detections("objects-twice", twice, found(), "1 objects are twice"),
        detections("file-of-two-images", file_twice, found(), "a.jpg is the file of several images"),
    ]


def cases() -> list[Case]:
    """All of them."""
    return release_cases() + eval_cases()
