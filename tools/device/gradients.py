#!/usr/bin/env python3
"""How far gradients are from those in f64, computed by PyTorch on a GPU.

usage: python3 tools/device/gradients.py DIR [--device cuda] [--out FILE]
needs: torch, safetensors

DIR/NETWORK.inputs.safetensors (resnet20, resnet18; those of tools/peers/torch_step.py) holds `images` f32 [n, h, w, c],
`labels` and each parameter under torchvision's name (`layer1.0.conv1.weight` [out, in, h, w]; batch norm has no running
statistics there, since the step is in training mode). The loss is the mean cross-entropy.

The script writes DIR/NETWORK.f64.safetensors: `loss`, `logits` and the gradient of each parameter under its name, in
f64. It then reports ‖gradient − f64‖ / ‖f64‖ of each tensor, loss and logits included, for PyTorch in f32, TF32 and
bf16 (autocast), and for each further file DIR/NETWORK.ANYTHING.safetensors that holds the same names.
--make-inputs writes inputs from a seed, and does no more.
"""
import argparse
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
import torch_step  # noqa: E402


def set_precision(precision):
    """f32 and f64 without TF32; what bf16 leaves in f32, with it."""
    torch.backends.cuda.matmul.allow_tf32 = precision in ["tf32", "bf16"]
    torch.backends.cudnn.allow_tf32 = precision in ["tf32", "bf16"]


def autocast(precision, device):
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


def torchvision_name(name, blocks):
    """`layers.3.conv1.weight` of torch_step.ResNet as torchvision names it: `layer2.1.conv1.weight`."""
    first, *rest = name.split(".")
    if first != "layers":
        return name
    stage, block = divmod(int(rest[0]), blocks)
    return ".".join([f"layer{stage + 1}", str(block), *rest[1:]])


NETWORKS = {"resnet20": ([16, 32, 64], 3), "resnet18": ([64, 128, 256, 512], 2)}


def make_inputs(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for index, (model, (widths, blocks)) in enumerate(NETWORKS.items()):
        torch.manual_seed(index)
        network = torch_step.ResNet(widths, blocks)
        inputs = {torchvision_name(name, blocks): value.detach() for name, value in network.named_parameters()}
        inputs |= {"images": torch.randn(32, 32, 32, 3), "labels": torch.randint(0, 10, (32,))}
        save_file(inputs, folder / f"{model}.inputs.safetensors")


def gradients(model, inputs, precision, device):
    """`loss`, `logits` and the gradients in f64, of a step in this precision."""
    set_precision(precision)
    widths, blocks = NETWORKS[model]
    kind = torch.float64 if precision == "f64" else torch.float32
    network = torch_step.ResNet(widths, blocks)
    for name, value in network.named_parameters():
        given = inputs[torchvision_name(name, blocks)]
        if given.shape != value.shape:
            raise RuntimeError(f"{model}: expected {name} of shape {list(value.shape)}, found {list(given.shape)}")
        value.data.copy_(given)
    network = network.to(device, kind)
    images = inputs["images"].to(device, kind).permute(0, 3, 1, 2)
    with autocast(precision, device):
        logits = network(images)
    loss = F.cross_entropy(logits.to(kind), inputs["labels"].to(device, torch.int64))
    loss.backward()
    found = {torchvision_name(name, blocks): value.grad for name, value in network.named_parameters()}
    found |= {"loss": loss.detach(), "logits": logits.detach()}
    return {name: value.to("cpu", torch.float64).contiguous() for name, value in found.items()}


def errors(found, exact):
    """Of each tensor; the worst and the median of all."""
    if missing := sorted(exact.keys() - found.keys()):
        raise RuntimeError(f"expected a gradient of each parameter, loss and logits; missing: {', '.join(missing[:5])}")
    relative = {name: ((found[name].double() - value).norm() / value.norm()).item() for name, value in exact.items()}
    ordered = sorted(relative, key=relative.get)
    return {
        "worst": [ordered[-1], relative[ordered[-1]]],
        "median": relative[ordered[len(ordered) // 2]],
        "tensors": {name: float(f"{error:.3g}") for name, error in relative.items()},
    }


def compare_gradients(folder, device):
    report = {}
    for model in NETWORKS:
        path = folder / f"{model}.inputs.safetensors"
        if not path.exists():
            report[model] = {"error": f"expected {path}; gradients.py --make-inputs {folder} writes it"}
            continue
        inputs = load_file(path)
        exact = gradients(model, inputs, "f64", device)
        save_file(exact, folder / f"{model}.f64.safetensors")
        found = {f"torch {p}": lambda p=p: gradients(model, inputs, p, device) for p in ["f32", "tf32", "bf16"]}
        for other in sorted(folder.glob(f"{model}.*.safetensors")):
            name = other.name.split(".")[1]
            if name not in ["inputs", "f64"]:
                found[name] = lambda other=other: load_file(other)
        report[model] = {}
        for name, values in found.items():
            try:
                compared = report[model][name] = errors(values(), exact)
                worst, error = compared["worst"]
                print(f"{model} {name}: gradients off by {compared['median']:.2e} (median), {error:.2e} ({worst})", flush=True)
            except Exception as error:
                report[model][name] = {"error": repr(error)}
                print(f"{model} {name}: {error!r}", flush=True)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    parser.add_argument("--make-inputs", action="store_true", help="write inputs, and exit")
    args = parser.parse_args()
    if args.make_inputs:
        return make_inputs(args.folder)
    report = compare_gradients(args.folder, args.device)
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
