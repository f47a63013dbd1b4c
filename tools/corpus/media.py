"""Image files and MATLAB files, written by hand: the standard library alone, and the same bytes everywhere."""

import struct
import zlib

Pixels = list[list[int]]


def gray(width: int, height: int, seed: int = 0) -> Pixels:
    """Rows of values from 0 to 255 that are not all the same."""
    return [[(37 * seed + 5 * x + 11 * y) % 256 for x in range(width)] for y in range(height)]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rows: Pixels, palette: list[str] | None = None, depth: int = 8, extra: bytes = b"") -> bytes:
    """A gray PNG, or one with a palette of colors such as `ff0000`; rows of a `depth` of 1, 2, 4, 8 or 16 bits."""
    height, width = len(rows), len(rows[0])
    raw = b""
    for row in rows:
        bits = "".join(f"{value:0{depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        raw += b"\0" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    header = struct.pack(">IIBBBBB", width, height, depth, 3 if palette else 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header)
    if palette:
        chunks += _chunk(b"PLTE", bytes.fromhex("".join(palette)))
    return b"\x89PNG\r\n\x1a\n" + chunks + extra + _chunk(b"IDAT", zlib.compress(raw, 9)) + _chunk(b"IEND", b"")


def opacity(count: int) -> bytes:
    """The chunk of a PNG with the opacity of each color of its palette."""
    return _chunk(b"tRNS", bytes(255 - 9 * i for i in range(count)))


def color_png(rows: list[list[tuple[int, ...]]]) -> bytes:
    """A PNG of rows of (red, green, blue), or (red, green, blue, opacity), or (gray, opacity)."""
    height, width, channels = len(rows), len(rows[0]), len(rows[0][0])
    raw = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(raw, 9)) + _chunk(b"IEND", b"")


# Lengths of the codes of the usual table for the first coefficient, and the sizes that they stand for.
_DC_LENGTHS = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]


