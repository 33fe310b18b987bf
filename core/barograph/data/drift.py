"""How far the distribution of a feature has moved from one dataset to another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barograph.tensors.statistics import Statistics

_BINS = 10  # of the first dataset's values in each, as the population stability index is usually taken
_LEAST_SHARE = 1e-4  # in place of an empty bin, whose logarithm has no end
_SHARES = (np.arange(200) + 0.5) / 200  # of the quantiles that a distance is averaged over
STABLE_BELOW, MOVED_FROM = 0.1, 0.25  # of the index: the usual reading of it


@dataclass(frozen=True, slots=True)
class Drift:
    """How one feature differs in the second dataset from the first.

    psi: population stability index over tenths of the first; below 0.1 is stable, from 0.25 on has moved.
    js: Jensen-Shannon distance, 0 to 1. distance: Wasserstein distance in standard deviations of the first, None for
    categories. missing: the two shares of missing values. mean, std: both of them, None for categories.
    Sources: Siddiqi, Credit Risk Scorecards, 2006 (psi); Endres and Schindelin, IEEE Trans. Inf. Theory 49, 2003 (js).
    """

    name: str
    psi: float
    js: float
    distance: float | None
    missing: tuple[float, float]
    mean: tuple[float, float] | None = None
    std: tuple[float, float] | None = None


def drift_of_numbers(name: str, one: Statistics, other: Statistics, missing: tuple[float, float]) -> Drift | None:
    """The drift of a feature that is a number; None if one of the two has no value of it."""
    if not one.finite or not other.finite or not len(one.bins) or not len(other.bins):
        return None
    shares = [record.rebinned(_edges(one)) / record.finite for record in (one, other)]
    apart = np.abs(one.quantiles(_SHARES) - other.quantiles(_SHARES)).mean()
    distance = float(apart) / one.std if one.std > 0 else (0.0 if apart == 0 else math.inf)
    return Drift(name, _psi(*shares), _js(*shares), distance, missing, (one.mean, other.mean), (one.std, other.std))


def drift_of_counts(
    name: str, one: Mapping[str, int], other: Mapping[str, int], missing: tuple[float, float] = (0.0, 0.0)
) -> Drift | None:
    """The drift of a feature, or of labels, that is one of a few categories; None if one of the two has none."""
    keys = sorted({*one, *other})
    counts = [np.array([side.get(key, 0) for key in keys], dtype=np.float64) for side in (one, other)]
    if not all(side.sum() > 0 for side in counts):
        return None
    shares = [side / side.sum() for side in counts]
    return Drift(name, _psi(*shares), _js(*shares), None, missing)


def _edges(record: Statistics) -> NDArray[np.float64]:
    """Edges between tenths of the values; where many are equal, the value stands between two edges of its own."""
    inner = np.unique(record.quantiles(np.arange(1, _BINS) / _BINS))
    between = np.concatenate((inner, np.nextafter(inner, np.inf)))
    return np.concatenate(([-np.inf], np.unique(between), [np.inf]))


def _psi(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    first, second = np.maximum(one, _LEAST_SHARE), np.maximum(other, _LEAST_SHARE)
    return float(((second - first) * np.log(second / first)).sum())


def _js(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    middle = (one + other) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(side > 0, side * np.log2(side / middle), 0.0).sum() / 2 for side in (one, other)]
    return math.sqrt(min(1.0, max(0.0, float(sum(parts)))))
