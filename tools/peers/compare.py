#!/usr/bin/env python3
"""Compares crates/vision/examples/step, crates/detection/examples/fcos_step.rs,
crates/segmentation/examples/segmentation_step.rs and crates/crowd-counting/examples/counting_step.rs with PyTorch, or
with what they were at another commit, in turn, and prints a Markdown table.

usage: compare.py PYTHON [options]            PYTHON: the interpreter of an environment with PyTorch, see README.md
       compare.py --baseline DIR [options]    DIR: the other commit's target/release/examples
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
BATCHES = {"resnet18": 64, "resnet20": 128, "vgg16_bn": 64} | dict.fromkeys(
    ["fcos18", "deeplab18", "unet16", "csrnet16", "mcnn16"], 8
)
# Those that must not become slower from one commit to the next.
GUARDED = ["resnet18", "resnet20", "vgg16_bn", "fcos18", "deeplab18", "unet16"]
# The package and example of a network that is not in the first.
EXAMPLES = {
    "fcos18": ("detection", "fcos_step"),
    **dict.fromkeys(["deeplab18", "unet16"], ("segmentation", "segmentation_step")),
    **dict.fromkeys(["csrnet16", "mcnn16"], ("crowd-counting", "counting_step")),
}
# glibc keeps freed memory, which saves the peer its page faults.
WARM = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1", "MALLOC_TOP_PAD_": str(64 << 20)}
NHWC = ["--layout", "channels_last"]
# The peer's variants in the arithmetic that is ours: options, environment.
VARIANTS = {
    "nchw": (["--layout", "nchw"], {}),
    "channels_last": (NHWC, {}),
    "warm memory": (NHWC, WARM),
    "compile": ([*NHWC, "--compile"], WARM),
}
BF16 = {"bf16": ([*NHWC, "--bf16"], WARM)}
COLUMNS = ["network", "mode", "batch", "threads", "ops, images/s", *(f"torch {name}" for name in [*VARIANTS, *BF16])]
COLUMNS += ["ops / best torch", "peak memory"]


def example_of(model, folder):
    """The path of the model's example: that in the folder, or built."""
    package, example = EXAMPLES.get(model, ("vision", "step"))
    if folder:
        path = folder.resolve() / example
        if not path.is_file():
            raise SystemExit(f"expected {path}; make it with: cargo build --release -p {package} --example {example}")
        return str(path)
    command = ["cargo", "build", "--release", "-p", package, "--example", example, "--message-format=json"]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == example and m.get("executable"))


def run(command, environment):
    environment = {**os.environ, **environment}
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment).stdout)


