"""Makes tests/golden/resize.safetensors of crates/ops: torch.nn.functional.interpolate, for Rust tests to match.

usage: make_resize_golden.py OUT_DIR SEED
needs: torch, safetensors, numpy
"""
import json, sys
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

out, seed = sys.argv[1], int(sys.argv[2])
torch.manual_seed(seed)
torch.set_num_threads(1)

MODES = {
    "nearest": dict(mode="nearest"),
    "half_pixel": dict(mode="bilinear", align_corners=False),
    "corners": dict(mode="bilinear", align_corners=True),
}
SIZES = [((5, 7), (10, 14)), ((5, 7), (8, 3)), ((6, 4), (3, 9)), ((1, 1), (4, 5)), ((7, 5), (1, 1)), ((4, 6), (4, 6)),
         ((13, 2), (6, 11)), ((3, 1), (1, 7)), ((8, 9), (2, 3))]
# Where i·in/out in f32 falls below the whole number that it is.
ROUNDED = [((14, 26), (46, 22)), ((28, 39), (46, 33))]

blob, cases = {}, {}
for name, settings in MODES.items():
    for before, after in SIZES + (ROUNDED if name == "nearest" else []):
        case = f"{name}/{before[0]}x{before[1]}_{after[0]}x{after[1]}"
        x = torch.randn(1, 2, *before, requires_grad=True)
        y = F.interpolate(x, size=after, **settings)
        upstream = torch.randn_like(y)
        (dx,) = torch.autograd.grad(y, x, upstream)
        parts = dict(x=x, y=y, upstream=upstream, dx=dx)
        blob |= {f"{case}/{part}": t.detach().contiguous() for part, t in parts.items()}
        cases[case] = json.dumps(dict(mode=name))
for before, after in ROUNDED:
    for n, m in zip(before, after):
        exact = np.arange(m) * n // m
        assert (np.floor(np.arange(m, dtype=np.float32) * (np.float32(n) / np.float32(m))) != exact).any()
save_file(blob, f"{out}/resize.safetensors", metadata=cases)
