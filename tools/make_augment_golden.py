"""Makes the golden vectors of augmentation: torchvision's functions on images of 8 bits, for Rust tests to match.

usage: make_augment_golden.py OUT_DIR SEED
needs: torch, torchvision, safetensors
"""
import json, os, sys
import torch
import torchvision.transforms.functional as F
from torchvision.transforms import InterpolationMode
from safetensors.torch import save_file

out, seed = sys.argv[1], int(sys.argv[2])
os.makedirs(f"{out}/data", exist_ok=True)
torch.manual_seed(seed)
torch.set_num_threads(1)

blob, cases = {}, {}


def image(channels, height, width):
    """Smooth and saturated parts, and noise: [c, h, w]."""
    coarse = torch.rand(1, channels, 4, 5) * 1.6 - 0.3
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")[0]
    noise = 0.15 * torch.randn(channels, height, width)
    return ((smooth + noise).clamp(0, 1) * 255).round().to(torch.uint8)


def save(case, x, y, **settings):
    blob[f"{case}/x"] = x.permute(1, 2, 0).contiguous().clone()
    blob[f"{case}/y"] = y.permute(1, 2, 0).contiguous().clone()
    cases[case] = json.dumps(settings)


# What is seen, and the mask of it: resized, cut out at (top, left), mirrored.
VIEWS = [((24, 31), (24, 31), (0, 0), (24, 31), False), ((24, 31), (51, 47), (0, 0), (51, 47), False),
         ((24, 31), (11, 9), (0, 0), (11, 9), False), ((24, 31), (12, 60), (3, 17), (7, 20), True),
         ((37, 20), (19, 33), (-4, -6), (30, 45), True), ((37, 20), (37, 20), (5, -3), (20, 20), True),
         ((1, 1), (3, 4), (-1, 1), (5, 5), False), ((40, 52), (4, 3), (0, 0), (4, 3), True),
         ((30, 8), (1, 1), (0, 0), (1, 1), False)]
for channels in (1, 3):
    for source, scaled, (top, left), size, flip in VIEWS:
        def view(x, **how):
            y = F.crop(F.resize(x, list(scaled), **how), top, left, *size)
            return F.hflip(y) if flip else y
        settings = dict(scaled=scaled, offset=(top, left), size=size, flip=flip)
        case = f"{channels}/{source}/{scaled}/{(top, left)}"
        x = image(channels, *source)
        save(f"view/{case}", x, view(x, antialias=True), **settings)
        if channels == 1:
            # Classes below 255: what is outside becomes void, which torchvision fills with 0.
            x = torch.randint(1, 255, (1, *source), dtype=torch.uint8)
            save(f"mask/{case}", x, view(x, interpolation=InterpolationMode.NEAREST_EXACT), **settings)

for source, shorter, size in [((30, 40), 25, (22, 22)), ((41, 30), 37, (24, 31)), ((20, 33), 20, (26, 17))]:
    x = image(3, *source)
    y = F.center_crop(F.resize(x, shorter, antialias=True), list(size))
    save(f"centre/{source}/{shorter}/{size}", x, y, shorter=shorter, size=size)

ADJUST = {"brightness": F.adjust_brightness, "contrast": F.adjust_contrast, "saturation": F.adjust_saturation,
          "hue": F.adjust_hue}
FACTORS = {"hue": (-0.5, -0.37, -0.1, 0.0, 0.04, 0.25, 0.5)}
for channels in (1, 3):
    x = image(channels, 14, 19)
    if channels == 3:
        # Grays, and colors with two equal channels.
        x[:, 0] = x[:1, 0]
        x[1, 1] = x[0, 1]
        x[2, 2] = x[1, 2]
        x[0, 3] = x[2, 3]
    for name, adjust in ADJUST.items():
        for factor in FACTORS.get(name, (0.0, 0.6, 1.0, 1.7)):
            save(f"colour/{channels}/{name}/{factor}", x, adjust(x, factor), steps=[[name, factor]])

save_file(blob, f"{out}/data/augment.safetensors", metadata=cases)
