"""Hashes of rows are the same with and without the kernel, in every memory layout, and tell rows apart."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from barograph.data.hashing import (
    add_cells,
    add_sparse,
    add_values,
    below,
    finish,
    has_kernel,
    hash_values,
    mark_missing,
)

needs_kernel = pytest.mark.skipif(not has_kernel(), reason="no kernel")


def _hashes(values: NDArray[np.generic], first: int = 0, native: bool | None = None) -> list[int]:
    sums = np.zeros(len(values), dtype=np.uint64)
    add_values(sums, values, first, native)
    finish(sums, native)
    return [int(hash_) for hash_ in sums]


@needs_kernel
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int16", "int64", "bool", "complex128"])
@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 3), (7, 5, 9), (1, 100), (0, 4), (4, 0)])
def test_kernel_and_numpy_agree_on_numbers(dtype: str, shape: tuple[int, ...]) -> None:
    """Both ways give the same hashes and the same sums, for every width of a row."""
    values = (np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)
    found = []
    for native in (True, False):
        sums = np.zeros(len(values), dtype=np.uint64)
        add_values(sums, values, 5, native)
        found.append((finish(sums, native), sums.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("native", [pytest.param(True, marks=needs_kernel), False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "complex128"])
@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 3), (7, 5, 9), (0, 4), (0,), (4, 0)])
def test_one_pass_is_as_good_as_two(dtype: str, shape: tuple[int, ...], native: bool) -> None:
    """Rows of one field are hashed in one pass, to the same hashes and sums."""
    values = (np.random.default_rng(0).normal(size=(*shape, 2)) * 50).astype(dtype)[..., 0]
    sums = np.zeros(len(values), dtype=np.uint64)
    add_values(sums, values, 5, native)
    hashes, *totals = hash_values(values, 5, native)
    assert tuple(totals) == finish(sums, native)
    assert hashes.tolist() == sums.tolist()


@needs_kernel
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 2**20), max_size=70), st.integers(1, 63))
def test_kernel_and_numpy_keep_the_same_hashes(hashes: list[int], bits: int) -> None:
    """Those below the limit, in their order."""
    words = np.array(hashes, dtype=np.uint64)
    kept = [below(words, bits, native).tolist() for native in (True, False)]
    assert kept[0] == kept[1] == [one for one in hashes if one < 2**bits]


@needs_kernel
@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(0, 2**40))
def test_kernel_and_numpy_agree_on_cells(cells: list[bytes], first: int) -> None:
    """Cells of any bytes and lengths have the same hashes in both ways."""
    data = np.frombuffer(b"".join(cells), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, cells)], dtype=np.int64)
    found = []
    for native in (True, False):
        sums = np.zeros(len(cells), dtype=np.uint64)
        add_cells(sums, data, offsets, first, native)
        found.append((finish(sums, native), sums.tolist()))
    assert found[0] == found[1]


@needs_kernel
def test_kernel_and_numpy_agree_on_stored_values() -> None:
    """The stored values of a sparse matrix, too."""
    starts = np.array([0, 2, 2, 5], dtype=np.int64)
    columns = np.array([0, 7, 1, 2, 100_000], dtype=np.int64)
    words = np.array([1, 2**63, 3, 4, 5], dtype=np.uint64)
    found = []
    for native in (True, False):
        sums = np.zeros(3, dtype=np.uint64)
        add_sparse(sums, starts, columns, words, 9, native)
        found.append((finish(sums, native), sums.tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "view",
    [
        np.asfortranarray,
        lambda cube: np.repeat(cube, 2, axis=0)[::2],
        lambda cube: np.flip(np.flip(cube, 0).copy(), 0),
        lambda cube: np.moveaxis(np.ascontiguousarray(np.moveaxis(cube, 0, -1)), -1, 0),
        lambda cube: np.pad(cube, ((0, 0), (0, 3), (0, 0)))[:, : cube.shape[1]],
    ],
    ids=["Fortran", "every second", "backwards", "rows last", "padded"],
)
@pytest.mark.parametrize("native", [True, False])
def test_the_layout_in_memory_does_not_count(
    view: Callable[[NDArray[np.float32]], NDArray[np.float32]], native: bool
) -> None:
    """The same rows have the same hashes, whatever lies between their bytes."""
    cube = np.random.default_rng(1).normal(size=(30, 4, 5)).astype(np.float32)
    assert _hashes(view(cube), native=native) == _hashes(cube, native=native)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize(
    "rows",
    [
        np.array(list(itertools.product(range(6), repeat=6))),
        np.array(list(itertools.permutations(range(8)))),
        (np.arange(2**15)[:, np.newaxis] >> np.arange(15)) & 1,
        np.eye(500, dtype=int),
    ],
    ids=["digits", "orders", "bits", "one-hot"],
)
def test_rows_that_resemble_each_other_have_different_hashes(dtype: str, rows: NDArray[np.int64]) -> None:
    """Small numbers, permutations and one-hot codings do not collide, nor do the halves of their hashes too often."""
    hashes = _hashes(rows.astype(dtype))
    assert len(set(hashes)) == len(rows)
    expected = len(rows) ** 2 / 2**33
    assert len(rows) - len({hash_ >> 32 for hash_ in hashes}) <= 5 + 5 * expected
    assert len(rows) - len({hash_ & 0xFFFFFFFF for hash_ in hashes}) <= 5 + 5 * expected


def test_signs_of_doubles_count_in_pairs() -> None:
    """Turning two signs at once, which only changes the highest bits of two words, is seen."""
    signs = ((np.arange(2**12)[:, np.newaxis] >> np.arange(12)) & 1) * 2.0 - 1.0
    assert len(set(_hashes(signs))) == len(signs)


def test_a_missing_cell_is_not_a_zero() -> None:
    """A cell that is missing differs from the value that stands in its place."""
    sums = np.zeros(2, dtype=np.uint64)
    mark_missing(sums, np.array([True, False]), 3)
    assert sums[0] != sums[1] == 0


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("offsets", [[0, 5], [3, 1], [-1, 2]])
def test_offsets_that_lead_astray_are_refused(native: bool, offsets: list[int]) -> None:
    """Cells beyond the bytes raise ValueError and read nothing."""
    with pytest.raises(ValueError, match="offsets"):
        add_cells(
            np.zeros(1, dtype=np.uint64), np.zeros(4, dtype=np.uint8), np.array(offsets, dtype=np.int64), 0, native
        )


@needs_kernel
def test_the_kernel_refuses_contradictions() -> None:
    """Addresses of nothing and negative counts are errors, not crashes."""
    from barograph.data import _rows

    for call in (
        lambda: _rows.add(0, 0, 5, 8, 8, 0),
        lambda: _rows.add(8, 8, -1, 8, 8, 0),
        lambda: _rows.add(8, 8, 2**62, 8, 8, 0),
        lambda: _rows.finish(0, 3),
        lambda: _rows.add_sparse(8, 0, 1, 0, 0, 0, 0),
        lambda: _rows.add_cells(0, 0, 0, 0, 1, 0),
    ):
        with pytest.raises(ValueError, match="out of range"):
            call()


@pytest.mark.skipif(sys.byteorder != "little", reason="values are written for little endian")
def test_a_hash_never_changes() -> None:
    """Fingerprints of different versions can be compared: these values are for ever."""
    assert _hashes(np.arange(3.0)) == [14691664578753773321, 16296266525876185849, 15135982055372599629]
