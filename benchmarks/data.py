"""What it costs to know the data: fingerprints a GB, the profile before a fit, a batch of a stream, digests of weights.

    python benchmarks/data.py

Seconds of one core (process time), best of a few repeats, because a shared machine only ever adds time. Both
fingerprints and the sketch are taken in one pass; the limit is 0.6 s a GB. Beside each figure stands what the same
memory costs to read once (numpy's sum) and, for the first, SHA-256 of the bytes and MLflow's way, which hashes ten
thousand elements and no more.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse
import torch
from figures import Figure, main

from barograph.data.profile import Profile
from barograph.data.recording import Datasets, Given, sample_of, scanned
from barograph.data.sources import describe, parts_of
from barograph.data.table import Table
from barograph.data.weights import digest_of_weights
from barograph.starting import init

LIMIT_S_A_GB = 0.6
PROFILE_LIMIT_MS = 50.0
MEGABYTES, PROFILED_MEGABYTES = 1000, 200
REPEATS = 3


def ours() -> Iterator[Figure]:
    torch.set_num_threads(1)
    yield from fingerprints(MEGABYTES)
    yield from profiles(PROFILED_MEGABYTES)
    yield from logging()
    model = {f"layer{place}": torch.rand(MEGABYTES * 250_000 // 10) for place in range(10)}
    yield Figure("digest of the weights of a model", best_s(lambda: digest_of_weights(model)), "s a GB")


def best_s(act: Callable[[], object], repeats: int = REPEATS) -> float:
    """The least processor time of several runs, in seconds."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        act()
        times.append(time.process_time() - began)
    return min(times)


def floats(megabytes: int, *row: int) -> np.ndarray:
    """Random float32 rows of a shape, of so many megabytes in all."""
    rows = megabytes * 1_000_000 // (4 * int(np.prod(row, initial=1)))
    return np.random.default_rng(0).random((rows, *row), dtype=np.float32)


def sparse(rows: int, stored: int = 100, width: int = 10_000) -> scipy.sparse.csr_array:
    """Random float32 rows that store so many values each."""
    rng, step = np.random.default_rng(0), width // stored
    columns = rng.integers(0, step, (rows, stored), dtype=np.int32) + np.arange(0, width, step, dtype=np.int32)
    starts = np.arange(0, rows * stored + 1, stored)
    return scipy.sparse.csr_array((rng.random(rows * stored, dtype=np.float32), columns.ravel(), starts), (rows, width))


def fingerprints(megabytes: int) -> Iterator[Figure]:
    """Seconds a GB for data of many libraries."""
    table = floats(megabytes, 100)
    doubles = table.astype(np.float64)[: len(table) // 2]
    words = np.array([f"word {place % 1000}" for place in range(1_000_000)], dtype=object)
    cases: dict[str, object] = {
        "numpy float32, rows of 784": floats(megabytes, 784),
        "numpy float32, rows of 100": table,
        "numpy float32, rows of 8": floats(megabytes, 8),
        "numpy float32, one column": floats(megabytes),
        "numpy float32, Fortran order": np.asfortranarray(table),
        "numpy uint8, pictures 3 x 224 x 224": np.zeros((megabytes * 7, 3, 224, 224), dtype=np.uint8),
        "torch float32": torch.from_numpy(table),
        "torch bfloat16": torch.from_numpy(table).bfloat16(),
        "pandas, 100 float64": pd.DataFrame(doubles),
        "polars, 100 float64": pl.DataFrame(doubles),
        "pyarrow, 100 float64": pa.Table.from_pandas(pd.DataFrame(doubles)),
        "scipy csr, 1 % of 10,000": sparse(megabytes * 800),
        "polars, a million words": pl.DataFrame({"word": words.tolist()}),
        "pandas, a million words as objects": pd.DataFrame({"word": words}).astype(object),
    }
    for name, data in cases.items():
        parts = parts_of(data)
        inputs = parts["inputs"]
        assert isinstance(inputs, Table)
        gigabytes = inputs.size_bytes / 1e9
        seconds = best_s(lambda parts=parts: scanned(parts, 600.0))  # type: ignore[misc]  # a lambda's default has no annotation
        bound = LIMIT_S_A_GB if name.startswith(("numpy float32", "torch float32")) else None
        yield Figure(f"both fingerprints and the sketch, {name}", seconds / gigabytes, "s a GB", bound)
    yield Figure("numpy.sum of rows of 100", best_s(table.sum) / table.nbytes * 1e9, "s a GB", who="numpy")
    sha_s = best_s(lambda: hashlib.sha256(table.data))
    yield Figure("SHA-256 of their bytes", sha_s / table.nbytes * 1e9, "s a GB", who="hashlib")


def profiles(megabytes: int) -> Iterator[Figure]:
    """Milliseconds of the profile that is taken before a fit."""
    cases: dict[str, object] = {
        "30 features": floats(megabytes, 30),
        "512 features": floats(megabytes, 512),
        "pictures": np.zeros((megabytes * 7, 3, 224, 224), dtype=np.uint8),
        "sparse, 10,000 features": sparse(megabytes * 800),
        "pandas, 100 columns": pd.DataFrame(floats(megabytes, 100)),
        "words": pl.DataFrame({"word": [f"word {place % 1000}" for place in range(1_000_000)]}),
    }
    for name, data in cases.items():
        table = describe(data)
        assert isinstance(table, Table)

        def profile(table: Table = table) -> None:
            found = Profile(table, None)
            found.add(table, sample_of(table))
            found.features()

        yield Figure(f"profile before a fit, {name}", best_s(profile) * 1e3, "ms", PROFILE_LIMIT_MS)


def logging() -> Iterator[Figure]:
    """What a call of log_dataset() costs on small data, and a batch of a stream."""
    rng = np.random.default_rng(0)
    x, y = rng.random((1797, 64)), rng.integers(0, 10, 1797)
    with tempfile.TemporaryDirectory() as folder:
        datasets = Datasets(Path(folder), lambda *_, **__: None, 0.02)
        datasets.log(Given("first"), x, y)
        took_s = best_s(lambda: datasets.log(Given("x"), x, y), 9)
    yield Figure("log_dataset, 1797 x 64 with labels", took_s * 1e3, "ms")
    batch, labels = torch.rand(64, 784), torch.arange(64) % 10
    with tempfile.TemporaryDirectory() as folder, init(store=folder, quiet=True, overhead_budget=1e9) as run:
        stream = run.stream_dataset("train")

        def see() -> None:
            for _ in range(1000):
                stream.see(batch, labels)

        took_s = best_s(see)
        stream.close()
    yield Figure("a batch of a stream, 64 x 784", took_s * 1e3, "us")


if __name__ == "__main__":
    main(ours)
