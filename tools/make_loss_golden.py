"""Makes the golden vectors of the losses: what PyTorch and torchvision compute, for Rust tests to match.

usage: make_loss_golden.py OUT_DIR SEED
needs: torch, torchvision, safetensors
Each seed gives another set of cases.
"""
import json, os, sys
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

out, seed = sys.argv[1], int(sys.argv[2])
os.makedirs(out, exist_ok=True)
torch.manual_seed(seed)
torch.set_num_threads(1)
blob, meta = {}, {}


def add(name, settings, logits, targets, loss):
    """Stores a case, with the gradient of twice the loss."""
    (2 * loss).backward()
    blob.update({f"{name}/logits": logits.detach(), f"{name}/targets": targets, f"{name}/loss": loss.detach().reshape(1), f"{name}/gradient": logits.grad})
    meta[name] = json.dumps(settings)


ROWS, CLASSES, IGNORE = 13, 19, 255
for ignore in (False, True):
    for smoothing in (0.0, 0.1, 1.0):
        for weighted in (False, True):
            logits = (torch.randn(ROWS, CLASSES) * 4).requires_grad_()
            targets = torch.randint(0, CLASSES, (ROWS,))
            if ignore:
                targets[torch.rand(ROWS) < 0.3] = IGNORE
            weight = torch.rand(CLASSES) * 3 if weighted else None
            if weighted:
                weight[2] = 0
            loss = F.cross_entropy(logits, targets, weight, ignore_index=IGNORE if ignore else -100, label_smoothing=smoothing)
            name = f"cross_entropy/ignore {ignore} smoothing {smoothing} weighted {weighted}"
            add(name, dict(ignore_index=IGNORE if ignore else None, label_smoothing=smoothing, weight=weight.tolist() if weighted else None), logits, targets.float(), loss)

SPREAD = torch.tensor([1e-3, 0.3, 3.0, 30.0, 300.0])  # logits from tiny to saturated
for soft in (False, True):
    logits = (torch.randn(3, 7, 5) * SPREAD).requires_grad_()
    targets = torch.rand(3, 7, 5) if soft else (torch.rand(3, 7, 5) < 0.4).float()
    add(f"bce/soft {soft}", {}, logits, targets, F.binary_cross_entropy_with_logits(logits, targets))
for alpha, gamma in ((0.25, 2.0), (-1, 2.0), (0.6, 1.5), (0.5, 0.0)):
    logits = (torch.randn(3, 7, 5) * SPREAD).requires_grad_()
    targets = (torch.rand(3, 7, 5) < 0.4).float()
    loss = sigmoid_focal_loss(logits, targets, alpha, gamma, reduction="sum")
    add(f"focal/alpha {alpha} gamma {gamma}", dict(alpha=None if alpha < 0 else alpha, gamma=gamma), logits, targets, loss)
# Boxes against boxes: overlapping, apart, inside each other, sharing sides, the same, without area.
corners = torch.rand(24, 2, 2, 2) * 100
boxes, targets = torch.cat([corners.amin(2), corners.amax(2)], 2).unbind(1)
boxes[6:12] = targets[6:12] + torch.randn(6, 4)
boxes[12:16, :2] = targets[12:16, :2]
boxes[16:18] = targets[16:18]
boxes[18:20] = torch.cat([targets[18:20, :2] + 0.1, targets[18:20, 2:] - 0.1], 1)
boxes[20:22, 2:] = boxes[20:22, :2]
targets[21:23, 2:] = targets[21:23, :2]
boxes = boxes.clone().requires_grad_()
add("giou", {}, boxes, targets, generalized_box_iou_loss(boxes, targets, reduction="sum"))
# segmentation_models_pytorch.losses.DiceLoss(mode="multiclass", ignore_index=IGNORE), but for its mean, which takes 0 for
# classes that are no target; written out, since the package needs others.
for ignore in (False, True):
    logits = (torch.randn(ROWS, CLASSES) * 4).requires_grad_()
    targets = torch.randint(0, CLASSES, (ROWS,))
    if ignore:
        targets[torch.rand(ROWS) < 0.3] = IGNORE
    counted = targets != IGNORE
    p, g = logits[counted].softmax(1), F.one_hot(targets[counted], CLASSES).float()
    dice = 1 - 2 * (p * g).sum(0) / (p.sum(0) + g.sum(0))
    add(f"dice/ignore {ignore}", dict(ignore_index=IGNORE if ignore else None), logits, targets.float(), dice[g.sum(0) > 0].mean())
save_file({k: t.contiguous() for k, t in blob.items()}, f"{out}/losses.safetensors", metadata=meta)
