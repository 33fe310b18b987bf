"""Sketches tell how many rows two datasets share: exactly while they are small, and within their error beyond."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from barograph.data.hashing import Words, add_values, finish
from barograph.data.keyed import Key
from barograph.data.sketch import CAPACITY, Sketch, SketchBuilder

KEY = Key(bytes(range(32)))


def _hashes(numbers: NDArray[np.int64]) -> Words:
    sums = np.zeros(len(numbers), dtype=np.uint64)
    add_values(sums, numbers.astype(np.int64), 0)
    finish(sums)
    return sums


def _sketch(numbers: NDArray[np.int64], pieces: int = 1, key: Key = KEY) -> Sketch:
    builder = SketchBuilder()
    for piece in np.array_split(_hashes(numbers), pieces):
        builder.add(piece)
    return builder.finished(key)


def test_small_datasets_are_compared_exactly() -> None:
    """Rows of each that the other has are counted with their repetitions."""
    one = _sketch(np.array([1, 2, 3, 3, 4]))
    other = _sketch(np.array([3, 4, 4, 4, 9]))
    overlap = one.overlap(other)
    assert overlap is not None
    assert (overlap.rows, overlap.other_rows, overlap.distinct) == (3.0, 4.0, 2.0)
    assert overlap.is_exact
    assert overlap.error == 0.0
    assert (one.repeated, other.repeated) == (1.0, 2.0)


@pytest.mark.parametrize("shared", [0, 1000, 150_000])
def test_large_datasets_are_compared_within_the_error(shared: int) -> None:
    """Beyond the capacity the estimate lies within five standard errors of the truth."""
    one = _sketch(np.arange(300_000))
    other = _sketch(np.arange(300_000 - shared, 800_000))
    overlap = one.overlap(other)
    assert overlap is not None
    assert not overlap.is_exact
    assert abs(overlap.rows - shared) <= 5 * max(overlap.error, 1.0)
    assert len(one.keyed) <= CAPACITY
    assert len(other.keyed) <= CAPACITY


def test_a_large_and_a_small_dataset_are_compared_by_the_same_rows() -> None:
    """The small one is thinned as the large one was."""
    overlap = _sketch(np.arange(400_000)).overlap(_sketch(np.arange(20_000)))
    assert overlap is not None
    assert not overlap.is_exact
    assert abs(overlap.other_rows - 20_000) <= 5 * overlap.error


@pytest.mark.parametrize("pieces", [2, 7, 1000])
def test_pieces_make_no_difference(pieces: int) -> None:
    """A sketch depends on the rows alone, not on how they came."""
    numbers = np.arange(250_000) % 200_000
    assert _sketch(numbers, pieces).encode() == _sketch(numbers).encode()
    assert _sketch(numbers[::-1]).encode() == _sketch(numbers).encode()


def test_repetitions_are_estimated() -> None:
    """Half of the rows being there again is seen in a sample, too."""
    sketch = _sketch(np.arange(400_000) % 200_000)
    assert sketch.level > 0
    assert sketch.repeated == pytest.approx(200_000, rel=0.02)
    assert sketch.distinct == pytest.approx(200_000, rel=0.05)


def test_a_sketch_survives_its_bytes() -> None:
    """What is decoded is what was encoded."""
    sketch = _sketch(np.array([5, 5, 6, 7]))
    again = Sketch.decode(sketch.encode())
    assert (again.rows, again.level, again.key_id) == (4, 0, KEY.id)
    assert again.keyed.tolist() == sketch.keyed.tolist()
    assert again.depths.tolist() == sketch.depths.tolist()
    assert again.counts.tolist() == sketch.counts.tolist()


def test_an_empty_dataset_has_a_sketch() -> None:
    """No rows share nothing with anything."""
    empty = Sketch.decode(_sketch(np.empty(0, dtype=np.int64)).encode())
    overlap = empty.overlap(_sketch(np.arange(3)))
    assert overlap is not None
    assert overlap.distinct == 0
    assert empty.repeated == 0


def test_sketches_of_two_secrets_are_not_compared() -> None:
    """Hashes under another secret mean nothing here."""
    assert _sketch(np.arange(3)).overlap(_sketch(np.arange(3), key=Key(bytes(32)))) is None


def test_a_hash_of_a_row_is_not_in_the_bytes() -> None:
    """Only keyed hashes are kept: whoever knows a row cannot look it up without the secret."""
    hashes = _hashes(np.arange(100))
    data = _sketch(np.arange(100)).encode()
    assert not [hash_ for hash_ in hashes if int(hash_).to_bytes(8, "little") in data]


def test_damaged_bytes_are_refused() -> None:
    """Whatever was cut or changed raises ValueError, and no huge memory is taken."""
    data = bytearray(_sketch(np.array([1, 1, 2])).encode())
    for damaged in (data[:20], data[:-1], b"XXXX" + data[4:], data[:4] + b"\x09" + data[5:]):
        with pytest.raises(ValueError, match="sketch"):
            Sketch.decode(bytes(damaged))
    data[-12:-8] = b"\xff\xff\xff\x7f"  # the place of the row that occurs twice
    with pytest.raises(ValueError, match="sketch"):
        Sketch.decode(bytes(data))
