"""Records of reports, as version control, editors and unlucky training leave them."""

import json
import pathlib

from .case import PAGE, POINTER, Case, bom, utf16

# The report that comes with the project.
NAME = "classification"
PLACE = f"reports/records/{NAME}.jsonl"


def cases(root: pathlib.Path) -> list[Case]:
    """All of them, made of a few records of the project's own report."""
    lines = (root / PLACE).read_text().splitlines()
    # Two settings of two seeds are enough to draw and to compare.
    entries = [json.loads(line) for line in lines]
    entries = [entry for entry in entries if entry["test"]][:4] or entries[:4]

    def text(change: object = None, every: bool = True) -> str:
        changed = json.loads(json.dumps(entries))
        for entry in changed if change and every else changed[:1] if change else []:
            change(entry)
        return "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in changed)

    def case(name: str, content: bytes | str, *says: str, code: int = 0, more: dict | None = None) -> Case:
        content = content if isinstance(content, bytes) else content.encode()
        return Case(f"report/{name}", ["report"], {PLACE: content} | (more or {}), code, list(says))

    def curve(value: object) -> object:
        """An edit: the validation curve of a run."""

        def change(entry: dict) -> None:
            for index, epoch in enumerate(entry["record"]["epochs"]):
                score = value(index) if callable(value) else value
                epoch["validation"]["top1"] = score
        return change

    def every(key: str, value: object) -> object:
        """An edit: a number of each epoch of a run."""
        return lambda entry: [epoch.update({key: value}) for epoch in entry["record"]["epochs"]]

    def one_epoch(entry: dict) -> None:
        entry["record"]["epochs"] = entry["record"]["epochs"][-1:]

    plain, page = text(), f"wrote reports/{NAME}.md"
    first, rest = plain.split("\n", 1)
    conflict = f"<<<<<<< HEAD\n{first}\n=======\n{first}\n>>>>>>> other\n{rest}"
    edges = [0.1, 0.1 + 1e-16, 0.1 + 1e-12]
    return [
        case("plain", plain, page, "| method |"),
        case("crlf", plain.replace("\n", "\r\n"), page),
        case("no-end-of-line", plain.rstrip(), page),
        case("empty-lines", plain.replace("\n", "\n\n"), page),
        case("lines-twice", plain + plain, page),
        case("bom", bom(plain.encode()), page),
        case("utf-16", utf16(plain), f"{NAME}.jsonl, line 1", "UTF-16", "hint", code=1),
        case("empty", b"", "at least one record", code=1),
        case("flat-curves", text(curve(0.5)), page),
        case("flat-at-0", text(curve(0.0)), page),
        case("flat-at-1", text(curve(1.0)), page),
        case("nearly-flat", text(curve(lambda index: edges[index % 3])), page),
        case("flat-losses", text(every("train_loss", 0.0)), page),
        case("losses-of-no-number", text(every("train_loss", None)), f"{NAME}.jsonl, line 1", "null", code=1),
        case("huge-losses", text(every("train_loss", 1e300)), page),
        case("tiny-losses", text(every("train_loss", 1e-300)), page),
        case("scale-of-next-to-nothing", text(lambda entry: entry["record"]["headline"].update(scale=5e-324)), page),
        case("one-epoch", text(one_epoch), page),
        case("never-tested", text(lambda entry: entry.update(test=None)), page),
        case("truncated", plain[: len(plain) - 500], f"{NAME}.jsonl, line 4", "hint", code=1),
        case("merge-conflict", conflict, f"{NAME}.jsonl, line 1", "version control", code=1),
        case("pointer", POINTER, f"{NAME}.jsonl, line 1", "git-lfs", code=1),
        case("html", PAGE, f"{NAME}.jsonl, line 1", "<!DOCTYPE html>", code=1),
        case(
            "of-the-future",
            text(lambda entry: entry["record"].update(schema=999), every=False),
            "line 1",
            "schema",
            "999",
            code=1,
        ),
        case(
            "two-results-of-a-run",
            plain + text(lambda entry: entry["record"].update(weights="0" * 64) or entry.update(test=None), every=False),
            "line 1",
            "agree",
            code=1,
        ),
        case("key-of-the-future", text(lambda entry: entry["record"].update(novel=1)), page),
        case(
            "page-without-end",
            plain,
            f"{NAME}.md",
            "END",
            code=1,
            more={f"reports/{NAME}.md": f"<!-- BEGIN: summary -->\n".encode()},
        ),
        case(
            "page-without-block",
            plain,
            "expected block `summary`",
            "hint: add the lines",
            code=1,
            more={f"reports/{NAME}.md": b"# Mine\n\nby hand\n"},
        ),
        case("protocol-is-html", plain, f"{NAME}.json", code=1, more={f"reports/records/{NAME}.json": PAGE}),
        case("zeros", bytes(400), f"{NAME}.jsonl, line 1", code=1),
    ]
