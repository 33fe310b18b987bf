"""Hashes of rows: 64 bits each, whatever the memory layout; by the C kernel where it is built, else the same in numpy.

A row is a sequence of 64-bit words, numbered over its fields. Word number k with value w adds
fold((w ^ (k + 1) * STEP) * (MULTIPLIER + k * ODD_STEP)) to the row's sum, and fold((sum ^ STEP) * FINISH) is its hash;
fold is the upper half of a 128-bit product xor its lower half, the primitive of XXH3 and wyhash. Sums have no order, so
fields may come one after the other, in any layout. The kernel takes about 0.13 s of a core for a GB of rows of 32 bytes
or more; numpy takes more than ten times as long.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

STEP = 0x9E3779B97F4A7C15
MULTIPLIER = 0xA0761D6478BD642F
ODD_STEP = 0xD6E8FEB86659FD92
FINISH = 0xE7037ED1A0B428DB
NULL = 0x6C6C756E  # "null": what a missing cell adds as its first word, beside a value of zeros
_MASK = 2**64 - 1
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@cache
def _kernel() -> ModuleType | None:
    try:
        from . import _rows  # an install without a compiler has none
    except ImportError:
        return None
    return _rows


def has_kernel() -> bool:
    """Whether the kernel was built with this install."""
    return _kernel() is not None


def words_of(size_bytes: int) -> int:
    """How many words a field of that many bytes a row takes up."""
    return -(-size_bytes // 8)


def add_values(sums: Words, values: NDArray[np.generic], first: int, native: bool | None = None) -> None:
    """Add a field of fixed size to the sums of its rows, by the bytes of each row in C order.

    values: shape (rows, ...), any layout, little endian. first: the number of the field's first word.
    """
    if not values.size:
        return
    values = _with_whole_rows(values)
    row_bytes = _row_bytes(values)
    kernel = _chosen(native)
    if kernel is not None:
        kernel.add(_address(sums), _address(values), len(values), values.strides[0], row_bytes, first)
        return
    flat = np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8).reshape(len(values), row_bytes)
    padded = np.zeros((len(values), words_of(row_bytes) * 8), dtype=np.uint8)
    padded[:, :row_bytes] = flat
    _add_words(sums, padded.view("<u8").astype(np.uint64, copy=False), first)


def add_cells(
    sums: Words, data: NDArray[np.uint8], offsets: NDArray[np.int64], first: int, native: bool | None = None
) -> None:
    """Add a field of cells of any length, such as texts, as one word a row: the hash of the cell's bytes and length.

    offsets: shape (rows + 1,), where each cell begins in `data` and the last one ends. Raises ValueError if they do
    not rise inside it.
    """
    kernel = _chosen(native)
    if kernel is not None:
        kernel.add_cells(_address(sums), _address(data), data.size, _address(offsets), len(offsets) - 1, first)
        return
    lengths = np.diff(offsets)
    if len(offsets) > 1 and (offsets[0] < 0 or lengths.min() < 0 or offsets[-1] > data.size):
        raise ValueError("the offsets do not rise inside the bytes")
    cells = lengths.astype(np.uint64)
    padded = np.concatenate((data, np.zeros(8, dtype=np.uint8)))
    for word in range(words_of(int(lengths.max(initial=0)))):
        rows = np.flatnonzero(lengths > 8 * word)
        bytes_of = padded[(offsets[:-1][rows] + 8 * word)[:, np.newaxis] + np.arange(8)]
        bytes_of[np.arange(8) >= (lengths[rows] - 8 * word)[:, np.newaxis]] = 0
        cells[rows] += _mixed(bytes_of.view("<u8").ravel().astype(np.uint64, copy=False), word)
    _add_words(sums, _fold(cells ^ np.uint64(STEP), FINISH)[:, np.newaxis], first)


def add_sparse(
    sums: Words,
    starts: NDArray[np.int64],
    columns: NDArray[np.int64],
    words: Words,
    first: int,
    native: bool | None = None,
) -> None:
    """Add stored values, each as the word of its column; what is not stored adds nothing.

    starts: shape (rows + 1,), where each row begins in `columns` and `words`, which are of one length.
    """
    kernel = _chosen(native)
    if kernel is not None:
        rows = len(starts) - 1
        kernel.add_sparse(_address(sums), _address(starts), rows, _address(columns), _address(words), len(words), first)
        return
    places = columns.astype(np.uint64) + np.uint64(first)
    keys = (places + np.uint64(1)) * np.uint64(STEP)
    mixed = _fold(words ^ keys, np.uint64(MULTIPLIER) + places * np.uint64(ODD_STEP))
    before = np.concatenate((np.zeros(1, dtype=np.uint64), np.cumsum(mixed)))
    sums += before[starts[1:]] - before[starts[:-1]]


def mark_missing(sums: Words, missing: NDArray[np.bool_], first: int) -> None:
    """Add what a missing cell adds, whose value should have been given as zeros."""
    sums[missing] += _mixed(np.array([NULL], dtype=np.uint64), first)[0]


def finish(sums: Words, native: bool | None = None) -> tuple[int, int]:
    """Turn sums into the hashes of the rows, in place; the sums of the hashes and of their squares, modulo 2**64."""
    kernel = _chosen(native)
    if kernel is not None:
        found: tuple[int, int] = kernel.finish(_address(sums), len(sums))
        return found
    sums[:] = _fold(sums ^ np.uint64(STEP), FINISH)
    return int(sums.sum()), int((sums * sums).sum())


def hash_values(values: NDArray[np.generic], first: int, native: bool | None = None) -> tuple[Words, int, int]:
    """The hashes of rows of one field, and what finish() gives: add_values() to zeros and finish() in one pass."""
    kernel = _chosen(native)
    if kernel is not None and values.size:
        values, hashes = _with_whole_rows(values), np.empty(len(values), dtype=np.uint64)
        place = _address(hashes), _address(values)
        return hashes, *kernel.hash_values(*place, len(values), values.strides[0], _row_bytes(values), first)
    sums = np.zeros(len(values), dtype=np.uint64)
    add_values(sums, values, first, native)
    return sums, *finish(sums, native)


def below(hashes: Words, bits: int, native: bool | None = None) -> Words:
    """A copy of the hashes below 2**bits, in their order. bits: 1 to 63."""
    kernel = _chosen(native)
    if kernel is None:
        return hashes[hashes < np.uint64(1 << bits)]
    kept = np.empty_like(hashes)
    count = kernel.below(_address(kept), _address(hashes), len(hashes), bits)
    return kept[:count].copy()


def _chosen(native: bool | None) -> ModuleType | None:
    return None if native is False else _kernel()


def _with_whole_rows(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """The values, or a copy in which the bytes of each row lie together in C order, whatever lies between the rows."""
    return values if values.ndim == 1 or values[:1].flags.c_contiguous else np.ascontiguousarray(values)


def _row_bytes(values: NDArray[np.generic]) -> int:
    return values.itemsize * (values.size // len(values))


def _address(array: NDArray[np.generic]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _add_words(sums: Words, words: Words, first: int) -> None:
    for column in range(words.shape[1]):
        sums += _mixed(words[:, column], first + column)


def _mixed(words: Words, place: int) -> Words:
    return _fold(words ^ np.uint64((place + 1) * STEP & _MASK), MULTIPLIER + place * ODD_STEP)


def _fold(words: Words, multiplier: int | Words) -> Words:
    """The upper half of the 128-bit products xor their lower half, from four products of 32 bits."""
    factor = np.uint64(multiplier & _MASK) if isinstance(multiplier, int) else multiplier
    one, two = words & _LOW, words >> _HALF
    low, high = factor & _LOW, factor >> _HALF
    first, second = two * low, one * high
    middle = ((one * low) >> _HALF) + (first & _LOW) + (second & _LOW)
    upper = two * high + (first >> _HALF) + (second >> _HALF) + (middle >> _HALF)
    with np.errstate(over="ignore"):
        folded: Words = upper ^ (words * factor)
    return folded
