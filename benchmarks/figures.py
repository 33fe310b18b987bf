"""A figure: what was measured, the bound it keeps or misses, and the one line that says so.

The machine under a benchmark is never quiet for long. So figures are ratios taken side by side in one run, or CPU time,
or the least of several medians: other work only ever adds time.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

OURS = "barograph"
MISSED = 3  # exit status; 1 is a script that failed


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. bound: the most it may be, None for what is only told. who: Barograph, or the peer it belongs to."""

    what: str
    measured: float
    unit: str = ""
    bound: float | None = None
    who: str = OURS

    @property
    def is_missed(self) -> bool:
        """Whether it is one of ours and over its bound, or not a number."""
        return self.bound is not None and not self.measured <= self.bound

    def __str__(self) -> str:
        mark = "  " if self.bound is None else ("NO" if self.is_missed else "ok")
        bound = "" if self.bound is None else f"   (at most {number(self.bound)})"
        return f"{mark}  {self.who:24s} {self.what:72s} {number(self.measured)} {self.unit}{bound}"


def main(ours: Callable[[], Iterable[Figure]], of_peers: Callable[[], Iterable[Figure]] | None = None) -> None:
    """Measure, print, and exit with 3 if a bound of ours was missed.

    On the command line: --ours or --peers for only those; --json for an object a line.
    """
    missed = False
    for measure, other in ((ours, "--peers"), (of_peers, "--ours")):
        if measure is None or other in sys.argv:
            continue
        for figure in measure():
            print(json.dumps(asdict(figure)) if "--json" in sys.argv else figure, flush=True)
            missed |= figure.is_missed
    sys.exit(MISSED if missed else 0)


def number(value: float) -> str:
    """A number as a table shows it: four digits of those that count."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds that acts took, in the median."""

    wall_s: float
    cpu_s: float

    @property
    def alone_s(self) -> float:
        """What they take where nothing else runs: the CPU of the process, or the clock's time where threads share it.

        Right for acts that compute and read what is in memory; one that waits for a disk is told by the clock.
        """
        return min(self.wall_s, self.cpu_s)


def timed(act: Callable[[], object], times: int = 1) -> Taken:
    """How long an act takes, this thread's waits and all threads' CPU included."""
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Taken(statistics.median(walls), statistics.median(cpus))


def least_median(samples: Sequence[float], parts: int = 3) -> float:
    """The least of the medians of consecutive parts: what the quietest part of the measurement shows."""
    size = max(1, len(samples) // parts)
    return min(statistics.median(samples[start : start + size]) for start in range(0, size * parts, size))


def in_python(code: str, *arguments: str | Path) -> str:
    """What some code prints in a fresh interpreter, which finds the files of this folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{code}\n{done.stderr}")
    return done.stdout.strip()


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder on the disk, away afterwards."""
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def without_collector() -> Iterator[None]:
    """The garbage collector's pauses left out of a measurement of single calls."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
