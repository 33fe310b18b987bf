"""How long a list of 1,000 runs takes: name, status, params and last values of each, once the index is warm.

    python benchmarks/listing.py

Each time a store object that was just opened. Peers that can list get 30 runs, and their time is scaled to 1,000.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import peers
from figures import Figure, main, scratch, timed

RUNS, PEER_RUNS = 1000, 30
TIMES = 5
PARAMS = {"lr": 1e-3, "batch_size": 64, "optimizer": {"name": "adam", "beta": 0.9}, "layers": 4}
# What a real run captures of machine and code is no part of a list.
PLAIN = {"BAROGRAPH_CAPTURE": "0", "BAROGRAPH_SYSTEM_EVERY_S": "0"}


def ours() -> Iterator[Figure]:
    os.environ |= PLAIN
    with scratch() as folder:
        ours = peers.Barograph()
        fill(ours, folder, RUNS)
        first = timed(lambda: ours.list_runs(folder))
        assert len(ours.list_runs(folder)) == RUNS
        parts = [timed(lambda: ours.list_runs(folder), TIMES) for _ in range(3)]
        yield Figure("list of 1,000 runs, warm index", min(part.alone_s for part in parts) * 1000, "ms", 50.0)
        yield Figure("  by the clock", min(part.wall_s for part in parts) * 1000, "ms")
        yield Figure("  the first time, without an index, by the clock", first.wall_s * 1000, "ms")


def of_peers() -> Iterator[Figure]:
    for peer in peers.installed():
        with scratch() as folder, peers.silent():
            fill(peer, folder, PEER_RUNS)
            try:
                peer.list_runs(folder)
            except NotImplementedError:
                continue
            taken = timed(partial(peer.list_runs, folder), 3)
        yield Figure("list of runs, scaled to 1,000", taken.alone_s / PEER_RUNS * 1e6, "ms", who=peer.name)


def fill(peer: peers.Peer, folder: Path, runs: int) -> None:
    for number in range(runs):
        peer.start(folder, {**PARAMS, "seed": number})
        for step in range(3):
            peer.log({"train/loss": 1 / (step + 1 + number), "val/loss": 0.5, "val/accuracy": 0.9, "lr": 1e-3}, step)
        peer.finish()


if __name__ == "__main__":
    main(ours, of_peers)