def has_bf16():
    """Whether the processor has instructions for bf16; without them, autocast is slower than f32."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return "amx_bf16" in flags or "avx512_bf16" in flags


def rounded(values):
    return f"{statistics.median(values):.1f}"


def learns_alike(losses, right):
    """Whether the first step changed the loss as it does there; evaluation has none. inductor has had silent errors in
    gradients, and later losses can diverge by rounding."""
    if len(losses) < 2:
        return True
    change, expected = (second - first for first, second, *_ in (losses, right))
    return abs(change - expected) <= 0.2 * abs(expected) + 1e-4


def compare(torch, ops, rounds, threads):
    """The cells of a row: each round runs each variant of the peer, and ours behind it."""
    # Compiled code is made for a number of threads.
    cache = {"TORCHINDUCTOR_CACHE_DIR": f"{tempfile.gettempdir()}/torch-step-{threads}"}
    variants = VARIANTS | (BF16 if has_bf16() else {})
    pairs = {name: [] for name in variants}
    for _ in range(rounds):
        for name, (options, environment) in variants.items():
            pairs[name].append((run([*torch, *options], environment | cache), run(ops, {})))

    speeds = {name: [peer["images_per_s"] for peer, _ in pairs[name]] for name in variants}
    memory = max(
        statistics.median(ours["peak_rss_mib"] / peer["peak_rss_mib"] for peer, ours in pairs[name]) for name in VARIANTS
    )
    losses = {name: pairs[name][0][0]["losses"] for name in VARIANTS}
    right = [name for name in VARIANTS if learns_alike(losses[name], losses["nchw"])]
    best = max(right, key=lambda name: statistics.median(speeds[name]))
    ratio = statistics.median(ours["images_per_s"] / peer["images_per_s"] for peer, ours in pairs[best])
    ours = rounded(ours["images_per_s"] for name in variants for _, ours in pairs[name])
    wrong = {name: " (wrong)" for name in VARIANTS if name not in right}
    cells = [ours, *(rounded(speeds[name]) + wrong.get(name, "") for name in variants), *([] if has_bf16() else ["–"])]
    return [*cells, f"{ratio:.2f}", f"{memory:.2f}"]


def against_torch(args):
    print(f"medians of {args.rounds} rounds of {args.steps} steps\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * 4}{' ---: |' * (len(COLUMNS) - 4)}", flush=True)
    for model in args.models or BATCHES:
        example = example_of(model, args.examples)
        # A batch of one is of interest where images are small.
        usual = [BATCHES[model]] if model in EXAMPLES else [BATCHES[model], 1]
        for batch in [args.batch] if args.batch else usual:
            for mode in args.modes:
                for threads in args.threads:
                    case = [model, str(batch), "--threads", str(threads), "--steps", str(args.steps)]
                    case += ["--eval"] if mode == "eval" else []
                    torch = [args.python, str(HERE / "torch_step.py"), *case]
                    cells = compare(torch, [example, *case], args.rounds, threads)
                    print(f"| {' | '.join([model, mode, str(batch), str(threads), *cells])} |", flush=True)


def against_baseline(args):
    """Old and new in turn, each pair in the other order than the one before it."""
    pairs = {model: (example_of(model, args.baseline), example_of(model, args.examples)) for model in args.models or GUARDED}
    columns = ["network", "mode", "batch", "threads", "kernels", "old, images/s", "new, images/s", "new / old", "of the pairs"]
    print(f"medians of {args.rounds} pairs of {args.steps} steps\n")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * 5}{' ---: |' * 4}", flush=True)
    for model, (old, new) in pairs.items():
        batch = args.batch or BATCHES[model]
        for mode, threads, kernels in ((m, t, k) for m in args.modes for t in args.threads for k in args.kernels):
            case = [model, str(batch), "--threads", str(threads), "--steps", str(args.steps)]
            case += ["--eval"] if mode == "eval" else []
            speeds = {"old": [], "new": []}
            for index in range(args.rounds):
                for which in ["old", "new"] if index % 2 == 0 else ["new", "old"]:
                    command = [{"old": old, "new": new}[which], *case]
                    speeds[which].append(run(command, {"OPS_KERNELS": kernels})["images_per_s"])
            ratios = [after / before for before, after in zip(speeds["old"], speeds["new"])]
            cells = [rounded(speeds["old"]), rounded(speeds["new"]), f"{statistics.median(ratios):.3f}"]
            cells += [f"{min(ratios):.3f} to {max(ratios):.3f}"]
            print(f"| {' | '.join([model, mode, str(batch), str(threads), kernels, *cells])} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", nargs="?", help="the interpreter of an environment with PyTorch")
    parser.add_argument("--baseline", type=Path, metavar="DIR", help="compare with the examples in this folder, not with PyTorch")
    parser.add_argument("--examples", type=Path, metavar="DIR", help="our examples, in place of building them")
    parser.add_argument("--kernels", nargs="+", default=["avx512", "avx2"], help="OPS_KERNELS of --baseline")
    parser.add_argument("--models", nargs="+", choices=BATCHES, help=f"default: all; with --baseline {' '.join(GUARDED)}")
    parser.add_argument("--modes", nargs="+", choices=["train", "eval"], help="default: both; with --baseline train")
    parser.add_argument("--batch", type=int, help=f"this batch in place of {BATCHES} and, for classifiers, 1")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each variant, of which the median counts")
    parser.add_argument("--steps", type=int, default=12, help="timed steps of a run, of which the median counts")
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count()], help="default: one a core")
    args = parser.parse_args()
    if bool(args.python) == bool(args.baseline):
        parser.error("expected either PYTHON or --baseline DIR")
    args.modes = args.modes or (["train"] if args.baseline else ["train", "eval"])
    against_baseline(args) if args.baseline else against_torch(args)


if __name__ == "__main__":
    main()
