"""What the statistics of a tensor cost: nanoseconds an element, beside the sum of the same tensor and what trackers do.

    python benchmarks/tensor_statistics.py

Best of many repeats on one thread, because a shared machine only ever adds time; torch.sum stands beside every figure
as the price of reading the memory once. The last lines are one step of a 9.5M network of 20 tensors, weights and
gradients: milliseconds until the payload for the journal is ready, and its bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from figures import OURS, Figure, main

from barograph.integrations.torch.statistics import of_tensors
from barograph.tensors.compute import has_kernel, of_arrays
from barograph.tensors.payload import encode

REPEATS = 20
ELEMENTS = 10_000_000
LIMITS = {"kernel, 1/8 histogram": 0.25, "kernel, full histogram": 0.55, "lean torch, sampled histogram": 0.75}
PEERS = {
    "torch.sum (one read)": "torch",
    "clone, isfinite, min, max, histc": "as trackers do",
    "numpy.histogram (no moments)": "numpy",
}


def ours() -> Iterator[Figure]:
    torch.set_num_threads(1)
    yield from elements(ELEMENTS)
    yield from one_step()


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


def elements(count: int) -> Iterator[Figure]:
    """Nanoseconds an element of each way, for one tensor."""
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
    for name, act in ways.items():
        is_slow = "histc" in name or "numpy" in name
        best_ns = best_s(act, 4 if is_slow else REPEATS) / count * 1e9
        yield Figure(name, best_ns, "ns an element", LIMITS.get(name), PEERS.get(name, OURS))


def one_step() -> Iterator[Figure]:
    """What one logged step of a network of 9.5M parameters takes, from tensors to bytes."""
    weights = [torch.randn(975, 975) * 0.02 for _ in range(10)] + [torch.randn(975) for _ in range(10)]
    tensors = weights + [tensor * 1e-4 for tensor in weights]
    keys = [f"{kind}/layers.{index}.weight" for kind in ("weights", "gradients") for index in range(20)]

    def step() -> list[bytes]:
        return encode(1, 0.0, dict(zip(keys, of_tensors(tensors), strict=True)))

    what = "20 tensors, weights and gradients, 9.5M parameters"
    yield Figure(f"{what}: statistics and payload", best_s(step) * 1e3, "ms", 6.0)
    yield Figure("  bytes", sum(map(len, step())), "bytes", 12_000)
    yield Figure(f"{what}: torch.sum", best_s(lambda: [one.sum() for one in tensors]) * 1e3, "ms", who="torch")
    trackers_s = best_s(lambda: [as_trackers_do(one) for one in tensors], 3)
    yield Figure(f"{what}: histograms alone", trackers_s * 1e3, "ms", who="as trackers do")


if __name__ == "__main__":
    main(ours)
