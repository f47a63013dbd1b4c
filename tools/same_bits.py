#!/usr/bin/env python3
"""Trains runs of each task's `--quick` comparison on every set of kernels, with one to three threads, and compares weights,
log and scores: the same spec gives the same bits.

usage: same_bits.py [--tasks TASK ...] [--kernels SET ...] [--threads N ...] [--method NAME]

Trains in a scratch folder with the release binaries, which must have been built (`cargo build --release`). Exits with 1
where two records differ in more than their provenance and times.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TASKS = ["classification", "detection", "segmentation", "crowd-counting"]
# Of a record, what may differ between two runs of one spec.
MAY_DIFFER = {"provenance", "seconds"}


def bits(record):
    """What two records of one spec must have in common, times left out at every depth."""
    if isinstance(record, dict):
        return {key: bits(value) for key, value in record.items() if key not in MAY_DIFFER}
    return [bits(value) for value in record] if isinstance(record, list) else record


def train(task, kernels, threads, method, binaries):
    """The records of the runs, by id, and the seconds they took."""
    with tempfile.TemporaryDirectory() as scratch:
        for folder in ["configs", "datasets"]:
            os.symlink(REPOSITORY / folder, Path(scratch) / folder)
        command = [binaries / "xtask", "bench", task, "--quick", "--method", method, "--seeds", "0"]
        environment = {**os.environ, "OPS_KERNELS": kernels, "WRS_BENCH_BIN": str(binaries)}
        began = time.monotonic()
        subprocess.run([*command, "--jobs", "1", "--threads", str(threads)], cwd=scratch, env=environment, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        records = [json.loads(path.read_text()) for path in sorted(Path(scratch).glob("runs/*/record.json"))]
        return {record["id"]: bits(record) for record in records}, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--kernels", nargs="+", default=["avx512", "avx2", "portable"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--method", default="wrs")
    args = parser.parse_args()

    binaries = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release"
    differ = False
    print("| task | kernels | threads | seconds | runs | weights |\n| --- | --- | ---: | ---: | ---: | --- |", flush=True)
    for task in args.tasks:
        expected = None
        for kernels in args.kernels:
            for threads in args.threads:
                records, seconds = train(task, kernels, threads, args.method, binaries)
                expected = expected or records
                same = records == expected
                differ |= not same
                weights = " ".join(record["weights"][:16] for record in records.values())
                print(f"| {task} | {kernels} | {threads} | {seconds:.0f} | {len(records)} | {weights}"
                      f"{'' if same else ' DIFFERS'} |", flush=True)
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
