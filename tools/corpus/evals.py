"""Predictions of other programs, as these and people leave them."""

import gzip
import json

from . import media
from .case import APPLE, PAGE, POINTER, Case, bom, utf16


def case(
    name: str, command: str, files: dict[str, bytes], *says: str, code: int = 0, never: str = "", **gives: object,
) -> Case:
    """The score of files; in `gives`, `__` is a point between keys."""
    values = {key.replace("__", "."): value for key, value in gives.items()}
    return Case(f"eval/{name}", ["eval", *command.split()], files, code, list(says), [never] if never else [], values)


# Counts.

GOOD = "truth,prediction\n10,12\n20,17.5\n0,1\n"


def counts(name: str, content: bytes, *says: str, code: int = 0, **gives: object) -> Case:
    """The score of a file of counts."""
    return case(f"counts/{name}", "crowd-counting {}/counts.csv", {"counts.csv": content}, *says, code=code, **gives)


def count_cases() -> list[Case]:
    """CSV files."""
    score = {"images": 3, "mae": 5.5 / 3, "rmse": (11.25 / 3) ** 0.5, "nae": 0.1625}
    good = {
        "plain": GOOD.encode(),
        "bom": bom(GOOD.encode()),
        "utf-16": utf16(GOOD),
        "utf-16-be": utf16(GOOD, order="be"),
        "crlf": GOOD.replace("\n", "\r\n").encode(),
        "carriage-returns": GOOD.replace("\n", "\r").encode(),
        "quotes": b'"truth","prediction"\n"10","12"\n"20","17.5"\n"0","1"\n',
        "spaces": b"truth , prediction\n 10 , 12\n20, 17.5 \n0,1\n\n",
        "other-columns": b"image,truth,note,prediction\na.jpg,10,x,12\nb.jpg,20,,17.5\nc.jpg,0,y,1\n",
        "exponents": b"truth,prediction\n1e1,1.2E+1\n2e1,1.75e1\n0,1\n",
        "no-end-of-line": GOOD.strip().encode(),
    }
    bad = [
        ("column-twice", b"truth,prediction,prediction\n1,2,3\n", "several", "prediction"),
        ("semicolons", GOOD.replace(",", ";").encode(), "column `truth`", "separate the columns by commas"),
        ("tabs", GOOD.replace(",", "\t").encode(), "column `truth`", "commas"),
        ("decimal-comma", b"truth;prediction\n10,5;12,5\n", "truth", "point"),
        ("no-head", b"10,12\n20,17\n", "column `truth`", "first line"),
        ("capitals", b"Truth,Prediction\n1,2\n", "column `truth`", "Truth"),
        ("nan", b"truth,prediction\n10,nan\n", "line 2", "prediction"),
        ("empty-cell", b"truth,prediction\n10,12\n20,\n", "line 3", "prediction"),
        ("negative", b"truth,prediction\n-3,1\n", "line 2", "at least 0"),
        ("short-line", b"truth,prediction\n10,12\n20\n", "line 3", "2 values"),
        ("thousands", b"truth,prediction\n1,234,1,200\n", "line 2", "2 values"),
        ("sep-line", b"sep=,\n" + GOOD.encode(), "column `truth`", "sep="),
        ("infinite", b"truth,prediction\n10,inf\n", "line 2", "prediction"),
        ("tensors", b"truth,prediction\n10,tensor(12.0)\n", "line 2", "tensor(12.0)"),
        ("json", b'[{"truth": 1, "prediction": 2}]', "column `truth`"),
        ("utf-16-without-mark", utf16(GOOD, mark=False), "UTF-16", "save the file in UTF-8"),
        ("latin-1", "truth,prediction,köpfe\n1,2,3\n".encode("latin-1"), "UTF-8", "0xf6"),
        ("html", PAGE, "HTML", "get the file again"),
        ("pointer", POINTER, "Git LFS", "git lfs pull"),
        ("workbook", b"PK\x03\x04" + bytes(60), "zip"),
        ("gzip", gzip.compress(GOOD.encode(), mtime=0), "gzip", "unpack"),
        ("empty", b"", "truth"),
        ("head-alone", b"truth,prediction\n", "a line for each image"),
    ]
    rows = [counts(name, content, **score) for name, content in good.items()]
    rows += [counts(name, content, "counts.csv", *says, code=2) for name, content, *says in bad]
    return rows


# Detections.

