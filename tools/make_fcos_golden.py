"""Makes the golden vectors of the detector's loss: what tools/peers/torch_fcos.py computes, for Rust tests to match.

usage: make_fcos_golden.py OUT_DIR SEED
needs: torch, torchvision, safetensors
Each seed gives another set of cases.
"""
import json, os, sys
from pathlib import Path
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
import torch_fcos

out, seed = sys.argv[1], int(sys.argv[2])
os.makedirs(out, exist_ok=True)
torch.manual_seed(seed)
torch.set_num_threads(1)
blob, meta = {}, {}
HEIGHT, WIDTH, CLASSES = 96, 128, 4


def objects(count, ignored):
    """Boxes of all sizes, in whole quarters of a pixel so that no two programs round them otherwise."""
    centre = torch.rand(count, 2) * torch.tensor([WIDTH, HEIGHT])
    half = torch.exp(torch.rand(count, 2) * 3.2 + 0.5) / 2
    boxes = torch.cat([centre - half, centre + half], 1).clamp(min=0)
    boxes = torch.minimum(boxes, torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])).mul(4).round().div(4)
    return boxes, torch.randint(0, CLASSES, (count,)), torch.rand(count) < ignored


CASES = {"objects": [(6, 0), (1, 0), (9, 0)], "ignored": [(6, 0.3), (0, 0), (4, 0.6)], "none": [(0, 0), (0, 0)], "crowded": [(200, 0.1)]}
for name, images in CASES.items():
    levels = []
    for index, stride in enumerate((8, 16, 32)):
        shape = (len(images), HEIGHT // stride, WIDTH // stride)
        # As the tests read them: [n, h, w, c].
        classes = (torch.randn(*shape, CLASSES) * 2 - 3).requires_grad_()
        boxes = torch.randn(*shape, 5).requires_grad_()
        levels.append((stride, classes, boxes))
    of_images = [objects(*image) for image in images]
    loss = torch_fcos.loss([(s, c.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)) for s, c, b in levels], of_images)
    loss.backward()
    blob[f"{name}/loss"] = loss.detach().reshape(1)
    for index, (_, classes, boxes) in enumerate(levels):
        for what, tensor in (("classes", classes), ("boxes", boxes)):
            blob[f"{name}/{index}/{what}"] = tensor.detach()
            blob[f"{name}/{index}/{what} gradient"] = tensor.grad
    meta[name] = json.dumps([dict(boxes=b.tolist(), classes=c.tolist(), ignore=i.tolist()) for b, c, i in of_images])
save_file({k: t.contiguous() for k, t in blob.items()}, f"{out}/fcos.safetensors", metadata=meta)
