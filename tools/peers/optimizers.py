#!/usr/bin/env python3
"""Compares steps of crates/regularize with those of torch, adamp, timm and pytorch_optimizer, for random settings, starts and
gradients, and prints a Markdown table: the largest difference after any step, in parts of the parameter's largest value. Peers
compute in f64, so that what differs is rounding of ours.

usage: optimizers.py [options]    with the interpreter of an environment that has the four, see README.md

tools/make_optimizer_golden.py makes the vectors of the tests, of a few settings of torch and adamp.
"""
import argparse
import json
import random
import subprocess
from pathlib import Path

import adamp
import pytorch_optimizer
import timm.optim
import torch

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SHAPES = {"conv.weight": (6, 3, 3, 3), "bn.weight": (6,), "bn.bias": (6,), "fc.weight": (4, 6), "fc.bias": (4,)}
TOLERANCE = 1e-6


def sgd(rng):
    nesterov = rng.random() < 0.5
    momentum = rng.choice([0.5, 0.9, 0.98]) if nesterov else rng.choice([0.0, 0.5, 0.9])
    return dict(lr=10 ** rng.uniform(-3, -0.5), momentum=momentum, nesterov=nesterov,
                dampening=rng.choice([0.0, 0.3]) if momentum and not nesterov else 0.0)


def adam(rng):
    return dict(lr=10 ** rng.uniform(-4, -1.5), betas=[rng.choice([0.5, 0.9]), rng.choice([0.95, 0.999])], eps=1e-8)


def projected(of):
    return lambda rng: of(rng) | dict(delta=rng.choice([0.1, 0.5]), wd_ratio=rng.choice([0.1, 0.5]))


def nesterov_sgd(rng):
    return sgd(rng) | dict(momentum=0.9, nesterov=True, dampening=0.0)


def projected_sgd(rng):
    """Without Nesterov's momentum, adamp projects the buffer itself, as ours does; timm and pytorch_optimizer keep it."""
    return projected(nesterov_sgd)(rng)


def projected_adam(rng):
    return projected(adam)(rng) | dict(nesterov=rng.random() < 0.5)


def tiny_eps(rng):
    """pytorch_optimizer adds eps before it corrects the second moment's bias, ours and the others after."""
    return projected_adam(rng) | dict(eps=1e-15)


def nero(rng):
    return dict(lr=10 ** rng.uniform(-3, -1), beta=rng.choice([0.9, 0.999]))


# Name: our optimizer, the peer's class, its settings, whether there is a decay.
CASES = {
    "torch SGD": ("sgd", torch.optim.SGD, sgd, True),
    "torch Adam": ("adam", torch.optim.Adam, adam, True),
    "torch AdamW": ("adamw", torch.optim.AdamW, adam, True),
    "adamp SGDP": ("sgdp", adamp.SGDP, lambda rng: projected(sgd)(rng) | dict(dampening=0.0), True),
    "adamp AdamP": ("adamp", adamp.AdamP, projected_adam, True),
    "timm SGDP, Nesterov": ("sgdp", timm.optim.SGDP, projected_sgd, True),
    "timm AdamP": ("adamp", timm.optim.AdamP, projected_adam, True),
    "pytorch_optimizer SGDP, Nesterov": ("sgdp", pytorch_optimizer.SGDP, projected_sgd, True),
    "pytorch_optimizer AdamP": ("adamp", pytorch_optimizer.AdamP, tiny_eps, True),
    "pytorch_optimizer Nero": ("nero", pytorch_optimizer.Nero, nero, False),
}


def build():
    """The path of the example, built."""
    command = ["cargo", "build", "--release", "-p", "regularize", "--example", "peer_steps", "--message-format=json"]
    built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == "peer_steps" and m.get("executable"))


def draw(steps):
    start = {name: torch.randn(shape) * 0.5 + (name == "bn.weight") for name, shape in SHAPES.items()}
    return start, [{name: torch.randn(shape) * 0.3 for name, shape in SHAPES.items()} for _ in range(steps)]


def theirs(make, settings, decay, clip, start, gradients):
    params = {name: torch.nn.Parameter(value.double()) for name, value in start.items()}
    optimizer = make(list(params.values()), **settings, **({"weight_decay": decay} if decay is not None else {}))
    after = []
    for of_step in gradients:
        for name, value in params.items():
            value.grad = of_step[name].double()
        if clip:
            torch.nn.utils.clip_grad_norm_(params.values(), clip)
        optimizer.step()
        after.append([value.detach().flatten().clone() for value in params.values()])
    return after


def ours(example, name, settings, decay, clip, start, gradients):
    method = {"name": "weight-decay", "scope": "everything", "decay": decay} if decay else {"name": "none"}
    case = {
        "optimizer": {"name": name, **settings} | ({"clip_norm": clip} if clip else {}),
        "method": method,
        "params": [{"name": n, "dims": list(v.shape), "values": v.flatten().tolist()} for n, v in start.items()],
        "gradients": [[of_step[name].flatten().tolist() for name in start] for of_step in gradients],
    }
    done = subprocess.run([example], input=json.dumps(case), stdout=subprocess.PIPE, check=True, text=True)
    return [[torch.tensor(values, dtype=torch.float64) for values in of_step] for of_step in json.loads(done.stdout)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", help="the built example, in place of building it")
    parser.add_argument("--rounds", type=int, default=20, help="random settings of each")
    parser.add_argument("--steps", type=int, default=10, help="rounding adds up: after 30 it is some 2e-6")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    example, rng = args.example or build(), random.Random(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)

    print(f"{args.rounds} random settings of each, {args.steps} steps\n")
    print("| peer | largest difference |\n| --- | ---: |", flush=True)
    worst = 0.0
    for label, (name, make, draw_settings, decays) in CASES.items():
        largest = 0.0
        for _ in range(args.rounds):
            settings = draw_settings(rng)
            decay = rng.choice([0.0, 1e-4, 5e-2]) if decays else None
            clip = rng.choice([None, 1.0])
            start, gradients = draw(args.steps)
            peer = theirs(make, settings, decay, clip, start, gradients)
            for found, expected in zip(ours(example, name, settings, decay, clip, start, gradients), peer):
                for one, other in zip(found, expected):
                    largest = max(largest, ((one - other).abs().max() / other.abs().max()).item())
        print(f"| {label} | {largest:.1e} |", flush=True)
        worst = max(worst, largest)
    if not worst <= TOLERANCE:
        raise SystemExit(f"expected differences of at most {TOLERANCE}, found {worst:.1e}")


if __name__ == "__main__":
    main()
