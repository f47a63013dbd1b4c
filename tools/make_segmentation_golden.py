"""Makes the golden vectors of the segmentation networks and their loss: what tools/peers/torch_segmentation.py computes,
for Rust tests to match.

usage: make_segmentation_golden.py OUT_DIR SEED
needs: torch, safetensors
"""
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from golden import Vectors, arguments, network_of, randomized, start_of

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from torch_segmentation import DeepLab, UNet, hard

out, seed = arguments()
CLASSES, VOID = 5, 255
vectors = Vectors()


def labels(*shape):
    targets = torch.randint(0, CLASSES, shape)
    targets[torch.rand(shape) < 0.2] = VOID
    return targets.to(torch.uint8)


# Networks: `<case>/start/<parameter>`, images [n, h, w, c], targets [n, h, w], logits, loss, `<case>/gradient/…`, the
# statistics after the step, and logits of evaluation. Sides are odd and even, and no multiples of the strides.
CASES = {
    "deeplab os8": dict(deeplab=dict(depth=10, width=4, output_stride=8, channels=6, low_level=3, rates=[2, 4])),
    "deeplab os16": dict(deeplab=dict(depth=18, width=3, output_stride=16, channels=5, low_level=4, rates=[1, 2, 3])),
    "deeplab bottleneck": dict(deeplab=dict(depth=50, width=2, output_stride=16, channels=4, low_level=3, rates=[1, 2])),
    "unet": dict(unet=dict(width=3, levels=4)),
}
for case, settings in CASES.items():
    (kind, options), = settings.items()
    make = lambda: {"deeplab": DeepLab, "unet": UNet}[kind](**options, classes=CLASSES)
    template = make()

    def draw():
        return start_of(randomized(make())) | dict(images=torch.rand(2, 37, 50, 3), targets=labels(2, 37, 50))

    def train(inputs, layout):
        network, images = network_of(template, inputs), inputs["images"].permute(0, 3, 1, 2).contiguous(memory_format=layout)
        logits = network(images)
        loss = F.cross_entropy(logits, inputs["targets"].long(), ignore_index=VOID)
        loss.backward()
        outputs = {f"gradient/{name}": tensor.grad for name, tensor in network.named_parameters()}
        outputs |= {f"after/{name}": tensor.clone() for name, tensor in network.named_buffers() if "running" in name}
        with torch.no_grad():
            evaluated = network.eval()(images)
        nhwc = lambda x: x.permute(0, 2, 3, 1)
        return outputs | dict(loss=loss.reshape(1), logits=nhwc(logits), evaluated=nhwc(evaluated))

    vectors.add(case, settings, draw, train, nudge=("images",))

# The loss: OHEM keeps pixels by the threshold, and by the least share where few are hard; class weights.
for threshold, least, weighted in ((0.7, 0.05, False), (0.2, 0.5, True), (0.0, 0.25, False), (1.0, 0.0, True), (0.5, 1.0, False)):
    weight = 0.1 + torch.rand(CLASSES) if weighted else None

    def draw():
        return dict(logits=2 * torch.randn(2, 9, 7, CLASSES), targets=labels(2, 9, 7))

    def ohem(inputs, _):
        logits = inputs["logits"].clone().requires_grad_()
        flat = logits.reshape(-1, CLASSES)
        kept = hard(flat.detach(), inputs["targets"].long().flatten(), threshold, least, VOID)
        loss = F.cross_entropy(flat, kept, weight.to(flat.dtype) if weighted else None, ignore_index=VOID)
        loss.backward()
        return dict(loss=loss.reshape(1), gradient=logits.grad)

    settings = dict(ohem=dict(threshold=threshold, least=least), weight=weight.tolist() if weighted else None)
    vectors.add(f"ohem {threshold} {least}", settings, draw, ohem)
vectors.save(out, "segmentation", "networks.safetensors")
