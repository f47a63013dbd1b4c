#!/usr/bin/env python3
"""Compares crates/detection/examples/coco_eval.rs with pycocotools in turn, and prints a Markdown table.

usage: coco_eval.py PYTHON [options]     PYTHON: the interpreter of an environment with pycocotools, see README.md
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PEER = """
import contextlib, io, json, sys, time
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
start = time.perf_counter()
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO(sys.argv[1])
    evaluation = COCOeval(truth, truth.loadRes(sys.argv[2]), "bbox")
    read = time.perf_counter() - start
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
evaluate = time.perf_counter() - start - read
values = [None if value == -1 else value for value in evaluation.stats.tolist()]
print(json.dumps({"read_s": read, "evaluate_s": evaluate, "statistics": values}))
"""


def write_files(folder, images, detections, categories):
    """Annotations with some seven objects an image, and results: some near objects, most anywhere."""
    random.seed(0)

    def anywhere():
        width, height = (min(400.0, 8 * 2 ** random.uniform(0, 5.6)) for _ in range(2))
        return [random.uniform(0, 640 - width), random.uniform(0, 480 - height), width, height]

    annotations, results = [], []
    for image in range(1, images + 1):
        objects = []
        for _ in range(random.randint(2, 12)):
            objects.append((random.randint(1, categories), anywhere()))
            category, box = objects[-1]
            crowd = int(random.random() < 0.01)
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": category, "iscrowd": crowd,
                                "bbox": [round(v, 2) for v in box], "area": round(box[2] * box[3] * 0.7, 2)})
        for rank in range(detections):
            category, box = random.choice(objects) if rank < detections // 4 else (random.randint(1, categories), anywhere())
            near = [value + random.gauss(0, 0.1 * size) for value, size in zip(box, box[2:] * 2)]
            results.append({"image_id": image, "category_id": category, "score": round(random.random(), 5),
                            "bbox": [round(v, 2) for v in (*near[:2], max(1, near[2]), max(1, near[3]))]})
    listed = {"images": [{"id": i + 1, "width": 640, "height": 480, "file_name": f"{i + 1}.jpg"} for i in range(images)],
              "categories": [{"id": i + 1, "name": f"class {i + 1}"} for i in range(categories)],
              "annotations": annotations}
    files = [folder / "annotations.json", folder / "results.json"]
    for file, content in zip(files, [listed, results]):
        file.write_text(json.dumps(content))
    return [str(file) for file in files]


def build():
    """The path of the example, built."""
    command = ["cargo", "build", "--release", "-p", "detection", "--example", "coco_eval", "--message-format=json"]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == "coco_eval" and m.get("executable"))


def run(command, **environment):
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env={**os.environ, **environment})
    return {**json.loads(done.stdout), "process_s": time.perf_counter() - start}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="the interpreter of an environment with pycocotools")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100, help="detections an image")
    parser.add_argument("--categories", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3, help="pairs, of which the median counts")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, os.cpu_count()}), help="ours; theirs is one")
    args = parser.parse_args()

    example = build()
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), args.images, args.detections, args.categories)
        rounds = []
        for _ in range(args.rounds):
            peer = run([args.python, "-c", PEER, *files])
            rounds.append((peer, [run([example, *files], RAYON_NUM_THREADS=str(n)) for n in args.threads]))
    for peer, ours in rounds:
        for one in ours:
            for theirs, value in zip(peer["statistics"], one["statistics"]):
                assert theirs == value or abs(theirs - value) < 1e-9, (peer, one)

    print(f"{args.images} images, {args.detections} detections each; medians of {args.rounds} rounds\n")
    print("| what | threads | pycocotools, s | ours, s | ours / pycocotools |\n| --- | ---: | ---: | ---: | ---: |")
    for key, what in [("process_s", "whole process"), ("read_s", "reading"), ("evaluate_s", "evaluation alone")]:
        for index, threads in enumerate(args.threads):
            pairs = [(peer[key], ours[index][key]) for peer, ours in rounds]
            theirs, ours = (statistics.median(side) for side in zip(*pairs))
            ratio = statistics.median(ours / theirs for theirs, ours in pairs)
            print(f"| {what} | {threads} | {theirs:.2f} | {ours:.3f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
