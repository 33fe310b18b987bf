"""A sketch of a dataset's rows: enough keyed hashes to tell afterwards how many rows two datasets share.

Kept are the rows whose hash begins with `level` zero bits, a share of 1 in 2**level, where the level is the lowest that
leaves no more than CAPACITY distinct rows: a sample that depends on the rows alone, so that two datasets keep the same
of what they share. At level 0 it is complete, and every answer exact.
Source: adaptive sampling, Wegman; Flajolet, Computing 43, 1990.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .hashing import Words, below
from .keyed import Key

CAPACITY = 1 << 16  # distinct rows: half a megabyte, which equal datasets share
LIMIT_BYTES = 4 << 20  # a longer file is no sketch

_HEAD = struct.Struct("<4sB8sQ65II")
_MAGIC, _VERSION = b"BGSK", 1
_REPEATED = np.dtype([("place", "<u4"), ("count", "<u8")])


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two datasets share, by the content of their rows. is_exact: else it is estimated from a sample of them.

    rows: rows of the first that the second has, too; other_rows: the reverse; distinct: different rows they share.
    error: standard error of these counts.
    """

    rows: float
    other_rows: float
    distinct: float
    is_exact: bool
    error: float


class SketchBuilder:
    """Takes in hashes of rows and keeps those that a sketch needs."""

    def __init__(self) -> None:
        self.rows = 0
        self._level = 0
        self._waiting: list[Words] = []
        self._waiting_rows = 0
        self._hashes = np.empty(0, dtype=np.uint64)
        self._counts = np.empty(0, dtype=np.int64)

    def add(self, hashes: Words) -> None:
        """Take in some rows; the array may be changed afterwards."""
        self.rows += len(hashes)
        kept = below(hashes, 64 - self._level) if self._level else hashes.copy()
        if len(kept):
            self._waiting.append(kept)
            self._waiting_rows += len(kept)
            if self._waiting_rows > 2 * CAPACITY:
                self._condense()

    def finished(self, key: Key) -> Sketch:
        """The sketch of what was taken in."""
        self._condense()
        depths = _leading_zeros(self._hashes)
        keyed = key.hashes(self._hashes)
        order = np.lexsort((keyed, depths))
        return Sketch(self.rows, self._level, key.id, keyed[order], depths[order], self._counts[order])

    def _condense(self) -> None:
        come, come_counts = _counted(np.sort(np.concatenate([self._hashes[:0], *self._waiting])))
        self._waiting, self._waiting_rows = [], 0
        hashes, counts = np.concatenate((self._hashes, come)), np.concatenate((self._counts, come_counts))
        order = np.argsort(hashes, kind="stable")  # which merges the two in one pass
        self._hashes, self._counts = _counted(hashes[order], counts[order])
        while len(self._hashes) > CAPACITY:
            self._level += 1
            kept = int(np.searchsorted(self._hashes, np.uint64(1 << (64 - self._level))))
            self._hashes, self._counts = self._hashes[:kept], self._counts[:kept]


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Keyed hashes of rows. rows: how many it was made of; depths: the zero bits each row's own hash begins with."""

    rows: int
    level: int
    key_id: bytes
    keyed: Words
    depths: NDArray[np.uint8]
    counts: NDArray[np.int64]

    @property
    def distinct(self) -> float:
        """How many different rows there are; exact at level 0, else estimated."""
        return float(len(self.keyed)) * 2.0**self.level

    @property
    def repeated(self) -> float:
        """How many rows are there again, beyond the first of each content; exact at level 0, else estimated."""
        seen = int(self.counts.sum())
        return self.rows * (seen - len(self.keyed)) / seen if seen else 0.0

    def overlap(self, other: Sketch) -> Overlap | None:
        """What it shares with another; None if they were keyed with different secrets."""
        if self.key_id != other.key_id:
            return None
        level = max(self.level, other.level)
        one, two = self._from(level), other._from(level)
        shared, mine, others = np.intersect1d(one.keyed, two.keyed, assume_unique=True, return_indices=True)
        counts, other_counts = one.counts[mine], two.counts[others]
        scale = 2.0**level
        found = max(float((counts.astype(np.float64) ** 2).sum()), float((other_counts.astype(np.float64) ** 2).sum()))
        return Overlap(
            rows=float(counts.sum()) * scale,
            other_rows=float(other_counts.sum()) * scale,
            distinct=len(shared) * scale,
            is_exact=level == 0,
            error=math.sqrt(found * (1 - 1 / scale)) * scale,
        )

    def encode(self) -> bytes:
        """The bytes of a sketch: a head, the keyed hashes, and which rows occur more than once."""
        places = np.flatnonzero(self.counts > 1)
        repeated = np.empty(len(places), dtype=_REPEATED)
        repeated["place"], repeated["count"] = places, self.counts[places]
        of_depth = np.bincount(self.depths, minlength=65)
        head = _HEAD.pack(_MAGIC, _VERSION, self.key_id, self.rows, *of_depth.tolist(), self.level)
        return head + self.keyed.astype("<u8").tobytes() + repeated.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> Sketch:
        """A sketch from its bytes. Raises ValueError if they are damaged."""
        if len(data) < _HEAD.size:
            raise ValueError("sketch: cut short")
        magic, version, key_id, rows, *of_depth, level = _HEAD.unpack_from(data)
        size = sum(of_depth)
        rest = len(data) - _HEAD.size - 8 * size
        if (magic, version) != (_MAGIC, _VERSION) or rest < 0 or rest % _REPEATED.itemsize or level > 64:
            raise ValueError("sketch: damaged, or of an unknown version")
        keyed = np.frombuffer(data, "<u8", size, _HEAD.size).astype(np.uint64)
        repeated = np.frombuffer(data, _REPEATED, rest // _REPEATED.itemsize, _HEAD.size + 8 * size)
        counts = np.ones(size, dtype=np.int64)
        if len(repeated) and (repeated["place"].max() >= size or repeated["count"].max() >= 2**62):
            raise ValueError("sketch: its counts are damaged")
        counts[repeated["place"]] = repeated["count"].astype(np.int64)
        return cls(rows, level, key_id, keyed, np.repeat(np.arange(65, dtype=np.uint8), of_depth), counts)

    def _from(self, level: int) -> Sketch:
        kept = self.depths >= level
        return Sketch(self.rows, level, self.key_id, self.keyed[kept], self.depths[kept], self.counts[kept])


def _counted(hashes: Words, counts: NDArray[np.int64] | None = None) -> tuple[Words, NDArray[np.int64]]:
    """Sorted hashes without repetitions, and the sum of the counts of each; every one counts once without counts."""
    firsts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)])
    if counts is None:
        return hashes[firsts], np.diff(firsts, append=len(hashes))
    return hashes[firsts], np.add.reduceat(counts, firsts) if len(firsts) else counts


def _leading_zeros(hashes: Words) -> NDArray[np.uint8]:
    """How many zero bits each hash begins with."""
    least = np.array([1 << bit for bit in range(64)], dtype=np.uint64)  # with 63, 62, ... of them
    depths: NDArray[np.uint8] = (64 - np.searchsorted(least, hashes, side="right")).astype(np.uint8)
    return depths
