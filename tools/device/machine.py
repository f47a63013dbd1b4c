#!/usr/bin/env python3
"""What PyTorch says of the machine, and the two ceilings: copying memory and multiplying matrices. One line of JSON."""
import json

import torch


def milliseconds(action, runs=10):
    for _ in range(3):
        action()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(runs):
        action()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / runs


def main():
    properties = torch.cuda.get_device_properties(0)
    source = torch.randn(1 << 28, device="cuda")
    target = torch.empty_like(source)
    result = {
        "torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
        "name": properties.name, "multiprocessors": properties.multi_processor_count, "memory": properties.total_memory,
        "copy_tb_per_s": 2 * source.nbytes / milliseconds(lambda: target.copy_(source)) / 1e9,
    }
    for name, dtype, tf32 in [("bf16", torch.bfloat16, False), ("tf32", torch.float32, True)]:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(8192, 8192, device="cuda", dtype=dtype) for _ in range(2))
        result[f"{name}_tflops"] = 2 * 8192**3 / milliseconds(lambda: a @ b) / 1e9
    print(json.dumps({"torch_machine": result}))


if __name__ == "__main__":
    main()
