#!/usr/bin/env python3
"""Compares crates/detection/examples/coco_eval.rs with pycocotools on random sets: its twelve statistics must agree to 1e-9.

usage: coco_random.py [options]    with the interpreter of an environment with pycocotools, see README.md

The sets are small and odd: equal scores, crowds, boxes without extent, ids with gaps, images without objects or detections,
categories without either, more than 100 detections of a category in an image.
"""
import argparse
import contextlib
import io
import json
import random
import subprocess
import tempfile
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from coco_eval import build


def draw(rng):
    """Annotations and results."""
    images = rng.sample(range(1, 10_000), rng.randint(1, 12))
    categories = rng.sample(range(1, 100), rng.randint(1, 6))
    crowded, ties = rng.random() < 0.2, rng.choice([1, 2, 5])

    def box():
        width, height = (4 * 2 ** rng.uniform(0, 6.5) for _ in range(2))
        return [rng.uniform(0, 640 - width), rng.uniform(0, 480 - height), width, height]

    annotations, results = [], []
    for image in images:
        objects = [(rng.choice(categories), box()) for _ in range(rng.choice([0, 1, 3, 10, 40]))]
        for category, bbox in objects:
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": category, "bbox": bbox,
                                "iscrowd": int(rng.random() < 0.1), "area": bbox[2] * bbox[3] * rng.choice([1, 0.6])})
        for _ in range(rng.choice([150, 400]) if crowded else rng.choice([0, 2, 20, 60])):
            category, bbox = rng.choice(objects) if objects and rng.random() < 0.6 else (rng.choice(categories), box())
            shift = rng.choice([0, 0.02, 0.1, 0.3])
            bbox = [value + rng.gauss(0, shift * size) for value, size in zip(bbox, bbox[2:] * 2)]
            bbox = [*bbox[:2], max(0.0, bbox[2]), 0.0 if rng.random() < 0.02 else max(0.0, bbox[3])]
            results.append({"image_id": image, "category_id": category, "bbox": bbox, "score": round(rng.random(), ties)})
    # pycocotools does not read an empty list.
    results = results or [{"image_id": images[0], "category_id": categories[0], "bbox": box(), "score": 0.5}]
    rng.shuffle(annotations)
    rng.shuffle(results)
    listed = {"images": [{"id": image, "width": 640, "height": 480, "file_name": f"{image}.jpg"} for image in images],
              "categories": [{"id": category, "name": str(category)} for category in categories],
              "annotations": annotations}
    return listed, results


def peer(files):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(files[0])
        evaluation = COCOeval(truth, truth.loadRes(files[1]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [None if value == -1 else value for value in evaluation.stats.tolist()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", help="the built example, in place of building it")
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    example, largest, compared = args.example or build(), 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for index in range(args.sets):
            files = [str(Path(folder) / name) for name in ("annotations.json", "results.json")]
            for file, content in zip(files, draw(random.Random(f"{args.seed} {index}"))):
                Path(file).write_text(json.dumps(content))
            done = subprocess.run([example, *files], stdout=subprocess.PIPE, check=True, text=True)
            found, expected = json.loads(done.stdout)["statistics"], peer(files)
            for ours, theirs in zip(found, expected, strict=True):
                if (ours is None) != (theirs is None) or ours is not None and not abs(ours - theirs) <= 1e-9:
                    raise SystemExit(f"set {index} of seed {args.seed}: expected {expected}, found {found}")
                if ours is not None:
                    largest, compared = max(largest, abs(ours - theirs)), compared + 1
    print(f"{args.sets} sets, {compared} statistics: largest difference {largest:.1e}")


if __name__ == "__main__":
    main()
