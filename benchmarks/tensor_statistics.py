"""What the statistics of a tensor cost: nanoseconds an element, beside the sum of the same tensor and what trackers do.

    python benchmarks/tensor_statistics.py [elements]

Best of many repeats on one thread, because a shared machine only ever adds time; torch.sum stands beside every figure
as the price of reading the memory once. The last lines are one step of a 9.5M network of 20 tensors, weights and
gradients: milliseconds until the payload for the journal is ready, and its bytes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from barograph.integrations.torch.statistics import of_tensors
from barograph.tensors.compute import has_kernel, of_arrays
from barograph.tensors.payload import encode

REPEATS = 20
KERNEL_LIMITS = {"kernel, 1/8 histogram": 0.25, "kernel, full histogram": 0.55, "lean torch, sampled histogram": 0.75}


def best_s(act: Callable[[], object], repeats: int = REPEATS) -> float:
    """The shortest of several runs, in seconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return min(times)


def as_trackers_do(tensor: torch.Tensor) -> object:
    """The calls that trackers make for one histogram: copy, drop what is not finite, extremes, bins."""
    flat = tensor.detach().clone().view(-1)
    if not torch.isfinite(flat).all():
        flat = flat[torch.isfinite(flat)]
    low, high = flat.min().item(), flat.max().item()
    return torch.histc(flat, bins=64, min=low, max=high).tolist()


def elements(count: int) -> None:
    """Print nanoseconds an element of each way, for one tensor."""
    tensor = torch.randn(count) * 0.02
    array = tensor.numpy()
    ways: dict[str, Callable[[], object]] = {
        "torch.sum (one read)": tensor.sum,
        "lean torch, moments only": lambda: of_tensors([tensor], sampling=0, native=False),
        "lean torch, sampled histogram": lambda: of_tensors([tensor], native=False),
        "numpy, 1/8 histogram": lambda: of_arrays([array], native=False),
        "clone, isfinite, min, max, histc": lambda: as_trackers_do(tensor),
        "numpy.histogram (no moments)": lambda: np.histogram(array, bins=64),
    }
    if has_kernel():
        ways |= {
            "kernel, moments only": lambda: of_tensors([tensor], sampling=0),
            "kernel, 1/8 histogram": lambda: of_tensors([tensor], sampling=8),
            "kernel, full histogram": lambda: of_tensors([tensor], sampling=1),
        }
        for dtype in (torch.bfloat16, torch.float16, torch.float64):
            other = tensor.to(dtype)
            ways[f"kernel, 1/8 histogram, {dtype}"] = lambda other=other: of_tensors([other], sampling=8)  # type: ignore[misc]  # a lambda's default has no annotation
    print(f"{count:,} float32, torch {torch.__version__}, numpy {np.__version__}")
    floor = best_s(tensor.sum)
    for name, act in ways.items():
        slow = "histc" in name or "numpy" in name
        best = best_s(act, 4 if slow else REPEATS)
        floor = min(floor, best_s(tensor.sum, 3))
        limit = f"   limit {KERNEL_LIMITS[name]}" if name in KERNEL_LIMITS else ""
        print(f"  {name:42s} {best / count * 1e9:7.3f} ns   {best / floor:6.1f} x torch.sum{limit}")


def one_step() -> None:
    """Print what one logged step of a network of 9.5M parameters takes, from tensors to bytes."""
    weights = [torch.randn(975, 975) * 0.02 for _ in range(10)] + [torch.randn(975) for _ in range(10)]
    tensors = weights + [tensor * 1e-4 for tensor in weights]
    keys = [f"{kind}/layers.{index}.weight" for kind in ("weights", "gradients") for index in range(20)]

    def step() -> list[bytes]:
        return encode(1, 0.0, dict(zip(keys, of_tensors(tensors), strict=True)))

    print("20 tensors, weights and gradients, 9.5M parameters (limits: 6 ms, 12,000 bytes)")
    print(f"  statistics and payload {best_s(step) * 1e3:.2f} ms, {sum(map(len, step())):,} bytes")
    print(f"  torch.sum of the same  {best_s(lambda: [tensor.sum() for tensor in tensors]) * 1e3:.2f} ms")
    print(f"  as trackers do         {best_s(lambda: [as_trackers_do(tensor) for tensor in tensors], 3) * 1e3:.0f} ms")


if __name__ == "__main__":
    torch.set_num_threads(1)
    elements(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
    one_step()
