"""The detector of crates/detection in PyTorch: network, targets, loss."""
import math

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from torch_step import Block


class Body(nn.Module):
    """The stages of a ResNet of basic blocks: strides 4, 8, 16, 32."""

    def __init__(self, width, blocks):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        self.stages, inputs = nn.ModuleList(), width
        for stage, count in enumerate(blocks):
            outputs, layers = width << stage, []
            for index in range(count):
                layers.append(Block(inputs, outputs, 2 if stage > 0 and index == 0 else 1))
                inputs = outputs
            self.stages.append(nn.Sequential(*layers))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Pyramid(nn.Module):
    def __init__(self, inputs, channels):
        super().__init__()

        def layer(inputs, kernel):
            return nn.Sequential(nn.Conv2d(inputs, channels, kernel, 1, kernel // 2, bias=False), nn.BatchNorm2d(channels))

        self.inner = nn.ModuleList(layer(i, 1) for i in inputs)
        self.layers = nn.ModuleList(layer(channels, 3) for _ in inputs)

    def forward(self, maps):
        levels, coarser = [], None
        for inner, layer, x in reversed(list(zip(self.inner, self.layers, maps))):
            x = inner(x)
            if coarser is not None:
                x = x + F.interpolate(coarser, size=x.shape[2:], mode="nearest")
            coarser = x
            levels.append(layer(x))
        return levels[::-1]


class Branch(nn.Module):
    """Convolutions that all levels share, each with a batch norm of a level's own, and one that predicts."""

    def __init__(self, channels, outputs, convs, levels, bias):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in range(convs))
        norms = lambda: nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(levels))
        self.norms = nn.ModuleList(norms() for _ in range(convs))
        self.last = nn.Conv2d(channels, outputs, 3, 1, 1)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.constant_(self.last.bias, bias)

    def forward(self, levels):
        for conv, norms in zip(self.convs, self.norms):
            levels = [F.relu(norm(conv(x))) for norm, x in zip(norms, levels)]
        return [self.last(x) for x in levels]


