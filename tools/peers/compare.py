#!/usr/bin/env python3
"""Compares crates/vision/examples/step, crates/detection/examples/fcos_step.rs,
crates/segmentation/examples/segmentation_step.rs and crates/crowd-counting/examples/counting_step.rs with PyTorch in turn, and
prints a Markdown table.

usage: compare.py PYTHON [options]     PYTHON: the interpreter of an environment with PyTorch, see README.md
"""
import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
BATCHES = {"resnet18": 64, "resnet20": 128, "vgg16_bn": 64} | dict.fromkeys(
    ["fcos18", "deeplab18", "unet16", "csrnet16", "mcnn16"], 8
)
# The package and example of a network that is not in the first.
EXAMPLES = {
    "fcos18": ("detection", "fcos_step"),
    **dict.fromkeys(["deeplab18", "unet16"], ("segmentation", "segmentation_step")),
    **dict.fromkeys(["csrnet16", "mcnn16"], ("crowd-counting", "counting_step")),
}
LAYOUTS = ["nchw", "channels_last"]
# glibc keeps freed memory, which saves the peer its page faults.
WARM = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1", "MALLOC_TOP_PAD_": str(64 << 20)}
COLUMNS = ["network", "mode", "batch", "ops, images/s", *(f"torch {layout}" for layout in LAYOUTS)]
COLUMNS += ["ops / torch", "peak memory", "torch, warm memory", "ops / warm torch"]


def build(model):
    """The path of the model's example, built."""
    package, example = EXAMPLES.get(model, ("vision", "step"))
    command = ["cargo", "build", "--release", "-p", package, "--example", example, "--message-format=json"]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == example and m.get("executable"))


def run(command, **environment):
    environment = {**os.environ, **environment}
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment).stdout)


def compare(torch, ops, rounds):
    """The cells of a row: each round runs each layout of the peer, and ours behind it; then both once more with
    the peer in its faster layout and with warm memory."""
    pairs = {layout: [] for layout in LAYOUTS}
    for _ in range(rounds):
        for layout in LAYOUTS:
            pairs[layout].append((run([*torch, "--layout", layout]), run(ops)))
    speed = {layout: statistics.median(peer["images_per_s"] for peer, _ in pairs[layout]) for layout in LAYOUTS}
    fastest = max(LAYOUTS, key=speed.get)
    warm = [(run([*torch, "--layout", fastest], **WARM), run(ops)) for _ in range(rounds)]

    def ratio(key, pairs):
        return f"{statistics.median(ours[key] / peer[key] for peer, ours in pairs):.2f}"

    ours = statistics.median(ours["images_per_s"] for layout in LAYOUTS for _, ours in pairs[layout])
    cells = [f"{ours:.1f}", *(f"{speed[layout]:.1f}" for layout in LAYOUTS)]
    cells += [ratio("images_per_s", pairs[fastest]), ratio("peak_rss_mib", pairs[fastest])]
    warm_speed = statistics.median(peer["images_per_s"] for peer, _ in warm)
    return [*cells, f"{warm_speed:.1f}", ratio("images_per_s", warm)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="the interpreter of an environment with PyTorch")
    parser.add_argument("--models", nargs="+", choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--modes", nargs="+", choices=["train", "eval"], default=["train", "eval"])
    parser.add_argument("--batch", type=int, help=f"this batch in place of 1 and {BATCHES}")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each layout, of which the median counts")
    parser.add_argument("--steps", type=int, default=12, help="timed steps of a run, of which the median counts")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()

    print(f"{args.threads} threads, medians of {args.rounds} rounds of {args.steps} steps\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * 3}{' ---: |' * (len(COLUMNS) - 3)}", flush=True)
    for model in args.models:
        example = build(model)
        for batch in [args.batch] if args.batch else [BATCHES[model], 1]:
            for mode in args.modes:
                case = [model, str(batch), "--threads", str(args.threads), "--steps", str(args.steps)]
                case += ["--eval"] if mode == "eval" else []
                torch = [args.python, str(HERE / "torch_step.py"), *case]
                cells = compare(torch, [example, *case], args.rounds)
                print(f"| {' | '.join([model, mode, str(batch), *cells])} |", flush=True)


if __name__ == "__main__":
    main()
