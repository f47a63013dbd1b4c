#!/usr/bin/env python3
"""What PyTorch reaches on this machine's GPU: whole training steps of the networks of tools/peers, in every precision
and with every way to launch them, and what the GPU could do at best.

usage, from the repository's root: python3 tools/device/peers.py --out peers.json [--seconds 300] [options]
needs: torch, torchvision (for FCOS), safetensors (for gradients.py); no network

A step is forward, loss, backward and SGD (fused; momentum 0.9, decay 5e-4 on everything) on data that lie on the device.

- precision: `f32` (no tensor cores), `tf32`, `bf16` (autocast).
- variant: `eager`; `graph` (the whole step as one CUDA graph); `compile` (torch.compile of forward, loss and backward);
  `compile_graph` (the same, the whole step as one CUDA graph); `compile_overhead` (mode="reduce-overhead").
- layout: `nchw`, `channels_last`. Compiled variants use the layout in which the graph is faster.
- input: `f32` images, or `u8` [n, h, w, c] that the step normalizes.

Times are between CUDA events, medians over at least 20 steps after a warm-up. Rows come in order of importance until
--seconds are used up; `skipped` in the JSON counts the rest. --out is written anew after each row. A row that fails has
`error` in place of numbers.

--reference DIR compares gradients, as gradients.py says, before anything is timed.
"""
import argparse
import gc
import json
import math
import os
import statistics
import sys
import time
import traceback
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
import torch_step  # noqa: E402
from gradients import autocast, compare_gradients, set_precision  # noqa: E402

MAIN = [("resnet18", 512), ("resnet18", 64), ("resnet20", 128)]
OTHERS = [("vgg16_bn", 128), ("unet16", 32), ("fcos18", 32)]
TENSOR_CORES = ["tf32", "bf16"]
LAYOUTS = ["nchw", "channels_last"]
COMPILED = ["compile", "compile_graph", "compile_overhead"]
WARM_UP, MIN_STEPS, MAX_STEPS = 5, 20, 300
# The least time left with which a row starts; a compiled one needs what the longest so far took.
ROW_SECONDS, COMPILE_SECONDS = 3, 30


class Step:
    """A network with its data: `loss()` runs forward, `step(loss)` a whole training step."""

    def __init__(self, model, batch, precision, layout, source, device):
        set_precision(precision)
        torch.manual_seed(0)
        with torch.device(device):
            network, images, loss_of = torch_step.MODELS[model](batch)
            mean, deviation = torch.full((3, 1, 1), 128.0), torch.full((3, 1, 1), 64.0)
        if layout == "channels_last":
            network = network.to(memory_format=torch.channels_last)
            images = images.contiguous(memory_format=torch.channels_last)
        memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        pixels = (images * 64 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        self.optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)

        def loss():
            x = images
            if source == "u8":
                x = ((pixels.permute(0, 3, 1, 2) - mean) / deviation).contiguous(memory_format=memory_format)
            with autocast(precision, device):
                return loss_of(network(x))

        self.loss = loss

    def gradient(self, loss):
        """All gradients in a row."""
        self.optimizer.zero_grad(set_to_none=True)
        loss().backward()
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        return torch.cat([parameter.grad.flatten() for parameter in parameters])

    def check(self, loss):
        """Raises where gradients point elsewhere than those of `self.loss`: inductor has had silent errors."""
        cosine = torch.cosine_similarity(self.gradient(self.loss), self.gradient(loss), dim=0).item()
        if not cosine > 0.8:
            raise RuntimeError(f"expected the gradients of an eager step, found a cosine of {cosine:.3f} to them")

    def step(self, loss):
        self.optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        self.optimizer.step()
        return value.detach()