class Fcos(nn.Module):
    """Images to a list of (stride, class logits [n, c, h, w], logarithms of distances and centerness [n, 5, h, w])."""

    def __init__(self, blocks, width, stride, channels, convs, classes):
        super().__init__()
        self.body = Body(width, blocks)
        self.first = int(math.log2(stride // 4))
        inputs = [width << stage for stage in range(self.first, len(blocks))]
        self.pyramid = Pyramid(inputs, channels)
        self.classification = Branch(channels, classes, convs, len(inputs), -math.log(99))
        self.regression = Branch(channels, 5, convs, len(inputs), 0.0)

    def forward(self, images):
        levels = self.pyramid(self.body(images)[self.first :])
        outputs = zip(self.classification(levels), self.regression(levels))
        return [(4 << (self.first + index), *output) for index, output in enumerate(outputs)]


def places(stride, height, width):
    """The place [x, y] of each pixel of a level, [h·w, 2]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride


def assign(grids, boxes, ignore):
    """The index of the object that each pixel is to find; −1: none, −2: ignored. `grids`: (stride, h, w) of each level."""
    targets, least = [], 0.0
    for index, (stride, height, width) in enumerate(grids):
        most = 8.0 * stride if index + 1 < len(grids) else math.inf
        at = places(stride, height, width)
        if len(boxes) == 0:
            targets.append(torch.full((len(at),), -1))
            least = most
            continue
        sides = torch.cat([at[:, None] - boxes[None, :, :2], boxes[None, :, 2:] - at[:, None]], -1)
        inside = sides.amin(-1) > 0
        far = sides.amax(-1)
        off_center = (at[:, None] - (boxes[None, :, :2] + boxes[None, :, 2:]) / 2).abs().amax(-1)
        fits = inside & ~ignore & (off_center < 1.5 * stride) & (far > least) & (far <= most)
        area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).expand(len(at), -1)
        smallest, best = torch.where(fits, area, math.inf).min(1)
        target = torch.where(smallest < math.inf, best, -1)
        targets.append(torch.where((target < 0) & (inside & ignore).any(1), -2, target))
        least = most
    return torch.cat(targets)


def loss(levels, objects):
    """`levels` as Fcos gives them; `objects` of each image: boxes [k, 4], classes [k], ignore [k]."""
    grids = [(stride, *classes.shape[2:]) for stride, classes, _ in levels]
    rows = lambda maps: torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps], 1)
    logits, outputs = rows([c for _, c, _ in levels]), rows([b for _, _, b in levels])
    at = torch.cat([places(*grid) for grid in grids])
    scale = torch.cat([torch.full((h * w, 1), float(stride)) for stride, h, w in grids])
    one_hot, counted = torch.zeros_like(logits), []
    found, corners = [], []
    for image, (boxes, classes, ignore) in enumerate(objects):
        target = assign(grids, boxes, ignore)
        counted.append(target > -2)
        pixels = torch.nonzero(target >= 0).squeeze(1)
        one_hot[image, pixels, classes[target[pixels]]] = 1
        found.append(outputs[image, pixels])
        corners.append((boxes[target[pixels]] - at[pixels].repeat(1, 2)) / scale[pixels])
    counted, found, corners = torch.stack(counted), torch.cat(found), torch.cat(corners)
    focal = sigmoid_focal_loss(logits[counted], one_hot[counted], reduction="sum") / max(len(found), 1)
    if len(found) == 0:
        return focal + 0 * outputs.sum()
    sides = corners.abs()
    ratio = lambda a, b: torch.minimum(a, b) / torch.maximum(a, b)
    centerness = (ratio(sides[:, 0], sides[:, 2]) * ratio(sides[:, 1], sides[:, 3])).sqrt()
    predicted = found[:, :4].clamp(max=8.0).exp() * torch.tensor([-1.0, -1.0, 1.0, 1.0])
    giou = generalized_box_iou_loss(predicted, corners)
    cross = F.binary_cross_entropy_with_logits(found[:, 4], centerness)
    entropy = F.binary_cross_entropy(centerness, centerness)
    return focal + (giou * centerness).sum() / centerness.sum() + cross - entropy


class DenseLoss:
    """`loss` with masks in place of selections, for compilers and CUDA graphs: no shape depends on a value, no value is
    read on the host. Each image has as many objects, none of them ignored. `grids`: (stride, h, w) of each level."""

    def __init__(self, grids):
        self.at = torch.cat([places(*grid) for grid in grids])
        of_level = lambda values: torch.cat([torch.full((h * w,), v) for (_, h, w), v in zip(grids, values)])
        self.scale = of_level([float(stride) for stride, *_ in grids])
        bounds = [8.0 * stride for stride, *_ in grids[:-1]]
        self.least, self.most = of_level([0.0, *bounds]), of_level([*bounds, math.inf])
        self.outwards = torch.tensor([-1.0, -1.0, 1.0, 1.0])

    def targets(self, boxes, classes):
        """Of boxes [n, k, 4] and classes [n, k]: whether a pixel is to find an object [n, p], its class [n, p], its
        corners in strides from the pixel [n, p, 4]."""
        corners = boxes[:, None] - self.at.repeat(1, 2)[:, None]
        sides = corners * self.outwards
        far, off_center = sides.amax(-1), (corners[..., :2] + corners[..., 2:]).abs().amax(-1) / 2
        fits = (sides.amin(-1) > 0) & (off_center < 1.5 * self.scale[:, None])
        fits &= (far > self.least[:, None]) & (far <= self.most[:, None])
        area = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))[:, None]
        smallest, best = torch.where(fits, area, math.inf).min(2)
        of_best = corners.gather(2, best[..., None, None].expand(-1, -1, 1, 4)).squeeze(2) / self.scale[:, None]
        found = smallest < math.inf
        # Any box around the pixel keeps the values finite where there is none.
        return found, classes.gather(1, best), torch.where(found[..., None], of_best, self.outwards)

    def __call__(self, levels, boxes, classes):
        rows = lambda maps: torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps], 1).float()
        logits, outputs = rows([c for _, c, _ in levels]), rows([b for _, _, b in levels])
        found, kind, corners = self.targets(boxes, classes)
        kinds = torch.arange(logits.shape[2], device=logits.device)
        one_hot = (kind[..., None] == kinds) & found[..., None]
        count = found.sum().clamp(min=1)
        focal = sigmoid_focal_loss(logits, one_hot.float(), reduction="sum") / count
        sides = corners.abs()
        ratio = lambda a, b: torch.minimum(a, b) / torch.maximum(a, b)
        centerness = (ratio(sides[..., 0], sides[..., 2]) * ratio(sides[..., 1], sides[..., 3])).sqrt()
        predicted = outputs[..., :4].clamp(max=8.0).exp()
        # Both boxes hold the pixel: their sides' least and greatest span intersection and hull.
        area = lambda sides: (sides[..., 0] + sides[..., 2]) * (sides[..., 1] + sides[..., 3])
        intersection, hull = area(torch.minimum(predicted, sides)), area(torch.maximum(predicted, sides))
        union = area(predicted) + area(sides) - intersection
        giou = 1 - intersection / union + (hull - union) / hull
        cross = F.binary_cross_entropy_with_logits(outputs[..., 4], centerness, reduction="none")
        entropy = -(torch.special.xlogy(centerness, centerness) + torch.special.xlogy(1 - centerness, 1 - centerness))
        weight = torch.where(found, centerness, 0.0)
        boxes_loss = (giou * weight).sum() / weight.sum().clamp(min=1e-12)
        return focal + boxes_loss + (torch.where(found, cross - entropy, 0.0)).sum() / count
