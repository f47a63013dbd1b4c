"""Releases of data sets, in every known structure, as programs and people leave them."""

import gzip
import io
import struct
import tarfile
import zipfile

from . import boxes, media
from .boxes import PETS
from .case import APPLE, DENIED, PAGE, POINTER, Case
from .release import HEIGHT, WIDTH, case, fails, jpeg

# A folder for each class.


def folders(**more: bytes) -> dict[str, bytes]:
    """Two classes; `more` has `__` for `/` and `_dot_` for a point."""
    files = {
        f"{split}/{name}/{i}.jpg": jpeg(i) for split in ("train", "val") for name in ("cat", "dog") for i in range(2)
    }
    return files | {name.replace("__", "/").replace("_dot_", "."): content for name, content in more.items()}


def replaced(content: bytes) -> dict[str, bytes]:
    """The two classes, and this in place of an image."""
    return folders(train__cat__0_dot_jpg=content)


def split_in(name: str) -> dict[str, bytes]:
    """The two classes with another name of the training folder."""
    return {file.replace("train/", f"{name}/"): content for file, content in folders().items()}


def folder_cases() -> list[Case]:
    """Images of all kinds and of none."""
    place = "train/cat/0.jpg"
    size = (WIDTH, HEIGHT)
    others = {
        "webp": media.webp(*size),
        "bmp": media.bmp(*size),
        "gif": media.gif(*size),
        "tif": media.tiff(*size),
    }
    nested = {f"{split}/pets/{name}/{i}.jpg": jpeg(i) for split in ("train", "val") for name in ("cat", "dog") for i in range(2)}
    groups = nested | {name.replace("pets", "vehicles"): content for name, content in nested.items()}
    read = [
        case(f"folders/{kind}-named-jpg", replaced(content), "train: 4 images", "1 images are neither JPEG nor PNG")
        for kind, content in others.items()
    ]
    read += [
        case(
            f"folders/{kind}",
            folders() | {f"train/cat/9.{kind}": content},
            "train: 5 images",
            "1 images are neither JPEG nor PNG",
        )
        for kind, content in others.items()
    ]
    half = jpeg(0)[:-40]
    named = [
        ("pointer", POINTER, "Git LFS pointer", "git lfs pull"),
        ("html", PAGE, "HTML", "get the file again"),
        ("server-error", DENIED, "XML", "get the file again"),
        ("empty", b"", "empty", "get the file again"),
        ("zeros", bytes(500), "zeros", "get the file again"),
        ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60), "HEIC", "convert"),
        ("avif", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(60), "AVIF", "convert"),
        ("svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG", "convert"),
        ("pdf", b"%PDF-1.7\n", "PDF", "pdfimages"),
        ("video", b"\0\0\0\x20ftypisom" + bytes(60), "video", "ffmpeg"),
        ("zip", b"PK\x03\x04" + bytes(40), "zip", "unpack"),
        ("truncated-jpeg", half, "JPEG", "--tolerate image"),
        ("truncated-png", media.png(media.gray(*size))[:200], "--tolerate image"),
        ("base64", b"/9j/4AAQSkZJRgABAQAAAQABAAD" * 9, "base64", "--tolerate image"),
        ("text", b"not an image\n", "begins with the bytes", "--tolerate image"),
    ]
    bad = [fails(f"folders/{name}-for-image", replaced(content), place, *says) for name, content, *says in named]
    return [
        case("folders/plain", folders(), "train: 4 images", PETS),
        *read,
        *bad,
        case("folders/png-named-jpg", replaced(media.png(media.gray(*size))), "train: 4 images", never="neither"),
        case("folders/jpg-named-png", folders() | {"train/cat/9.png": jpeg(9)}, "train: 5 images", never="neither"),
        case(
            "folders/palette-png",
            replaced(media.png([[0, 1] * 32] * 48, palette=["ff0000", "00ff00"])),
            "train: 4 images",
            "channels = 3",
        ),
        case("folders/png-of-16-bits", replaced(media.png([[0, 65535] * 32] * 48, depth=16)), "train: 4 images"),
        case("folders/transparent-png", replaced(media.color_png([[(1, 2, 3, 0)] * 64] * 48)), "train: 4 images"),
        case("folders/color-jpeg", replaced(jpeg(0, channels=3)), "train: 4 images", "channels = 3"),
        case(
            "folders/jpeg-with-data-behind", replaced(jpeg(0) + b"\0\0\0\x18ftypmp42" + bytes(200)), "train: 4 images",
        ),
        case("folders/jfif", folders() | {"train/cat/9.jfif": jpeg(9)}, "train: 5 images"),
        case(
            "folders/names-in-capitals",
            folders() | {"train/cat/9.JPG": jpeg(9), "train/cat/8.JpEg": jpeg(8)},
            "train: 6 images",
        ),
        case(
            "folders/junk",
            folders(
                ) | {"train/cat/Thumbs.db": b"\xd0\xcf\x11\xe0",
                "train/.ipynb_checkpoints/0-checkpoint.jpg": jpeg(),
                "train/cat/._0.jpg": APPLE,
                "__MACOSX/train/cat/._0.jpg": APPLE,
            },
            "train: 4 images",
            PETS,
        ),
        case(
            "folders/text-among-images",
            folders() | {"train/cat/notes.txt": b"\n"},
            "1 files are no images",
            "notes.txt",
        ),
        case(
            "folders/one-above",
            {f"pets/data/{name}": content for name, content in folders().items()},
            "train: 4 images",
        ),
        case(
            "folders/name-of-another-alphabet",
            {name.replace("cat", "猫 1"): content for name, content in folders().items()},
            '"猫 1"',
        ),
        case("folders/train-in-capitals", split_in("Train"), "train: 4 images"),
        case(
            "folders/training-and-testing",
            {name.replace("train/", "Training/").replace("val/", "Testing/"): content for name, content in folders().items()},
            "train: 4 images",
            "test: 4 images",
        ),
        case("folders/of-one-pixel", replaced(media.png([[7]])), "several sizes"),
        case("folders/png-with-data-behind", replaced(media.png(media.gray(*size)) + b"\n\n"), "train: 4 images"),
        case("folders/gray-with-opacity", replaced(media.color_png([[(7, 255)] * 64] * 48)), "train: 4 images"),
        case("folders/animated-gif", replaced(media.gif(*size)[:-1] + media.gif(*size)[13 + 384 :]), "train: 4 images"),
        case(
            "folders/dots-in-names",
            {name.replace("cat/", "cat.v1.2/"): content for name, content in folders().items()},
            '"cat.v1.2"',
        ),
        fails(
            "folders/class-in-other-case",
            {name.replace("val/cat", "val/Cat"): content for name, content in folders().items()},
            "val/Cat",
            "train",
        ),
        fails(
            "folders/png-of-too-many-pixels",
            replaced(media.png([[0]]).replace(bytes(3) + b"\1" + bytes(3) + b"\1", bytes(2) + b"\xff\xff" + bytes(2) + b"\xff\xff", 1)),
            place,
        ),
        fails("folders/jpeg-without-end", replaced(jpeg()[:-2]), place, "--tolerate image"),
        fails("folders/answer-before-jpeg", replaced(b"HTTP/1.1 200 OK\r\n\r\n" + jpeg()), place, "--tolerate image"),
        fails("folders/archive-in-it", {"pets.zip": zipped(folders())}, "pets.zip", "give the archive"),
        case(
            "folders/tolerated",
            replaced(POINTER),
            "train: 3 images",
            "1 images were left out",
            "Git LFS",
            options="--tolerate image",
        ),
        case("folders/several-sizes", replaced(media.jpeg(32, 32)), "several sizes", "--size"),
        case("folders/resized", replaced(media.jpeg(32, 32)), "resized", never="several sizes", options="--size 32x32"),
        case(
            "folders/class-without-validation",
            {name: content for name, content in folders().items() if "val/dog" not in name},
            "val has no image of",
            "dog",
        ),
        case(
            "folders/deeper",
            folders() | {"train/cat/more/9.jpg": jpeg(9)},
            "train: 5 images",
            "1 images are in folders",
        ),
        case("folders/nested", nested, "nested-folders", "pets/cat"),
        case("folders/groups", groups, "vehicles/dog", options="--format nested-folders"),
        fails("folders/groups-unsaid", groups, "--format", "nested-folders"),
        fails("folders/class-of-junk", folders() | {"train/zebra/Thumbs.db": b"\xd0\xcf"}, "train/zebra", "Thumbs.db"),
        fails("folders/class-of-texts", folders() | {"train/zebra/a.txt": b"x"}, "train/zebra has no image"),
        fails(
            "folders/no-splits",
            {name.removeprefix("train/"): content for name, content in folders().items() if "train/" in name},
            "train",
        ),
        fails(
            "folders/one-class",
            {name: content for name, content in folders().items() if "dog" not in name},
            "2 classes",
            "train/cat",
        ),
        fails("folders/class-of-validation-alone", folders() | {"val/fox/0.jpg": jpeg()}, "val/fox", "train"),
        fails("folders/two-validations", folders() | {"valid/cat/0.jpg": jpeg()}, "one validation split", "valid"),
        fails(
            "folders/no-validation",
            {name: content for name, content in folders().items() if "train/" in name},
            "validation or test",
        ),
        fails("folders/nothing", {"readme.txt": b"\n"}, "found readme.txt"),
    ]


