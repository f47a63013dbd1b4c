"""Writes what torchvision's networks are and compute, for tests/torchvision.rs.

usage: make_torchvision.py OUT.json      needs: torch 2.13, torchvision 0.28
"""
import json
import sys

import numpy as np
import torch
import torchvision
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7


def values(count, seed):
    """Numbers in -0.5..0.5 that any language can make: a hash of their index."""
    x = (np.arange(count, dtype=np.uint64) + seed * 1_000_003) * 2_654_435_761 % 2**32
    x ^= x >> 15
    x = x * 2_246_822_519 % 2**32
    x ^= x >> 13
    return torch.from_numpy(x.astype(np.float64) / 2**32 - 0.5).float()


def rounded(tensor):
    return [float(f"{value:.8g}") for value in tensor.flatten().tolist()]


def features(network, images):
    """The first channels of the middle pixel of each stage, as training computes it."""
    x, found = network.maxpool(network.relu(network.bn1(network.conv1(images)))), []
    for stage in [network.layer1, network.layer2, network.layer3, network.layer4]:
        x = stage(x)
        height, width = x.shape[2:]
        middle = rounded(x[0, :16, height // 2, width // 2])
        found.append({"dims": [x.shape[i] for i in (0, 2, 3, 1)], "middle": middle})
    return found


def pyramid(norm):
    """All levels, and the gradients of all parameters where those of the levels are numbers of `values`."""
    options = {"norm_layer": torch.nn.BatchNorm2d} if norm else {"extra_blocks": LastLevelP6P7(3, 3)}
    network = FeaturePyramidNetwork([4, 5, 6], 3, **options).train()
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            parameter.copy_(values(parameter.numel(), seed).view_as(parameter))
    sides, stages = [9, 5, 3], {}
    for seed, (side, channels) in enumerate(zip(sides, [4, 5, 6])):
        stages[str(seed)] = values(2 * side * side * channels, seed).view(2, side, side, channels).permute(0, 3, 1, 2)
    levels = list(network(stages).values())
    levels = [level.permute(0, 2, 3, 1) for level in levels]
    sum((level * values(level.numel(), seed).view(level.shape)).sum() for seed, level in enumerate(levels)).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    return {"norm": norm, "levels": [rounded(x) for x in levels], "gradients": [rounded(x) for x in gradients]}


def main():
    torch.set_num_threads(1)
    images = values(2 * 3 * 96 * 96, 0).view(2, 96, 96, 3).permute(0, 3, 1, 2)
    cases = []
    for name, output_strides in [("resnet18", [32]), ("resnet50", [32, 16, 8])]:
        for output_stride in output_strides:
            dilated = [False, output_stride < 16, output_stride < 32]
            network = getattr(torchvision.models, name)(replace_stride_with_dilation=dilated).train()
            with torch.no_grad():
                for seed, parameter in enumerate(network.parameters()):
                    if parameter.dim() == 4:
                        parameter.copy_(values(parameter.numel(), seed).view_as(parameter))
            state = {k: list(v.shape) for k, v in network.state_dict().items() if "num_batches_tracked" not in k}
            count = sum(parameter.numel() for parameter in network.parameters())
            with torch.no_grad():
                stages = features(network, images)
            case = {"depth": int(name[6:]), "output_stride": output_stride, "count": count}
            cases.append({**case, "shapes": state, "stages": stages})
    found = {"resnets": cases, "pyramids": [pyramid(norm) for norm in [False, True]]}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(found, file)
        file.write("\n")


if __name__ == "__main__":
    main()
