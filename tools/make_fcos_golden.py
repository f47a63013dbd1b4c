"""Makes the golden vectors of the detector's loss: what tools/peers/torch_fcos.py computes, for Rust tests to match.

usage: make_fcos_golden.py OUT_DIR SEED
needs: torch, torchvision, safetensors
"""
import sys
from pathlib import Path

import torch

from golden import Vectors, arguments

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
import torch_fcos

out, seed = arguments()
vectors = Vectors()
HEIGHT, WIDTH, CLASSES = 96, 128, 4


def objects(count, ignored):
    """Boxes of all sizes, in whole quarters of a pixel so that no two programs round them otherwise."""
    center = torch.rand(count, 2) * torch.tensor([WIDTH, HEIGHT])
    half = torch.exp(torch.rand(count, 2) * 3.2 + 0.5) / 2
    boxes = torch.cat([center - half, center + half], 1).clamp(min=0)
    boxes = torch.minimum(boxes, torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])).mul(4).round().div(4)
    return boxes, torch.randint(0, CLASSES, (count,)), torch.rand(count) < ignored


CASES = {"objects": [(6, 0), (1, 0), (9, 0)], "ignored": [(6, 0.3), (0, 0), (4, 0.6)], "none": [(0, 0), (0, 0)], "crowded": [(200, 0.1)]}
for name, images in CASES.items():
    of_images = [objects(*image) for image in images]

    def draw():
        inputs = {}
        for index, stride in enumerate((8, 16, 32)):
            shape = (len(images), HEIGHT // stride, WIDTH // stride)
            # As the tests read them: [n, h, w, c].
            inputs |= {f"{index}/classes": torch.randn(*shape, CLASSES) * 2 - 3, f"{index}/boxes": torch.randn(*shape, 5)}
        return inputs

    def compute(inputs, _):
        inputs = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
        nchw = lambda index, what: inputs[f"{index}/{what}"].permute(0, 3, 1, 2)
        levels = [(8 << index, nchw(index, "classes"), nchw(index, "boxes")) for index in range(3)]
        dtype = inputs["0/classes"].dtype
        loss = torch_fcos.loss(levels, [(boxes.to(dtype), *others) for boxes, *others in of_images])
        loss.backward()
        return {"loss": loss.reshape(1)} | {f"{name} gradient": tensor.grad for name, tensor in inputs.items()}

    settings = [dict(boxes=b.tolist(), classes=c.tolist(), ignore=i.tolist()) for b, c, i in of_images]
    vectors.add(name, settings, draw, compute)
vectors.save(out, "detection", "fcos.safetensors")
