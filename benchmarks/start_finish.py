"""How long a training waits for its run to begin and to end: init() and finish() of a run with a million points.

    python benchmarks/start_finish.py

Each repetition is a process of its own, so that init() pays for the imports it makes. Peers log for at most five
seconds.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator

import peers
from figures import Figure, in_python, main, scratch

REPETITIONS = 7
PEER_REPETITIONS = 3
CALLS = 100_000  # of ten metrics
PEER_S = 5.0

ONE = """
import json, random, sys, time
from pathlib import Path
import peers
peer = peers.by_name(sys.argv[1])
peer.load()
calls, limit_s, folder = int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
names = [f"metric/{index}" for index in range(10)]
rows = [dict(zip(names, [random.random() for _ in names])) for _ in range(1000)]
def timed(act):
    wall, cpu = time.perf_counter(), time.thread_time()
    act()
    return time.perf_counter() - wall, time.thread_time() - cpu
with peers.silent():
    begun = timed(lambda: peer.start(folder))
    until = time.perf_counter() + limit_s
    for step in range(calls):
        peer.log(rows[step % 1000], step)
        if time.perf_counter() > until:
            break
    ended = timed(peer.finish)
print(json.dumps({"start": begun, "finish": ended, "points": 10 * (step + 1)}))
"""


def ours() -> Iterator[Figure]:
    return figures_of(peers.Barograph(), REPETITIONS, limit_s=60.0, bounds=(60.0, 100.0))


def of_peers() -> Iterator[Figure]:
    for peer in peers.installed():
        yield from figures_of(peer, PEER_REPETITIONS, PEER_S)


def figures_of(
    peer: peers.Peer, repetitions: int, limit_s: float, bounds: tuple[float | None, float | None] = (None, None)
) -> Iterator[Figure]:
    found = []
    for _ in range(repetitions):
        with scratch() as folder:
            found.append(json.loads(in_python(ONE, peer.name, str(CALLS), str(limit_s), folder)))
    points = max(one["points"] for one in found)
    for act, bound in zip(("start", "finish"), bounds, strict=True):
        wall, cpu = ([one[act][index] * 1000 for one in found] for index in (0, 1))
        # A wait for a disk or a thread is part of it, so the clock counts: the median of the quicker half.
        quiet = statistics.median(sorted(wall)[: (repetitions + 1) // 2])
        yield Figure(f"{act} of a run with {points:,} points", quiet, "ms", bound, peer.name)
        yield Figure("  the median of all repetitions", statistics.median(wall), "ms", who=peer.name)
        yield Figure("  CPU of the training thread in it", statistics.median(cpu), "ms", who=peer.name)


if __name__ == "__main__":
    main(ours, of_peers)
