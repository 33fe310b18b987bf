"""The same statistics in numpy, for where the kernel is not built: exact, several times slower."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .bins import BINS, BLOCK, count, sampled_positions
from .statistics import Statistics, from_dense

PIECE = 1 << 18  # elements copied or converted at a time: they stay in the second cache
_SAFE_SQUARE = 2.0**400  # beyond (or below the inverse) squares of doubles leave their range


def of_array(array: NDArray[np.generic], kind: str, centre: float, sampling: int) -> Statistics:
    """The statistics of one array of any shape and layout.

    kind: the name of its number type; a bfloat16 may come as any type of two bytes.
    """
    parts = [_of_flat(flat, kind, centre, sampling, scale=1.0) for flat in _flats(array)]
    return sum(parts[1:], parts[0])


def _flats(array: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """The array as flat ones in the order of its memory, copied only piece by piece where it has gaps."""
    in_memory_order = array.transpose(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))
    if in_memory_order.flags.c_contiguous or array.size <= PIECE:
        yield in_memory_order.reshape(-1)
    else:
        longest = int(np.argmax(array.shape))
        for half in np.array_split(array, 2, axis=longest):
            yield from _flats(half)


def _floats(piece: NDArray[np.generic], kind: str) -> NDArray[np.floating]:
    """The piece as float32 where that holds it exactly, else as float64."""
    if kind == "bfloat16":
        return (piece.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return piece.astype(np.float32 if kind in ("float32", "float16") else np.float64, copy=False)


def _of_flat(flat: NDArray[np.generic], kind: str, centre: float, sampling: int, scale: float) -> Statistics:
    """scale: a power of two that doubles are multiplied by first, where their squares would leave the range."""
    finite = zeros = nans = pos_infs = neg_infs = 0
    mean = squares = 0.0
    low, high = math.inf, -math.inf
    dense = np.zeros(BINS, dtype=np.int64)
    space = np.empty(min(PIECE, flat.size))  # one for all: fresh memory costs more than the arithmetic
    for start in range(0, flat.size, PIECE):
        values = _floats(flat[start : start + PIECE], kind)
        if sampling:
            dense += count(values[sampled_positions(values.size, sampling, start // BLOCK % sampling)], centre)
        with np.errstate(all="ignore"):
            if not np.isfinite(values.sum()):
                nans += int(np.count_nonzero(np.isnan(values)))
                pos_infs += int(np.count_nonzero(values == np.inf))
                neg_infs += int(np.count_nonzero(values == -np.inf))
                values = values[np.isfinite(values)]
            if not values.size:
                continue
            if not finite:
                mean = float(values[0]) * scale
            away = np.multiply(values, scale, out=space[: values.size])
            away -= mean
            total = float(away.sum())
            finite += values.size
            # Welford by pieces, each about the mean of those before it; squares minus squared mean would cancel
            squares += float(np.dot(away, away)) - total * (total / finite)
            mean += total / finite
        zeros += int(np.count_nonzero(values == 0))
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if not finite:
        return Statistics(flat.size, nans=nans, pos_infs=pos_infs, neg_infs=neg_infs, centre=centre, sampling=sampling)
    size = max(abs(low), abs(high))
    if scale == 1.0 and size and not 1 / _SAFE_SQUARE <= size <= _SAFE_SQUARE:
        return _of_flat(flat, kind, centre, sampling, math.ldexp(1.0, min(1000, -math.frexp(size)[1])))
    bins, counts = from_dense(dense)
    std = math.sqrt(max(squares, 0.0) / finite) / scale
    return Statistics(
        flat.size, zeros, nans, pos_infs, neg_infs, mean / scale, std, low, high, centre, sampling, bins, counts
    )
