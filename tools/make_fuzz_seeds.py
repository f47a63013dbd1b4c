"""Makes fuzz/seeds: the smallest files of each format, where fuzzing starts.

    python3 tools/make_fuzz_seeds.py        # needs numpy, pillow, pyarrow
"""

import io
import json
import pathlib

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
    for suffix, options in (("plain", {"compression": "none"}), ("snappy", {"compression": "snappy", "row_group_size": 1})):
        file = io.BytesIO()
        table = pa.table({"image": pa.array(image, image_type), **columns})
        features = {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, file, use_dictionary=False, write_statistics=False, store_schema=False, **options)
        save("parquet", f"{task}-{suffix}", bytes([task]) + file.getvalue())
file = io.BytesIO()
pq.write_table(pa.table({"image": pa.array(image, image_type), "objects": structs}), file, compression="none")
save("parquet", "1-structs", b"\1" + file.getvalue())
