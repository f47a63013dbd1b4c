"""Makes the golden vectors of resizing: what torch.nn.functional.interpolate computes, for Rust tests to match.

usage: make_resize_golden.py OUT_DIR SEED
needs: torch, safetensors, numpy
"""
import numpy as np
import torch
import torch.nn.functional as F

from golden import Vectors, arguments

out, seed = arguments()

MODES = {
    "nearest": dict(mode="nearest"),
    "half_pixel": dict(mode="bilinear", align_corners=False),
    "corners": dict(mode="bilinear", align_corners=True),
}
SIZES = [((5, 7), (10, 14)), ((5, 7), (8, 3)), ((6, 4), (3, 9)), ((1, 1), (4, 5)), ((7, 5), (1, 1)), ((4, 6), (4, 6)),
         ((13, 2), (6, 11)), ((3, 1), (1, 7)), ((8, 9), (2, 3))]
# Where i·in/out in f32 falls below the whole number that it is.
ROUNDED = [((14, 26), (46, 22)), ((28, 39), (46, 33))]

vectors = Vectors()
for name, settings in MODES.items():
    for before, after in SIZES + (ROUNDED if name == "nearest" else []):
        def draw():
            return dict(x=torch.randn(1, 2, *before), upstream=torch.randn(1, 2, *after))

        def resize(inputs, layout):
            x = inputs["x"].contiguous(memory_format=layout).requires_grad_()
            y = F.interpolate(x, size=after, **settings)
            return dict(y=y, dx=torch.autograd.grad(y, x, inputs["upstream"])[0])

        vectors.add(f"{name}/{before[0]}x{before[1]}_{after[0]}x{after[1]}", dict(mode=name), draw, resize)
for before, after in ROUNDED:
    for n, m in zip(before, after):
        exact = np.arange(m) * n // m
        assert (np.floor(np.arange(m, dtype=np.float32) * (np.float32(n) / np.float32(m))) != exact).any()
vectors.save(out, "ops", "resize.safetensors")
