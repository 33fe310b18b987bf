"""What keeping a file costs: a copy, a note of where it lies, the same content again, a folder, and the side thread.

    python benchmarks/artifacts.py [MEGABYTES]

A copy is compared with hashing the same bytes in memory and with copying the file bare, side by side. What is read on
the side is compared by a busy Python loop beside it and without it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from figures import Figure, main, scratch, timed

import barograph

MEGABYTES = next((int(one) for one in sys.argv[1:] if one.isdecimal()), 256)
FILES = 1000
REPETITIONS = 5
CALLS = 10
LOOPS = 15


def ours() -> Iterator[Figure]:
    with scratch() as folder:
        data = os.urandom(MEGABYTES << 20)
        path = folder / "model.bin"
        path.write_bytes(data)
        targets = iter(range(REPETITIONS))
        copying_s = on_this_thread_s(lambda: shutil.copyfile(path, folder / f"bare{next(targets)}"))
        hashing_s = on_this_thread_s(lambda: hashlib.sha256(data).digest())
        yield Figure("sha256 of bytes in memory", len(data) / hashing_s / 1e9, "GB/s")
        with barograph.init(store=folder / "store", quiet=True) as run:
            yield from of_copies(run, path, copying_s + hashing_s)
            yield from of_references(run, path)
            yield from of_a_folder(run, folder / "many")
        begin = time.perf_counter()
        with barograph.open(folder / "store") as store:
            found = store.collect(grace_s=0.0)
        assert not found.removed, found
        yield Figure(f"collecting garbage among {found.objects} objects", (time.perf_counter() - begin) * 1e3, "ms")


def of_copies(run: barograph.Run, path: Path, floor_cpu_s: float) -> Iterator[Figure]:
    def log_another() -> None:
        with path.open("r+b") as file:
            file.write(os.urandom(8))
        run.log_artifact(path, "model")

    another_s = on_this_thread_s(log_another)
    wall_s = timed(log_another, REPETITIONS).wall_s
    again_s = on_this_thread_s(lambda: run.log_artifact(path, "model"))
    yield Figure("a copy, the caller's CPU, of hashing and copying bare", another_s / floor_cpu_s, "times", 1.5)
    yield Figure(f"  wall, of {MEGABYTES} MiB", wall_s, "s")
    yield Figure("the same content again, the same", again_s / floor_cpu_s, "times", 1.5)


def of_references(run: barograph.Run, path: Path) -> Iterator[Figure]:
    alone = [busy_s() for _ in range(LOOPS)]
    calls = [timed(lambda: run.log_artifact(path, "model", copy=False)).wall_s for _ in range(CALLS)]
    beside = [busy_s() for _ in range(LOOPS)]
    yield Figure("a note of where it lies, wall, median of a call", statistics.median(calls) * 1e6, "us", 1000.0)
    yield Figure("a Python loop beside the reading, of one alone", min(beside) / min(alone), "times", 1.1)


def of_a_folder(run: barograph.Run, folder: Path) -> Iterator[Figure]:
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:04}.txt").write_bytes(number.to_bytes(4, "little") * 256)
    taken = timed(lambda: run.log_artifact(folder))
    yield Figure(f"a folder of {FILES} files of 1 kB, a file", taken.wall_s / FILES * 1e6, "us")


def on_this_thread_s(act: Callable[[], object]) -> float:
    """The least CPU seconds of the calling thread: what is brought to disk on the side is not waited for."""
    taken = []
    for _ in range(REPETITIONS):
        begin = time.thread_time()
        act()
        taken.append(time.thread_time() - begin)
    return min(taken)


def busy_s() -> float:
    begin = time.perf_counter()
    total = 0
    for number in range(1_000_000):
        total += number
    return time.perf_counter() - begin


if __name__ == "__main__":
    main(ours)
