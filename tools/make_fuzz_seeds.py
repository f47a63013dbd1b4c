"""Makes fuzz/seeds: the smallest files of each format, where fuzzing starts.

    python3 tools/make_fuzz_seeds.py        # needs numpy, pillow, pyarrow
"""

import gzip
import io
import json
import pathlib
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SEEDS = pathlib.Path(__file__).parent.parent / "fuzz" / "seeds"
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def save(target, name, data):
    path = SEEDS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


rgb = Image.fromarray(PIXELS)
indices = Image.fromarray(PIXELS[:, :, 0] % 3)
palette = indices.copy()
palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])

images = {
    "rgb.png": encode(rgb, "PNG"),
    "grey.png": encode(rgb.convert("L"), "PNG"),
    "alpha.png": encode(rgb.convert("RGBA"), "PNG"),
    "sixteen.png": encode(Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257), "PNG"),
    "palette.png": encode(palette, "PNG"),
    "baseline.jpg": encode(rgb, "JPEG"),
    "progressive.jpg": encode(rgb, "JPEG", progressive=True),
    "grey.jpg": encode(rgb.convert("L"), "JPEG"),
    "cmyk.jpg": encode(rgb.convert("CMYK"), "JPEG"),
    "trailing.jpg": encode(rgb, "JPEG") + encode(rgb, "JPEG")[:200],
    "lossy.webp": encode(rgb, "WEBP"),
    "lossless.webp": encode(rgb, "WEBP", lossless=True),
    "two.gif": encode(rgb, "GIF", save_all=True, append_images=[rgb.convert("L")]),
    "rgb.bmp": encode(rgb, "BMP"),
    "palette.bmp": encode(palette, "BMP"),
    "rgb.tif": encode(rgb, "TIFF"),
    "lzw.tif": encode(rgb, "TIFF", compression="tiff_lzw"),
}
masks = {
    "grey.png": encode(indices, "PNG"),
    "palette.png": encode(palette, "PNG", bits=8),
    "two.png": encode(palette, "PNG", bits=2),
    "one.png": encode(indices.point(lambda value: 255 * (value > 0)).convert("1"), "PNG"),
}
for name, data in images.items():
    save("image", name, data)
for name, data in masks.items():
    save("mask", name, data)

image = [{"bytes": images["rgb.png"], "path": None}, {"bytes": images["baseline.jpg"], "path": "b.jpg"}]
image_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
boxes = [[[1, 1, 3, 4], [0, 0, 8, 6]], []]
tables = {
    0: {"label": pa.array([0, 2])},
    1: {"objects": pa.array([{"bbox": b, "category": [1] * len(b)} for b in boxes],
                            pa.struct({"bbox": pa.list_(pa.list_(pa.float32())), "category": pa.list_(pa.int64())}))},
    2: {"mask": pa.array([{"bytes": masks[name], "path": None} for name in ("grey.png", "two.png")], image_type)},
    3: {"points": pa.array([[[1, 2], [7.5, 5.5]], []], pa.list_(pa.list_(pa.float32())))},
}
structs = pa.array([[{"bbox": box, "category": 1} for box in b] for b in boxes],
                   pa.list_(pa.struct({"bbox": pa.list_(pa.float32()), "category": pa.int64()})))
for task, columns in tables.items():
    for suffix, options in (("plain", {"compression": "none"}), ("snappy", {"compression": "snappy", "row_group_size": 1}),
                            ("gzip", {"compression": "gzip"}), ("lz4", {"compression": "lz4"})):
        file = io.BytesIO()
        table = pa.table({"image": pa.array(image, image_type), **columns})
        features = {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, file, use_dictionary=False, write_statistics=False, store_schema=False, **options)
        save("parquet", f"{task}-{suffix}", bytes([task]) + file.getvalue())
file = io.BytesIO()
pq.write_table(pa.table({"image": pa.array(image, image_type), "objects": structs}), file, compression="none")
save("parquet", "1-structs", b"\1" + file.getvalue())

XML = """<annotation><filename>a.jpg</filename><size><width>8</width><height>6</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3.5</xmax><ymax>4</ymax></bndbox>
</object></annotation>"""
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 6}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3.5, 2], "area": 7, "iscrowd": 0}],
    "categories": [{"id": 2, "name": "cat"}],
}
idx = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (2, 3, 4)) + bytes(range(24))
save("voc", "cat.xml", XML.encode())
save("coco", "cat.json", json.dumps(COCO).encode())
save("yolo", "cat.txt", b"0 0.5 0.5 0.25 0.25\n1 0.1 0.2 0.05 0.1\n")
save("yolo", "data.yaml", b"train: images/train\nnc: 2\nnames: ['cat', 'dog']\n")
save("yolo", "names.yaml", b"names:\n  0: cat\n  1: dog\n")
save("records", "idx", idx)
save("records", "idx.gz", gzip.compress(idx, mtime=0))
save("records", "labels", bytes([0, 0, 8, 1, 0, 0, 0, 2, 3, 4]))
save("records", "cifar.gz", gzip.compress(bytes(3073), mtime=0))

members = {"set/a.txt": b"one", "set/b/c.txt": b"two" * 50}
file = io.BytesIO()
with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, data in members.items():
        archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
save("archive", "set.zip", file.getvalue())
file = io.BytesIO()
with tarfile.open(fileobj=file, mode="w") as archive:
    for name, data in members.items():
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
save("archive", "set.tar", file.getvalue())
save("archive", "set.tar.gz", gzip.compress(file.getvalue(), mtime=0))
save("archive", "name", b"./set//a.txt")

for fixture in sorted((SEEDS.parent.parent / "crates/import/tests/fixtures").glob("*.mat")):
    save("mat", fixture.name, fixture.read_bytes())

save("text", "marked", b"\xef\xbb\xbfcat\n")
save("text", "utf-16", "\ufeffcat\n".encode("utf-16-le"))
save("text", "gbk.xml", '<?xml version="1.0" encoding="GBK"?><name>\u732b</name>'.encode("gbk"))
save("text", "results.json", b'[{"image_id": 1.0, "category_id": 1, "bbox": [0, 1, 2, 3.5], "score": 0.5}]')
