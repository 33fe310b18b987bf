"""Drift: nothing for the same distribution, more the further a feature has moved."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from barograph.data.drift import MOVED_FROM, STABLE_BELOW, Drift, drift_of_counts, drift_of_numbers
from barograph.tensors.compute import of_arrays

NORMAL = np.random.default_rng(0).normal(size=20_000)


def _drift(one: NDArray[np.float64], other: NDArray[np.float64]) -> Drift:
    records = of_arrays([one, other], sampling=1)
    found = drift_of_numbers("x", records[0], records[1], (0.0, 0.0))
    assert found is not None
    return found


def test_the_same_values_do_not_drift() -> None:
    """Every measure is zero."""
    found = _drift(NORMAL, NORMAL.copy())
    assert (found.psi, found.js, found.distance) == (0.0, 0.0, 0.0)


def test_two_samples_of_one_distribution_are_stable() -> None:
    """Chance alone stays far below what counts as moved."""
    found = _drift(NORMAL, np.random.default_rng(1).normal(size=20_000))
    assert found.psi < STABLE_BELOW / 5
    assert found.js < 0.05


@pytest.mark.parametrize(
    ("other", "distance"), [(NORMAL + 1, 1.0), (NORMAL - 2, 2.0), (NORMAL * 3, 1.6)], ids=["up", "down", "wider"]
)
def test_a_moved_feature_is_seen(other: NDArray[np.float64], distance: float) -> None:
    """The distance is in standard deviations of the first."""
    found = _drift(NORMAL, other)
    assert found.psi > MOVED_FROM
    assert found.distance == pytest.approx(distance, rel=0.1)
    assert found.mean == pytest.approx((NORMAL.mean(), other.mean()))


def test_the_index_is_that_of_its_definition() -> None:
    """Over tenths of the first, as a count of the values themselves gives it, but for the bins."""
    other = NORMAL + 0.3
    edges = np.quantile(NORMAL, np.arange(1, 10) / 10)
    shares = [np.bincount(np.searchsorted(edges, side), minlength=10) / len(side) for side in (NORMAL, other)]
    expected = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    assert _drift(NORMAL, other).psi == pytest.approx(expected, rel=0.1)


def test_a_constant_that_changes_has_moved() -> None:
    """Two constants differ, the same constant does not."""
    assert _drift(np.full(50, 2.0), np.full(50, 3.0)).psi > MOVED_FROM
    assert _drift(np.full(50, 2.0), np.full(70, 2.0)).psi == 0.0


def test_a_feature_of_few_values_is_compared_value_by_value() -> None:
    """A switch that is on twice as often has moved."""
    one, other = np.repeat([0.0, 1.0], [800, 200]), np.repeat([0.0, 1.0], [400, 600])
    assert _drift(one, other).psi > MOVED_FROM
    assert _drift(one, np.repeat([0.0, 1.0], [80, 20])).psi < 0.01


def test_categories_are_compared_by_their_shares() -> None:
    """Shares, not counts; a category that is new or gone counts."""
    same = drift_of_counts("c", {"a": 10, "b": 30}, {"a": 1, "b": 3})
    new = drift_of_counts("c", {"a": 1}, {"b": 1})
    assert same is not None
    assert new is not None
    assert same.psi == pytest.approx(0.0)
    assert new.js == pytest.approx(1.0)


def test_nothing_is_said_of_nothing() -> None:
    """A feature without a value on one side has no drift."""
    empty, full = of_arrays([np.array([np.nan]), NORMAL], sampling=1)
    assert drift_of_numbers("x", empty, full, (1.0, 0.0)) is None
    assert drift_of_counts("c", {}, {"a": 1}) is None
