#!/usr/bin/env python3
"""Compares crates/vision/examples/step.rs with PyTorch in turn, and prints a Markdown table.

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
BATCHES = {"resnet18": 64, "resnet20": 128, "vgg16_bn": 64}
LAYOUTS = ["nchw", "channels_last"]
COLUMNS = ["network", "mode", "batch", "ops, images/s", *(f"torch {layout}" for layout in LAYOUTS)]
COLUMNS += ["ops / torch", "peak memory"]


def build():
    """The path of the example, built."""
    command = ["cargo", "build", "--release", "-p", "vision", "--example", "step", "--message-format=json"]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == "step" and m.get("executable"))


def run(command):
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def compare(torch, ops, rounds):
    """The cells of a row: each round runs each layout of the peer, and ours behind it."""
    pairs = {layout: [] for layout in LAYOUTS}
    for _ in range(rounds):
        for layout in LAYOUTS:
            pairs[layout].append((run([*torch, "--layout", layout]), run(ops)))
    speed = {layout: statistics.median(peer["images_per_s"] for peer, _ in pairs[layout]) for layout in LAYOUTS}
    fastest = pairs[max(LAYOUTS, key=speed.get)]
    ours = statistics.median(ours["images_per_s"] for layout in LAYOUTS for _, ours in pairs[layout])
    ratio = statistics.median(ours["images_per_s"] / peer["images_per_s"] for peer, ours in fastest)
    memory = statistics.median(ours["peak_rss_mib"] / peer["peak_rss_mib"] for peer, ours in fastest)
    return [f"{ours:.1f}", *(f"{speed[layout]:.1f}" for layout in LAYOUTS), f"{ratio:.2f}", f"{memory:.2f}"]


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

    example = build()
    print(f"{args.threads} threads, medians of {args.rounds} rounds of {args.steps} steps\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * 3}{' ---: |' * (len(COLUMNS) - 3)}", flush=True)
    for model in args.models:
        for batch in [args.batch] if args.batch else [BATCHES[model], 1]:
            for mode in args.modes:
                case = [model, str(batch), "--threads", str(args.threads), "--steps", str(args.steps)]
                case += ["--eval"] if mode == "eval" else []
                torch = [args.python, str(HERE / "torch_step.py"), *case]
                cells = compare(torch, [example, *case], args.rounds)
                print(f"| {' | '.join([model, mode, str(batch), *cells])} |", flush=True)


if __name__ == "__main__":
    main()
