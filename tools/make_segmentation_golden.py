"""Makes the golden vectors of the segmentation networks and their loss: what tools/peers/torch_segmentation.py computes,
for Rust tests to match.

usage: make_segmentation_golden.py OUT_DIR SEED
needs: torch, safetensors
"""
import json, os, sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from torch_segmentation import DeepLab, UNet, hard

out, seed = sys.argv[1], int(sys.argv[2])
os.makedirs(out, exist_ok=True)
torch.manual_seed(seed)
torch.set_num_threads(1)
CLASSES, VOID = 5, 255
blob, meta = {}, {}

# Networks: `<case>/start/<parameter>`, images [n, h, w, c], targets [n, h, w], logits, loss, `<case>/gradient/…`, the
# statistics after the step, and logits of evaluation. Sides are odd and even, and no multiples of the strides.
CASES = {
    "deeplab os8": dict(deeplab=dict(depth=10, width=4, output_stride=8, channels=6, low_level=3, rates=[2, 4])),
    "deeplab os16": dict(deeplab=dict(depth=18, width=3, output_stride=16, channels=5, low_level=4, rates=[1, 2, 3])),
    "deeplab bottleneck": dict(deeplab=dict(depth=50, width=2, output_stride=16, channels=4, low_level=3, rates=[1, 2])),
    "unet": dict(unet=dict(width=3, levels=4)),
}
for case, settings in CASES.items():
    (kind, arguments), = settings.items()
    network = {"deeplab": DeepLab, "unet": UNet}[kind](**arguments, classes=CLASSES)
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 1 and "running" not in name:
            tensor.add_(0.3 * torch.randn_like(tensor))
    start = {name: tensor.clone() for name, tensor in network.state_dict().items() if "num_batches" not in name}
    images = torch.randn(2, 3, 37, 50)
    targets = torch.randint(0, CLASSES, (2, 37, 50))
    targets[torch.rand(targets.shape) < 0.2] = VOID
    logits = network(images)
    loss = F.cross_entropy(logits, targets, ignore_index=VOID)
    loss.backward()
    blob |= {f"{case}/start/{name}": tensor for name, tensor in start.items()}
    blob |= {f"{case}/gradient/{name}": tensor.grad for name, tensor in network.named_parameters()}
    blob |= {f"{case}/after/{name}": tensor for name, tensor in network.named_buffers() if "running" in name}
    nhwc = lambda x: x.detach().permute(0, 2, 3, 1)
    blob |= {f"{case}/images": nhwc(images), f"{case}/targets": targets.to(torch.uint8), f"{case}/logits": nhwc(logits)}
    blob[f"{case}/loss"] = loss.detach().reshape(1)
    network.eval()
    blob[f"{case}/evaluated"] = nhwc(network(images))
    meta[case] = json.dumps(settings)

# The loss: OHEM keeps pixels by the threshold, and by the least share where few are hard; class weights.
for threshold, least, weighted in ((0.7, 0.05, False), (0.2, 0.5, True), (0.0, 0.25, False), (1.0, 0.0, True), (0.5, 1.0, False)):
    logits = (2 * torch.randn(2, 9, 7, CLASSES)).requires_grad_()
    targets = torch.randint(0, CLASSES, (2, 9, 7))
    targets[torch.rand(targets.shape) < 0.2] = VOID
    weight = 0.1 + torch.rand(CLASSES) if weighted else None
    flat, kept = logits.reshape(-1, CLASSES), hard(logits.detach().reshape(-1, CLASSES), targets.flatten(), threshold, least, VOID)
    loss = F.cross_entropy(flat, kept, weight, ignore_index=VOID)
    loss.backward()
    case = f"ohem {threshold} {least}"
    blob |= {f"{case}/logits": logits.detach(), f"{case}/targets": targets.to(torch.uint8)}
    blob |= {f"{case}/loss": loss.detach().reshape(1), f"{case}/gradient": logits.grad}
    meta[case] = json.dumps(dict(ohem=dict(threshold=threshold, least=least), weight=weight.tolist() if weighted else None))
save_file({name: tensor.contiguous() for name, tensor in blob.items()}, f"{out}/networks.safetensors", metadata=meta)
