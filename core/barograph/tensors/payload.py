"""The bytes in which the statistics of one step lie in a journal: a STATISTICS frame, version 1.

Little endian: version u8, step i64, wall time f64, number of entries u32; then for each tensor
    length of its key u32, the key (UTF-8, lone surrogates kept), parts u8,
    count u64, zeros u64, mean f64, std f64, min f64, max f64,
    if parts & 1: NaN u64, positive infinities u64, negative infinities u64,
    if parts & 2: centre f64,
    if parts & 4: sampling u16, runs u16, then each run of occupied bins as first bin u16 and length u16,
                  width u8 (1, 2, 4 or 8 bytes), then the count of each occupied bin in as many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from math import inf, isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bins import BINS, SAMPLINGS, UNUSED_BINS
from .statistics import Statistics

VERSION = 1
LIMIT = 8 * 1024 * 1024  # bytes of one payload, half of what a frame may hold

_HEAD = struct.Struct("<BqdI")
_LENGTH = struct.Struct("<I")
_FIXED = struct.Struct("<BQQdddd")
_NOT_FINITE = struct.Struct("<QQQ")
_CENTRE = struct.Struct("<d")
_HISTOGRAM = struct.Struct("<HH")
_LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}  # of counts in as many bytes
_HAS_NOT_FINITE, _HAS_CENTRE, _HAS_HISTOGRAM = 1, 2, 4
_WIDTHS: dict[int, np.dtype[np.unsignedinteger[Any]]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}
_LARGEST_COUNT = 2**53  # per bin: the sum of all bins then fits into 64 bits, and a double holds each


class Step(NamedTuple):
    """What one payload says: the statistics of tensors, by key, at a step."""

    step: int
    time_s: float
    statistics: dict[str, Statistics]


def encode(step: int, time_s: float, statistics: Mapping[str, Statistics]) -> list[bytes]:
    """The payloads for the statistics of one step: one, or several if one would be too long for a frame."""
    payloads: list[bytes] = []
    entries: list[bytes] = []
    size = 0
    for key, record in statistics.items():
        entry = _entry(key, record)
        if size + len(entry) > LIMIT and entries:
            payloads.append(_HEAD.pack(VERSION, step, time_s, len(entries)) + b"".join(entries))
            entries, size = [], 0
        entries.append(entry)
        size += len(entry)
    payloads.append(_HEAD.pack(VERSION, step, time_s, len(entries)) + b"".join(entries))
    return payloads


def _entry(key: str, record: Statistics) -> bytes:
    name = key.encode("utf-8", "surrogatepass")
    not_finite = record.nans or record.pos_infs or record.neg_infs
    parts = (
        (_HAS_NOT_FINITE if not_finite else 0)
        | (_HAS_CENTRE if record.centre else 0)
        | (_HAS_HISTOGRAM if record.sampling else 0)
    )
    pieces = [
        _LENGTH.pack(len(name)),
        name,
        _FIXED.pack(parts, record.count, record.zeros, record.mean, record.std, record.min, record.max),
    ]
    if not_finite:
        pieces.append(_NOT_FINITE.pack(record.nans, record.pos_infs, record.neg_infs))
    if record.centre:
        pieces.append(_CENTRE.pack(record.centre))
    if record.sampling:
        pieces.append(_histogram(record))
    return b"".join(pieces)


def _histogram(record: Statistics) -> bytes:
    # over some fifty bins, plain lists are three times as fast as arrays
    bins, counts = record.bins.tolist(), record.counts.tolist()
    runs: list[int] = []
    following = -1
    for place in bins:
        if place != following:
            runs += (place, 0)
        runs[-1] += 1
        following = place + 1
    largest = max(counts, default=0)
    width = 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4 if largest < 1 << 32 else 8
    layout = f"<HH{len(runs)}HB{len(counts)}{_LETTERS[width]}"
    return struct.pack(layout, record.sampling, len(runs) // 2, *runs, width, *counts)


def decode(payload: bytes) -> Step:
    """What a payload says. Raises ValueError if it is damaged; allocates no more than a few times its size."""
    source = _Source(payload)
    version, step, time_s, entries = source.unpack(_HEAD)
    if version != VERSION:
        raise ValueError(f"statistics: version {version} is not known here (this is version {VERSION})")
    statistics: dict[str, Statistics] = {}
    for _ in range(entries):
        (length,) = source.unpack(_LENGTH)
        key = source.take(length).decode("utf-8", "surrogatepass")
        statistics[key] = _record(source)
    if source.left:
        raise ValueError(f"statistics: {source.left} bytes follow the last of {entries} entries")
    return Step(step, time_s, statistics)


class _Source:
    """A payload that is read from front to end and never past it."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._payload) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise ValueError(f"statistics: cut short at byte {self.at} (expected {size} more bytes, found {self.left})")
        self.at += size
        return self._payload[self.at - size : self.at]

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:  # what a layout holds is known to its reader only
        return layout.unpack(self.take(layout.size))

    def array(self, dtype: np.dtype[np.unsignedinteger[Any]], count: int) -> NDArray[np.unsignedinteger[Any]]:
        return np.frombuffer(self.take(count * dtype.itemsize), dtype)


def _record(source: _Source) -> Statistics:
    parts, count, zeros, mean, std, least, greatest = source.unpack(_FIXED)
    nans, pos_infs, neg_infs = source.unpack(_NOT_FINITE) if parts & _HAS_NOT_FINITE else (0, 0, 0)
    (centre,) = source.unpack(_CENTRE) if parts & _HAS_CENTRE else (0.0,)
    record = Statistics(count, zeros, nans, pos_infs, neg_infs, mean, std, least, greatest, centre)
    if parts & _HAS_HISTOGRAM:
        record = replace(record, **_read_histogram(source))
    counts_agree = count < 2**63 and zeros <= record.finite
    values_agree = record.finite == 0 or (-inf < least <= greatest < inf and isfinite(mean) and std >= 0)
    bins_agree = isfinite(centre) and (record.finite > 0 or not len(record.bins))
    if parts > 7 or not counts_agree or not values_agree or not bins_agree:
        raise ValueError(f"statistics: the record before byte {source.at} contradicts itself")
    return record


def _read_histogram(source: _Source) -> dict[str, Any]:
    sampling, runs = source.unpack(_HISTOGRAM)
    firsts, lengths = source.array(_WIDTHS[2], 2 * runs).reshape(runs, 2).T.astype(np.int64)
    width = source.take(1)[0]
    ends = firsts + lengths
    if sampling not in SAMPLINGS[1:] or width not in _WIDTHS or (lengths < 1).any() or (firsts[1:] < ends[:-1]).any():
        raise ValueError(f"statistics: the histogram before byte {source.at} is damaged")
    if runs and ends[-1] > BINS:
        raise ValueError(f"statistics: the histogram before byte {source.at} has bins beyond {BINS}")
    before = np.cumsum(lengths) - lengths
    bins = (np.repeat(firsts - before, lengths) + np.arange(lengths.sum())).astype(np.uint16)
    counts = source.array(_WIDTHS[width], len(bins)).astype(np.uint64)
    if np.isin(bins, UNUSED_BINS).any() or not counts.all() or counts.max(initial=0) > _LARGEST_COUNT:
        raise ValueError(f"statistics: the histogram before byte {source.at} is damaged")
    return {"sampling": sampling, "bins": bins, "counts": counts}
