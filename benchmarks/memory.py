"""What a run holds in memory: the most that a process held which logged a million scalars, over one that logged none.

    python benchmarks/memory.py

Scalars of five metrics; peers log for at most five seconds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import peers
from figures import Figure, in_python, main, scratch

TIMES = 3
CALLS = 200_000  # of five scalars
PEER_S = 5.0

ONE = """
import resource, sys, time
from pathlib import Path
import peers
peer = peers.by_name(sys.argv[1])
with peers.started(peer, Path(sys.argv[3])):
    until = time.perf_counter() + float(sys.argv[4])
    for step in range(int(sys.argv[2])):
        peer.log({"train/loss": 1 / (step + 1), "accuracy": 0.5, "lr": 0.1, "epoch": 1.0, "norm": 1.0 * step}, step)
        if time.perf_counter() > until:
            break
print(5 * (step + 1), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def ours() -> Iterator[Figure]:
    peer = peers.Barograph()
    (_, empty), (points, full) = (peak(peer, calls, 120.0, TIMES) for calls in (1, CALLS))
    yield Figure(f"memory of a run of {points:,} scalars over an empty one", full - empty, "MiB", 15.0)


def of_peers() -> Iterator[Figure]:
    for peer in peers.installed():
        (_, empty), (points, full) = (peak(peer, calls, PEER_S, 1) for calls in (1, CALLS))
        yield Figure(f"memory of a run of {points:,} scalars over an empty one", full - empty, "MiB", who=peer.name)


def peak(peer: peers.Peer, calls: int, limit_s: float, times: int) -> tuple[int, float]:
    """Scalars logged, and the most memory that the process held, in MiB."""
    found = []
    for _ in range(times):
        with scratch() as folder:
            found.append(in_python(ONE, peer.name, str(calls), folder, str(limit_s)).split())
    return int(found[0][0]), statistics.median(float(peak_kib) / 1024 for _, peak_kib in found)


if __name__ == "__main__":
    main(ours, of_peers)
