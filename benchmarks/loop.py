"""What a training pays: CPU added to each step of a small loop that logs five scalars every step.

    python benchmarks/loop.py

Steps with and without the call alternate (ABBA). The training thread's own CPU is compared at the tenth percentile of
each kind, because what else runs on the machine makes steps of a millisecond differ by far more than a call costs. What
all other threads and processes of the logger used meanwhile is added, divided by the steps that logged. A logger that
does nothing shows what such a comparison is worth, a bare os.write what the kernel asks for when caches are cold.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peers
import psutil
from figures import Figure, main, scratch, without_collector

ROUNDS = 1500  # of four steps
PEER_ROUNDS = 400
WARM_S = 2.0  # until what a logger does once, at its start, is done
WIDTH, BATCH = 448, 448  # about 1.8 ms a step on one core


def ours() -> Iterator[Figure]:
    yield from figures_of(Nothing(), ROUNDS)
    yield from figures_of(BareWrite(), ROUNDS)
    yield from figures_of(peers.Barograph(), ROUNDS, 10.0)


def of_peers() -> Iterator[Figure]:
    for peer in peers.installed():
        yield from figures_of(peer, PEER_ROUNDS)


def figures_of(peer: peers.Peer, rounds: int, bound: float | None = None) -> Iterator[Figure]:
    try:
        step = training()
    except ImportError:
        print("loop.py needs torch; skipped", file=sys.stderr)
        return
    with scratch() as folder, peers.started(peer, folder):
        alone_us, on_thread, elsewhere = costs_us(step, peer, rounds)
    yield Figure("added CPU a step, 5 scalars every step", on_thread + elsewhere, "us", bound, peer.name)
    yield Figure("  of it on other threads and in other processes", elsewhere, "us", who=peer.name)
    yield Figure("  a step without the call", alone_us / 1000, "ms", who=peer.name)


class Nothing(peers.Peer):
    name = "(floor: no-op)"

    def start(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        pass

    def log(self, metrics: dict[str, float], step: int) -> None:
        pass

    def finish(self) -> None:
        pass


class BareWrite(Nothing):
    name = "(floor: os.write)"

    def start(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        self._descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def log(self, metrics: dict[str, float], step: int) -> None:
        os.write(self._descriptor, b"x" * 160)

    def finish(self) -> None:
        os.close(self._descriptor)


def training() -> Callable[[], float]:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.randn(BATCH, 64), torch.randint(0, 10, (BATCH,))

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def costs_us(step: Callable[[], float], peer: peers.Peer, rounds: int) -> tuple[float, float, float]:
    """CPU in microseconds: of a step alone; added by logging on the training thread; elsewhere in the process tree."""
    now = time.thread_time_ns
    taken: tuple[list[int], list[int]] = [], []
    warm_until = time.monotonic() + WARM_S
    while time.monotonic() < warm_until:
        peer.log({"train/loss": step(), "accuracy": 0.5, "lr": 0.01, "epoch": 1.0, "norm": 1.0}, 0)
    elsewhere_s = tree_cpu_s() - time.thread_time()
    with without_collector():
        for number in range(rounds):
            for logs in (False, True, True, False):
                begin = now()
                loss = step()
                if logs:
                    peer.log({"train/loss": loss, "accuracy": 0.5, "lr": 0.01, "epoch": 1.0, "norm": loss}, number)
                taken[logs].append(now() - begin)
    elsewhere_s = tree_cpu_s() - time.thread_time() - elsewhere_s
    without, with_ = (statistics.quantiles(one, n=10)[0] / 1000 for one in taken)
    return without, with_ - without, elsewhere_s * 1e6 / len(taken[True])


def tree_cpu_s() -> float:
    """CPU of this process, exactly, and of its children, in the ticks that the system counts."""
    children = psutil.Process().children(recursive=True)
    return time.process_time() + sum(sum(child.cpu_times()[:2]) for child in children)


if __name__ == "__main__":
    main(ours, of_peers)
