"""What SIGKILL costs: records that log() had acknowledged and that cannot be read afterwards.

    python benchmarks/kill.py

A training counts the calls that returned in a page it shares with us, until it is killed: by itself, or with the whole
group of processes it belongs to. Then the run is read in the ordinary way. Peers get a few paced rounds.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import peers
import psutil
from figures import Figure, main, scratch

import barograph  # noqa: F401  # before the fork: importing it is not what is killed

ROUNDS = (("tight loop", 200, 0.0, 0.06), ("1 kHz", 20, 0.001, 0.7), ("4 Hz", 5, 0.25, 3.0))
PEER_ROUNDS = (("1 kHz", 2, 0.001, 2.0), ("tight loop", 1, 0.0, 2.0))
START_LIMIT_S = 60.0


def ours() -> Iterator[Figure]:
    for pace, rounds, pause_s, life_s in ROUNDS:
        acknowledged, lost = all_rounds(peers.Barograph(), rounds, pause_s, life_s)
        yield Figure(f"SIGKILL, {pace}, {rounds} rounds: of {acknowledged:,} records lost", lost, "records", 0)


def of_peers() -> Iterator[Figure]:
    for peer in peers.installed():
        for pace, rounds, pause_s, life_s in PEER_ROUNDS:
            acknowledged, lost = all_rounds(peer, rounds, pause_s, life_s)
            what = f"SIGKILL, {pace}, {rounds} rounds: of {acknowledged:,} records lost"
            yield Figure(what, lost / max(1, acknowledged) * 100, "%", who=peer.name)


def all_rounds(peer: peers.Peer, rounds: int, pause_s: float, life_s: float) -> tuple[int, int]:
    """Records acknowledged and lost in all of them; every second one kills only the training, the others its group."""
    acknowledged = lost = 0
    for index in range(rounds):
        with scratch() as folder:
            one_acknowledged, one_lost = one_round(peer, folder, pause_s, life_s, group=index % 2 == 0)
        acknowledged += one_acknowledged
        lost += one_lost
    return acknowledged, lost


def one_round(peer: peers.Peer, folder: Path, pause_s: float, life_s: float, group: bool) -> tuple[int, int]:
    """How many calls returned before the kill, and how many of their values are not found afterwards."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    pid = os.fork()
    if not pid:
        train(peer, folder, page, pause_s, has_worker=group)
    deadline = time.monotonic() + START_LIMIT_S
    while not acknowledged_in(page) and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(random.uniform(0.2, 1.0) * life_s)
    tree = psutil.Process(pid).children(recursive=True)
    (os.killpg if group else os.kill)(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    acknowledged = acknowledged_in(page)
    for process in tree:  # what a peer leaves behind when only the training dies gets time to write, then goes, too
        with suppress(psutil.Error):
            process.wait(2 if not group else 0)
    for process in tree:
        with suppress(psutil.Error):
            process.kill()
    found = set(peer.read_series(folder, "number"))
    return acknowledged, sum(float(number) not in found for number in range(acknowledged))


def train(peer: peers.Peer, folder: Path, page: mmap.mmap, pause_s: float, has_worker: bool) -> None:
    """The process that is killed. It never returns."""
    try:
        os.setsid()
        terminal = os.open(os.devnull, os.O_RDWR)
        os.dup2(terminal, 1)
        if has_worker and not os.fork():
            signal.pause()
        peer.start(folder)
        number = 0
        while True:
            peer.log({"number": float(number), "loss": 0.5, "accuracy": 0.9, "lr": 1e-3, "epoch": 1.0}, number)
            number += 1
            struct.pack_into("<q", page, 0, number)
            if pause_s:
                time.sleep(pause_s)
    except BaseException:  # noqa: BLE001  # a fork must not come back into the benchmark
        traceback.print_exc()
    finally:
        os._exit(1)


def acknowledged_in(page: mmap.mmap) -> int:
    return int(struct.unpack_from("<q", page, 0)[0])


if __name__ == "__main__":
    main(ours, of_peers)
