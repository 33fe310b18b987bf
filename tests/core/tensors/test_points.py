"""Which points are written of statistics."""

import math

import numpy as np
import pytest

from barograph.tensors.compute import of_arrays
from barograph.tensors.points import norm_of, points_of


def test_a_tensor_has_norm_mean_and_spread() -> None:
    """Under its kind and name."""
    (record,) = of_arrays([np.array([3.0, -4.0])])
    found = points_of("weights", {"out/kernel": record})
    assert found == pytest.approx(
        {"weights/out/kernel/norm": 5.0, "weights/out/kernel/mean": -0.5, "weights/out/kernel/std": 3.5}
    )


def test_an_activation_has_its_share_of_zeros_for_a_norm() -> None:
    """What a layer puts out is judged by how much of it is silent."""
    (record,) = of_arrays([np.array([0.0, 0.0, 0.0, 4.0])])
    found = points_of("activations", {"hidden": record})
    assert found == pytest.approx(
        {
            "activations/hidden/zero_fraction": 0.75,
            "activations/hidden/mean": 1.0,
            "activations/hidden/std": math.sqrt(3),
        }
    )


def test_what_is_not_finite_is_counted_where_there_is_any() -> None:
    """And the figures are those of the rest."""
    broken, whole = of_arrays([np.array([np.nan, np.inf, 2.0]), np.array([2.0])])
    found = points_of("gradients", {"broken": broken, "whole": whole})
    assert found["gradients/broken/not_finite"] == 2
    assert found["gradients/broken/norm"] == 2
    assert "gradients/whole/not_finite" not in found


def test_the_norm_of_several_is_that_of_one_long_vector() -> None:
    """Of none it is 0."""
    assert norm_of(of_arrays([np.array([3.0]), np.array([4.0])])) == pytest.approx(5.0)
    assert norm_of([]) == 0.0
