"""Fingerprints: what makes two pieces of data the same, and what does not."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph.data.fingerprint import Scan
from barograph.data.sources import parts_of

from .reading_in import ordered, scan_of, unordered

X = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
Y = np.arange(500) % 3


def test_the_order_of_the_rows_counts_for_one_of_the_two() -> None:
    """Shuffled rows have another ordered and the same unordered fingerprint."""
    order = np.random.default_rng(1).permutation(len(X))
    assert ordered(X[order]) != ordered(X)
    assert unordered(X[order]) == unordered(X)


@pytest.mark.parametrize(
    "change",
    [
        lambda: X.astype(np.float64),
        lambda: X[:-1],
        lambda: np.concatenate((X, X[:1])),
        lambda: X[:, ::-1],
        lambda: X.reshape(500, 2, 3),
        lambda: np.where(np.arange(500)[:, None] == 77, np.nextafter(X, np.float32(9)), X),
        lambda: np.where(X[3, 2] == X, np.float32(np.nan), X),
        lambda: X.view(np.int32),
        lambda: pd.DataFrame(X),
    ],
    ids=["type", "a row less", "a row twice", "columns", "shape", "one bit", "a NaN", "same bits", "column names"],
)
def test_what_a_model_would_see_differently_is_another_fingerprint(change: Callable[[], object]) -> None:
    """Any change of values, types, shapes, names or number of rows shows in both fingerprints."""
    assert ordered(change()) != ordered(X)
    assert unordered(change()) != unordered(X)


def test_zeros_of_two_signs_differ() -> None:
    """The bits of values count."""
    assert ordered(np.array([0.0])) != ordered(np.array([-0.0]))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_row_twice_is_not_another_row_twice(dtype: str) -> None:
    """Sums of hashes tell which rows are repeated."""
    numbers = np.arange(4).astype(dtype)
    assert unordered(numbers[[0, 0, 1, 2]]) != unordered(numbers[[0, 1, 1, 2]])


def test_labels_and_weights_count_and_so_does_which_row_they_belong_to() -> None:
    """The whole is told from the inputs alone, and labels exchanged between rows from the right ones."""
    exchanged = Y.copy()
    exchanged[[0, 1]] = exchanged[[1, 0]]
    assert len({unordered(X), unordered(X, Y), unordered(X, exchanged), unordered(X, Y, Y * 1.0)}) == 4
    scans = scan_of(X, Y), scan_of(X, exchanged)
    assert scans[0].fingerprint_of("inputs") == scans[1].fingerprint_of("inputs") == scan_of(X).fingerprint_of("inputs")
    assert scans[0].fingerprint_of("labels") != scans[1].fingerprint_of("labels")


@given(st.lists(st.integers(0, 500), max_size=12))
def test_where_blocks_end_makes_no_difference(ends: list[int]) -> None:
    """Any division into batches, empty ones as well, gives the fingerprints of the whole."""
    scan = Scan()
    edges = [0, *sorted(ends), 500]
    for start, stop in itertools.pairwise(edges):
        scan.add(parts_of(X[start:stop], Y[start:stop]), 0, stop - start)  # type: ignore[arg-type]  # arrays are tables
    assert scan.fingerprint() == scan_of(X, Y).fingerprint()


def test_batches_of_several_widths_are_taken() -> None:
    """Texts padded to the longest of their batch have rows of several shapes."""
    scan = Scan()
    for width in (3, 5):
        scan.add(parts_of(np.ones((4, width))), 0, 4)  # type: ignore[arg-type]  # arrays are tables
    assert scan.rows == 8
    assert scan.fingerprint()["ordered"] != ordered(np.ones((8, 5)))


def test_names_that_occur_twice_are_kept_apart() -> None:
    """Two columns of one name are two columns."""
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
    assert ordered(frame) != ordered(frame.iloc[:, ::-1])


@pytest.mark.parametrize("rows", [np.empty((0, 3)), np.empty((3, 0)), np.empty(0), []], ids=str)
def test_nothing_has_a_fingerprint(rows: object) -> None:
    """No rows, or rows of nothing, are data as well."""
    assert len(ordered(rows)) == 32


def test_a_fingerprint_never_changes() -> None:
    """Runs of different versions can be compared: these values are for ever."""
    inputs = np.arange(6.0).reshape(3, 2)
    assert scan_of(inputs).fingerprint() == {
        "ordered": "b5b941fa829734f4779381db58e67284",
        "unordered": "b82e793182728bbf716406d22604ab62",
    }
    assert scan_of(inputs, np.arange(3)).fingerprint() == {
        "ordered": "16a24d1314ea18b6193ef74ef509b77d",
        "unordered": "c046d625155a247dc93a7e57adeb44ee",
    }
