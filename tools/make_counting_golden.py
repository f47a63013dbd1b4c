"""Makes the golden vectors of the counting networks and losses: what tools/peers/torch_counting.py computes, for Rust tests
to match.

usage: make_counting_golden.py OUT_DIR SEED
needs: torch, safetensors
"""
import json, os, sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from torch_counting import Csrnet, Mcnn, Resnet, bayesian, distribution_matching

out, seed = sys.argv[1], int(sys.argv[2])
os.makedirs(out, exist_ok=True)
torch.manual_seed(seed)
torch.set_num_threads(1)
save = lambda blob, meta, name: save_file({key: tensor.contiguous() for key, tensor in blob.items()}, f"{out}/{name}", metadata=meta)

# Networks: `<case>/start/<parameter>`, images [n, h, w, c], map and target [n, h', w'], the loss (mean squared difference),
# `<case>/gradient/…`, the statistics after the step, and the map of evaluation.
UNIT = 0.37
CASES = {
    "csrnet": (dict(csrnet=dict(width=2)), True, (40, 48)),
    "mcnn": (dict(mcnn=dict(width=8)), False, (40, 52)),
    "resnet os8": (dict(resnet=dict(depth=10, width=3, output_stride=8, channels=5)), False, (40, 48)),
    "resnet os16": (dict(resnet=dict(depth=10, width=3, output_stride=16, channels=4)), True, (64, 48)),
}
blob, meta = {}, {}
for case, (settings, positive, (height, width)) in CASES.items():
    (kind, arguments), = settings.items()
    network = {"csrnet": Csrnet, "mcnn": Mcnn, "resnet": Resnet}[kind](**arguments, positive=positive, unit=UNIT)
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 1 and "running" not in name:
            tensor.add_(0.3 * torch.randn_like(tensor))
    start = {name: tensor.clone() for name, tensor in network.state_dict().items() if "num_batches" not in name}
    images = torch.randn(2, 3, height, width)
    density = network(images)
    target = torch.rand_like(density)
    loss = ((density - target) ** 2).mean()
    loss.backward()
    blob |= {f"{case}/start/{name}": tensor for name, tensor in start.items()}
    blob |= {f"{case}/gradient/{name}": tensor.grad for name, tensor in network.named_parameters()}
    blob |= {f"{case}/after/{name}": tensor for name, tensor in network.named_buffers() if "running" in name}
    blob |= {f"{case}/images": images.permute(0, 2, 3, 1), f"{case}/map": density.detach(), f"{case}/target": target}
    blob[f"{case}/loss"] = loss.detach().reshape(1)
    network.eval()
    blob[f"{case}/evaluated"] = network(images).detach()
    meta[case] = json.dumps(dict(model=settings, positive=positive, unit=UNIT))
save(blob, meta, "networks.safetensors")

# Losses: `<case>/map` [h, w], points [n, 2], value, gradient [h, w].
blob, meta = {}, {}


def add(case, loss, cells, stride, points):
    """A case of `loss` on a map of `cells`."""
    # Not as many as there are, so that no absolute value is near its kink.
    density = (torch.rand(cells) ** 3 * (len(points) + 1) / (0.17 * cells[0] * cells[1])).requires_grad_()
    (kind, s), = loss.items()
    if kind == "bayesian":
        value = bayesian(density.double(), points, stride, s["sigma"], s["background"])
    else:
        value = distribution_matching(density.double(), points, stride, s["transport"], s["variation"], s["regularization"])
    value.backward()
    blob.update({f"{case}/map": density.detach(), f"{case}/points": points, f"{case}/gradient": density.grad})
    blob[f"{case}/value"] = value.detach().float().reshape(1)
    meta[case] = json.dumps(dict(loss=loss, stride=stride))


def somewhere(number, cells, stride):
    """Points [number, 2] in a map of `cells`."""
    return torch.rand(number, 2) * torch.tensor([cells[1], cells[0]]) * stride


def special(cells, stride):
    """Some, two of them at one place, one in the middle of a cell, and one each in two corners."""
    points = somewhere(9, cells, stride)
    points[1] = points[0]
    points[2] = torch.tensor([1.5, 2.5]) * stride
    points[3] = 0
    points[4] = torch.tensor([cells[1], cells[0]]) * stride - 0.01
    return points


for background in (0.15, 0.0):
    settings = dict(bayesian=dict(sigma=8.0, background=background))
    add(f"bayesian, background {background}", settings, (7, 9), 8, somewhere(11, (7, 9), 8))
    add(f"bayesian, background {background}, special places", settings, (8, 6), 8, special((8, 6), 8))
    add(f"bayesian, background {background}, nobody", settings, (4, 5), 8, somewhere(0, (4, 5), 8))
add("bayesian, narrow", dict(bayesian=dict(sigma=2.5, background=0.4)), (12, 10), 4, somewhere(20, (12, 10), 4))
matching = lambda transport, variation, regularization: {
    "distribution-matching": dict(transport=transport, variation=variation, regularization=regularization, iterations=10_000)
}
add("matching, as in the paper", matching(0.1, 0.01, 10.0), (6, 8), 8, somewhere(12, (6, 8), 8))
add("matching, strongly regularised", matching(1.0, 0.0, 1000.0), (6, 5), 16, somewhere(7, (6, 5), 16))
add("matching, hardly regularised", matching(1.0, 0.5, 1.0), (10, 12), 1, somewhere(6, (10, 12), 1))
add("matching, special places", matching(0.3, 0.2, 40.0), (8, 7), 4, special((8, 7), 4))
add("matching, one person", matching(0.1, 0.01, 10.0), (5, 6), 8, somewhere(1, (5, 6), 8))
add("matching, nobody", matching(0.1, 0.01, 10.0), (5, 6), 8, somewhere(0, (5, 6), 8))
save(blob, meta, "losses.safetensors")
