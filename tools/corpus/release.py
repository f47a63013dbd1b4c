"""What the releases of all structures have in common."""

from . import media
from .case import Case

WIDTH, HEIGHT = 64, 48


def jpeg(seed: int = 0, **options: object) -> bytes:
    """A picture of the usual size."""
    return media.jpeg(WIDTH, HEIGHT, seed, **options)


def case(name: str, files: dict[str, bytes], *says: str, code: int = 0, options: str = "", never: str = "") -> Case:
    """The import of a release; `says` is what must be printed."""
    lacks = [never] if never else []
    return Case(f"import/{name}", ["import", "set", "{}", *options.split()], files, code, list(says), lacks)


def fails(name: str, files: dict[str, bytes], *says: str, options: str = "") -> Case:
    """The import of a release that must be refused."""
    return case(name, files, "error: ", *says, code=1, options=options)
