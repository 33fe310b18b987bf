"""What an import costs: CPU of a Python that imports it, over a Python that imports nothing.

    python benchmarks/imports.py

Pairs of interpreters one after the other; user and system time as the system counts it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import peers
from figures import Figure, least_median, main

PAIRS = 21
PEER_PAIRS = 3


def ours() -> Iterator[Figure]:
    yield figure_of(peers.Barograph(), PAIRS, 60.0)


def of_peers() -> Iterator[Figure]:
    for peer in peers.installed():
        yield figure_of(peer, PEER_PAIRS)


def figure_of(peer: peers.Peer, pairs: int, bound: float | None = None) -> Figure:
    added = [cpu_ms(peer.import_statement) - cpu_ms("pass") for _ in range(pairs)]
    return Figure(f"{peer.import_statement}: CPU over bare Python", least_median(added), "ms", bound, peer.name)


def cpu_ms(code: str) -> float:
    """User and system CPU of a fresh interpreter."""
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    return (usage.ru_utime + usage.ru_stime) * 1000


if __name__ == "__main__":
    main(ours, of_peers)
