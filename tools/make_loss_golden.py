"""Makes the golden vectors of the losses: what PyTorch and torchvision compute, for Rust tests to match.

usage: make_loss_golden.py OUT_DIR SEED
needs: torch, torchvision, safetensors
"""
import torch
import torch.nn.functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from golden import Vectors, arguments

out, seed = arguments()
vectors = Vectors()


def add(case, settings, logits, targets, loss_of):
    """Adds a case, with the gradient of twice the loss that `loss_of` has for logits and targets."""

    def compute(inputs, _):
        logits = inputs["logits"].clone().requires_grad_()
        loss = loss_of(logits, inputs["targets"])
        (2 * loss).backward()
        return dict(loss=loss.reshape(1), gradient=logits.grad)

    vectors.add(case, settings, lambda: dict(logits=logits, targets=targets), compute)


ROWS, CLASSES, IGNORE = 13, 19, 255


def classes(ignore):
    """Class numbers, as numbers of a float, some of them to be ignored."""
    targets = torch.randint(0, CLASSES, (ROWS,)).float()
    if ignore:
        targets[torch.rand(ROWS) < 0.3] = IGNORE
    return targets


for ignore in (False, True):
    for smoothing in (0.0, 0.1, 1.0):
        for weighted in (False, True):
            weight = torch.rand(CLASSES) * 3
            weight[2] = 0
            options = dict(ignore_index=IGNORE if ignore else -100, label_smoothing=smoothing)
            settings = dict(ignore_index=IGNORE if ignore else None, label_smoothing=smoothing, weight=weight.tolist() if weighted else None)
            loss = lambda x, t: F.cross_entropy(x, t.long(), weight.to(x.dtype) if weighted else None, **options)
            name = f"cross_entropy/ignore {ignore} smoothing {smoothing} weighted {weighted}"
            add(name, settings, torch.randn(ROWS, CLASSES) * 4, classes(ignore), loss)

SPREAD = torch.tensor([1e-3, 0.3, 3.0, 30.0, 300.0])  # logits from tiny to saturated
for soft in (False, True):
    targets = torch.rand(3, 7, 5) if soft else (torch.rand(3, 7, 5) < 0.4).float()
    add(f"bce/soft {soft}", {}, torch.randn(3, 7, 5) * SPREAD, targets, F.binary_cross_entropy_with_logits)
for alpha, gamma in ((0.25, 2.0), (-1, 2.0), (0.6, 1.5), (0.5, 0.0)):
    targets = (torch.rand(3, 7, 5) < 0.4).float()
    focal = lambda x, t: sigmoid_focal_loss(x, t, alpha, gamma, reduction="sum")
    settings = dict(alpha=None if alpha < 0 else alpha, gamma=gamma)
    add(f"focal/alpha {alpha} gamma {gamma}", settings, torch.randn(3, 7, 5) * SPREAD, targets, focal)
# Boxes against boxes: overlapping, apart, inside each other, sharing sides, the same, without area.
corners = torch.rand(24, 2, 2, 2) * 100
boxes, targets = torch.cat([corners.amin(2), corners.amax(2)], 2).unbind(1)
boxes[6:12] = targets[6:12] + torch.randn(6, 4)
boxes[12:16, :2] = targets[12:16, :2]
boxes[16:18] = targets[16:18]
boxes[18:20] = torch.cat([targets[18:20, :2] + 0.1, targets[18:20, 2:] - 0.1], 1)
boxes[20:22, 2:] = boxes[20:22, :2]
targets[21:23, 2:] = targets[21:23, :2]
add("giou", {}, boxes.clone(), targets.clone(), lambda x, t: generalized_box_iou_loss(x, t, reduction="sum"))


def dice(logits, targets):
    """segmentation_models_pytorch.losses.DiceLoss(mode="multiclass", ignore_index=IGNORE), but for its mean, which takes 0 for
    classes that are no target; written out, since the package needs others."""
    counted = targets != IGNORE
    p, g = logits[counted].softmax(1), F.one_hot(targets[counted].long(), CLASSES).to(logits.dtype)
    of_class = 1 - 2 * (p * g).sum(0) / (p.sum(0) + g.sum(0))
    return of_class[g.sum(0) > 0].mean()


for ignore in (False, True):
    settings = dict(ignore_index=IGNORE if ignore else None)
    add(f"dice/ignore {ignore}", settings, torch.randn(ROWS, CLASSES) * 4, classes(ignore), dice)
# Differences from tiny to large. f32 has them right to a part of the numbers that they are of, so it cannot take another side.
inputs, targets = torch.randn(3, 7, 5) * SPREAD, torch.randn(3, 7, 5)
add("mse", {}, inputs, targets, F.mse_loss)
add("l1", {}, inputs, targets, F.l1_loss)
for beta in (1.0, 0.25, 20.0):
    add(f"smooth_l1/beta {beta}", dict(beta=beta), inputs, targets, lambda x, t: F.smooth_l1_loss(x, t, beta=beta))
vectors.save(out, "ops", "losses.safetensors")
