"""Releases of boxes: COCO, YOLO and Pascal VOC, as programs and people leave them."""

import copy
import gzip
import json

from . import media
from .case import APPLE, PAGE, POINTER, Case, bom, utf16
from .release import HEIGHT, WIDTH, case, fails, jpeg

PETS = 'classes = ["cat", "dog"]'
# COCO.

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}]
BOXES = [[4, 6, 20.5, 30], [30, 10, 30, 32], [20, 1, 40, 45]]


def instances(split: str, boxes: list = BOXES, categories: list = CATEGORIES) -> dict:
    """Annotations of three images of a split, with a box each."""
    images = [{"id": i + 1, "file_name": f"{split}{i}.jpg", "width": WIDTH, "height": HEIGHT} for i in range(3)]
    annotations = [
        {
            "id": i + 1,
            "image_id": i + 1,
            "category_id": 1 + 2 * (i % 2),
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for i, box in enumerate(boxes)
    ]
    return copy.deepcopy({"images": images, "annotations": annotations, "categories": categories})


def coco(change: object = None, encode: object = lambda text: text.encode(), **options: object) -> dict[str, bytes]:
    """A release; `change` edits the annotations of the train split, `encode` makes bytes of all JSON."""
    files = {}
    for split in ("train", "val"):
        content = instances(split, **options)
        if change and split == "train":
            change(content)
        files[f"annotations/instances_{split}.json"] = encode(json.dumps(content))
        files |= {f"{split}/{split}{i}.jpg": jpeg(i) for i in range(3)}
    return files


def scaled(form: str = "xywh", parts: bool = True) -> list:
    """The same boxes as others write them."""
    boxes = []
    for left, top, width, height in BOXES:
        box = {
            "xywh": [left, top, width, height],
            "xyxy": [left, top, left + width, top + height],
            "cxcywh": [left + width / 2, top + height / 2, width, height],
        }[form]
        boxes.append([number / side for number, side in zip(box, [WIDTH, HEIGHT] * 2)] if parts else box)
    return boxes


def each(kind: str, **values: object) -> object:
    """An edit: keys of every image, annotation or category."""
    return lambda content: [entry.update(values) for entry in content[kind]]


def without(kind: str, key: str) -> object:
    """An edit: a key less in every image, annotation or category."""
    return lambda content: [entry.pop(key) for entry in content[kind]]


def first(kind: str, **values: object) -> object:
    """An edit: keys of the first image, annotation or category."""
    return lambda content: content[kind][0].update(values)


def renamed(name: object) -> object:
    """An edit: other names of the image files."""
    return lambda content: [image.update(file_name=name(image["file_name"])) for image in content["images"]]


def listed_twice(content: dict) -> None:
    """An edit: an image file under a second id, without objects."""
    content["images"].append(content["images"][0] | {"id": 77})


def label_studio(content: dict) -> None:
    """An edit: absolute paths, as some programs export them."""
    renamed(lambda name: f"/home/me/data/{name}")(content)


def commented(text: str) -> bytes:
    """JSON with a comment, as some editors allow."""
    return ("// made by hand\n" + text).encode()


def trailing_comma(text: str) -> bytes:
    """JSON with a comma before the end of a list."""
    return text.replace("}]", "},]", 1).encode()


def extra(content: dict) -> None:
    """An edit: keys that boxes do not need."""
    content |= {"info": None, "licenses": [], "videos": [{}]}
    first(
        "annotations", segmentation={"counts": "abc", "size": [48, 64]}, keypoints=[1, 2, 2], num_keypoints=1)(content,
    )
    first("images", license=None, coco_url="", date_captured=0)(content)


TWO = ["train: 3 images, 3 boxes", "validation: 3 images, 3 boxes"]
TRAIN = "annotations/instances_train.json"
JSON = "instances_train.json"


def roboflow_coco() -> dict[str, bytes]:
    """As Roboflow exports it."""
    files = {}
    for split in ("train", "valid", "test"):
        content = instances(split, categories=[{"id": 0, "name": "pets", "supercategory": "none"}, *CATEGORIES])
        files[f"{split}/_annotations.coco.json"] = json.dumps(content).encode()
        files |= {f"{split}/{split}{i}.jpg": jpeg(i) for i in range(3)}
    return files | {"README.roboflow.txt": b"pets - v1\n"}


def coco_cases() -> list[Case]:
    """COCO's JSON."""
    image = "train/train0.jpg"
    return [
        case("coco/plain", coco(), *TWO, 'classes = ["cat", "dog"]'),
        case("coco/bom", coco(encode=lambda text: bom(text.encode())), *TWO),
        case("coco/utf-16", coco(encode=utf16), *TWO),
        case("coco/utf-16-be", coco(encode=lambda text: utf16(text, order="be")), *TWO),
        fails("coco/utf-16-without-mark", coco(encode=lambda text: utf16(text, mark=False)), JSON, "UTF-16", "hint"),
        case("coco/ids-as-floats", coco(first("annotations", image_id=1.0, category_id=1.0)), *TWO),
        case("coco/iscrowd-false", coco(each("annotations", iscrowd=False)), *TWO),
        case(
            "coco/no-iscrowd-no-area",
            coco(lambda all: (without("annotations", "iscrowd")(all), without("annotations", "area")(all))),
            *TWO,
        ),
        case(
            "coco/no-sizes",
            coco(lambda all: (without("images", "width")(all), without("images", "height")(all))),
            *TWO,
        ),
        case("coco/file-name-dot", coco(renamed(lambda name: f"./{name}")), *TWO),
        case("coco/file-name-backslash", coco(renamed(lambda name: f"train\\{name}")), *TWO),
        case("coco/roboflow", roboflow_coco(), "test: 3 images, 3 boxes", "pets"),
        case("coco/crlf", coco(encode=lambda text: text.replace(", ", ",\r\n").encode()), *TWO),
        case("coco/jpeg-with-data-behind", coco() | {image: jpeg(0) + jpeg(1) + b"MotionPhoto" * 9}, *TWO),
        case(
            "coco/hidden-files",
            coco() | {"train/._train0.jpg": APPLE, "__MACOSX/train/._train0.jpg": APPLE, ".DS_Store": b"\0"},
            *TWO,
            never="not read",
        ),
        case("coco/keys-of-others", coco(extra), *TWO),
        case(
            "coco/splits-in-capitals",
            {name.replace("train", "Train"): content.replace(b"train", b"Train") for name, content in coco().items()},
            *TWO,
        ),
        case("coco/spaces-around", coco(encode=lambda text: f"\n\n  {text}\n\n".encode()), *TWO),
        fails("coco/comments", coco(encode=commented), JSON, "line 1", "no comments"),
        fails("coco/trailing-comma", coco(encode=trailing_comma), JSON, "line 1", "column"),
        fails("coco/two-objects", coco(encode=lambda text: (text + text).encode()), JSON, "line 1", "column"),
        fails(
            "coco/bbox-as-object",
            coco(first("annotations", bbox={"x": 1, "y": 2, "w": 3, "h": 4})),
            "annotations[0].bbox",
            "4 numbers",
        ),
        fails("coco/no-bbox", coco(without("annotations", "bbox")), "annotations[0]", "`bbox`"),
        fails("coco/category-without-name", coco(without("categories", "name")), "categories[0]", "`name`"),
        fails(
            "coco/box-without-area", coco(first("annotations", bbox=[10, 10, 0, 5])), "annotation 1", "--tolerate box",
        ),
        fails(
            "coco/urls-for-names",
            coco(renamed(lambda name: f"http://images.example.org/train/{name}")),
            "hint: there is",
        ),
        fails("coco/categories-in-one-file", coco(lambda all: all.update(categories=[])), "category_id", "a category"),
        fails(
            "coco/image-id-as-text",
            coco(first("annotations", image_id="1")),
            "annotations[0].image_id",
            "whole number",
        ),
        fails(
            "coco/bbox-of-texts",
            coco(first("annotations", bbox=["1", "2", "3", "4"])),
            "annotations[0].bbox",
            "number",
        ),
        fails("coco/bbox-empty", coco(first("annotations", bbox=[])), "annotations[0].bbox", "4 numbers"),
        fails("coco/bbox-null", coco(first("annotations", bbox=None)), "annotations[0].bbox", "null"),
        fails("coco/bbox-nan", coco(first("annotations", bbox=[float("nan"), 1, 2, 3])), "NaN", JSON),
        fails("coco/no-categories", coco(lambda all: all.pop("categories")), "categories", JSON),
        fails("coco/truncated", coco() | {TRAIN: coco()[TRAIN][:300]}, JSON, "end"),
        fails("coco/html-for-json", coco() | {TRAIN: PAGE}, JSON, "HTML", "get the file again"),
        fails("coco/pointer-for-json", coco() | {TRAIN: POINTER}, JSON, "Git LFS", "git lfs pull"),
        fails("coco/gzip-for-json", coco() | {TRAIN: gzip.compress(b"{}", mtime=0)}, JSON, "gzip", "unpack"),
        fails("coco/empty-json", coco() | {TRAIN: b""}, JSON, "empty"),
        fails("coco/same-file-twice", coco(listed_twice), "train0.jpg", "77"),
        fails("coco/same-id-twice", coco(first("images", id=2)), "images", "2 twice"),
        fails("coco/annotation-of-no-image", coco(first("annotations", image_id=99)), "image_id", "99"),
        fails("coco/category-of-none", coco(first("annotations", category_id=2)), "category_id", "2"),
        fails("coco/category-twice", coco(categories=[*CATEGORIES, {"id": 4, "name": "cat"}]), "cat", "twice"),
        fails("coco/categories-differ", coco(lambda all: all["categories"][1].update(name="fox")), "fox", "dog"),
        fails("coco/normalized", coco(boxes=scaled()), "parts of the image", "pixels"),
        fails("coco/normalized-corners", coco(boxes=scaled("xyxy")), "parts of the image", "right"),
        fails("coco/some-normalized", coco(boxes=[BOXES[0], *scaled()[1:]]), "2 of 3", "but as", "parts of the image"),
        case("coco/one-normalized", coco(boxes=[*BOXES[:2], scaled()[2]]), "1 of 3 boxes of the train split", "parts"),
        fails("coco/corners", coco(boxes=scaled("xyxy", parts=False)), "right, bottom"),
        fails("coco/box-outside", coco(first("annotations", bbox=[50, 10, 40, 20])), "annotation 1", "--tolerate box"),
        case(
            "coco/box-outside-tolerated",
            coco(first("annotations", bbox=[50, 10, 40, 20])),
            "1 boxes were cut off",
            options="--tolerate box",
        ),
        fails("coco/image-missing", {name: content for name, content in coco().items() if name != image}, "train0.jpg"),
        fails(
            "coco/image-in-other-case",
            {name.replace("train0.jpg", "train0.JPG"): content for name, content in coco().items()},
            "hint: there is",
            "train0.JPG",
        ),
        fails(
            "coco/image-of-other-kind",
            {name.replace("train0.jpg", "train0.png"): content for name, content in coco().items()},
            "hint: there is",
            "train0.png",
        ),
        fails("coco/absolute-paths", coco(label_studio), "home/me/data", "hint: there is"),
        fails("coco/exif-turned", coco() | {image: jpeg(0, segment=media.orientation(6))}, "EXIF", "orientation 6"),
        case(
            "coco/exif-turned-upright",
            coco() | {image: media.jpeg(HEIGHT, WIDTH, 0, segment=media.orientation(6))},
            *TWO,
            "1 images are turned by their EXIF data",
        ),
        fails("coco/other-size", coco() | {image: media.jpeg(32, 24)}, "64×48", "32×24"),
        fails(
            "coco/json-renamed",
            {name.replace("instances_", "coco_"): content for name, content in coco().items()},
            "coco_train.json",
            "instances_train.json",
        ),
    ]


# YOLO.

YAML = b"train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n"
LABEL = b"0 0.25 0.25 0.3 0.3\n1 0.5 0.5 0.9 0.9\n"


def yolo(shape: str = "images/{}/{}.jpg labels/{}/{}.txt", splits: tuple = ("train", "val")) -> dict[str, bytes]:
    """A release of two images a split."""
    image, label = shape.split()
    files = {}
    for split in splits:
        for i in range(2):
            files[image.format(split, i)] = jpeg(i)
            files[label.format(split, i)] = LABEL
    return files | {"data.yaml": YAML}


def labeled(label: bytes) -> dict[str, bytes]:
    """A release with this label of the first training image."""
    return yolo() | {"labels/train/0.txt": label}


def named(names: bytes) -> dict[str, bytes]:
    """A release whose `data.yaml` has these bytes."""
    return yolo() | {"data.yaml": names}


def listed(classes: bytes, place: str = "classes.txt") -> dict[str, bytes]:
    """A release with a list of classes in place of `data.yaml`."""
    return {name: content for name, content in yolo().items() if name != "data.yaml"} | {place: classes}


FOUR = ["train: 2 images, 4 boxes", "validation: 2 images, 4 boxes"]


def yolo_cases() -> list[Case]:
    """Labels in text files."""
    inner, beside = "{}/images/{}.jpg {}/labels/{}.txt", "{}/{}.jpg {}/{}.txt"
    three = ("train", "valid", "test")
    return [
        case("yolo/plain", yolo(), *FOUR, PETS),
        case("yolo/roboflow", yolo(inner, three), *FOUR, "test: 2 images, 4 boxes"),
        case(
            "yolo/label-img",
            {name: content for name, content in yolo(beside).items() if name != "data.yaml"} | {"train/classes.txt": b"cat\ndog\n", "val/classes.txt": b"cat\r\ndog\r\n"},
            *FOUR,
            PETS,
        ),
        case("yolo/yaml-bom", named(bom(YAML)), *FOUR, PETS),
        case("yolo/yaml-utf-16", named(utf16(YAML.decode())), *FOUR, PETS),
        case("yolo/yaml-crlf", named(YAML.replace(b"\n", b"\r\n")), *FOUR, PETS),
        case("yolo/yaml-block", named(b"names:\n  0: cat  # the first\n  1: dog\nnc: 2\n"), *FOUR, PETS),
        case("yolo/yaml-dashes", named(b"nc: 2\nnames:\n- cat\n- 'dog'\n"), *FOUR, PETS),
        case("yolo/classes-bom", listed(bom(b"cat\ndog\n")), *FOUR, PETS),
        case("yolo/classes-utf-16", listed(utf16("cat\r\ndog\r\n")), *FOUR, PETS),
        case("yolo/classes-in-labels", listed(b"cat\ndog\n", "labels/classes.txt"), *FOUR, PETS),
        case("yolo/label-bom", labeled(bom(LABEL)), *FOUR),
        case("yolo/label-utf-16", labeled(utf16(LABEL.decode())), *FOUR),
        case("yolo/label-crlf", labeled(LABEL.replace(b"\n", b"\r\n")), *FOUR),
        case("yolo/label-tabs", labeled(LABEL.replace(b" ", b"\t") + b"\n\n"), *FOUR),
        case("yolo/label-class-float", labeled(b"0.0 0.25 0.25 0.3 0.3\n1.0 0.5 0.5 0.9 0.9\n"), *FOUR),
        case("yolo/label-empty", labeled(b""), "train: 2 images, 2 boxes"),
        case(
            "yolo/label-missing",
            {name: content for name, content in yolo().items() if name != "labels/train/0.txt"},
            "1 images have no label file",
            "images/train/0.jpg",
        ),
        case(
            "yolo/webp",
            {name.replace(".jpg", ".webp"): media.webp(WIDTH, HEIGHT) if ".jpg" in name else content for name, content in yolo().items()},
            *FOUR,
            "4 images are neither JPEG nor PNG",
        ),
        case("yolo/label-exponents", labeled(b"0 2.5e-1 2.5E-1 3e-01 .3\n1 0.5 0.5 0.9 0.9\n"), *FOUR),
        case("yolo/label-signs", labeled(b"0 +0.25 +0.25 0.3 0.3\n"), "train: 2 images, 3 boxes"),
        case("yolo/yaml-braces", named(b"names: {0: cat, 1: 'dog'}\nnc: 2\n"), *FOUR, PETS),
        case("yolo/yaml-trailing-comma", named(b"names: [cat, dog,]\n"), *FOUR, PETS),
        case("yolo/yaml-of-several-lines", named(b"names: [\n  'cat',\n  'dog'\n]\nnc: 2\n"), *FOUR, PETS),
        case(
            "yolo/yaml-names-with-colons",
            named(b"names:\n  0: 'cat: black'\n  1: dog, brown\n"),
            *FOUR,
            '"cat: black"',
            '"dog, brown"',
        ),
        case("yolo/yml", {name.replace(".yaml", ".yml"): content for name, content in yolo().items()}, *FOUR, PETS),
        case("yolo/label-studio", listed(b"cat\ndog\n") | {"notes.json": b"{}"}, *FOUR, PETS),
        case("yolo/dataset-in-a-folder", {f"pets/{name}": content for name, content in yolo().items()}, *FOUR, PETS),
        fails("yolo/yaml-key-missing", named(b"names:\n  0: cat\n  2: dog\n"), "line 3", "the key 1"),
        fails("yolo/yaml-without-names", named(b"nc: 2\ntrain: a\n"), "data.yaml", "names"),
        fails("yolo/yaml-is-html", named(PAGE), "data.yaml", "HTML"),
        fails("yolo/label-short", labeled(b"0 0.5 0.5 0.4\n"), "line 1", "3 numbers"),
        fails("yolo/label-outside", labeled(b"0 0.9 0.5 0.4 0.1\n"), "labels/train/0.txt", "--tolerate box"),
        fails("yolo/label-without-width", labeled(b"0 0.9 0.5 0 0.1\n"), "labels/train/0.txt", "--tolerate box"),
        fails("yolo/class-negative", labeled(b"-1 0.5 0.5 0.4 0.1\n"), "line 1", "-1"),
        fails(
            "yolo/image-missing",
            {name: content for name, content in yolo().items() if name != "images/train/0.jpg"},
            "labels/train/0.txt",
            "image",
        ),
        fails("yolo/polygon", labeled(b"0 0.1 0.1 0.4 0.1 0.4 0.5\n"), "line 1", "outline", "export boxes"),
        fails("yolo/turned-box", labeled(b"0 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5\n"), "line 1", "turned"),
        fails("yolo/score", labeled(b"0 0.5 0.5 0.4 0.1 0.99\n"), "line 1", "score"),
        fails(
            "yolo/pixels",
            {name: b"0 16 12 20 14\n1 32 24 58 43\n" if name.endswith(".txt") else content for name, content in yolo().items()},
            "pixels",
            "parts of the image",
        ),
        fails(
            "yolo/corners",
            {name: b"0 0.5 0.5 0.9 0.95\n1 0.6 0.7 0.99 0.99\n" if name.endswith(".txt") else content for name, content in yolo().items()},
            "right, bottom",
        ),
        fails("yolo/class-too-large", labeled(b"2 0.5 0.5 0.4 0.1\n"), "line 1", "a class from 0 to 1"),
        fails("yolo/class-by-name", labeled(b"cat 0.5 0.5 0.4 0.1\n"), "line 1", "cat"),
        fails("yolo/decimal-comma", labeled(b"0 0,5 0,5 0,4 0,1\n"), "line 1"),
        fails("yolo/label-is-html", labeled(PAGE), "labels/train/0.txt", "HTML"),
        fails("yolo/label-is-pointer", labeled(POINTER), "labels/train/0.txt", "Git LFS"),
        fails("yolo/nc-differs", named(YAML.replace(b"nc: 2", b"nc: 3")), "line 3", "nc"),
        fails(
            "yolo/lists-differ", listed(b"cat\ndog\n") | {"labels/classes.txt": b"dog\ncat\n"}, "classes.txt", "others",
        ),
        fails("yolo/class-twice", named(YAML.replace(b"dog", b"cat")), "cat", "twice"),
        fails(
            "yolo/no-names", {name: content for name, content in yolo().items() if name != "data.yaml"}, "classes.txt",
        ),
        fails(
            "yolo/no-splits",
            {name.replace("/train/", "/").replace("/val/", "/v"): content for name, content in yolo().items()},
            "train",
        ),
    ]


# Pascal VOC.


def xml(name: str = "cat", box: tuple = (5, 7, 25, 37), head: str = "", size: tuple = (WIDTH, HEIGHT)) -> bytes:
    """An annotation with one object."""
    bounds = "".join(f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box))
    sides = f"<width>{size[0]}</width><height>{size[1]}</height><depth>3</depth>"
    text = f"{head}<annotation><size>{sides}</size><object><name>{name}</name><bndbox>{bounds}</bndbox></object></annotation>\n"
    return text.encode()


