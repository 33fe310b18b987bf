"""What one call costs: run.log of five floats with a step, beside a bare os.write of 160 bytes in the same run.

    python benchmarks/log_call.py

Blocks of calls alternate with blocks of writes, each call timed by itself, the clock's own time taken off both. A
write gives the interpreter away, and beside a thread that computes it may wait 5 ms to get it back. Peers get as many
calls as fit into three seconds.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import peers
from figures import Figure, least_median, main, scratch, without_collector

import barograph

BLOCK = 200  # calls
ROUNDS = 60
BUSY_S = 2.0
PEER_S = 3.0
PEER_CALLS = 20_000
METRICS = {"train/loss": 0.31, "train/accuracy": 0.9, "lr": 1e-3, "epoch": 3.0, "gradients/norm": 1.7}


def ours() -> Iterator[Figure]:
    for native, bound, name in (("1", 2.0, "with the extension"), ("0", 5.0, "without it (BAROGRAPH_NATIVE=0)")):
        with scratch() as folder, our_run(folder, native) as run, bare_file(folder) as descriptor:
            log_ns, write_ns = side_by_side(run, descriptor)
            ratio = statistics.median(log / write for log, write in zip(log_ns, write_ns, strict=True))
            yield Figure(f"run.log of 5 floats, p50, {name}: times a bare os.write", ratio, "x", bound)
            yield Figure("  the same call, p50", least_median(log_ns) / 1000, "us")
            yield Figure("  the bare os.write of 160 bytes, p50", least_median(write_ns) / 1000, "us")
        with scratch() as folder, our_run(folder, native) as run, bare_file(folder) as descriptor, busy_thread():
            bound_ms = 0.25 if native == "1" else None  # os.write itself gives the interpreter away
            mean_ms, write_ms = beside_busy(lambda: run.log(METRICS, step=1)), beside_busy(lambda: bare(descriptor))
            yield Figure(f"run.log beside a CPU-bound Python thread, mean, {name}", mean_ms, "ms", bound_ms)
            yield Figure("  a bare os.write beside the same thread, mean", write_ms, "ms")


def of_peers() -> Iterator[Figure]:
    for peer in peers.installed():
        with scratch() as folder, peers.started(peer, folder):
            taken = calls_of(peer)
            yield Figure("log of 5 floats, p50", statistics.median(taken) / 1000, "us", who=peer.name)


@contextmanager
def our_run(folder: Path, native: str) -> Iterator[barograph.Run]:
    os.environ["BAROGRAPH_NATIVE"] = native
    with barograph.init(store=folder, quiet=True) as run:
        yield run


@contextmanager
def bare_file(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield descriptor
    os.close(descriptor)


def bare(descriptor: int, data: bytes = b"x" * 160) -> None:
    os.write(descriptor, data)


def side_by_side(run: barograph.Run, descriptor: int) -> tuple[list[float], list[float]]:
    """Medians of alternating blocks, in nanoseconds: of run.log, and of os.write."""
    now, write, log, data = time.perf_counter_ns, os.write, run.log, b"x" * 160
    log_ns, write_ns = [], []
    with without_collector():
        for round_ in range(ROUNDS):
            clock, logs, writes = [], [], []
            for step in range(round_ * BLOCK, (round_ + 1) * BLOCK):
                begin = now()
                log(METRICS, step)
                logs.append(now() - begin)
            for _ in range(BLOCK):
                begin = now()
                write(descriptor, data)
                writes.append(now() - begin)
            for _ in range(BLOCK):
                begin = now()
                clock.append(now() - begin)
            log_ns.append(statistics.median(logs) - statistics.median(clock))
            write_ns.append(statistics.median(writes) - statistics.median(clock))
    return log_ns, write_ns


@contextmanager
def busy_thread() -> Iterator[None]:
    ended = False

    def count() -> None:
        number = 0
        while not ended:
            number += 1

    thread = threading.Thread(target=count)
    thread.start()
    yield
    ended = True
    thread.join()


def beside_busy(act: Callable[[], object]) -> float:
    """The mean of calls a millisecond apart, in milliseconds, waits for the interpreter inside them included."""
    taken = []
    end = time.perf_counter() + BUSY_S
    while time.perf_counter() < end:
        time.sleep(0.001)  # a step of a training
        begin = time.perf_counter()
        act()
        taken.append(time.perf_counter() - begin)
    return statistics.fmean(taken) * 1000


def calls_of(peer: peers.Peer) -> list[int]:
    taken = []
    end = time.perf_counter() + PEER_S
    for step in range(PEER_CALLS):
        begin = time.perf_counter_ns()
        peer.log(METRICS, step)
        taken.append(time.perf_counter_ns() - begin)
        if time.perf_counter() > end:
            break
    return taken


if __name__ == "__main__":
    main(ours, of_peers)
