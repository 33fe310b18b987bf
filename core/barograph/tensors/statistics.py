"""The record of one tensor: exact counts and moments, and a histogram; records of ranks, steps and calls add up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bins import BINS, EDGES, Distribution, bin_at

CENTRE_BITS = 8  # of the mean, kept for a centre: few enough that neighbouring steps share it and merge exactly
CENTRE_FROM_SD = 2.0  # a mean further from zero than this many standard deviations makes a centre
_CENTRE_RANGE = (2.0**-100, 2.0**100)  # where subtracting a centre is safe in float32
_EDGE_SHARE = 0.001  # what a picture of many records may leave to its outer bins on either side

# The least positive number of each format. For bfloat16 the least normal one: there the bins end.
LEAST_POSITIVE = {
    "float16": 2.0**-24,
    "bfloat16": 2.0**-126,
    "float8_e4m3": 2.0**-9,
    "float8_e5m2": 2.0**-16,
}


def _no_bins() -> NDArray[np.uint16]:
    return np.empty(0, dtype=np.uint16)


def _no_counts() -> NDArray[np.uint64]:
    return np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Statistics of one tensor. Moments and extremes are those of its finite values; NaN where there is none.

    std: of the population (divided by the number of values). zeros: exact zeros of either sign.
    sampling: every n-th value entered the histogram; 0: there is none.
    bins: the occupied bins, rising; counts: the values seen in each. See bins.py.
    """

    count: int
    zeros: int = 0
    nans: int = 0
    pos_infs: int = 0
    neg_infs: int = 0
    mean: float = math.nan
    std: float = math.nan
    min: float = math.nan
    max: float = math.nan
    centre: float = 0.0
    sampling: int = 0
    bins: NDArray[np.uint16] = field(default_factory=_no_bins)
    counts: NDArray[np.uint64] = field(default_factory=_no_counts)

    @classmethod
    def of_zeros(cls, count: int) -> Statistics:
        """The record of that many zeros: what a sparse tensor does not store."""
        if count == 0:
            return cls(0)
        bins, counts = np.zeros(1, dtype=np.uint16), np.full(1, count, dtype=np.uint64)
        return cls(count, zeros=count, mean=0.0, std=0.0, min=0.0, max=0.0, sampling=1, bins=bins, counts=counts)

    @property
    def finite(self) -> int:
        """How many values are neither infinite nor NaN."""
        return self.count - self.nans - self.pos_infs - self.neg_infs

    @property
    def l2(self) -> float:
        """The Euclidean norm of the finite values."""
        return math.hypot(self.mean, self.std) * math.sqrt(self.finite) if self.finite else 0.0

    @property
    def zero_share(self) -> float:
        """The share of exact zeros among all values."""
        return self.zeros / self.count if self.count else 0.0

    def __add__(self, other: Statistics) -> Statistics:
        """The record of both tensors together.

        Everything is as if it had been taken of both at once, but histograms about different centres: the one of fewer
        values is spread into the bins of the other. A record with values and no histogram leaves the sum without one.
        """
        if not self.finite or not other.finite:
            kept = self if self.finite else other
            return replace(
                kept,
                count=self.count + other.count,
                nans=self.nans + other.nans,
                pos_infs=self.pos_infs + other.pos_infs,
                neg_infs=self.neg_infs + other.neg_infs,
            )
        finite = self.finite + other.finite
        mine, others = self.finite / finite, other.finite / finite
        root = math.sqrt(mine * others)
        centre, sampling, bins, counts = _merged_histograms(self, other)
        return Statistics(
            count=self.count + other.count,
            zeros=self.zeros + other.zeros,
            nans=self.nans + other.nans,
            pos_infs=self.pos_infs + other.pos_infs,
            neg_infs=self.neg_infs + other.neg_infs,
            # Chan et al. 1983, in means and standard deviations, which hold where sums and squares would overflow
            mean=self.mean + (other.mean * others - self.mean * others),
            std=math.hypot(
                self.std * math.sqrt(mine), other.std * math.sqrt(others), other.mean * root - self.mean * root
            ),
            min=min(self.min, other.min),
            max=max(self.max, other.max),
            centre=centre,
            sampling=sampling,
            bins=bins,
            counts=counts,
        )

    def scaled(self, factor: float) -> Statistics:
        """The record of the same tensor divided by a loss scale.

        factor: positive. Exact where it is a power of two: half-octave bins then only move along. Else the histogram is
        spread into its new bins as a merge would.
        """
        if not self.finite:
            return self
        moments = {name: getattr(self, name) * factor for name in ("mean", "std", "min", "max", "centre")}
        fraction, exponent = math.frexp(factor)
        scaled = replace(self, **moments)
        if not len(self.bins):
            return scaled
        if fraction == 0.5:
            half_octaves = 2 * (exponent - 1)
            side, place = self.bins & np.uint16(BINS // 2), (self.bins & np.uint16(BINS // 2 - 1)).astype(np.int64)
            # bin 0 holds zero and what is below every other; the last two of a side are never used
            moved = np.where(place > 0, np.clip(place + half_octaves, 0, BINS // 2 - 3), 0)
            bins = (side + moved).astype(np.uint16)
            kept = np.unique(bins)
            return replace(
                scaled, bins=kept, counts=np.array([self.counts[bins == one].sum() for one in kept], np.uint64)
            )
        curve = Distribution(self.bins, self.counts, self.centre, self.min, self.max)
        inner = np.rint(curve.below((EDGES[1:-1] + scaled.centre) / factor))
        spread = np.diff(inner, prepend=0.0, append=curve.total).astype(np.uint64)
        places = np.flatnonzero(spread)
        bins = bin_at(places)
        order = np.argsort(bins)
        return replace(scaled, bins=bins[order], counts=spread[places[order]])

    def next_centre(self) -> float:
        """The centre about which to bin this tensor the next time: near its mean if that is far from zero, else 0."""
        size = abs(self.mean)
        if not (size > CENTRE_FROM_SD * self.std and _CENTRE_RANGE[0] < size < _CENTRE_RANGE[1]):
            return 0.0
        fraction, exponent = math.frexp(self.mean)
        return math.ldexp(round(fraction * 2**CENTRE_BITS), exponent - CENTRE_BITS)

    def distribution(self) -> Distribution:
        """The curve of the histogram, between the exact least and greatest value."""
        return Distribution(self.bins, self.counts, self.centre, self.min, self.max)

    def quantiles(self, shares: ArrayLike) -> NDArray[np.float64]:
        """The values below which the given shares (0 to 1) of the finite values lie; NaN without a histogram."""
        wanted = np.asarray(shares, dtype=np.float64)
        if not len(self.bins):
            return np.full(wanted.shape, math.nan)
        inside = self.distribution().quantiles(wanted)
        return np.where(wanted <= 0, self.min, np.where(wanted >= 1, self.max, inside))

    def rebinned(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many of the finite values lie between each pair of edges, estimated from the histogram.

        edges: float64, rising, at least two. The outer bins also hold what lies beyond them, so the sum is `finite`.
        """
        if not len(self.bins):
            return np.zeros(len(edges) - 1)
        curve = self.distribution()
        inner = curve.below(edges[1:-1])
        return np.diff(inner, prepend=0.0, append=curve.total) * (self.finite / curve.total)

    def underflow_share(self, number_format: str) -> float:
        """The share of the non-zero finite values below the least positive number of a format.

        number_format: a key of LEAST_POSITIVE.
        """
        if not len(self.bins) or self.zeros == self.finite:
            return 0.0
        least = LEAST_POSITIVE[number_format]
        curve = self.distribution()
        zeros = curve.total * self.zeros / self.finite
        near = float(np.diff(curve.below([-least, math.nextafter(least, 0.0)]))[0]) - zeros
        return min(1.0, max(0.0, near / (curve.total - zeros)))


def merged(records: Iterable[Statistics]) -> Statistics:
    """The record of all the tensors together; that of an empty tensor if there is none."""
    return sum(records, Statistics(0))


def picture(records: Sequence[Statistics], bins: int = 64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One linear scale for many records, as a chart over steps needs it.

    Returns edges, shape (bins + 1,), and counts, shape (len(records), bins). The edges span all but the outermost 0.1 %
    of any record; what lies beyond is counted in the outer bins.
    """
    seen = [record for record in records if len(record.bins)]
    if not seen:
        return np.linspace(0.0, 1.0, bins + 1), np.zeros((len(records), bins))
    ends = np.stack([record.quantiles((_EDGE_SHARE, 1 - _EDGE_SHARE)) for record in seen])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if low == high:  # all but the outermost is one value
        low, high = min(record.min for record in seen), max(record.max for record in seen)
    room = 0.5 * (abs(low) or 1.0) if low == high else 0.0
    edges = np.linspace(low - room, high + room, bins + 1)
    return edges, np.stack([record.rebinned(edges) for record in records])


def from_dense(counts: NDArray[np.integer]) -> tuple[NDArray[np.uint16], NDArray[np.uint64]]:
    """The occupied bins, and the counts in them, of a count of all 1,024."""
    bins = np.flatnonzero(counts)
    return bins.astype(np.uint16), counts[bins].astype(np.uint64)


def _merged_histograms(one: Statistics, other: Statistics) -> tuple[float, int, NDArray[np.uint16], NDArray[np.uint64]]:
    """Centre, sampling, bins and counts of two records. The counts of the one sampled more thinly are multiplied."""
    if not one.sampling or not other.sampling:
        return 0.0, 0, _no_bins(), _no_counts()
    more, fewer = (one, other) if one.finite >= other.finite else (other, one)
    sampling = math.gcd(more.sampling, fewer.sampling)
    dense = np.zeros(BINS, dtype=np.uint64)
    dense[more.bins] = more.counts * np.uint64(more.sampling // sampling)
    bins, counts = (fewer.bins, fewer.counts) if fewer.centre == more.centre else _moved(fewer, more.centre)
    dense[bins] += counts * np.uint64(fewer.sampling // sampling)
    return more.centre, sampling, *from_dense(dense)


def _moved(record: Statistics, centre: float) -> tuple[NDArray[np.uint16], NDArray[np.uint64]]:
    """The histogram of a record in bins about another centre, its total unchanged."""
    curve = record.distribution()
    inner = np.rint(curve.below(EDGES[1:-1] + centre))
    spread = np.diff(inner, prepend=0.0, append=curve.total).astype(np.uint64)
    places = np.flatnonzero(spread)
    bins = bin_at(places)
    order = np.argsort(bins)
    return bins[order], spread[places[order]]