def captured(step):
    """The step as a CUDA graph, replayed at each call."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = step()

    def replay():
        graph.replay()
        return value

    return replay


class Clock:
    """Times steps: between events on a GPU, with the host's clock on a CPU."""

    def __init__(self, device):
        self.cuda = device == "cuda"

    def wait(self):
        if self.cuda:
            torch.cuda.synchronize()

    def mark(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def milliseconds(self, step, count):
        """Of `count` steps, and of all by the host's clock."""
        self.wait()
        start, marks = time.perf_counter(), [self.mark()]
        for _ in range(count):
            step()
            marks.append(self.mark())
        self.wait()
        wall = 1e3 * (time.perf_counter() - start)
        pairs = zip(marks, marks[1:])
        return [a.elapsed_time(b) if self.cuda else 1e3 * (b - a) for a, b in pairs], wall


def time_steps(step, clock, seconds):
    """The numbers of a row: what the median of enough steps takes."""
    for _ in range(WARM_UP):
        value = step()
    times, _ = clock.milliseconds(step, WARM_UP)
    count = math.ceil(1e3 * seconds / max(statistics.median(times), 1e-3))
    count = min(max(count, MIN_STEPS), MAX_STEPS) if clock.cuda else 3
    times, wall = clock.milliseconds(step, count)
    times.sort()
    value = step().item()
    if not math.isfinite(value):
        raise RuntimeError(f"expected a finite loss, found {value} after {count} steps")
    return {
        "step_ms": round(statistics.median(times), 4),
        "step_ms_p10": round(times[count // 10], 4),
        "step_ms_p90": round(times[count * 9 // 10], 4),
        "wall_step_ms": round(wall / count, 4),
        "steps": count,
        "loss": round(value, 5),
    }


class Report:
    """The JSON of --out, written anew after each row."""

    def __init__(self, out, seconds, device):
        self.out, self.end = out, time.monotonic() + seconds
        self.start = time.monotonic()
        self.data = {"machine": machine(device), "ceilings": {}, "rows": [], "skipped": []}

    def left(self):
        return self.end - time.monotonic()

    def write(self):
        self.data["seconds"] = round(time.monotonic() - self.start, 1)
        if self.out:
            partial = self.out.with_suffix(".partial")
            partial.write_text(json.dumps(self.data, indent=1) + "\n")
            os.replace(partial, self.out)

    def add(self, row):
        self.data["rows"].append(row)
        name = " ".join(str(row[key]) for key in ["model", "batch", "precision", "variant", "layout", "input"])
        numbers = row.get("error") or f"{row['step_ms']:.3f} ms  {row['images_per_s']:.0f} images/s  {row['peak_mib']} MiB"
        print(f"[{self.left():5.0f} s left] {name}: {numbers.splitlines()[0]}", flush=True)
        self.write()

    def fastest(self, **wanted):
        """The row of the least time among those that have these values; none where all failed."""
        rows = [row for row in self.data["rows"] if "step_ms" in row and all(row[k] == v for k, v in wanted.items())]
        return min(rows, key=lambda row: row["step_ms"], default=None)


def machine(device):
    found = {"device": device, "torch": torch.__version__, "python": sys.version.split()[0], "when": time.strftime("%F %T")}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "multiprocessors": properties.multi_processor_count}
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        found |= {"memory_mib": properties.total_memory >> 20}
    return found


def clear(device):
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def described(error):
    """The error, what caused it, and where the first was raised."""
    texts = []
    while True:
        texts.append(f"{type(error).__name__}: {error}"[:800])
        if not (before := error.__cause__ or error.__context__):
            break
        error = before
    where = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-3:]]
    return "\n".join([*texts, *where])


class Runner:
    """Makes rows, each guarded: what fails is reported, and the next is run."""

    def __init__(self, report, args):
        self.report, self.args, self.clock = report, args, Clock(args.device)
        self.longest_compile = COMPILE_SECONDS

    def wants(self, row):
        args = self.args
        chosen = not args.models or row["model"] in args.models
        chosen &= not args.precisions or row["precision"] in args.precisions
        return chosen and (not args.variants or row["variant"] in args.variants)

    def group(self, case, precision, variants, layout, source="f32"):
        """Rows that share a network, and what is compiled of it."""
        model, batch = case
        batch = min(batch, self.args.batch or batch)
        keys = {"model": model, "batch": batch, "precision": precision, "layout": layout, "input": source}
        rows = [row for variant in variants if self.wants(row := {**keys, "variant": variant})]
        if self.args.device == "cpu":
            rows = [row for row in rows if row["variant"] in ["eager", "compile"]]
        made, compiled = None, {}
        for row in rows:
            compiles = row["variant"] in ["compile", "compile_overhead"]
            needs = self.longest_compile if compiles else ROW_SECONDS
            if self.report.left() < needs:
                self.report.data["skipped"].append(row)
                continue
            clear(self.args.device)
            start = time.perf_counter()
            try:
                made = made or Step(model, batch, precision, layout, source, self.args.device)
                numbers = self.time(self.variant(made, row["variant"], compiled))
                numbers["images_per_s"] = round(1e3 * batch / numbers["step_ms"], 1)
            except Exception as error:
                # A failed capture can leave its network unusable.
                numbers, made, compiled = {"error": described(error)}, None, {}
            numbers["seconds"] = round(time.perf_counter() - start, 1)
            if compiles:
                self.longest_compile = max(self.longest_compile, numbers["seconds"])
            self.report.add({**row, **numbers})
        if any(variant in COMPILED for variant in variants):
            torch._dynamo.reset()

    def time(self, step):
        numbers = time_steps(step, self.clock, self.args.row_seconds)
        peak = torch.cuda.max_memory_allocated() >> 20 if self.clock.cuda else 0
        return {**numbers, "peak_mib": peak}

    def variant(self, made, variant, compiled):
        """The step as a function, launched in this way."""
        if variant in ["eager", "graph"]:
            step = lambda: made.step(made.loss)
            return captured(step) if variant == "graph" else step
        mode = "reduce-overhead" if variant == "compile_overhead" else None
        if mode not in compiled:
            compiled[mode] = torch.compile(made.loss, mode=mode, dynamic=False)
            made.check(compiled[mode])
            # The eager step's memory is none of this row's.
            clear(self.args.device)
        loss = compiled[mode]

        def step():
            if mode:
                torch.compiler.cudagraph_mark_step_begin()
            return made.step(loss)

        if variant != "compile_graph":
            return step
        # What is compiled tunes itself in its first steps, which a capture must not see.
        step()
        step()
        return captured(step)

    def faster_layout(self, case, precision):
        row = self.report.fastest(model=case[0], batch=case[1], precision=precision, variant="graph")
        return row["layout"] if row else "channels_last"

    def run(self):
        for case in MAIN:
            for precision in TENSOR_CORES:
                for layout in reversed(LAYOUTS):
                    self.group(case, precision, ["eager", "graph"], layout)
        for case in MAIN:
            for precision in TENSOR_CORES:
                self.group(case, precision, COMPILED[:2], self.faster_layout(case, precision))
        for case in MAIN:
            for precision in TENSOR_CORES:
                self.group(case, precision, ["graph"], self.faster_layout(case, precision), "u8")
        for case in OTHERS:
            for precision in TENSOR_CORES:
                for layout in reversed(LAYOUTS):
                    self.group(case, precision, ["graph"], layout)
                self.group(case, precision, ["eager"], self.faster_layout(case, precision))
        for case in MAIN:
            for layout in reversed(LAYOUTS):
                self.group(case, "f32", ["eager", "graph"], layout)
        for case in OTHERS:
            for precision in TENSOR_CORES:
                self.group(case, precision, COMPILED[:2], self.faster_layout(case, precision))
        for case in MAIN:
            for precision in TENSOR_CORES:
                self.group(case, precision, COMPILED[2:], self.faster_layout(case, precision))
        for case in OTHERS:
            self.group(case, "f32", ["eager", "graph"], "channels_last")
        for case in MAIN:
            self.group(case, "f32", COMPILED, self.faster_layout(case, "f32"))


def ceilings(device):
    """What memory and tensor cores reach: GB/s of a copy, read and written; TFLOP/s of a product of matrices."""
    clock, side = Clock(device), 8192 if device == "cuda" else 256
    values = torch.empty(side * side * 4, device=device).normal_()
    target = torch.empty_like(values)

    def milliseconds(action):
        clock.milliseconds(action, 3)
        return statistics.median(clock.milliseconds(action, 20)[0])

    found = {"copy_gb_per_s": 2e-6 * values.nbytes / milliseconds(lambda: target.copy_(values))}
    del values, target
    for precision in ["tf32", "f32", "bf16"]:
        set_precision(precision)
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        out = torch.empty_like(a)
        found[f"matmul_{precision}_tflop_per_s"] = 2e-9 * side**3 / milliseconds(lambda: torch.mm(a, b, out=out))
    return {key: round(value, 1) for key, value in found.items()}


def kernels(case, precision, layout, device):
    """What an eager step's kernels take: [name, microseconds, calls] in order of time."""
    made = Step(*case, precision, layout, "f32", device)
    for _ in range(3):
        made.step(made.loss)
    activities = [getattr(torch.profiler.ProfilerActivity, "CUDA" if device == "cuda" else "CPU")]
    with torch.profiler.profile(activities=activities) as profile:
        made.step(made.loss)
        Clock(device).wait()
    key = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    found = [[event.key[:120], round(getattr(event, key), 1), event.count] for event in profile.key_averages()]
    return sorted(found, key=lambda kernel: -kernel[1])[:25]


def add_kernels(report, args):
    tables = report.data["kernels"] = {}
    for case in MAIN:
        for precision in TENSOR_CORES:
            if report.left() < ROW_SECONDS or (args.models and case[0] not in args.models):
                continue
            clear(args.device)
            case = (case[0], min(case[1], args.batch or case[1]))
            name = f"{case[0]} {case[1]} {precision} eager channels_last"
            try:
                tables[name] = kernels(case, precision, "channels_last", args.device)
            except Exception as error:
                tables[name] = repr(error)
            report.write()


def print_best(report):
    print("\n| network | batch | precision | eager | graph | compile | compile_graph | compile_overhead | best, images/s |")
    print(f"|{' --- |' * 3}{' ---: |' * 6}")
    for model, batch, precision in dict.fromkeys((r["model"], r["batch"], r["precision"]) for r in report.data["rows"]):
        keys = {"model": model, "batch": batch, "precision": precision, "input": "f32"}
        rows = [report.fastest(**keys, variant=variant) for variant in ["eager", "graph", *COMPILED]]
        cells = [f"{row['step_ms']:.3f}" if row else "" for row in rows]
        if best := report.fastest(**keys):
            print(f"| {model} | {batch} | {precision} | {' | '.join(cells)} | {best['images_per_s']:.0f} |")
    print("milliseconds a step, the faster layout of each", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    parser.add_argument("--seconds", type=float, default=300, help="no row starts that could end after this")
    parser.add_argument("--row-seconds", type=float, default=0.4, help="the time that a row's steps take, if they are fast")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: tries the script, of 3 steps a row")
    parser.add_argument("--batch", type=int, help="the most images of a step")
    parser.add_argument("--models", nargs="+", choices=dict(MAIN + OTHERS))
    parser.add_argument("--precisions", nargs="+", choices=["f32", *TENSOR_CORES])
    parser.add_argument("--variants", nargs="*", choices=["eager", "graph", *COMPILED])
    parser.add_argument("--kernels", action="store_true", help="add a table of an eager step's kernels, at the end")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="compare gradients first")
    args = parser.parse_args()

    if args.device == "cpu":
        torch.set_num_threads(1)
    report = Report(args.out, args.seconds, args.device)
    print(json.dumps(report.data["machine"]), flush=True)
    if args.reference:
        report.data["reference"] = compare_gradients(args.reference, args.device)
        report.write()
    torch.backends.cudnn.benchmark = True
    try:
        report.data["ceilings"] = ceilings(args.device)
    except Exception as error:
        report.data["ceilings"] = {"error": repr(error)}
    print(json.dumps(report.data["ceilings"]), flush=True)
    Runner(report, args).run()
    if args.kernels:
        add_kernels(report, args)
    report.write()
    print_best(report)


if __name__ == "__main__":
    main()