def jpeg(width: int, height: int, seed: int = 0, segment: bytes = b"", channels: int = 1) -> bytes:
    """A baseline JPEG whose blocks of 8×8 pixels are each of one value; `segment` goes behind its start."""
    codes, code = {}, 0
    sizes = iter(range(12))
    for length, count in enumerate(_DC_LENGTHS, 1):
        for _ in range(count):
            codes[next(sizes)] = f"{code:0{length}b}"
            code += 1
        code <<= 1
    blocks = ((width + 7) // 8) * ((height + 7) // 8)
    bits, before = "", [0] * channels
    for block in range(blocks):
        for channel in range(channels):
            value = (37 * seed + 29 * block + 71 * channel) % 256 - 128
            step, before[channel] = value - before[channel], value
            size = abs(step).bit_length()
            bits += codes[size]
            if size:
                bits += f"{step if step > 0 else step + (1 << size) - 1:0{size}b}"
            bits += "0"  # the end of the block, the only code of the other table
    bits += "1" * (-len(bits) % 8)
    scan = b"".join(bytes([int(bits[i : i + 8], 2)]) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")

    def marker(kind: int, content: bytes) -> bytes:
        return bytes([0xFF, kind]) + struct.pack(">H", len(content) + 2) + content

    ids = range(1, channels + 1)
    frame = struct.pack(">BHHB", 8, height, width, channels) + b"".join(bytes([i, 0x11, 0]) for i in ids)
    start = bytes([channels]) + b"".join(bytes([i, 0]) for i in ids) + bytes([0, 63, 0])
    return (
        b"\xff\xd8"
        + segment
        + marker(0xDB, b"\0" + bytes([8] * 64))
        + marker(0xC0, frame)
        + marker(0xC4, b"\0" + bytes(_DC_LENGTHS) + bytes(range(12)))
        + marker(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
        + marker(0xDA, start)
        + scan
        + b"\xff\xd9"
    )


def orientation(value: int) -> bytes:
    """The segment of a JPEG with EXIF data that turn the image."""
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([value]) + bytes(6)
    return b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif


def bmp(width: int, height: int, seed: int = 0) -> bytes:
    """A BMP of 24 bits a pixel."""
    rows = b"".join(
        bytes(value for value in row for _ in range(3)) + bytes(-3 * width % 4) for row in gray(width, height, seed)[::-1]
    )
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(rows), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + header + rows


def tiff(width: int, height: int, seed: int = 0) -> bytes:
    """A gray TIFF without compression."""
    pixels = bytes(value for row in gray(width, height, seed) for value in row)
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, len(pixels))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    at = 8 + len(pixels) + len(pixels) % 2
    return b"II*\0" + struct.pack("<I", at) + pixels + bytes(len(pixels) % 2) + directory + bytes(4)


def gif(width: int, height: int, seed: int = 0) -> bytes:
    """A GIF of 128 grays, whose table of codes is cleared so often that it never grows."""
    bits = ""
    for index, value in enumerate(value for row in gray(width, height, seed) for value in row):
        if index % 100 == 0:
            bits = f"{128:08b}" + bits
        bits = f"{value // 2:08b}" + bits
    bits = f"{129:08b}" + bits
    codes = int(bits, 2).to_bytes(len(bits) // 8, "little")
    blocks = b"".join(bytes([len(codes[i : i + 255])]) + codes[i : i + 255] for i in range(0, len(codes), 255))
    colors = bytes(2 * value for value in range(128) for _ in range(3))
    screen = struct.pack("<HHBBB", width, height, 0xF6, 0, 0)
    return b"GIF89a" + screen + colors + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x07" + blocks + b"\0;"


def webp(width: int, height: int, seed: int = 0) -> bytes:
    """A lossless WebP of one color."""
    value = (37 * seed + 60) % 256
    bits = []

    def put(number: int, count: int) -> None:
        bits.extend(number >> i & 1 for i in range(count))

    put(0x2F, 8)
    put(width - 1, 14)
    put(height - 1, 14)
    put(0, 4)  # no transparency, version 0
    put(0, 3)  # no transform, no cache of colors, no groups of codes
    for symbol in (value, value, value, 255):  # green, red, blue, opacity: a code of one symbol takes no bits
        put(1, 1)
        put(0, 1)
        put(1, 1)
        put(symbol, 8)
    put(1, 1)  # distances
    put(0, 3)
    bits += [0] * (-len(bits) % 8)
    content = bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))
    chunk = b"VP8L" + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def _matrix(kind: int, shape: list[int], name: str, content: bytes) -> bytes:
    head = _element(6, struct.pack("<II", kind, 0)) + _element(5, struct.pack(f"<{len(shape)}i", *shape))
    return _element(14, head + _element(1, name.encode()) + content)


def _doubles(name: str, shape: list[int], values: list[float]) -> bytes:
    return _matrix(6, shape, name, _element(9, struct.pack(f"<{len(values)}d", *values)))


def _mat(variable: bytes, squeezed: bool) -> bytes:
    """A MAT file of version 5."""
    head = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + struct.pack("<H", 0x100) + b"IM"
    if squeezed:
        packed = zlib.compress(variable)
        variable = struct.pack("<II", 15, len(packed)) + packed
    return head + variable


def _columns(points: list[tuple[float, float]]) -> list[float]:
    return [point[0] for point in points] + [point[1] for point in points]


def shanghaitech(points: list[tuple[float, float]], number: int | None = None) -> bytes:
    """A file of ShanghaiTech: a cell of a struct with `location` and `number`."""
    width = 9
    names = b"".join(name.ljust(width, b"\0") for name in (b"location", b"number"))
    fields = _element(5, struct.pack("<i", width)) + _element(1, names)
    location = _doubles("", [len(points), 2], _columns(points))
    count = _doubles("", [1, 1], [len(points) if number is None else number])
    return _mat(_matrix(1, [1, 1], "image_info", _matrix(2, [1, 1], "", fields + location + count)), True)


def qnrf(points: list[tuple[float, float]], name: str = "annPoints") -> bytes:
    """A file of UCF-QNRF: the matrix `annPoints`."""
    return _mat(_doubles(name, [len(points), 2], _columns(points)), False)
