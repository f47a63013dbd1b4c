#!/usr/bin/env python3
"""Makes some hundred small files as people really have them, and holds what `import`, `eval` and `report` make of them
against what must come of it: a right value, or an error that names cause, place and remedy. The standard library alone.

    tools/corpus.py                  the binaries of target/release, or of $WRS_BENCH_BIN
    tools/corpus.py import/coco      only the cases whose names begin so
    tools/corpus.py --keep FOLDER    writes the files to a folder that stays

Exit code 1 where a case is not as it must be."""

import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from corpus import alike, evals, imports, reports  # noqa: E402
from corpus.case import Case  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What ends a program that does not come to an end.
LIMIT = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of the names of cases; all where none is given")
    parser.add_argument("--keep", metavar="FOLDER", type=pathlib.Path)
    arguments = parser.parse_args()
    binaries = pathlib.Path(os.environ.get("WRS_BENCH_BIN") or ROOT / "target" / "release").resolve()
    if not (binaries / "xtask").is_file():
        print(
            f"error: expected built binaries in {binaries}, found no xtask\n  hint: cargo build --release --workspace",
            file=sys.stderr,
        )
        return 2
    cases = imports.cases() + evals.cases() + alike.cases() + reports.cases(ROOT)
    assert len({case.name for case in cases}) == len(cases), "a name comes twice"
    cases = [case for case in cases if not arguments.names or case.name.startswith(tuple(arguments.names))]
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or pathlib.Path(scratch)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = list(pool.map(lambda case: run(case, folder, binaries), cases))
    return show(rows)


def run(case: Case, folder: pathlib.Path, binaries: pathlib.Path) -> tuple[str, str, str, bool]:
    """A row of the table."""
    # A project of its own: cases of reports and of imports write to it.
    project = folder / case.name
    release = project / "files"
    for name in ("configs", "datasets", "reports/records"):
        (project / name).mkdir(parents=True, exist_ok=True)
    release.mkdir(exist_ok=True)
    for name, content in case.files.items():
        path = (project if name.startswith("reports/") else release) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    command = [argument.replace("{}", "files") for argument in case.command]
    environment = {name: value for name, value in os.environ.items() if name != "WRS_BENCH_DATA"}
    environment["WRS_BENCH_BIN"] = str(binaries)
    try:
        done = subprocess.run(
            [
                binaries / "xtask", *command,
            ], cwd=project, env=environment, capture_output=True, timeout=LIMIT, check=False
        )
        code, out, said = done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired:
        code, out, said = -1, "", f"no end after {LIMIT} s"
    written = "".join(path.read_text() for path in [*project.glob("datasets/*.toml"), *project.glob("reports/*.md")])
    missing = problems(case, code, out, said, written)
    return case.name, expected(case), missing or got(code, out, said), not missing


def problems(case: Case, code: int, out: str, said: str, written: str) -> str:
    """What is not as it must be; nothing where all is."""
    text = out + said + written
    found = [f"code {code}"] if code != case.code else []
    found += [f"no {word!r}" for word in case.says if word not in text]
    found += [f"{word!r}" for word in [*case.never, "panicked"] if word in text]
    if case.code and not said.startswith("error: "):
        found.append("no error")
    if case.gives:
        try:
            value = json.loads(out)
        except ValueError:
            value = {}
        found += [f"{key} = {at(value, key)}" for key, wanted in case.gives.items() if not same(at(value, key), wanted)]
    return ", ".join(found) + f": {got(code, out, said)}" if found else ""


def at(value: object, keys: str) -> object:
    """The value at keys with points between them."""
    for key in keys.split("."):
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            return "nothing"
    return value


def same(found: object, wanted: object) -> bool:
    """Whether two values of JSON are equal, numbers to a part in a billion."""
    number = (int, float)
    if isinstance(found, number) and isinstance(wanted, number):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12)
    return found == wanted


def expected(case: Case) -> str:
    """What must come of a case, in words."""
    values = [f"{key} = {value}" for key, value in case.gives.items()]
    lacks = [f"not {word!r}" for word in case.never]
    return "; ".join([f"code {case.code}", *case.says, *values, *lacks])


def got(code: int, out: str, said: str) -> str:
    """What came, in a line."""
    lines = [line.strip() for line in (said.strip() or out.strip()).splitlines() if line.strip()]
    return "; ".join([f"code {code}", *lines[:3]])


def show(rows: list[tuple[str, str, str, bool]]) -> int:
    """Prints the table; the exit code."""

    def cell(text: str, width: int) -> str:
        return (text if len(text) <= width else text[: width - 1] + "…").ljust(width)

    print(f"{cell('case', 36)} | {cell('expected', 44)} | {cell('got', 64)} | ok")
    for name, wanted, found, ok in rows:
        print(f"{cell(name, 36)} | {cell(wanted, 44)} | {cell(found, 64)} | {'yes' if ok else 'NO'}")
    wrong = [row for row in rows if not row[3]]
    for name, wanted, found, _ in wrong:
        print(f"\n{name}\n  expected {wanted}\n  got      {found}")
    print(f"\n{len(rows) - len(wrong)} of {len(rows)} cases are as they must be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
