"""What a point takes on the disk: a run of ten metrics and a million points, everything in its folder counted.

    python benchmarks/storage.py

Of random bits 8 bytes a point are those bits. Curves are float32 numbers, smooth but for one percent of noise. Peers
get random doubles, for at most five seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import peers
from figures import Figure, main, scratch

import barograph

CALLS, METRICS = 100_000, 10
NOISE = 0.01  # of a mini-batch
PEER_S = 5.0


def ours() -> Iterator[Figure]:
    bits = np.random.default_rng(1).integers(0, 2**63, (CALLS, METRICS)).view("f8")
    for what, rows, bound in (
        ("random bits", bits, 10.0), ("random doubles", doubles(), 10.0), ("float32 curves", curves(), 6.0)
    ):  # fmt: skip
        with scratch() as folder:
            run = barograph.init(store=folder, quiet=True)
            points = log(run.log, rows)
            run.finish()
            yield Figure(f"bytes a point in the journal, {what}", size_of(run.path) / points, "bytes")
            with barograph.open(folder) as store:
                begin = time.perf_counter()
                sealed = store.seal(run.id)
                took_s = time.perf_counter() - begin
            assert sealed.points >= points, sealed
            yield Figure(f"bytes a point sealed, {what}", size_of(run.path) / points, "bytes", bound)
            yield Figure("  time to seal it, wall", took_s, "s")


def of_peers() -> Iterator[Figure]:
    for peer in peers.installed():
        sizes = []
        for limit_s in (0.0, PEER_S):  # one step, because an empty database is no point's fault
            with scratch() as folder:
                with peers.started(peer, folder):
                    points = log(peer.log, doubles(), limit_s)
                peer.settle(folder)
                sizes.append(size_of(folder))
        size = (sizes[1] - sizes[0]) / (points - METRICS)
        yield Figure(f"bytes a point, random doubles ({points:,} points)", size, "bytes", who=peer.name)


def doubles() -> np.ndarray:
    return np.random.default_rng(1).random((CALLS, METRICS))


def curves() -> np.ndarray:
    """Ten curves as a training shows them: a decay, a slow swing and the noise of a mini-batch, in float32."""
    noise = np.random.default_rng(2).standard_normal((CALLS, METRICS))
    x = np.linspace(0, 1, CALLS)[:, None]
    speed = np.linspace(1, 10, METRICS)[None, :]
    curve = 0.1 + 2.0 * np.exp(-speed * x) * (1 + 0.05 * np.sin(40 * x * speed) + NOISE * noise)
    return curve.astype(np.float32).astype(np.float64)


def log(log_one: Callable[[dict[str, float], int], None], rows: np.ndarray, limit_s: float = 60.0) -> int:
    """How many points were logged."""
    names = [f"train/metric_{index}" for index in range(METRICS)]
    until = time.perf_counter() + limit_s
    for step, row in enumerate(rows.tolist()):
        log_one(dict(zip(names, row, strict=True)), step)
        if time.perf_counter() > until:
            break
    return (step + 1) * METRICS


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main(ours, of_peers)
