#!/usr/bin/env python3
"""Convolutions of the networks of configs/, as jobs for `plans time`: a line
`n h w c k size stride padding dilation arithmetic direction` each, most important first.

usage: python3 tools/device/shapes.py > jobs.txt

Images have as many channels as 16 bytes hold, 4 in f32 and 8 in bf16: `STEM` in the place of channels.
"""
STEM = "stem"


class Network:
    """Collects convolutions; maps are (height, width, channels)."""

    def __init__(self, batch, height, width):
        self.batch, self.image, self.convs = batch, (height, width, STEM), []

    def conv(self, x, k, size=3, stride=1, dilation=1, image=False):
        h, w, c = x
        padding = size // 2 * dilation
        self.convs.append((self.batch, h, w, c, k, size, stride, padding, dilation))
        reach = dilation * (size - 1) + 1
        return (h + 2 * padding - reach) // stride + 1, (w + 2 * padding - reach) // stride + 1, k

    def linear(self, c, k):
        self.convs.append((self.batch, 1, 1, c, k, 1, 1, 0, 1))

    def resnet(self, width, blocks, small, bottleneck=False, limit=None):
        if small:
            x, stride_of_image = self.conv(self.image, width), 1
        else:
            h, w, c = self.conv(self.image, width, 7, 2)
            x, stride_of_image = ((h - 1) // 2 + 1, (w - 1) // 2 + 1, c), 4
        stages, dilation = [], 1
        for stage, count in enumerate(blocks):
            inner, stride, before = width << stage, 1, dilation
            outer = 4 * inner if bottleneck else inner
            if stage > 0:
                if limit and stride_of_image >= limit:
                    dilation *= 2
                else:
                    stride, stride_of_image = 2, stride_of_image * 2
            for block in range(count):
                s, d = (stride, before) if block == 0 else (1, dilation)
                if s != 1 or x[2] != outer:
                    self.conv(x, outer, 1, s)
                if bottleneck:
                    y = self.conv(self.conv(x, inner, 1), inner, 3, s, d)
                    x = self.conv(y, outer, 1)
                else:
                    x = self.conv(self.conv(x, inner, 3, s, d), inner, 3, 1, dilation)
            stages.append(x)
        return stages


def depth(number):
    basic = {10: [1, 1, 1, 1], 18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}
    return (basic[number], False) if number in basic else ({50: [3, 4, 6, 3]}[number], True)


def half(x):
    return x[0] // 2, x[1] // 2, x[2]


def classifier(batch, width, blocks, classes):
    net = Network(batch, 32, 32)
    net.linear(net.resnet(width, blocks, True)[-1][2], classes)
    return net.convs


def vgg16(batch, classes=100):
    net = Network(batch, 32, 32)
    x = net.image
    for count, width in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]:
        for _ in range(count):
            x = net.conv(x, width)
        x = half(x)
    net.linear(x[2], classes)
    return net.convs


def fcos(batch, height, width, number, wide, stride, levels, channels, convs, classes):
    net = Network(batch, height, width)
    blocks, bottleneck = depth(number)
    first = {4: 0, 8: 1, 16: 2, 32: 3}[stride]
    last = min(len(blocks), first + levels)
    stages = net.resnet(wide, blocks[:last], False, bottleneck)[first:last]
    maps = [net.conv(net.conv(x, channels, 1), channels) for x in stages]
    for _ in range(levels - len(maps)):
        maps.append(net.conv(maps[-1], channels, 3, 2))
    for x in maps:
        for _ in range(convs):
            net.conv(x, channels)
        net.conv(x, classes)
        net.conv(x, 5)
    return net.convs


def deeplab(batch, height, width, number, classes, wide=64, channels=256, low_level=48, rates=(6, 12, 18), limit=16):
    net = Network(batch, height, width)
    blocks, bottleneck = depth(number)
    stages = net.resnet(wide, blocks, False, bottleneck, limit)
    first, last = stages[0], stages[-1]
    net.conv(last, channels, 1)
    for rate in rates:
        net.conv(last, channels, 3, 1, rate)
    net.conv((1, 1, last[2]), channels, 1)
    net.conv((last[0], last[1], (len(rates) + 2) * channels), channels, 1)
    net.conv(first, low_level, 1)
    x = net.conv((first[0], first[1], channels + low_level), channels)
    net.conv(net.conv(x, channels), classes, 1)
    return net.convs


