"""The networks of crates/segmentation in PyTorch, parameters named as there."""
import math

import torch
import torch.nn.functional as F
from torch import nn


def conv_bn(inputs, outputs, kernel, dilation=1):
    conv = nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2 * dilation, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def resize_like(x, like):
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class Block(nn.Module):
    """A basic block, or a bottleneck; its first 3×3 convolution has dilation `before`, others `after`."""

    def __init__(self, inputs, width, bottleneck, stride, before, after):
        super().__init__()
        channels = 4 * width if bottleneck else width
        layers = [(1, 1, 1, width), (3, stride, before, width), (1, 1, 1, channels)]
        if not bottleneck:
            layers = [(3, stride, before, width), (3, 1, after, width)]
        self.layers, wide = len(layers), inputs
        for index, (kernel, stride_, dilation, outputs) in enumerate(layers, 1):
            conv = nn.Conv2d(wide, outputs, kernel, stride_, kernel // 2 * dilation, dilation, bias=False)
            setattr(self, f"conv{index}", conv)
            setattr(self, f"bn{index}", nn.BatchNorm2d(outputs))
            wide = outputs
        self.downsample = nn.Identity()
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        y = x
        for index in range(1, self.layers + 1):
            y = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(y))
            if index < self.layers:
                y = F.relu(y)
        return F.relu(y + self.downsample(x))


class Body(nn.Module):
    """The stages of a ResNet, none of a stride above `output_stride`: as torchvision's replace_stride_with_dilation."""

    BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

    def __init__(self, depth, width, output_stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        inputs, reached, dilation, self.channels = width, 4, 1, []
        for stage, count in enumerate(self.BLOCKS[depth]):
            stride, before = 1, dilation
            if stage > 0:
                if reached >= output_stride:
                    dilation *= 2
                else:
                    stride, reached = 2, reached * 2
            blocks = []
            for index in range(count):
                first = index == 0
                block = Block(inputs, width << stage, depth >= 50, stride if first else 1, before if first else dilation, dilation)
                inputs = (width << stage) * (4 if depth >= 50 else 1)
                blocks.append(block)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            self.channels.append(inputs)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
            maps.append(x)
        return maps


class Pooling(nn.Sequential):
    """The branch of the mean over the pixels."""

    def __init__(self, inputs, outputs):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x):
        return resize_like(super().forward(x), x)


class Aspp(nn.Module):
    def __init__(self, inputs, channels, rates):
        super().__init__()
        atrous = [conv_bn(inputs, channels, 3, rate) for rate in rates]
        self.convs = nn.ModuleList([conv_bn(inputs, channels, 1), *atrous, Pooling(inputs, channels)])
        self.project = conv_bn(len(self.convs) * channels, channels, 1)

    def forward(self, x):
        return self.project(torch.cat([conv(x) for conv in self.convs], 1))


class Decoder(nn.Module):
    def __init__(self, inputs, channels, low_level):
        super().__init__()
        self.low_level = conv_bn(inputs, low_level, 1)
        self.convs = nn.Sequential(conv_bn(channels + low_level, channels, 3), conv_bn(channels, channels, 3))

    def forward(self, x, first):
        return self.convs(torch.cat([resize_like(x, first), self.low_level(first)], 1))


class DeepLab(nn.Module):
    """DeepLabv3+ (arXiv 1802.02611) on a ResNet."""

    def __init__(self, depth, width, output_stride, channels, low_level, rates, classes):
        super().__init__()
        self.backbone = Body(depth, width, output_stride)
        self.aspp = Aspp(self.backbone.channels[-1], channels, rates)
        self.decoder = Decoder(self.backbone.channels[0], channels, low_level)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, images):
        maps = self.backbone(images)
        return resize_like(self.classifier(self.decoder(self.aspp(maps[-1]), maps[0])), images)


class UNet(nn.Module):
    """A U-Net (arXiv 1505.04597) with padded convolutions and bilinear upsampling."""

    def __init__(self, width, levels, classes):
        super().__init__()
        pair = lambda inputs, outputs: nn.Sequential(conv_bn(inputs, outputs, 3), conv_bn(outputs, outputs, 3))
        wide = [width << level for level in range(levels)]
        self.encoder = nn.ModuleList(pair(i, o) for i, o in zip([3, *wide], wide))
        self.decoder = nn.ModuleList(pair(fine + coarse, fine) for fine, coarse in zip(wide, wide[1:]))
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        maps = []
        for index, level in enumerate(self.encoder):
            x = level(x if index == 0 else F.max_pool2d(x, 2))
            maps.append(x)
        for skip, level in reversed(list(zip(maps, self.decoder))):
            x = level(torch.cat([skip, resize_like(x, skip)], 1))
        return self.classifier(x)


def hard(logits, targets, threshold, least, ignore):
    """The targets of OHEM, those of easy pixels ignored: selected as by HRNet's OhemCrossEntropy (lib/core/criterion.py), but
    that the least number is a share. `logits` are [n, classes]."""
    counted = targets != ignore
    of_target = logits.softmax(1).gather(1, torch.where(counted, targets, 0).unsqueeze(1)).squeeze(1)
    sorted_, _ = of_target[counted].sort()
    least = max(1, math.ceil(least * len(sorted_)))
    if least >= len(sorted_):
        return targets
    easy = of_target >= max(sorted_[least].item(), threshold)
    return torch.where(counted & ~easy, targets, ignore)
