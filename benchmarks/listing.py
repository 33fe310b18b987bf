"""How long a list of 1,000 runs takes: name, status, params and last values of each, once the index is warm.

    python benchmarks/listing.py

By a process that did not write them, each time with a store object that was just opened. Peers that can list get 30
runs, and their time is scaled to 1,000.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import peers
from figures import Figure, Taken, in_python, main, scratch, timed

RUNS, PEER_RUNS = 1000, 30
PARTS, TIMES = 3, 5
SETTLED_S = 4.0  # the index trusts the times of folders once they are older than a file system may round them
PARAMS = {"lr": 1e-3, "batch_size": 64, "optimizer": {"name": "adam", "beta": 0.9}, "layers": 4}
# What a real run captures of machine and code is no part of a list.
PLAIN = {"BAROGRAPH_CAPTURE": "0", "BAROGRAPH_SYSTEM_EVERY_S": "0"}

READ = """
import json, sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
import peers
from figures import timed
act = partial(peers.by_name(sys.argv[1]).list_runs, Path(sys.argv[2]))
with peers.silent():
    act()
    parts = [timed(act, int(sys.argv[4])) for _ in range(int(sys.argv[3]))]
print(json.dumps([asdict(part) for part in parts]))
"""


def ours() -> Iterator[Figure]:
    os.environ |= PLAIN
    with scratch() as folder:
        peer = peers.Barograph()
        fill(peer, folder, RUNS)
        first = timed(lambda: peer.list_runs(folder))
        time.sleep(SETTLED_S)
        assert len(peer.list_runs(folder)) == RUNS
        taken = listed(peer, folder, PARTS)
        yield Figure("list of 1,000 runs, warm index", taken.alone_s * 1000, "ms", 50.0)
        yield Figure("  by the clock", taken.wall_s * 1000, "ms")
        yield Figure("  the first time, without an index, by the clock", first.wall_s * 1000, "ms")


def of_peers() -> Iterator[Figure]:
    for peer in peers.installed():
        if type(peer).list_runs is peers.Peer.list_runs:
            continue
        with scratch() as folder:
            with peers.silent():
                fill(peer, folder, PEER_RUNS)
            taken = listed(peer, folder, 1)
        yield Figure("list of runs, scaled to 1,000", taken.alone_s / PEER_RUNS * 1e6, "ms", who=peer.name)


def fill(peer: peers.Peer, folder: Path, runs: int) -> None:
    for number in range(runs):
        peer.start(folder, {**PARAMS, "seed": number})
        for step in range(3):
            peer.log({"train/loss": 1 / (step + 1 + number), "val/loss": 0.5, "val/accuracy": 0.9, "lr": 1e-3}, step)
        peer.finish()


def listed(peer: peers.Peer, folder: Path, parts: int) -> Taken:
    """What a list takes in a process of its own, imports and the first list apart: the quietest of some medians."""
    told = in_python(READ, peer.name, folder, str(parts), str(TIMES)).splitlines()[-1]
    return min((Taken(**part) for part in json.loads(told)), key=lambda taken: taken.alone_s)


if __name__ == "__main__":
    main(ours, of_peers)
