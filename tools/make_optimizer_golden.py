"""Makes the golden vectors of optimizers and reparametrized weights: what PyTorch and `adamp` compute, for Rust tests to match.

usage: make_optimizer_golden.py OUT_DIR SEED
needs: torch, adamp, safetensors
"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from adamp import SGDP, AdamP

from golden import Vectors, arguments

out, seed = arguments()
SHAPES = {"conv.weight": (6, 3, 3, 3), "bn.weight": (6,), "bn.bias": (6,), "fc.weight": (4, 6), "fc.bias": (4,)}
STEPS = 12
projected = dict(delta=0.1, wd_ratio=0.1)
CASES = {
    "sgd": (torch.optim.SGD, dict(lr=0.05)),
    "sgd_momentum": (torch.optim.SGD, dict(lr=0.05, momentum=0.9)),
    "sgd_momentum_wd": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, weight_decay=5e-3)),
    "sgd_nesterov_wd": (torch.optim.SGD, dict(lr=0.05, momentum=0.9, weight_decay=5e-3, nesterov=True)),
    "adam": (torch.optim.Adam, dict(lr=1e-2)),
    "adam_wd": (torch.optim.Adam, dict(lr=1e-2, weight_decay=5e-2)),
    "adamw": (torch.optim.AdamW, dict(lr=1e-2, weight_decay=5e-2)),
    "adamp": (AdamP, dict(lr=1e-2, betas=(0.9, 0.999), weight_decay=5e-2, **projected, nesterov=False)),
    "adamp_nesterov": (AdamP, dict(lr=1e-2, betas=(0.9, 0.999), weight_decay=5e-2, **projected, nesterov=True)),
    "sgdp": (SGDP, dict(lr=0.05, momentum=0.9, weight_decay=5e-3, **projected, nesterov=False)),
    "sgdp_nesterov": (SGDP, dict(lr=0.05, momentum=0.9, weight_decay=5e-3, **projected, nesterov=True)),
}
# Weight rescaling: torch's SGD or Adam, then conv.weight put back to unit norm, as a layer or by filter.
RESCALED = {f"{base}_wrs_{view}": (base, view) for base in ("sgd_momentum", "adam") for view in ("layer", "filter")}


def draw():
    """Start and gradients: orthogonal to conv.weight by filter on steps 0, 3, 6, …, as a layer on 1, 4, 7, …, else free."""
    inputs = {f"init/{name}": torch.randn(shape) * 0.5 + (name == "bn.weight") for name, shape in SHAPES.items()}
    weight = inputs["init/conv.weight"]
    for step in range(STEPS):
        of_step = {name: torch.randn(shape) * 0.3 for name, shape in SHAPES.items()}
        dims = {0: (1, 2, 3), 1: (0, 1, 2, 3)}.get(step % 3)
        if dims:
            g = of_step["conv.weight"]
            along = (g * weight).sum(dims, keepdim=True) / weight.pow(2).sum(dims, keepdim=True)
            of_step["conv.weight"] = g - along * weight
        inputs |= {f"grad/{step:02}/{name}": tensor for name, tensor in of_step.items()}
    return inputs


def steps(name, inputs):
    """The parameters after each step, and at the start where they are rescaled."""
    base, view = RESCALED.get(name, (name, None))
    make, settings = CASES[base]
    params = {name: nn.Parameter(inputs[f"init/{name}"].clone()) for name in SHAPES}
    outputs = {}

    def keep(at):
        if view:
            weight = params["conv.weight"].data
            weight /= weight.norm() if view == "layer" else weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        outputs.update({f"{name}/{at}/{param}": value.detach().clone() for param, value in params.items()})

    if view:
        keep("start")
    optimizer = make(list(params.values()), **settings)
    for step in range(STEPS):
        for param, value in params.items():
            value.grad = inputs[f"grad/{step:02}/{param}"].clone()
        optimizer.step()
        keep(f"{step:02}")
    return outputs


def optimizers(inputs, _):
    return {name: value for case in [*CASES, *RESCALED] for name, value in steps(case, inputs).items()}


settings = {name: {"class": make.__name__, "steps": STEPS, **of_class} for name, (make, of_class) in CASES.items()}
settings |= {name: {**settings[base], "view": view} for name, (base, view) in RESCALED.items()}
vectors = Vectors()
vectors.add("optimizers", settings, draw, optimizers)
vectors.save(out, "regularize", "optimizers.safetensors")


def weight_standardization(w, eps=1e-5):
    """joe-siyuan-qiao/WeightStandardization: less the mean of each filter, by its (unbiased) standard deviation and eps."""
    centered = w - w.mean(dim=(1, 2, 3), keepdim=True)
    return centered / (centered.flatten(1).std(dim=1).view(-1, 1, 1, 1) + eps)


def reparametrization(weight_of, names):
    """`compute` for a convolution with the weight that `weight_of` makes of the parameters `names`."""

    def compute(inputs, layout):
        params = [inputs[name].clone().requires_grad_() for name in names]
        weight = weight_of(*params)
        output = F.conv2d(inputs["x"].contiguous(memory_format=layout), weight, padding=1)
        gradients = torch.autograd.grad((output * inputs["upstream"]).sum(), params)
        return {"weight": weight, "output": output} | {f"gradient/{n}": g for n, g in zip(names, gradients)}

    return compute


def draw_layer(**more):
    return lambda: dict(x=torch.randn(2, 4, 9, 9), upstream=torch.randn(2, 8, 9, 9), v=torch.randn(8, 4, 3, 3) * 0.7) | {
        name: of() for name, of in more.items()
    }


vectors = Vectors()
vectors.add("ws", {}, draw_layer(), reparametrization(weight_standardization, ["v"]))
magnitudes = draw_layer(g=lambda: torch.rand(8, 1, 1, 1) + 0.5)
vectors.add("wn", {}, magnitudes, reparametrization(lambda v, g: torch._weight_norm(v, g, 0), ["v", "g"]))
vectors.save(out, "regularize", "reparametrizations.safetensors")


# Relatives whose authors' code is no package, transcribed: what they do around torch's own optimizers.
SGD, ADAM = dict(lr=0.05, momentum=0.9), dict(lr=1e-2)


def centralize(params, _, weight_decay=0, conv_only=False):
    """Yonghongwei/Gradient-Centralization, SGD_GC and Adam_GC (SGD_GCC and Adam_GCC: convolutions only): decay first."""
    for value in params.values():
        value.grad += weight_decay * value.detach()
        if value.ndim > (3 if conv_only else 1):
            value.grad -= value.grad.mean(tuple(range(1, value.ndim)), keepdim=True)


def stable_sgd(params, _, weight_decay):
    """zeke-xie/stable-weight-decay-regularization, SGDS without dampening."""
    for value in params.values():
        value.data *= 1 - SGD["lr"] * weight_decay / (1 - SGD["momentum"])


def stable_adam(params, state, weight_decay, beta=0.999):
    """The same, AdamS: decay by the root of the mean of all corrected second moments."""
    state["step"] = state.get("step", 0) + 1
    for name, value in params.items():
        state[name] = beta * state.get(name, 0) + (1 - beta) * value.grad**2
    moments = torch.cat([state[name].flatten() for name in params]) / (1 - beta ** state["step"])
    for value in params.values():
        value.data *= 1 - ADAM["lr"] * weight_decay / moments.mean().sqrt()


def muon(params, state, lr, momentum, nesterov, iterations):
    """KellerJordan/cifar10-airbench, airbench94_muon, of conv.weight: in the precision of the weight instead of bfloat16."""
    value = params["conv.weight"]
    buffer = state["buffer"] = momentum * state.get("buffer", 0) + value.grad
    x = (value.grad + momentum * buffer if nesterov else buffer).flatten(1)
    x = x / (x.norm() + 1e-7)
    transposed = x.shape[0] > x.shape[1]
    x = x.T if transposed else x
    for _ in range(iterations):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x.T if transposed else x
    value.data *= len(value) ** 0.5 / value.data.norm()
    value.data -= lr * x.reshape(value.shape)
    # What torch's SGD leaves as it is.
    value.grad = None


WITH_MUON = dict(lr=0.02, momentum=0.85, nesterov=True)
OF_MUON = dict(lr=0.24, momentum=0.6, nesterov=True)
RELATIVES = {
    "sgd_gc": (torch.optim.SGD, SGD, centralize, {}),
    "sgd_gc_wd": (torch.optim.SGD, SGD, centralize, dict(weight_decay=5e-3)),
    "sgd_gcc": (torch.optim.SGD, SGD, centralize, dict(conv_only=True)),
    "adam_gc": (torch.optim.Adam, ADAM, centralize, {}),
    "sgds": (torch.optim.SGD, SGD, stable_sgd, dict(weight_decay=5e-3)),
    "adams": (torch.optim.Adam, ADAM, stable_adam, dict(weight_decay=5e-2)),
    "muon": (torch.optim.SGD, WITH_MUON, muon, dict(**OF_MUON, iterations=5)),
    "muon_airbench": (torch.optim.SGD, WITH_MUON, muon, dict(**OF_MUON, iterations=3)),
}


def relatives(inputs, _):
    outputs = {}
    for case, (make, settings, before, of_before) in RELATIVES.items():
        params = {name: nn.Parameter(inputs[f"init/{name}"].clone()) for name in SHAPES}
        optimizer, state = make(list(params.values()), **settings), {}
        for step in range(STEPS):
            for param, value in params.items():
                value.grad = inputs[f"grad/{step:02}/{param}"].clone()
            with torch.no_grad():
                before(params, state, **of_before)
            optimizer.step()
            outputs |= {f"{case}/{step:02}/{param}": value.detach().clone() for param, value in params.items()}
    return outputs


settings = {
    name: {"class": make.__name__, "steps": STEPS, **of_class, "before": before.__name__, **{f"of_{k}": v for k, v in of_before.items()}}
    for name, (make, of_class, before, of_before) in RELATIVES.items()
}
vectors = Vectors()
vectors.add("relatives", settings, draw, relatives)
vectors.save(out, "regularize", "relatives.safetensors")


# Groups of parameters: each has a learning rate over that of all, and a decay.
GROUPS = {"conv": (0.1, 5e-3), "bn": (1.0, 0.0), "fc": (2.0, 5e-2)}
GROUPED = {"sgd_groups": (torch.optim.SGD, SGD), "adamw_groups": (torch.optim.AdamW, ADAM)}


def grouped(inputs, _):
    outputs = {}
    for case, (make, settings) in GROUPED.items():
        params = {name: nn.Parameter(inputs[f"init/{name}"].clone()) for name in SHAPES}
        of_prefix = lambda prefix: [value for name, value in params.items() if name.startswith(prefix + ".")]
        groups = [
            dict(params=of_prefix(prefix), lr=settings["lr"] * factor, weight_decay=decay) for prefix, (factor, decay) in GROUPS.items()
        ]
        optimizer = make(groups, **settings)
        for step in range(STEPS):
            for param, value in params.items():
                value.grad = inputs[f"grad/{step:02}/{param}"].clone()
            optimizer.step()
            outputs |= {f"{case}/{step:02}/{param}": value.detach().clone() for param, value in params.items()}
    return outputs


settings = {name: {"class": make.__name__, "steps": STEPS, **of_class, "groups": GROUPS} for name, (make, of_class) in GROUPED.items()}
vectors = Vectors()
vectors.add("groups", settings, draw, grouped)
vectors.save(out, "regularize", "groups.safetensors")
