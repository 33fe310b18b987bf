"""What watch() costs: CPU added to a step that is looked into, on other steps, over a whole training; and bytes.

    python benchmarks/watch.py

Two copies of a model train side by side, one of them watched, in the order plain, watched, watched, plain. What is
compared is the CPU of the process, all of its threads included, one thread for torch, at the tenth percentile of each
kind of step: what else runs on the machine only ever adds, and to both alike. Peers write weights and gradients as
histograms by the call that they have for it; none has activations and updates beside them.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peers
import torch
from figures import Figure, main, scratch, without_collector
from torch import nn

import barograph
from barograph.tensors.schedule import ALWAYS

Step = Callable[[], None]


def ours() -> Iterator[Figure]:
    torch.set_num_threads(1)
    for name, make, rounds, bound in MODELS:
        step_s, added_s = added(make, rounds)
        yield Figure(f"{name}: added CPU of a step with everything on", 100 * added_s / step_s, "%", bound)
        yield Figure("  a step that nobody watches", 1000 * step_s, "ms")
    _, added_s = added(twenty_tensors, 30, updates=False, activations=False)
    yield Figure("9.5M MLP, 20 tensors: added, weights and gradients", 1000 * added_s, "ms", 6.0)
    yield Figure("  stored, weights and gradients", stored_bytes(), "bytes a step", 12_000)
    hooked_us, empty_us = idle_us()
    yield Figure("a module call on a step that is not looked into", hooked_us, "us", 1.2)
    yield Figure("  the same with a hook that does nothing at all", empty_us, "us", who="torch")
    yield Figure("mean over a training of 400 steps at defaults", 100 * mean_share(), "%", 1.0)


def of_peers() -> Iterator[Figure]:
    torch.set_num_threads(1)
    for name, make, rounds, _ in MODELS:
        for peer in peers.installed():
            step_s, added_s = added_by(peer, make, rounds // 3)
            if added_s:
                what = f"{name}: added CPU of a step, weights and gradients only"
                yield Figure(what, 100 * added_s / step_s, "%", who=peer.name)
    for peer in peers.installed():
        _, added_s = added_by(peer, twenty_tensors, 6)
        if added_s:
            yield Figure("9.5M MLP, 20 tensors: added, weights and gradients", 1000 * added_s, "ms", who=peer.name)


# -- models ------------------------------------------------------------------------------------------------------------


def training(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> Step:
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs).flatten(0, -2), targets).backward()
        optimizer.step()

    return step


def large_mlp() -> tuple[Step, nn.Module]:
    """10.0M parameters in 8 tensors, batches of 256."""
    sizes = [1000, 2000, 2000, 2000, 10]
    layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    return training(model, torch.randn(256, 1000), torch.randint(10, (256,))), model


class Block(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU(),
            nn.Conv2d(outer, outer, 3, 1, 1, bias=False), nn.BatchNorm2d(outer),
        )  # fmt: skip
        self.short = nn.Sequential()
        if inner != outer:
            self.short = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))
        self.relu = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.relu(self.body(inputs) + self.short(inputs))


def resnet() -> tuple[Step, nn.Module]:
    """0.76M parameters in 155 tensors, 93M elements of activations in a batch of 64."""
    blocks = [
        Block(inner if first else outer, outer, 2 if first and inner != outer else 1)
        for inner, outer in ((16, 16), (16, 32), (32, 64))
        for first in [True] + [False] * 7
    ]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return training(model, torch.randn(64, 3, 32, 32), torch.randint(10, (64,))), model


def transformer() -> tuple[Step, nn.Module]:
    """23.1M parameters in 77 tensors, 6 layers of width 512, 8 texts of 128 tokens."""
    layers = [nn.TransformerEncoderLayer(512, 8, 2048, dropout=0.0, batch_first=True) for _ in range(6)]
    model = nn.Sequential(nn.Embedding(4096, 512), *layers, nn.LayerNorm(512), nn.Linear(512, 4096))
    return training(model, torch.randint(4096, (8, 128)), torch.randint(4096, (8 * 128,))), model


def twenty_tensors() -> tuple[Step, nn.Module]:
    model = nn.Sequential(*(nn.Linear(975, 975) for _ in range(10)))
    return training(model, torch.randn(64, 975), torch.randint(975, (64,))), model


def convolutions() -> tuple[Step, nn.Module]:
    """A small network for small pictures, as a tutorial has it."""
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 14 * 14, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return training(model, torch.randn(64, 1, 28, 28), torch.randint(10, (64,))), model


MODELS: list[tuple[str, Callable[[], tuple[Step, nn.Module]], int, float]] = [
    ("10M MLP", large_mlp, 12, 6.0),
    ("ResNet of 155 tensors", resnet, 10, 10.0),
    ("23M transformer", transformer, 6, 3.0),
]


# -- measuring ---------------------------------------------------------------------------------------------------------


def added(make: Callable[[], tuple[Step, nn.Module]], rounds: int, **options: Any) -> tuple[float, float]:
    """CPU seconds of a step, and what a look adds to it."""
    (plain, _), (watched, model) = make(), make()
    with (
        scratch() as folder,
        barograph.init(store=folder, quiet=True) as run,
        run.watch(model, log_every=1, **options),
    ):
        return differences(plain, watched, rounds)


def added_by(peer: peers.Peer, make: Callable[[], tuple[Step, nn.Module]], rounds: int) -> tuple[float, float]:
    """The same for a peer; nothing added if it has no histograms."""
    (plain, _), (step, model) = make(), make()
    steps = itertools.count()
    with scratch() as folder, peers.started(peer, folder):
        look = peer.look_into(model)
        if look is None:
            return 0.0, 0.0

        def watched() -> None:
            step()
            look(next(steps))

        return differences(plain, watched, rounds)


def differences(plain: Step, other: Step, rounds: int) -> tuple[float, float]:
    for step in (plain, other) * 3:
        step()
    taken: dict[Step, list[float]] = {plain: [], other: []}
    with without_collector():
        for _ in range(rounds):
            for step in (plain, other, other, plain):
                taken[step].append(cpu_s(step))
    alone_s, other_s = (statistics.quantiles(one, n=10)[0] for one in taken.values())
    return alone_s, other_s - alone_s


def cpu_s(act: Step) -> float:
    begin = time.process_time()
    act()
    return time.process_time() - begin


def stored_bytes(looks: int = 20) -> float:
    """How much the journal grows with a look."""
    step, model = twenty_tensors()
    with (
        scratch() as folder,
        barograph.init(store=folder, quiet=True) as run,
        run.watch(model, log_every=1, updates=False, activations=False),
    ):
        for _ in range(3):
            step()
        before = size_of(run.path)
        for _ in range(looks):
            step()
        return (size_of(run.path) - before) / looks


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("journals/*.journal"))


class Nothing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.weight


def idle_us(calls: int = 500, repeats: int = 400) -> tuple[float, float]:
    """What a watch, and a hook that does nothing, add to the call of a module that is not looked into.

    Least of many, as time only gets added.
    """
    bare, watched, empty = Nothing(), Nothing(), Nothing()
    empty.register_forward_hook(lambda module, inputs, output: None)
    inputs = torch.zeros(1)
    optimizer = torch.optim.SGD([watched.weight], 0.1)
    least = [float("inf")] * 3
    with (
        scratch() as folder,
        barograph.init(store=folder, quiet=True) as run,
        run.watch(watched, log_every=1 << 30, first_steps=ALWAYS),
    ):
        for _ in range(ALWAYS + 1):  # the opening steps are looked into
            watched(inputs).sum().backward()
            optimizer.step()
        for _ in range(repeats):
            for index, module in enumerate((bare, watched, empty)):
                begin = time.perf_counter()
                for _ in range(calls):
                    module(inputs)
                least[index] = min(least[index], (time.perf_counter() - begin) / calls * 1e6)
    return least[1] - least[0], least[2] - least[0]


def mean_share(steps: int = 400) -> float:
    """CPU that a whole training takes with a watch, hooks on other steps included, over that without."""
    step, model = convolutions()
    other, _ = convolutions()
    step()
    other()
    watched_s = plain_s = 0.0
    with scratch() as folder, barograph.init(store=folder, quiet=True) as run, run.watch(model):
        for _ in range(steps // 10):
            watched_s += cpu_s(lambda: several(step))
            plain_s += cpu_s(lambda: several(other))
    return watched_s / plain_s - 1


def several(step: Step) -> None:
    for _ in range(10):
        step()


if __name__ == "__main__":
    main(ours, of_peers)
