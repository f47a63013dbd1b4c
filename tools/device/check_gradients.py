#!/usr/bin/env python3
"""Compares gradients that `resnet dump` wrote with torch's in f64, and torch's own in the same arithmetic as a yardstick.

usage: python3 tools/device/check_gradients.py ARITHMETIC DUMP...   (DUMP without .json and .bin)
Prints a line of JSON for each dump: relative errors ‖g − reference‖ / ‖reference‖ of the parameters' gradients.
"""
import json
import sys

import numpy
import torch
import torch.nn.functional as F


def forward(meta, x, weights, targets):
    """The network of the dump on x [n, h, w, c]; batch norm with the batch's statistics."""
    values = [x.permute(0, 3, 1, 2).contiguous()]

    def parameter(index, *shape):
        _, rows, length, offset = meta["params"][index]
        return weights[offset:offset + rows * length].view(*(shape or (rows, length)))

    for layer in meta["layers"]:
        kind, source = layer[0], values[layer[1]]
        if kind == "conv":
            _, _, residual, relu, param, size, stride, padding = layer
            rows, length = meta["params"][param][1:3]
            w = parameter(param, rows, size, size, length // size // size).permute(0, 3, 1, 2)
            y = F.conv2d(source.to(w.dtype), w, stride=stride, padding=padding)
            gamma, beta = parameter(param + 1, rows), parameter(param + 2, rows)
            y = F.batch_norm(y, None, None, gamma, beta, training=True, eps=1e-5)
            if residual >= 0:
                y = y + values[residual]
            values.append(F.relu(y) if relu else y)
        elif kind == "pool":
            values.append(F.max_pool2d(source, 2))
        else:
            param = layer[2]
            logits = F.linear(source.mean((2, 3)), parameter(param), parameter(param + 1, meta["params"][param + 1][2]))
            return F.cross_entropy(logits, targets)
    raise ValueError("expected a network that ends with a head")


def gradients(meta, x, weights, dtype, device, autocast=False):
    w = torch.tensor(weights, dtype=dtype, device=device, requires_grad=True)
    x = torch.tensor(x, dtype=dtype, device=device)
    targets = torch.tensor(meta["targets"], device=device).long()
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        loss = forward(meta, x, w, targets)
    loss.backward()
    return loss.item(), w.grad.double().cpu().numpy()


def errors(meta, found, reference):
    result = {}
    for name, rows, length, offset in meta["params"]:
        a, b = found[offset:offset + rows * length], reference[offset:offset + rows * length]
        result[name] = float(numpy.linalg.norm(a - b) / max(numpy.linalg.norm(b), 1e-30))
    return result


def summary(errors):
    values = sorted(errors.values())
    worst = max(errors, key=errors.get)
    return {"median": values[len(values) // 2], "largest": values[-1], "of": worst}


def main():
    arithmetic, device = sys.argv[1], "cuda" if torch.cuda.is_available() else "cpu"
    for flag in (torch.backends.cuda.matmul, torch.backends.cudnn):
        flag.allow_tf32 = arithmetic == "tf32"
    for path in sys.argv[2:]:
        try:
            with open(path + ".json") as file:
                meta = json.load(file)
        except FileNotFoundError:
            print(json.dumps({"gradients": path.rsplit("/", 1)[-1], "error": "no dump"}))
            continue
        n, c, length = meta["batch"], meta["channels"], meta["len"]
        values = numpy.fromfile(path + ".bin", dtype="<f4")
        x = values[:n * 32 * 32 * c].reshape(n, 32, 32, c)
        weights, found = values[x.size:x.size + length], values[x.size + length:].astype(numpy.float64)
        loss, reference = gradients(meta, x, weights, torch.float64, device)
        torch_loss, torch_found = gradients(meta, x, weights, torch.float32, device, arithmetic == "bf16")
        ours = errors(meta, found, reference)
        print(json.dumps({
            "gradients": path.rsplit("/", 1)[-1], "arithmetic": arithmetic, "loss": meta["loss"], "reference_loss": loss,
            "torch_loss": torch_loss, "ours": summary(ours), "torch": summary(errors(meta, torch_found, reference)),
            "finite": bool(numpy.isfinite(found).all()), "each": ours,
        }), flush=True)


if __name__ == "__main__":
    main()
