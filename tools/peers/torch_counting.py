"""The networks and losses of crates/crowd-counting in PyTorch, parameters named as there."""
import torch
import torch.nn.functional as F
from torch import nn

from torch_segmentation import Body, conv_bn


class Layers(nn.ModuleList):
    """Convolutions of (channels, kernel, dilation) in sequence, 2×2 max-pooling before those in `pooled`."""

    def __init__(self, inputs, parts, pooled=()):
        wide = [inputs, *(channels for channels, *_ in parts)]
        super().__init__(conv_bn(channels, *part) for channels, part in zip(wide, parts))
        self.pooled = pooled

    def forward(self, x):
        for index, conv in enumerate(self):
            x = conv(F.max_pool2d(x, 2) if index in self.pooled else x)
        return x


class Counter(nn.Module):
    """People in each cell, [n, h, w], of the `features` that a network has; at least 0 where they are `positive`."""

    def __init__(self, channels, positive, unit):
        super().__init__()
        self.output, self.positive, self.unit = nn.Conv2d(channels, 1, 1), positive, unit

    def forward(self, images):
        density = self.output(self.features(images)).squeeze(1)
        return (density.abs() if self.positive else density) * self.unit


class Csrnet(Counter):
    """CSRNet (arXiv 1802.10062), configuration B, with batch norm."""

    def __init__(self, width, positive=False, unit=1.0):
        super().__init__(width, positive, unit)
        plain = [width] * 2 + [2 * width] * 2 + [4 * width] * 3 + [8 * width] * 3
        dilated = [8 * width] * 3 + [4 * width, 2 * width, width]
        self.frontend = Layers(3, [(channels, 3, 1) for channels in plain], pooled=(2, 4, 7))
        self.backend = Layers(8 * width, [(channels, 3, 2) for channels in dilated])

    def features(self, images):
        return self.backend(self.frontend(images))


class Mcnn(Counter):
    """MCNN (Zhang et al., CVPR 2016) with batch norm; columns of 16, 20 and 24 channels where `width` is 16."""

    def __init__(self, width, positive=False, unit=1.0):
        first = [width, width * 5 // 4, width * 3 // 2]
        super().__init__(sum(channels // 2 for channels in first), positive, unit)
        parts = lambda channels, kernel: [
            (channels, kernel, 1), (2 * channels, kernel - 2, 1), (channels, kernel - 2, 1), (channels // 2, kernel - 2, 1)
        ]
        self.columns = nn.ModuleList(Layers(3, parts(*column), pooled=(1, 2)) for column in zip(first, (9, 7, 5)))

    def features(self, images):
        return torch.cat([column(images) for column in self.columns], 1)


class Resnet(Counter):
    """A ResNet whose last stages are dilated, and two convolutions of dilation 2."""

    def __init__(self, depth, width, output_stride, channels, positive=False, unit=1.0):
        super().__init__(channels, positive, unit)
        self.backbone = Body(depth, width, output_stride)
        self.backend = Layers(self.backbone.channels[-1], [(channels, 3, 2)] * 2)

    def features(self, images):
        return self.backend(self.backbone(images)[-1])


def middles(cells, stride):
    return (torch.arange(cells, dtype=torch.float64) + 0.5) * stride


def bayesian(density, points, stride, sigma, background):
    """The Bayesian loss of a map [h, w] and points [n, 2]: Post_Prob and Bay_Loss of the authors' code
    (github.com/ZhihengCV/Bayesian-Crowd-Counting, losses/{post_prob,bay_loss}.py) for one image, whose targets are 1."""
    if len(points) == 0:
        return density.sum().abs()
    rows, columns = (middles(cells, stride) for cells in density.shape)
    x, y = points.double().unbind(1)
    x_dis = (x[:, None] - columns) ** 2
    y_dis = (y[:, None] - rows) ** 2
    dis = (y_dis[:, :, None] + x_dis[:, None, :]).flatten(1)
    target = torch.ones(len(points), dtype=torch.float64)
    if background > 0:
        min_dis = dis.min(0, keepdim=True).values.clamp(min=0.0)
        bg_dis = (min(density.shape) * stride * background) ** 2 / (min_dis + 1e-5)
        dis, target = torch.cat([dis, bg_dis]), F.pad(target, (0, 1))
    prob = torch.softmax(-dis / (2.0 * sigma**2), 0)
    return (target - (density.reshape(1, -1) * prob).sum(1)).abs().sum()


def transport(shares, cells, people, strength, most=50_000):
    """The least <P, C> + strength·KL(P | shares ⊗ uniform) of all plans P from `shares` in `cells` [m, 2] to as much for each
    of `people` [n, 2], C their squared distances: that of the plan which Sinkhorn's algorithm converges to, which autograd
    can differentiate."""
    cost = ((cells[:, None] - people[None]) ** 2).sum(2)
    log_shares = shares.log()[:, None]
    log_uniform = -torch.full((1, len(people)), len(people), dtype=torch.float64).log()
    of_people = torch.zeros(1, len(people), dtype=torch.float64)
    for _ in range(most):
        of_cells = -strength * torch.logsumexp(log_uniform + (of_people - cost) / strength, 1, keepdim=True)
        before, of_people = of_people, -strength * torch.logsumexp(log_shares + (of_cells - cost) / strength, 0, keepdim=True)
        if (of_people - before).abs().max() < 1e-11 * strength:
            log_plan = log_shares + log_uniform + (of_cells + of_people - cost) / strength
            plan = log_plan.exp()
            return (plan * cost).sum() + strength * (plan * (log_plan - log_shares - log_uniform)).sum()
    raise RuntimeError(f"expected the plan to converge within {most} iterations")


def distribution_matching(density, points, stride, transport_weight, variation_weight, regularization):
    """The loss of DM-Count (arXiv 2009.13077, equations 3 to 7) of a map [h, w] and points [n, 2], but that the cost of
    transport is regularized with relative entropy."""
    people, predicted = len(points), density.sum()
    loss = (predicted - people).abs()
    if people == 0:
        return loss
    rows, columns = (middles(cells, stride) for cells in density.shape)
    truth = torch.zeros_like(density)
    for x, y in points.tolist():
        truth[int(y) // stride, int(x) // stride] += 1
    shares = density / predicted
    variation = (shares - truth / people).abs().sum() / 2
    cells = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], 2).reshape(-1, 2)
    cost = transport(shares.flatten(), cells, points.double(), regularization)
    return loss + variation_weight * people * variation + transport_weight * cost
