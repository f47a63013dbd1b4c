"""What a case is."""

from dataclasses import dataclass, field


@dataclass
class Case:
    """Files, a command on them, and what must come of it."""

    name: str
    """Arguments of `cargo xtask`; `{}` is the folder of the files."""
    command: list[str]
    """Contents by name, with `/` between folders."""
    files: dict[str, bytes]
    """The exit code."""
    code: int = 0
    """What is printed, or in the manifest that was written."""
    says: list[str] = field(default_factory=list)
    """What must not be there."""
    never: list[str] = field(default_factory=list)
    """Values in the JSON that is printed, by their keys with points between them; None is null."""
    gives: dict[str, object] = field(default_factory=dict)


def utf16(text: str, mark: bool = True, order: str = "le") -> bytes:
    """UTF-16, as Windows' Notepad and spreadsheets save it."""
    return ("\ufeff" * mark + text).encode(f"utf-16-{order}")


def bom(content: bytes) -> bytes:
    """UTF-8 with a byte order mark."""
    return b"\xef\xbb\xbf" + content


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"
DENIED = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
APPLE = b"\0\x05\x16\x07\0\2\0\0Mac OS X        " + bytes(30)
