#!/usr/bin/env python3
"""The peer of crates/vision/examples/step, crates/detection/examples/fcos_step.rs,
crates/segmentation/examples/segmentation_step.rs and crates/crowd-counting/examples/counting_step.rs: the same networks and
steps in PyTorch on the CPU.

A training step is forward, loss, backward and SGD with momentum 0.9 and decay 5e-4 on everything.
Prints one line of JSON: images per second of the median step, peak resident MiB, the losses of the first steps.
"""
import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

WARM_UP = 2


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Identity()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, widths, blocks):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0])
        layers, inputs = [], widths[0]
        for stage, width in enumerate(widths):
            for index in range(blocks):
                layers.append(Block(inputs, width, 2 if stage > 0 and index == 0 else 1))
                inputs = width
        self.layers, self.fc = nn.Sequential(*layers), nn.Linear(inputs, 10)

    def forward(self, x):
        return self.fc(self.layers(F.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


def vgg16_bn():
    layers, inputs = [], 3
    for outputs in [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]:
        if outputs == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def classification(network):
    """The network, its images and its loss."""

    def make(batch):
        labels = torch.randint(0, 10, (batch,))
        return network(), torch.randn(batch, 3, 32, 32), lambda logits: F.cross_entropy(logits, labels)

    return make


def fcos18(batch):
    import torch_fcos  # which needs torchvision

    corner, side = torch.rand(batch, 20, 2) * torch.tensor([320.0, 240.0]), 10 + 70 * torch.rand(batch, 20, 2)
    boxes, classes = torch.cat([corner, corner + side], 2), torch.randint(0, 3, (batch, 20))
    network = torch_fcos.Fcos([2, 2, 2, 2], width=32, stride=8, channels=96, convs=2, classes=3)
    loss = torch_fcos.DenseLoss([(8, 30, 40), (16, 15, 20), (32, 8, 10)])
    return network, torch.randn(batch, 3, 240, 320), lambda levels: loss(levels, boxes, classes)


def segmentation(network, *settings):
    """The network, its images and its loss."""

    def make(batch):
        import torch_segmentation

        labels = torch.randint(0, 11, (batch, 180, 240))
        images = torch.randn(batch, 3, 180, 240)
        return getattr(torch_segmentation, network)(*settings, 11), images, lambda logits: F.cross_entropy(logits, labels)

    return make


def counting(network, stride):
    """The network, its images and its loss."""

    def make(batch):
        import torch_counting

        # What is in a cell where 120 people are in an image, on average.
        density = torch.rand(batch, 240 // stride, 320 // stride) * 2 * 120 * stride**2 / (240 * 320)
        return getattr(torch_counting, network)(16), torch.randn(batch, 3, 240, 320), lambda maps: F.mse_loss(maps, density)

    return make


MODELS = {
    "resnet18": classification(lambda: ResNet([64, 128, 256, 512], 2)),
    "resnet20": classification(lambda: ResNet([16, 32, 64], 3)),
    "vgg16_bn": classification(vgg16_bn),
    "fcos18": fcos18,
    "deeplab18": segmentation("DeepLab", 18, 32, 8, 64, 24, [6, 12, 18]),
    "unet16": segmentation("UNet", 16, 5),
    "csrnet16": counting("Csrnet", 8),
    "mcnn16": counting("Mcnn", 4),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("batch", type=int)
    parser.add_argument("--layout", default="channels_last", choices=["nchw", "channels_last"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12, help="timed steps, of which the median counts")
    parser.add_argument("--eval", action="store_true", help="time the forward pass alone, with running statistics")
    parser.add_argument("--compile", action="store_true", help="torch.compile of forward, loss and backward")
    parser.add_argument("--bf16", action="store_true", help="autocast to bf16")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    network, images, loss_of = MODELS[args.model](args.batch)
    if args.layout == "channels_last":
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)

    def forward():
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            return network(images) if args.eval else loss_of(network(images))

    if args.compile:
        forward = torch.compile(forward, dynamic=False)

    def train():
        optimizer.zero_grad(set_to_none=True)
        loss = forward()
        loss.backward()
        optimizer.step()
        return loss.item()

    def evaluate():
        with torch.inference_mode():
            forward()

    network.train(not args.eval)
    seconds, losses = [], []
    for index in range(WARM_UP + args.steps):
        start = time.perf_counter()
        loss = evaluate() if args.eval else train()
        if index >= WARM_UP:
            seconds.append(time.perf_counter() - start)
        if loss is not None and index < 4:
            losses.append(round(loss, 5))
    median = statistics.median(seconds)
    line = {
        "model": args.model,
        "batch": args.batch,
        "layout": args.layout,
        "compile": args.compile,
        "bf16": args.bf16,
        "threads": args.threads,
        "torch": torch.__version__,
        "images_per_s": round(args.batch / median, 1),
        "step_ms": round(1e3 * median, 1),
        # KiB on Linux.
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "losses": losses,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
