"""One launch over all tensors on a CUDA device: each program reads a chunk of one and leaves a row of partial results.

What the arguments and results look like: on_device.py, which also runs the same arithmetic in plain torch.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator, import-not-found, import-untyped"
# (kernels have no Python types, and Triton is not there on every platform)

from __future__ import annotations

from typing import Any

import triton  # 3.0 or later; comes with torch for CUDA on Linux
import triton.language as tl

CHUNK = 65_536  # elements a program reads
_TILE = 1024  # elements it reads at a time; at most 255 tiles make a chunk, see _packed
_SAMPLES = 1024  # elements it bins at a time
_WARPS = 4


@triton.jit
def _load(address, kind, at, seen):
    if kind == 0:
        values = tl.load(tl.multiple_of(address.to(tl.pointer_type(tl.float32)), 16) + at, mask=seen, other=0.0)
    elif kind == 1:
        halves = tl.load(tl.multiple_of(address.to(tl.pointer_type(tl.float16)), 16) + at, mask=seen, other=0.0)
        values = halves.to(tl.float32)
    else:
        brains = tl.load(tl.multiple_of(address.to(tl.pointer_type(tl.bfloat16)), 16) + at, mask=seen, other=0.0)
        values = brains.to(tl.float32)
    return values


@triton.jit
def _fold(values, seen, pivot, sums, squares, lows, highs, packed):
    infinity = float("inf")
    finite = tl.abs(values) < infinity
    odd = tl.where(values != values, 1 << 8, tl.where(values > 0, 1 << 16, 1 << 24))
    packed += tl.where(seen, tl.where(finite, (values == 0).to(tl.int32), odd), 0)
    used = seen & finite
    away = tl.where(used, values.to(tl.float64) - pivot, 0.0)
    sums += away
    squares += away * away
    lows = tl.minimum(lows, tl.where(used, values, infinity))
    highs = tl.maximum(highs, tl.where(used, values, -infinity))
    return sums, squares, lows, highs, packed


@triton.jit
def _statistics(table, rows, bins, tensors, chunks, CHUNK: tl.constexpr, TILE: tl.constexpr, SAMPLES: tl.constexpr):
    chunk = tl.program_id(0)
    which = tl.load(table + 5 * tensors + chunk)
    start = tl.multiple_of(tl.load(table + 5 * tensors + chunks + chunk), TILE)  # else no wide reads
    address = tl.load(table + which)
    centre = tl.load(table + tensors + which).to(tl.float64, bitcast=True).to(tl.float32)
    size = tl.load(table + 2 * tensors + which)
    kind = tl.load(table + 3 * tensors + which)
    every = tl.load(table + 4 * tensors + which)
    held = tl.minimum(size - start, CHUNK)
    infinity = float("inf")

    first = _load(address, kind, start, start < size)
    pivot = tl.where(tl.abs(first) < infinity, first, 0.0).to(tl.float64)  # see the C kernel: sums need one
    sums = tl.zeros([TILE], tl.float64)
    squares = tl.zeros([TILE], tl.float64)
    lows = tl.full([TILE], infinity, tl.float32)
    highs = tl.full([TILE], -infinity, tl.float32)
    packed = tl.zeros([TILE], tl.int32)  # four counts of eight bits: zeros, NaN, both infinities
    whole = tl.multiple_of(size - size % 16, 16)  # masks on such a border leave the reads wide
    for tile in range(0, held, TILE):
        at = start + tile + tl.arange(0, TILE)
        values = _load(address, kind, at, at < whole)
        sums, squares, lows, highs, packed = _fold(values, at < whole, pivot, sums, squares, lows, highs, packed)
    if (whole >= start) & (whole < tl.minimum(size, start + CHUNK)):
        at = whole + tl.arange(0, TILE)
        values = _load(address, kind, at, at < size)
        sums, squares, lows, highs, packed = _fold(values, at < size, pivot, sums, squares, lows, highs, packed)

    zeros = tl.sum(packed & 255)
    nans = tl.sum((packed >> 8) & 255)
    pos_infs = tl.sum((packed >> 16) & 255)
    neg_infs = tl.sum((packed >> 24) & 255)
    finite_count = tl.maximum(held - nans - pos_infs - neg_infs, 0).to(tl.float64)
    total = tl.sum(sums)
    shift = total / tl.maximum(finite_count, 1.0)
    row = rows + chunk * 9
    tl.store(row, finite_count)
    tl.store(row + 1, zeros.to(tl.float64))
    tl.store(row + 2, nans.to(tl.float64))
    tl.store(row + 3, pos_infs.to(tl.float64))
    tl.store(row + 4, neg_infs.to(tl.float64))
    tl.store(row + 5, pivot + shift)
    tl.store(row + 6, tl.maximum(tl.sum(squares) - total * shift, 0.0))
    tl.store(row + 7, tl.min(lows).to(tl.float64))
    tl.store(row + 8, tl.max(highs).to(tl.float64))

    if every > 0:
        counts = tl.zeros([1024], tl.int32)
        per_block = 1024 // every
        for sample in range(0, tl.cdiv(held, 1024) * per_block, SAMPLES):
            number = sample + tl.arange(0, SAMPLES)
            block = start // 1024 + number // per_block
            at = block * 1024 + block * 5 % every + number % per_block * every  # as bins.sampled_positions has it
            seen = (at < size) & (at < start + CHUNK)
            bits = (_load(address, kind, at, seen) - centre).to(tl.int32, bitcast=True)
            counts += tl.histogram(tl.where(seen, (bits >> 22) & 1023, 1023), 1024)  # 1023 is a NaN's and not read
        each = tl.arange(0, 1024)
        tl.atomic_add(bins + which * 1024 + each, counts, mask=counts > 0, sem="relaxed")  # of integers: any order


def launch(table: Any, rows: Any, bins: Any, tensors: int, chunks: int) -> None:  # torch tensors on one device
    """Fill rows and bins from the tensors that the table points to."""
    _statistics[(chunks,)](
        table,
        rows,
        bins,
        tensors,
        chunks,
        CHUNK=CHUNK,
        TILE=_TILE,
        SAMPLES=_SAMPLES,
        num_warps=_WARPS,
        enable_fp_fusion=True,
    )
