#!/usr/bin/env python3
"""Joins what tools/device.sh left in a folder to report.json there, and prints the steps' times next to PyTorch's.

usage: python3 tools/device/report.py FOLDER
"""
import json
import sys
from pathlib import Path


def lines(path):
    """JSON of each line; other lines are kept as text."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            yield {"text": line}


def main():
    folder = Path(sys.argv[1])
    results = list(lines(folder / "results.jsonl"))
    peers = folder / "peers.json"
    report = {
        "results": results,
        "peers": json.loads(peers.read_text()) if peers.exists() else None,
        "smi": (folder / "log.txt").read_text()[:4000] if (folder / "log.txt").exists() else "",
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1))
    for result in results:
        if "bench" in result:
            case = result["bench"]
            print(f"{case['network']} b{case['batch']} {case['arithmetic']}: {result['milliseconds']:.3f} ms, "
                  f"{result['images_per_second']:.0f} images/s, {result['launches']} launches, "
                  f"{result['peak_bytes'] / 2**30:.2f} GiB, equal bits {result['equal_bits']}")


if __name__ == "__main__":
    main()