def unet(batch, height, width, wide, levels, classes):
    net, x, features = Network(batch, height, width), None, []
    for level in range(levels):
        x = half(x) if x else net.image
        x = net.conv(net.conv(x, wide << level), wide << level)
        features.append(x)
    x = features.pop()
    for level in reversed(range(levels - 1)):
        skip = features.pop()
        x = net.conv((skip[0], skip[1], skip[2] + x[2]), wide << level)
        x = net.conv(x, wide << level)
    net.conv(x, classes, 1)
    return net.convs


def csrnet(batch, height, width, w):
    net = Network(batch, height, width)
    x = net.image
    for index, (count, k) in enumerate([(2, w), (2, 2 * w), (3, 4 * w), (3, 8 * w)]):
        x = half(x) if index else x
        for _ in range(count):
            x = net.conv(x, k)
    for k in [8 * w, 8 * w, 8 * w, 4 * w, 2 * w, w]:
        x = net.conv(x, k, 3, 1, 2)
    net.conv(x, 1, 1)
    return net.convs


FAST, ALL = ["tf32", "bf16"], ["tf32", "bf16", "f32"]
MAIN = [
    classifier(64, 64, [2, 2, 2, 2], 100),
    classifier(512, 64, [2, 2, 2, 2], 100),
    classifier(128, 16, [3, 3, 3], 100),
    vgg16(128),
]
OTHER_CLASSIFIERS = [
    classifier(128, 64, [2, 2, 2, 2], 100),
    classifier(128, 16, [3, 3, 3], 10),
    classifier(64, 16, [3, 3, 3], 10),
    classifier(32, 16, [1, 1, 1], 10),
    classifier(128, 16, [1, 1, 1], 10),
    classifier(32, 16, [1, 1, 1], 100),
    vgg16(64),
]
DEFAULTS = [
    fcos(8, 96, 96, 10, 24, 8, 2, 64, 1, 10),
    unet(8, 64, 64, 8, 5, 11),
    csrnet(16, 96, 96, 8),
]
SMALL = [
    fcos(8, 240, 320, 18, 32, 8, 3, 96, 2, 3),
    fcos(8, 480, 480, 18, 64, 8, 5, 128, 2, 5),
    deeplab(8, 180, 240, 18, 11, wide=32, channels=64, low_level=24, rates=(3, 6, 9)),
    csrnet(8, 192, 256, 16),
    unet(32, 64, 64, 16, 5, 11),
    csrnet(8, 384, 384, 64),
]
LARGE = [
    deeplab(16, 512, 512, 50, 21),
    fcos(16, 512, 512, 50, 64, 8, 5, 256, 4, 20),
    deeplab(16, 512, 512, 50, 150),
    deeplab(16, 512, 512, 50, 104),
    csrnet(8, 512, 512, 64),
    deeplab(8, 512, 1024, 50, 19),
    fcos(16, 800, 1024, 50, 64, 8, 5, 256, 4, 80),
]


def jobs():
    """Pairs of a network's convolutions and an arithmetic, most important first."""
    for group, arithmetics in [(MAIN, FAST), (MAIN, ["f32"]), (DEFAULTS, FAST), (OTHER_CLASSIFIERS, ALL)]:
        yield from ((net, arithmetic) for net in group for arithmetic in arithmetics)
    # Stems of other widths: what padding of the image's channels is best.
    stems = [(64, 32, 32, c, 64, 3, 1, 1, 1) for c in (3, 4, 8)] + [(512, 32, 32, c, 64, 3, 1, 1, 1) for c in (3, 4, 8)]
    yield from ((stems, arithmetic) for arithmetic in FAST)
    for group, arithmetics in [(SMALL, FAST), (DEFAULTS, ["f32"]), (LARGE, FAST), (SMALL, ["f32"])]:
        yield from ((net, arithmetic) for net in group for arithmetic in arithmetics)


def main():
    seen = set()
    for net, arithmetic in jobs():
        for conv in net:
            c = conv[3] if conv[3] != STEM else 8 if arithmetic == "bf16" else 4
            directions = ["forward", "weight"] if conv[3] == STEM else ["forward", "weight", "input"]
            for direction in directions:
                line = " ".join(map(str, [*conv[:3], c, *conv[4:], arithmetic, direction]))
                if line not in seen:
                    seen.add(line)
                    print(line)


if __name__ == "__main__":
    main()
