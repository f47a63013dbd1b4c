"""What the scripts make_*golden.py share: exact numbers, how far PyTorch is from them, and the files.

**The rule that tests go by.** A script computes every case in f64, from inputs that are numbers of f32; the file has these
results, rounded to f32. It also computes the case in f32, in each of `WAYS`, which add in other orders. The largest distance
of any of them from f64, at any value of a tensor, is PyTorch's own error for that tensor, and in the file too. A test may be
twice as far from f64, and two units in the last place of the tensor's largest value, since one way or another has small
tensors right by luck (`crates/golden`). So what is tolerated is what f32 costs there: 1e-7 of the largest value behind a
convolution, 1e-4 behind a batch norm of two pixels.

In a network, one rounding early on moves all that follows, and an error found in four runs is luck too: by the other three,
PyTorch's own runs missed the rule at 0.7 % of the tensors. So networks run in all ways `REPETITIONS` times, each time from
images some of whose values are the next ones of f32, which rounds everything anew.

**Why cases keep clear of kinks.** The derivatives of ReLU, of max-pooling and of absolute values jump. A value that is nearer
to the jump than rounding moves it may be on either side, and all gradients behind it are then those of another function. In a
ResNet-20 (16 images of 32×32, 3 million activations), 3 of 4 runs of PyTorch in f32 had an activation or more on the other
side than f64. Their gradients were 2e-5 to 6e-2 of the largest value from f64's; those of runs without were 2e-6 to 3e-5.
Right programs do not change sides at the same values. So PyTorch's error does not say how large ours may be there, and
whatever forgives that forgives real errors of some per cent.

Therefore a case is drawn again until f32 cannot change a side: until every value is farther from its jump than `MARGIN` times
the most that PyTorch's values there, in any of `WAYS`, are from f64's. A program that passes the tests is at most twice as
far. Networks are so small that about a hundred draws do at most. PyTorch alone decides what is drawn, so no error of ours is
drawn away.
"""
import copy, json, os, sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

MARGIN, REPETITIONS = 4, 16
WAYS = [(layout, onednn) for layout in (torch.contiguous_format, torch.channels_last) for onednn in (True, False)]
KINKED = (F.relu, F.max_pool2d, torch.abs, torch.Tensor.abs)


class Kinks(TorchFunctionMode):
    """Keeps the distances to a kink of what ReLU, max-pooling and `abs` are given, where it will be differentiated."""

    def __init__(self):
        super().__init__()
        self.distances = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in KINKED and torch.is_grad_enabled() and args[0].requires_grad:
            x = args[0].detach().double()
            self.distances.append(lead(x, *args[1:], **kwargs) if function is F.max_pool2d else x)
        return function(*args, **kwargs)


def lead(x, kernel_size, stride=None, padding=0, **_):
    """By how much the largest value of each window leads; without limit where it is 0, which a ReLU's zeros may share."""
    windows = F.unfold(F.pad(x, [padding] * 4, value=-1e300).flatten(0, 1)[:, None], kernel_size, stride=stride or kernel_size)
    first, second = windows.topk(2, 1).values.unbind(1)
    return torch.where(first == 0, torch.inf, first - second)


def values(compute, inputs, layout=torch.contiguous_format):
    """What `compute` has for `inputs`, in f64, and the distances to its kinks."""
    with Kinks() as kinks:
        outputs = compute(inputs, layout)
    return {name: tensor.detach().double() for name, tensor in outputs.items()}, kinks.distances


def most(a, b):
    """The largest distance of values of `a` and `b`."""
    return torch.where(a == b, 0.0, a - b).abs().max().item() if a.numel() else 0.0


def nudged(tensor):
    """`tensor` with each value as it was, or the next one up or down."""
    toward = torch.tensor([-torch.inf, torch.inf])[torch.randint(0, 2, tensor.shape)]
    return torch.where(torch.rand(tensor.shape) < 1 / 3, tensor, tensor.nextafter(toward))


def judge(compute, inputs, nudge):
    """What `compute(inputs, layout)` has in f64, by name, and PyTorch's own error for each; nothing where a kink is near."""
    double = lambda x: x.double() if x.is_floating_point() else x
    exact, kinks = values(compute, {name: double(tensor) for name, tensor in inputs.items()})
    errors = dict.fromkeys(exact, 0.0)
    moved = [0.0] * len(kinks)
    for repetition in range(REPETITIONS if nudge else 1):
        others = {name: nudged(inputs[name]) for name in nudge} if repetition else {}
        for layout, onednn in WAYS:
            with torch.backends.mkldnn.flags(enabled=onednn, allow_tf32=False):
                found, near = values(compute, inputs | others, layout)
            errors = {name: max(error, most(found[name], exact[name])) for name, error in errors.items()}
            moved = [max(before, most(a, b)) for before, a, b in zip(moved, near, kinks)]
            if any(far > 0 and x.abs().min() <= MARGIN * far for x, far in zip(kinks, moved)):
                return None
    return exact, errors


class Vectors:
    """The vectors of a file: `<case>/<name>` tensors; in the metadata each case's settings, and the errors."""

    def __init__(self):
        self.blob, self.cases, self.errors = {}, {}, {}

    def add(self, case, settings, draw, compute, nudge=()):
        """Adds what `compute(inputs, layout)` has for the inputs that `draw()` gives, both tensors by name. Where `nudge` names
        inputs, PyTorch's error is that of many runs."""
        for draws in range(1, 5_001):
            inputs = draw()
            judged = judge(compute, inputs, nudge)
            if judged:
                break
        else:
            raise SystemExit(f"{case}: expected a draw of no value near a kink, found none of {draws}; make the case smaller")
        if draws > 1:
            print(f"{case}: drawn {draws} times")
        exact, errors = judged
        self.blob |= {f"{case}/{name}": tensor.contiguous().clone() for name, tensor in inputs.items()}
        self.blob |= {f"{case}/{name}": tensor.float().contiguous() for name, tensor in exact.items()}
        self.errors |= {f"{case}/{name}": float(f"{error:.3g}") for name, error in errors.items()}
        self.cases[case] = settings

    def save(self, out, crate, name):
        os.makedirs(f"{out}/{crate}", exist_ok=True)
        cases = {case: json.dumps(settings) for case, settings in self.cases.items()}
        metadata = {**cases, "errors": json.dumps(self.errors)}
        save_file(self.blob, f"{out}/{crate}/{name}", metadata=metadata)


def network_of(template, inputs):
    """A copy of `template` that has the parameters `start/…` of `inputs`, in their precision, and trains."""
    of_start = {name.removeprefix("start/"): tensor for name, tensor in inputs.items() if name.startswith("start/")}
    network = copy.deepcopy(template).to(next(iter(of_start.values())).dtype)
    network.load_state_dict(of_start, strict=False)
    return network.train()


def start_of(network):
    """What `network_of` reads."""
    return {f"start/{name}": tensor.clone() for name, tensor in network.state_dict().items() if "num_batches" not in name}


def randomized(network):
    """`network` with random biases and batch norms. Bottlenecks change what they are given by little, as otherwise fifty layers
    make a rounding error a thousand times as large."""
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 1 and "running" not in name:
            tensor.add_(0.3 * torch.randn_like(tensor))
        if name.endswith("bn3.weight"):
            tensor.mul_(0.25)
    return network


def arguments():
    """The folder and the seed of the command line."""
    out, seed = sys.argv[1], int(sys.argv[2])
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    return out, seed