# Crowds.

HEADS = [(10.5, 20.25), (30.0, 40.0), (60.0, 8.0)]


def crowd(points: list = HEADS) -> dict[str, bytes]:
    """ShanghaiTech, two images a split."""
    files = {}
    for split in ("train", "test"):
        for i in (1, 2):
            files[f"{split}_data/images/IMG_{i}.jpg"] = jpeg(i)
            files[f"{split}_data/ground-truth/GT_IMG_{i}.mat"] = media.shanghaitech(points)
    return files


def qnrf(points: list = HEADS) -> dict[str, bytes]:
    """UCF-QNRF, two images a split."""
    splits = [(split, i) for split in ("Train", "Test") for i in (1, 2)]
    images = {f"{split}/img_000{i}.jpg": jpeg(i) for split, i in splits}
    return images | {f"{split}/img_000{i}_ann.mat": media.qnrf(points) for split, i in splits}


def crowd_cases() -> list[Case]:
    """Points in MATLAB files."""
    image, truth = "train_data/images/IMG_1.jpg", "train_data/ground-truth/GT_IMG_1.mat"
    lacks = {name: content for name, content in crowd().items() if name != image}
    return [
        case("crowd/plain", crowd(), "train: 2 images, 6 points"),
        case("crowd/qnrf", qnrf(), "ucf-qnrf", "train: 2 images, 6 points"),
        case(
            "crowd/webp",
            lacks | {"train_data/images/IMG_1.webp": media.webp(WIDTH, HEIGHT)},
            "train: 2 images, 6 points",
            "1 images are neither",
        ),
        case("crowd/nobody", crowd([]), "train: 2 images, 0 points"),
        case("crowd/apple-double", crowd() | {"train_data/images/._IMG_1.jpg": APPLE}, "train: 2 images, 6 points"),
        fails("crowd/image-missing", lacks, "GT_IMG_1.mat", "image"),
        fails(
            "crowd/qnrf-image-missing",
            {name: content for name, content in qnrf().items() if name != "Train/img_0001.jpg"},
            "img_0001_ann.mat",
            "image",
        ),
        fails(
            "crowd/truth-missing",
            {name: content for name, content in crowd().items() if name != truth},
            "GT_IMG_1.mat",
        ),
        fails("crowd/normalized", crowd([(x / WIDTH, y / HEIGHT) for x, y in HEADS]), "parts of the image"),
        fails("crowd/rows-before-columns", crowd([(20, 60), (40, 62), (44, 50)]), "[y, x]"),
        fails("crowd/nan", crowd([(float("nan"), 5), (3, 4)]), "GT_IMG_1.mat", "NaN"),
        fails("crowd/outside", crowd([(10, 20), (900, 40), (60, 8), (30, 30)]), "GT_IMG_1.mat", "--tolerate point"),
        case(
            "crowd/outside-tolerated",
            crowd([(10, 20), (900, 40), (60, 8), (30, 30)]),
            "train: 2 images, 6 points",
            "4 points were left out",
            options="--tolerate point",
        ),
        fails(
            "crowd/names-in-other-case",
            {name.replace("images/IMG", "images/img"): content for name, content in crowd().items()},
            "GT_IMG_1.mat",
        ),
        fails("crowd/number-differs", crowd() | {truth: media.shanghaitech(HEADS, 7)}, "GT_IMG_1.mat", "7"),
        fails(
            "crowd/other-variable",
            qnrf() | {"Train/img_0001_ann.mat": media.qnrf(HEADS, "points")},
            "annPoints",
            "points",
        ),
        fails(
            "crowd/mat-of-version-7.3",
            crowd() | {truth: b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n"},
            "GT_IMG_1.mat",
            "7.3",
        ),
        fails("crowd/mat-is-pointer", crowd() | {truth: POINTER}, "GT_IMG_1.mat", "Git LFS"),
        fails("crowd/mat-is-html", crowd() | {truth: PAGE}, "GT_IMG_1.mat", "HTML"),
        fails(
            "crowd/two-images",
            crowd() | {"train_data/images/IMG_1.png": media.png(media.gray(WIDTH, HEIGHT))},
            "IMG_1.jpg",
            "IMG_1.png",
        ),
    ]


# Masks, tables of bytes, archives.


def camvid(mask: bytes | None = None) -> dict[str, bytes]:
    """Two images a split; `mask` is the first of the train split."""
    plain = media.png([[0, 3, 11, 10] * 16] * HEIGHT)
    splits = [(split, i) for split in ("train", "val", "test") for i in range(2)]
    images = {f"{split}/{i}.png": media.png(media.gray(WIDTH, HEIGHT, i)) for split, i in splits}
    masks = {f"{split}annot/{i}.png": plain for split, i in splits}
    return images | masks | ({"trainannot/0.png": mask} if mask is not None else {})


def idx(kind: int, shape: list[int], content: bytes) -> bytes:
    """An IDX file."""
    return struct.pack(">HBB", 0, kind, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + content


def mnist(pack: object = lambda content: content, end: str = "") -> dict[str, bytes]:
    """MNIST with twenty images a split."""
    files = {}
    for split in ("train", "t10k"):
        pixels = bytes(i % 251 for i in range(20 * 28 * 28))
        files[f"{split}-images-idx3-ubyte{end}"] = pack(idx(8, [20, 28, 28], pixels))
        files[f"{split}-labels-idx1-ubyte{end}"] = pack(idx(8, [20], bytes(i % 10 for i in range(20))))
    return files


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip archive, the same bytes each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    """A gzipped tar archive, the same bytes each time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def archived(name: str, file: str, content: bytes, *says: str, code: int = 0) -> Case:
    """The import of an archive."""
    return Case(f"import/{name}", ["import", "set", f"{{}}/{file}"], {file: content}, code, list(says))


def other_cases() -> list[Case]:
    """What is neither boxes nor points nor folders."""
    mask = "trainannot/0.png"
    above = {f"pets-1/{name}": content for name, content in folders().items()}
    apple = above | {"__MACOSX/pets-1/train/cat/._0.jpg": APPLE}
    labels = "train-labels-idx1-ubyte"
    return [
        case("masks/plain", camvid(), "train: 2 images"),
        case(
            "masks/palette",
            camvid(media.png([[0, 3, 11, 10] * 16] * HEIGHT, palette=["000000"] * 12)),
            "train: 2 images",
        ),
        fails("masks/of-colors", camvid(media.color_png([[(128, 0, 0)] * WIDTH] * HEIGHT)), mask, "colors"),
        fails("masks/other-size", camvid(media.png([[0] * 32] * 24)), mask, "32×24", "64×48"),
        fails("masks/other-value", camvid(media.png([[0, 255] * 32] * HEIGHT)), mask, "255"),
        fails("masks/jpeg", camvid(jpeg()), mask),
        fails("masks/pointer", camvid(POINTER), mask, "Git LFS"),
        fails(
            "masks/missing", {name: content for name, content in camvid().items() if name != mask}, "train/0.png", mask,
        ),
        fails(
            "masks/image-missing",
            {name: content for name, content in camvid().items() if name != "train/0.png"},
            mask,
            "image",
        ),
        case("idx/plain", mnist(), "train: 20 images"),
        case("idx/gzip", mnist(lambda content: gzip.compress(content, mtime=0), ".gz"), "train: 20 images"),
        fails("idx/truncated", mnist() | {labels: mnist()[labels][:-5]}, labels),
        fails("idx/html", mnist() | {labels: PAGE}, labels, "HTML"),
        archived("archive/zip", "pets.zip", zipped(above), "train: 4 images"),
        archived("archive/zip-of-a-mac", "pets.zip", zipped(apple), "train: 4 images"),
        archived("archive/tar.gz", "pets.tar.gz", tarred(above), "train: 4 images"),
        archived("archive/html-for-zip", "pets.zip", PAGE, "pets.zip", "HTML", code=1),
        archived("archive/pointer-for-zip", "pets.zip", POINTER, "pets.zip", "Git LFS", code=1),
        archived("archive/truncated-zip", "pets.zip", zipped(above)[:-60], "pets.zip", code=1),
        archived("archive/tar.xz", "pets.tar.xz", b"\xfd7zXZ\0" + bytes(60), "pets.tar.xz", "xz", code=1),
        archived("archive/tar.bz2", "pets.tar.bz2", b"BZh91AY&SY" + bytes(60), "pets.tar.bz2", "bzip2", code=1),
        archived("archive/name-outside", "pets.zip", zipped(above | {"../evil.txt": b"x"}), "pets.zip", "..", code=1),
        archived(
            "archive/backslashes",
            "pets.zip",
            zipped({name.replace("/", "\\"): content for name, content in above.items()}),
            "train: 4 images",
        ),
        archived("archive/image", "0.jpg", jpeg(), "0.jpg", "JPEG", code=1),
        fails(
            "cifar/of-python",
            {"data_batch_1": b"\x80\2}q\1.", "test_batch": b"\x80\2}q\1.", "batches.meta": b"\x80\2}q\1."},
            "Python",
            "binary",
        ),
        archived("archive/rar", "pets.rar", b"Rar!\x1a\x07\x01\0" + bytes(60), "pets.rar", "RAR", code=1),
        archived("archive/7z", "pets.7z", b"7z\xbc\xaf\x27\x1c" + bytes(60), "pets.7z", "7z", code=1),
        archived("archive/empty-zip", "pets.zip", zipped({}), "nothing", code=1),
        archived("archive/empty", "pets.zip", b"", "pets.zip", "empty file", code=1),
    ]


def cases() -> list[Case]:
    """All of them."""
    return boxes.cases() + folder_cases() + crowd_cases() + other_cases()