IMAGES = [{"id": i + 1, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(2)]
OBJECTS = [[100, 120, 200, 150], [300, 50, 80, 90], [50, 60, 300, 200]]


def truth(boxes: list = OBJECTS, **keys: object) -> dict:
    """Annotations of two images; `keys` of each annotation."""
    annotations = [
        {
            "id": i + 1,
            "image_id": 1 + i % 2,
            "category_id": 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            **keys,
        }
        for i, box in enumerate(boxes)
    ]
    return {
        "images": IMAGES,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def found(boxes: list = OBJECTS, **keys: object) -> list:
    """Detections that find all; `keys` of each."""
    return [
        {"image_id": 1 + i % 2, "category_id": 1, "bbox": box, "score": 0.9 - i / 10, **keys} for i, box in enumerate(boxes)
    ]


def detections(
    name: str,
    annotations: object,
    results: object,
    *says: str,
    code: int = 0,
    options: str = "",
    never: str = "",
    **gives: object,
) -> Case:
    """The score of detections; bytes are files as they are."""
    files = {"gt.json": annotations, "dt.json": results}
    files = {name: content if isinstance(content, bytes) else json.dumps(content).encode() for name, content in files.items()}
    command = f"detection --annotations {{}}/gt.json --results {{}}/dt.json {options}"
    return case(f"detection/{name}", command, files, *says, code=code, never=never, **gives)


def others(box: list, form: str, parts: bool = False) -> list:
    """A box as others write it."""
    left, top, width, height = box
    box = box if form == "xywh" else [left, top, left + width, top + height]
    return [number / side for number, side in zip(box, [640, 480] * 2)] if parts else box


def detection_cases() -> list[Case]:
    """COCO's JSON."""
    gt, dt = json.dumps(truth()).encode(), json.dumps(found()).encode()
    right = {"stats__AP": 1.0, "stats__AP50": 1.0, "stats__AR100": 1.0}
    many = [[i % 20 * 30, i // 20 * 30, 20, 20] for i in range(200)]
    crowded = [entry | {"image_id": 1, "score": 0.5} for entry in found(many)]
    parts = [others(box, "xywh", True) for box in OBJECTS]
    corners = [others(box, "xyxy") for box in OBJECTS]
    all_of_one = truth(many)
    for annotation in all_of_one["annotations"]:
        annotation["image_id"] = 1
    return [
        detections("plain", gt, dt, never="warning", **right),
        detections("bom", bom(gt), bom(dt), **right),
        detections("utf-16", utf16(gt.decode()), utf16(dt.decode()), **right),
        detections("ids-as-floats", truth(image_id=1.0), found(image_id=1.0), **right),
        detections("iscrowd-false", truth(iscrowd=False), found(), **right),
        detections(
            "no-area",
            {**truth(), "annotations": [{key: value for key, value in entry.items() if key != "area"} for entry in truth()["annotations"]]},
            found(),
            **right,
        ),
        detections("nothing-found", truth(), [], stats__AP=0.0, stats__AR100=0.0),
        detections("voc", truth(), found(), options="--style voc", stats__mAP_all_points=1.0, stats__mAP_11_points=1.0),
        detections("beyond-100", all_of_one, crowded, "100 detections, in 1 of 2 images, do not count"),
        detections("parts", truth(), found(parts), "warning: ", "parts", "multiply", stats__AP=0.0),
        detections("truth-in-parts", truth(parts), found(), "warning: all objects", "parts"),
        detections("corners", truth(), found(corners), "warning: ", "right"),
        detections("truth-of-corners", truth(corners), found(), "warning: ", "right"),
        detections("other-category-ids", truth(), found(category_id=2), "warning: ", "categories"),
        detections("result-of-no-image", truth(), found(image_id=99), "image_id", "99", code=2),
        detections("result-of-no-category", truth(), found(category_id=0), "category_id", "0", code=2),
        detections("image-id-as-text", truth(), found(image_id="1"), "dt.json", "image_id", "whole number", code=2),
        detections(
            "no-score",
            truth(),
            [{key: value for key, value in entry.items() if key != "score"} for entry in found()],
            "dt.json",
            "score",
            code=2,
        ),
        detections("score-nan", truth(), found(score=float("nan")), "dt.json", "NaN", code=2),
        detections("width-negative", truth(), found([[10, 10, -5, 20]] * 3), "dt.json", "bbox", code=2),
        detections("results-in-object", truth(), {"annotations": found()}, "dt.json", "list of detections", code=2),
        detections(
            "results-of-outlines",
            truth(),
            [{"image_id": 1, "category_id": 1, "segmentation": [], "score": 0.5}],
            "dt.json",
            "`bbox`",
            code=2,
        ),
        detections("score-infinite", truth(), found(score=float("inf")), "dt.json", "infinity", code=2),
        detections("scores-of-percent", truth(), found(score=87.5), **right),
        detections("scores-as-texts", truth(), found(score="0.9"), "dt.json", "score", code=2),
        detections(
            "some-in-parts",
            truth(),
            found() + found([others(box, "xywh", True) for box in OBJECTS]),
            "warning: ",
            "3 of 6 detections",
            "parts",
        ),
        detections(
            "truth-some-in-parts",
            truth(OBJECTS + [others(box, "xywh", True) for box in OBJECTS]),
            found(),
            "warning: ",
            "3 of 6 objects",
            "parts",
        ),
        detections("truth-for-results", gt, gt, "dt.json", "list of detections", code=2),
        detections("results-for-truth", dt, dt, "gt.json", "images", code=2),
        detections(
            "lines-of-json",
            truth(),
            b"\n".join(json.dumps(entry).encode() for entry in found()),
            "dt.json",
            "list of detections",
            code=2,
        ),
        detections("truncated", truth(), dt[:-30], "dt.json", "end", code=2),
        detections("html", truth(), PAGE, "dt.json", "HTML", code=2),
        detections("pointer", POINTER, dt, "gt.json", "Git LFS", code=2),
        detections("zip", b"PK\x03\x04" + bytes(40), dt, "gt.json", "zip", code=2),
        detections("empty", truth(), b"", "dt.json", "empty", code=2),
        Case(
            "eval/detection/no-file",
            ["eval", "detection", "--annotations", "{}/gt.json", "--results", "{}/none.json"],
            {"gt.json": gt},
            2,
            ["none.json"],
        ),
    ]


# Masks.

TRUE = [[0, 0, 1, 1], [0, 1, 1, 2], [2, 2, 2, 2]]
GUESS = [[0, 0, 1, 1], [0, 1, 2, 2], [2, 2, 2, 0]]
PALETTE = ["000000", "800000", "008000"]


def mapped(rows: list, values: list) -> list:
    """Masks whose classes have these values."""
    return [[values[value] for value in row] for row in rows]


def masks(
    name: str,
    true: object,
    guess: object,
    options: str,
    *says: str,
    code: int = 0,
    never: str = "",
    more: dict | None = None,
    **gives: object,
) -> Case:
    """The score of a mask; bytes are files as they are, rows are written as gray PNGs."""
    files = {"truth/0.png": true, "predicted/0.png": guess}
    files = {name: content if isinstance(content, bytes) else media.png(content) for name, content in files.items()}
    command = f"segmentation --truth {{}}/truth --predictions {{}}/predicted {options}"
    return case(f"masks/{name}", command, files | (more or {}), *says, code=code, never=never, **gives)


def mask_cases() -> list[Case]:
    """PNG files."""
    score = {"mean_iou": (0.75 + 0.75 + 4 / 6) / 3, "pixel_accuracy": 10 / 12, "images": 1}
    true, three = media.png(TRUE, palette=PALETTE), "--classes 3"
    moved = [2, 0, 1]
    other = [PALETTE[1], PALETTE[2], PALETTE[0]]
    binary, foreground = [[0, 0, 0, 255]] * 3, [[0, 0, 0, 0]] * 3
    city = [7, 8, 11]
    hidden = {
        "truth/._0.png": APPLE,
        "predicted/.ipynb_checkpoints/0-checkpoint.png": true,
        "truth/.DS_Store": b"\0",
        "__MACOSX/._0.png": APPLE,
    }
    gray = media.color_png([[(value,) * 3 for value in row] for row in TRUE])
    seen = media.color_png([[tuple(bytes.fromhex(PALETTE[value])) for value in row] for row in TRUE])
    return [
        masks("plain", TRUE, GUESS, three, never="warning", **score),
        masks("palette", true, media.png(GUESS, palette=PALETTE), three, never="warning", **score),
        masks("palette-beside-gray", true, GUESS, three, **score),
        masks("two-bits", media.png(TRUE, depth=2), media.png(GUESS, depth=2, palette=PALETTE), three, **score),
        masks("gray-in-three-channels", gray, GUESS, three, **score),
        masks("hidden-files", TRUE, GUESS, three, more=hidden, **score),
        masks("void", mapped(TRUE, [0, 1, 255]), mapped(GUESS, [0, 1, 1]), "--classes 2", pixels=7),
        masks("ids-of-cityscapes", mapped(TRUE, city), GUESS, "--values 7,8,11", **score),
        masks(
            "both-ids-of-cityscapes",
            mapped(TRUE, city),
            mapped(GUESS, city),
            "--values 7,8,11 --prediction-values 7,8,11",
            **score,
        ),
        masks("from-one", mapped(TRUE, [1, 2, 3]), GUESS, "--values 1-3", **score),
        masks("from-one-unsaid", mapped(TRUE, [1, 2, 3]), GUESS, three, "--values 1-3", code=2, never="--ignore 0,3"),
        masks("0-and-255", binary, foreground, "--classes 2", "class 1", "--values 0,255", code=2),
        masks("0-and-255-said", binary, foreground, "--values 0,255", "iou_per_class", mean_iou=0.375),
        masks("0-and-255-of-both", binary, binary, "--values 0,255 --prediction-values 0,255", mean_iou=1.0),
        masks(
            "0-and-255-in-predictions", [[0, 0, 0, 1]] * 3, binary, "--classes 2", "--prediction-values 0,255", code=2,
        ),
        masks(
            "palettes-disagree",
            true,
            media.png(mapped(GUESS, moved), palette=other),
            three,
            "palettes of truth and predictions",
            "#800000 is 1",
        ),
        masks("moved-by-one", TRUE, mapped(TRUE, [1, 2, 0]), three, "warning: ", "--prediction-values"),
        masks("colors", seen, GUESS, three, "truth/0.png", "color", code=2),
        masks(
            "opacity",
            media.color_png([[(value, 255) for value in row] for row in TRUE]),
            GUESS,
            three,
            "truth/0.png",
            code=2,
        ),
        masks("16-bits", media.png(TRUE, depth=16), GUESS, three, "truth/0.png", "16", code=2),
        masks("jpeg", media.jpeg(4, 3), GUESS, three, "truth/0.png", "JPEG", code=2),
        masks("pointer", POINTER, GUESS, three, "truth/0.png", "Git LFS", "git lfs pull", code=2),
        masks("html", TRUE, PAGE, three, "predicted/0.png", "HTML", code=2),
        masks("truncated", media.png(media.gray(64, 64))[:90], GUESS, three, "truth/0.png", code=2),
        masks("empty", TRUE, b"", three, "predicted/0.png", "empty", code=2),
        masks("other-size", TRUE, GUESS[:2], three, "predicted/0.png", "3×4", "2×4", code=2),
        masks(
            "prediction-missing", TRUE, GUESS, three, "truth/1.png", "prediction", code=2, more={"truth/1.png": true},
        ),
        masks("truth-missing", TRUE, GUESS, three, "predicted/1.png", "truth", code=2, more={"predicted/1.png": true}),
        masks("class-beyond", TRUE, mapped(GUESS, [0, 1, 9]), three, "predicted/0.png", "9", code=2),
        masks(
            "names-of-cityscapes",
            TRUE,
            GUESS,
            three,
            "a_gtFine_labelIds.png",
            code=2,
            more={"truth/a_gtFine_labelIds.png": true, "predicted/a_leftImg8bit.png": true},
        ),
        masks("capitals", TRUE, GUESS, three, images=2, more={"truth/1.PNG": true, "predicted/1.PNG": true}),
        masks("all-void", [[255] * 4] * 3, GUESS, three, "255", code=2),
        masks("one-class", [[0] * 4] * 3, [[0] * 4] * 3, three, mean_iou=1.0),
        masks("palette-with-opacity", media.png(TRUE, palette=PALETTE, extra=media.opacity(3)), GUESS, three, **score),
        Case(
            "eval/masks/no-folder",
            ["eval", "segmentation", "--truth", "{}/none", "--predictions", "{}/none", "--classes", "3"],
            {"a": b""},
            2,
            ["none"],
        ),
        Case(
            "eval/masks/jpegs-alone",
            ["eval", "segmentation", "--truth", "{}/truth", "--predictions", "{}/truth", "--classes", "3"],
            {"truth/0.jpg": media.jpeg(4, 3)},
            2,
            ["PNG", "0.jpg"],
        ),
        masks("subfolders", TRUE, GUESS, three, more={"truth/a/1.png": true, "predicted/a/1.png": true}, images=2),
    ]


def cases() -> list[Case]:
    """All of them."""
    return count_cases() + detection_cases() + mask_cases()
