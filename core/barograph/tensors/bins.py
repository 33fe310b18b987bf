"""The bins of a histogram: signed half octaves, read from a number's bits, the same for every tensor, step and process.

Bin = the upper ten bits of a float32: sign, exponent, first bit of the fraction. So bins 0 to 509 rise from zero, bins
512 to 1021 fall from zero, and 510, 511, 1022 and 1023 (infinity, NaN) are not used. What is binned is value - centre.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 1024
BLOCK = 1024  # elements in which a sampled histogram takes every n-th one
SAMPLINGS = (0, *(1 << power for power in range(11)))  # 0: no histogram; else every n-th element of a block

TURN = 5  # each block starts this much further on, so that no column of a matrix is favoured; the kernel's TURN
UNUSED_BINS = (510, 511, 1022, 1023)
FLOAT_MAX = float(np.finfo(np.float32).max)
FLOAT_BITS = ~0x1FFFFFFF  # the bits of a double that a float keeps

_HALF = BINS // 2
_FINITE = 510  # of each sign
_STEPS = 8  # straight pieces that the curve inside a bin is drawn with
_STEEPEST = 20.0  # growth inside a bin; more is a single value at its edge


def _signed_edges() -> NDArray[np.float64]:
    bits = np.arange(_FINITE, dtype=np.uint32) << np.uint32(22)
    above = np.append(bits.view(np.float32).astype(np.float64), 2.0**128)  # the last edge: what would be infinity
    return np.concatenate((-above[:0:-1], above))


EDGES = _signed_edges()  # 1,021 rising edges, from -2**128 to 2**128, around the 1,020 bins in rising order
# Bins 0 and 512 hold what is nearer to zero than 2**-127, almost always zero itself, and are read as that.
_LOWER, _UPPER = EDGES[:-1].copy(), EDGES[1:].copy()
_LOWER[_FINITE - 1] = _UPPER[_FINITE] = 0.0


def place_of(bins: NDArray[np.uint16]) -> NDArray[np.intp]:
    """Where bins lie in rising order: bin at place i covers EDGES[i] to EDGES[i + 1]."""
    signed = bins.astype(np.intp)
    return np.where(signed < _HALF, _FINITE + signed, _FINITE - 1 + _HALF - signed)


def bin_at(places: NDArray[np.intp]) -> NDArray[np.uint16]:
    """The bins at places of the rising order; the inverse of place_of."""
    return np.where(places >= _FINITE, places - _FINITE, _FINITE - 1 + _HALF - places).astype(np.uint16)


def count(values: NDArray[np.floating], centre: float) -> NDArray[np.int64]:
    """How many values fall into each of the 1,024 bins; what is not finite falls into none.

    values: float32, or float64 whose magnitudes are cut to 24 bits and clamped to what a float32 holds.
    """
    with np.errstate(all="ignore"):
        if values.dtype == np.float32:
            away = values - np.float32(centre)
        else:
            wide = (values - centre)[np.isfinite(values)]
            cut = (wide.view(np.int64) & FLOAT_BITS).view(np.float64)
            away = np.clip(cut, -FLOAT_MAX, FLOAT_MAX).astype(np.float32)
    counts = np.bincount((away.view(np.uint32) >> np.uint32(22)).astype(np.intp), minlength=BINS)
    counts[list(UNUSED_BINS)] = 0
    return counts


@lru_cache(maxsize=8)
def sampled_positions(size: int, sampling: int, first_block: int = 0) -> NDArray[np.int64]:
    """Which elements of a flat tensor, or of the part of it from a block on, enter a histogram of every n-th one."""
    blocks = np.arange(-(-size // BLOCK), dtype=np.int64)[:, np.newaxis]
    offsets = (blocks + first_block) * TURN % sampling
    positions = (blocks * BLOCK + offsets + np.arange(0, BLOCK, sampling)).ravel()
    return positions[: np.searchsorted(positions, size)]


class Distribution:
    """The curve of a histogram: how much lies below a value, and below which value how much lies.

    Inside a bin the density is taken to grow or fall exponentially, from its geometric mean with the one neighbour to
    that with the other. Measured on normal and Laplace samples of any scale, the quantiles
    from 0.1 to 99.9 % are off by 0.008 sd (median) and 0.14 sd (worst); with an even density by 0.09 and 0.6.
    """

    def __init__(
        self, bins: NDArray[np.uint16], counts: NDArray[np.uint64], centre: float, low: float, high: float
    ) -> None:
        """low, high: the least and greatest value known, to which the outer bins are cut."""
        places = place_of(bins)
        order = np.argsort(places)
        places, held = places[order], counts[order].astype(np.float64)
        lower = np.clip(_LOWER[places] + centre, low, high)
        upper = np.clip(_UPPER[places] + centre, low, high)
        below = np.concatenate(([0.0], np.cumsum(held)))
        width = upper - lower
        density = np.divide(held, width, out=np.zeros_like(held), where=width > 0)
        growth = _growth(density, lower, upper)[:, np.newaxis]
        at = np.linspace(0.0, 1.0, _STEPS + 1)
        # the share of a bin's values up to there
        passed = np.where(growth == 0.0, at, np.expm1(growth * at) / np.expm1(np.where(growth == 0.0, 1.0, growth)))
        self.total = float(below[-1])
        self._edges = (lower[:, np.newaxis] + np.outer(width, at)).ravel()
        self._below = (below[:-1, np.newaxis] + held[:, np.newaxis] * passed).ravel()

    def below(self, values: ArrayLike) -> NDArray[np.float64]:
        """How many of the counted lie at or below each value."""
        below: NDArray[np.float64] = np.interp(np.asarray(values, dtype=np.float64), self._edges, self._below, left=0.0)
        return below

    def quantiles(self, shares: ArrayLike) -> NDArray[np.float64]:
        """The values below which the given shares lie."""
        wanted = np.asarray(shares, dtype=np.float64) * self.total
        values: NDArray[np.float64] = np.interp(wanted, self._below, self._edges)
        return values


def _growth(
    density: NDArray[np.float64], lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The logarithm of what the density grows by across each bin; at a gap it goes on as from the other side."""
    logs = np.log(density, out=np.zeros_like(density), where=density > 0)
    touching = (upper[:-1] == lower[1:]) & (density[:-1] > 0) & (density[1:] > 0)
    rises = np.where(touching, np.diff(logs) / 2, np.nan)
    left, right = np.concatenate(([np.nan], rises)), np.concatenate((rises, [np.nan]))
    left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
    growth: NDArray[np.float64] = np.clip(np.nan_to_num(left + right), -_STEEPEST, _STEEPEST)
    return growth
