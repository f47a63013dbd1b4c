"""Makes the golden vectors of a whole ResNet-20: three steps of training in PyTorch, for a Rust test to match.

usage: make_resnet_golden.py OUT_DIR SEED
needs: torch, safetensors
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from golden import Vectors, arguments, network_of, start_of

out, seed = arguments()
# At a larger rate, no rounding is small after three steps.
BATCH, SIDE, CLASSES, STEPS, SGD = 6, 8, 10, 3, dict(lr=0.01, momentum=0.9, weight_decay=5e-4)


class Block(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o)) if s != 1 or i != o else nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class ResNet20(nn.Module):
    """The parameters named as torchvision does."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        stage = lambda i, o: nn.Sequential(Block(i, o, 1 if i == o else 2), Block(o, o, 1), Block(o, o, 1))
        self.layer1, self.layer2, self.layer3 = stage(16, 16), stage(16, 32), stage(32, 64)
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


template = ResNet20()


def draw():
    images, labels = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(0, CLASSES, (BATCH,))
    return start_of(ResNet20()) | dict(x=images, labels=labels.to(torch.uint8))


def train(inputs, layout):
    network, x, outputs, losses = network_of(template, inputs), inputs["x"].contiguous(memory_format=layout), {}, []
    optimizer = torch.optim.SGD(network.parameters(), **SGD)
    for step in range(STEPS):
        logits = network(x)
        loss = F.cross_entropy(logits, inputs["labels"].long())
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            outputs |= {f"grad/{name}": param.grad.clone() for name, param in network.named_parameters()}
            outputs["logits"] = logits
        optimizer.step()
        losses.append(loss.detach())
    with torch.no_grad():
        outputs["logits_eval_after"] = network.eval()(x)
    outputs |= {name.replace("start/", "after/"): tensor for name, tensor in start_of(network).items()}
    return outputs | {"losses": torch.stack(losses)}


vectors = Vectors()
vectors.add("resnet20", dict(sgd=SGD, steps=STEPS), draw, train, nudge=("x",))
vectors.save(out, "vision", "resnet20.safetensors")
