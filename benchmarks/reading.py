"""How long one series of 100,000 points takes to read, out of a run of ten metrics.

    python benchmarks/reading.py

Unsealed: from the journal of a run that is still being written, each time by a store that knows nothing of it. Sealed:
on an open store, each time a metric that was not read before. Peers write for at most five seconds; their time is
scaled to 100,000 points.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import peers
from figures import Figure, main, scratch, timed
from storage import CALLS, METRICS, PEER_S, log

import barograph

TIMES = 5


def ours() -> Iterator[Figure]:
    rows = np.random.default_rng(1).random((CALLS, METRICS))
    with scratch() as folder:
        run = barograph.init(store=folder, quiet=True)
        log(run.log, rows)
        unsealed = timed(partial(read_anew, folder, run.id, rows), TIMES)
        yield Figure("one series of 100,000 points of ten, unsealed", unsealed.alone_s, "s", 0.3)
        yield Figure("  by the clock", unsealed.wall_s, "s")
        run.finish()
        with barograph.open(folder) as store:
            store.seal(run.id)
        with barograph.open(folder) as store:
            first, *others = (timed(partial(read_from, store, run.id, index, rows)) for index in range(METRICS))
        yield Figure("  sealed, the first series that a store reads", first.alone_s * 1000, "ms")
        sealed_ms = statistics.median(one.alone_s for one in others) * 1000
        yield Figure("one series of 100,000 points of ten, sealed, open store", sealed_ms, "ms", 20.0)
        yield Figure("  by the clock", statistics.median(one.wall_s for one in others) * 1000, "ms")


def of_peers() -> Iterator[Figure]:
    rows = np.random.default_rng(1).random((CALLS, METRICS))
    for peer in peers.installed():
        with scratch() as folder:
            with peers.started(peer, folder):
                points = log(peer.log, rows, PEER_S) // METRICS
            peer.settle(folder)
            with peers.silent():
                read_of(peer, folder, rows[:points, 3])  # the imports of its reader are not counted
                taken = timed(partial(read_of, peer, folder, rows[:points, 3]))
        what = f"one series of {points:,} points, scaled to 100,000"
        yield Figure(what, taken.alone_s / points * 1e5, "s", who=peer.name)


def read_of(peer: peers.Peer, folder: Path, expected: np.ndarray) -> None:
    check(np.array(peer.read_series(folder, "train/metric_3")), expected)


def read_anew(folder: Path, run_id: str, rows: np.ndarray) -> None:
    with barograph.open(folder) as store:
        read_from(store, run_id, 3, rows)


def read_from(store: barograph.Store, run_id: str, index: int, rows: np.ndarray) -> None:
    check(store.run(run_id).metric(f"train/metric_{index}").values, rows[:, index])


def check(found: np.ndarray, expected: np.ndarray) -> None:
    """A quick answer must be the right one; some peers keep float32."""
    assert np.allclose(found, expected, rtol=1e-6)


if __name__ == "__main__":
    main(ours, of_peers)
