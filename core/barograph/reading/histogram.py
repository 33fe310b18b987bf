"""The distribution of one tensor over the steps of a run, out of everything its writers recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barograph.store.contents import Source
from barograph.tensors.statistics import Statistics, picture

SHARES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """A tensor at n steps. What several ranks or calls recorded of one step is added up.

    steps: int64, shape (n,), rising. times: float64, Unix seconds. edges: float64, shape (bins + 1,), one linear scale
    for all steps. counts: float64, shape (n, bins): how many values lie between two edges, estimated from half-octave
    bins; a row's sum is the number of finite values. quantiles: float64, shape (n, len(SHARES)), at SHARES; the first
    and last are the exact extremes. records: the exact counts and moments of each step.
    """

    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    edges: NDArray[np.float64]
    counts: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    records: list[Statistics]

    def __len__(self) -> int:
        return len(self.steps)


def histogram_keys(sources: Iterable[Source]) -> list[str]:
    """The names of all tensors that were recorded, sorted."""
    return sorted({key for source in sources for key in source.tensors()})


def merged_histogram(sources: Iterable[Source], key: str, bins: int) -> Histogram | None:
    """A tensor over the steps, where a later attempt takes an earlier one's place; None if there is no such tensor."""
    found: dict[int, tuple[int, float, Statistics]] = {}
    for source in sources:
        attempt = source.digest.attempt
        for step, time_s, _, record in source.tensor(key):
            before = found.get(step)
            if before is None or before[0] < attempt:
                found[step] = attempt, time_s, record
            elif before[0] == attempt:
                found[step] = attempt, time_s, before[2] + record
    if not found:
        return None
    steps = sorted(found)
    records = [found[step][2] for step in steps]
    edges, counts = picture(records, bins)
    return Histogram(
        np.array(steps, dtype=np.int64),
        np.array([found[step][1] for step in steps]),
        edges,
        counts,
        np.stack([record.quantiles(SHARES) for record in records]),
        records,
    )
