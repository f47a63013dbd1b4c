"""Makes the golden vectors of the counting networks and losses: what tools/peers/torch_counting.py computes, for Rust tests
to match.

usage: make_counting_golden.py OUT_DIR SEED
needs: torch, safetensors
"""
import sys
from pathlib import Path

import torch

from golden import Vectors, arguments, network_of, randomized, start_of

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from torch_counting import Csrnet, Mcnn, Resnet, bayesian, distribution_matching

out, seed = arguments()
vectors = Vectors()

# Networks: `<case>/start/<parameter>`, images [n, h, w, c], map and target [n, h', w'], the loss (mean squared difference),
# `<case>/gradient/…`, the statistics after the step, and the map of evaluation.
UNIT = 0.37
CASES = {
    "csrnet": (dict(csrnet=dict(width=2)), True, (40, 48)),
    "mcnn": (dict(mcnn=dict(width=8)), False, (24, 28)),
    "resnet os8": (dict(resnet=dict(depth=10, width=3, output_stride=8, channels=5)), False, (40, 48)),
    "resnet os16": (dict(resnet=dict(depth=10, width=3, output_stride=16, channels=4)), True, (64, 48)),
}
for case, (settings, positive, size) in CASES.items():
    (kind, options), = settings.items()
    make = lambda: {"csrnet": Csrnet, "mcnn": Mcnn, "resnet": Resnet}[kind](**options, positive=positive, unit=UNIT)
    template = make()
    cells = template(torch.zeros(2, 3, *size)).shape

    def draw():
        return start_of(randomized(make())) | dict(images=torch.rand(2, *size, 3), target=torch.rand(cells))

    def train(inputs, layout):
        network, images = network_of(template, inputs), inputs["images"].permute(0, 3, 1, 2).contiguous(memory_format=layout)
        density = network(images)
        loss = ((density - inputs["target"]) ** 2).mean()
        loss.backward()
        outputs = {f"gradient/{name}": tensor.grad for name, tensor in network.named_parameters()}
        outputs |= {f"after/{name}": tensor.clone() for name, tensor in network.named_buffers() if "running" in name}
        with torch.no_grad():
            evaluated = network.eval()(images)
        return outputs | dict(loss=loss.reshape(1), map=density, evaluated=evaluated)

    vectors.add(case, dict(model=settings, positive=positive, unit=UNIT), draw, train, nudge=("images",))
vectors.save(out, "crowd-counting", "networks.safetensors")

# Losses: `<case>/map` [h, w], points [n, 2], value, gradient [h, w]. They are computed in f64 always, as ours are, from maps
# in f32: so PyTorch's own error is 0.
vectors = Vectors()


def add(case, loss, cells, stride, points):
    """A case of `loss` on a map of `cells`."""
    (kind, s), = loss.items()

    def draw():
        # Not as many as there are, so that no absolute value is near its kink.
        return dict(map=torch.rand(cells) ** 3 * (len(points) + 1) / (0.17 * cells[0] * cells[1]), points=points)

    def compute(inputs, _):
        density = inputs["map"].double().requires_grad_()
        if kind == "bayesian":
            value = bayesian(density, points, stride, s["sigma"], s["background"])
        else:
            value = distribution_matching(density, points, stride, s["transport"], s["variation"], s["regularization"])
        value.backward()
        return dict(value=value.reshape(1), gradient=density.grad)

    vectors.add(case, dict(loss=loss, stride=stride), draw, compute)


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
vectors.save(out, "crowd-counting", "losses.safetensors")