VOC_BOXES = [(5, 7, 25, 37), (31, 11, 60, 42), (1, 1, WIDTH, HEIGHT)]


def voc(boxes: list = VOC_BOXES, encode: object = lambda content: content) -> dict[str, bytes]:
    """A release of three images a split."""
    files = {}
    for split in ("train", "val"):
        files[f"ImageSets/Main/{split}.txt"] = "".join(f"{split}{i}\n" for i in range(3)).encode()
        for i, box in enumerate(boxes):
            files[f"Annotations/{split}{i}.xml"] = encode(xml(box=box))
            files[f"JPEGImages/{split}{i}.jpg"] = jpeg(i)
    return files


def voc_beside() -> dict[str, bytes]:
    """As Roboflow and labelImg have it."""
    splits = [(split, i) for split in ("train", "valid") for i in range(2)]
    return {f"{split}/{i}.xml": xml() for split, i in splits} | {f"{split}/{i}.jpg": jpeg(i) for split, i in splits}


def voc_cases() -> list[Case]:
    """XML files."""
    one, three = "Annotations/train0.xml", TWO
    from_zero = [(left - 1, top - 1, right - 1, bottom - 1) for left, top, right, bottom in VOC_BOXES]
    parts = [tuple(number / side for number, side in zip(box, [WIDTH, HEIGHT] * 2)) for box in VOC_BOXES]
    gbk = '<?xml version="1.0" encoding="GBK"?>'.encode() + xml().replace(b"cat", "猫".encode("gbk"))
    broken = xml(head='<?xml version="1.0" encoding="EBCDIC-X"?>')
    return [
        case("voc/plain", voc(), *three, 'classes = ["cat"]'),
        case("voc/bom", voc(encode=bom), *three),
        case("voc/utf-16", voc(encode=lambda content: utf16(content.decode())), *three),
        case("voc/gbk", voc() | {one: gbk}, *three, '"猫"'),
        case(
            "voc/latin-1",
            voc() | {one: "<?xml version='1.0' encoding='iso-8859-1'?>".encode() + xml().replace(b"cat", b"K\xe4fer")},
            *three,
            '"Käfer"',
        ),
        case(
            "voc/list-crlf-and-signs",
            voc() | {"ImageSets/Main/train.txt": b"train0  1\r\ntrain1 -1\r\ntrain2  0\r\n"},
            *three,
        ),
        case("voc/list-bom", voc() | {"ImageSets/Main/train.txt": bom(b"train0\ntrain1\ntrain2\n")}, *three),
        case("voc/beside", voc_beside(), "train: 2 images, 2 boxes"),
        case("voc/from-zero-said", voc(from_zero), *three, "boxes count pixels from 0", options="--first-pixel 0"),
        case(
            "voc/not-in-any-list",
            voc() | {"Annotations/other.xml": xml(), "JPEGImages/other.jpg": jpeg(9)},
            *three,
            "1 annotations are in no list",
            "1 image files are in no split",
        ),
        case("voc/name-with-spaces", voc() | {one: xml(" cat\n")}, *three, 'classes = ["cat"]'),
        case("voc/name-with-entity", voc() | {one: xml("cat &amp; dog")}, *three, '"cat & dog"'),
        case("voc/name-in-cdata", voc() | {one: xml("<![CDATA[cat]]>")}, *three, 'classes = ["cat"]'),
        case("voc/bounds-with-fractions", voc() | {one: xml(box=(5.5, 7.0, 25.25, 37.75))}, *three),
        case(
            "voc/no-size", voc() | {one: xml().replace(b"<size>", b"<sizes>").replace(b"</size>", b"</sizes>")}, *three,
        ),
        case("voc/no-objects", voc() | {one: b"<annotation></annotation>"}, "train: 3 images, 2 boxes"),
        case(
            "voc/utf-16-declared",
            voc() | {one: utf16('<?xml version="1.0" encoding="utf-16"?>' + xml().decode())},
            *three,
        ),
        fails(
            "voc/list-of-files",
            voc() | {"ImageSets/Main/train.txt": b"train0.jpg\ntrain1.jpg\n"},
            "train0.jpg",
            "without the ends",
        ),
        fails("voc/doctype", voc() | {one: b"<!DOCTYPE annotation>\n" + xml()}, one, "DTD"),
        fails("voc/name-empty", voc() | {one: xml("")}, one, "name"),
        fails("voc/bounds-exchanged", voc() | {one: xml(box=(25, 37, 5, 7))}, "train0.xml", "--tolerate box"),
        fails("voc/bounds-of-words", voc() | {one: xml(box=("left", 7, 25, 37))}, one, "xmin"),
        fails("voc/xml-truncated", voc() | {one: xml()[:120]}, one),
        fails("voc/from-zero", voc(from_zero), "train2.xml", "--first-pixel 0"),
        fails("voc/normalized", voc(parts), "parts of the image"),
        fails("voc/sizes-for-corners", voc([(31, 25, 20, 14), (31, 11, 30, 22), (21, 11, 10, 8)]), "width, height"),
        fails("voc/unknown-encoding", voc() | {one: broken}, one, "EBCDIC-X", "UTF-8"),
        fails("voc/latin-1-undeclared", voc() | {one: xml().replace(b"cat", b"K\xe4fer")}, one, "0xe4", "UTF-8"),
        fails("voc/html-for-xml", voc() | {one: PAGE}, one, "HTML"),
        fails("voc/no-bndbox", voc() | {one: xml().replace(b"bndbox", b"robndbox")}, one, "bndbox"),
        fails("voc/other-size", voc() | {one: xml(size=(640, 480))}, "train0.jpg", "640×480"),
        fails("voc/size-of-zeros", voc() | {one: xml(size=(0, 0), box=(90, 7, 200, 37))}, one, "box"),
        fails("voc/list-names-none", voc() | {"ImageSets/Main/train.txt": b"train0\nghost\n"}, "ghost"),
        fails("voc/list-twice", voc() | {"ImageSets/Main/train.txt": b"train0\ntrain0\n"}, "train0", "twice"),
        fails(
            "voc/image-missing",
            {name: content for name, content in voc_beside().items() if name != "train/0.jpg"},
            "train/0.xml",
            "image",
        ),
    ]


def cases() -> list[Case]:
    """All of them."""
    return coco_cases() + yolo_cases() + voc_cases()
