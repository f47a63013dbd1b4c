"""Makes the golden vectors of convolution and batch norm: what PyTorch computes, for Rust tests to match.

usage: make_layer_golden.py OUT_DIR SEED
needs: torch, safetensors
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from golden import Vectors, arguments

out, seed = arguments()
vectors = Vectors()
LAYERS = {  # name: (batch, cin, h, w, cout, k, stride, padding, dilation, groups)
    "k3": (3, 5, 11, 9, 7, 3, 1, 1, 1, 1), "k3s2": (2, 6, 12, 13, 8, 3, 2, 1, 1, 1), "k1s2": (2, 6, 8, 8, 10, 1, 2, 0, 1, 1),
    "k7s2": (2, 3, 23, 21, 6, 7, 2, 3, 1, 1), "dilated": (2, 4, 17, 15, 6, 3, 1, 2, 2, 1), "atrous4": (1, 4, 19, 19, 5, 3, 1, 4, 4, 1),
    "depthwise": (2, 8, 10, 10, 8, 3, 1, 1, 1, 8), "grouped": (2, 8, 9, 9, 12, 3, 2, 1, 1, 4),
}
# Those for which the CPU kernels are Winograd's; more than a tile in each direction, and tiles that are not full.
WIDE = {"wide": (4, 32, 18, 15, 48, 3, 1, 1, 1, 1), "wide_dilated": (4, 32, 16, 16, 32, 3, 1, 2, 2, 1)}


def add_convolution(name, b, ci, h, w, co, k, *geometry):
    def draw():
        x, weight = torch.randn(b, ci, h, w), torch.randn(co, ci // geometry[-1], k, k)
        return dict(x=x, w=weight, upstream=torch.randn_like(F.conv2d(x, weight, None, *geometry)))

    def convolution(inputs, layout):
        x, weight = inputs["x"].contiguous(memory_format=layout).requires_grad_(), inputs["w"].clone().requires_grad_()
        y = F.conv2d(x, weight, None, *geometry)
        dx, dw = torch.autograd.grad((y * inputs["upstream"]).sum(), [x, weight])
        return dict(y=y, dx=dx, dw=dw)

    settings = dict(zip(("stride", "padding", "dilation", "groups"), geometry))
    vectors.add(f"conv/{name}", settings, draw, convolution)


for name, layer in LAYERS.items():
    add_convolution(name, *layer)


def draw():
    inputs = dict(gamma=torch.rand(5) + 0.5, beta=torch.randn(5))
    for step in range(3):
        inputs |= {f"{step}/x": torch.randn(4, 5, 6, 7) * (step + 1) + step + 1, f"{step}/upstream": torch.randn(4, 5, 6, 7)}
    return inputs


def batch_norm(inputs, layout):
    """Three steps, and an evaluation."""
    norm, outputs = nn.BatchNorm2d(5, eps=1e-5, momentum=0.1).to(inputs["gamma"].dtype), {}
    norm.load_state_dict(dict(weight=inputs["gamma"], bias=inputs["beta"]), strict=False)
    for step in range(3):
        x = inputs[f"{step}/x"].contiguous(memory_format=layout).requires_grad_()
        y = norm(x)
        dx, dgamma, dbeta = torch.autograd.grad((y * inputs[f"{step}/upstream"]).sum(), [x, norm.weight, norm.bias])
        of_step = dict(y=y, dx=dx, dgamma=dgamma, dbeta=dbeta)
        of_step |= dict(running_mean=norm.running_mean.clone(), running_var=norm.running_var.clone())
        outputs |= {f"{step}/{name}": tensor for name, tensor in of_step.items()}
    return outputs | {"eval/y": norm.eval()(inputs["2/x"])}


vectors.add("bn", {}, draw, batch_norm)
for name, layer in WIDE.items():
    add_convolution(name, *layer)
vectors.save(out, "ops", "layers.safetensors")
