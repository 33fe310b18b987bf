"""The figures of a metric are right however its points were split, and a digest survives JSON, even a stranger's."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph.store.digest import Damage, Statistics, WriterDigest, as_float, merged

_POINTS = st.lists(st.tuples(st.integers(-5, 5), st.floats(width=32)), min_size=2, max_size=20)


def _figures(points: list[tuple[int, float]]) -> Statistics:
    steps, values = np.array([step for step, _ in points]), np.array([value for _, value in points], np.float64)
    return Statistics.of(steps, np.arange(len(points), dtype=np.float64), values)


@given(_POINTS, st.integers(1, 19))
def test_figures_of_parts_merge_into_those_of_the_whole(points: list[tuple[int, float]], at: int) -> None:
    """Count, extremes and last, wherever the points are cut; NaN is never an extreme."""
    at = min(at, len(points) - 1)
    whole, parts = _figures(points), _figures(points[:at]).merged(_figures(points[at:]))
    for name in ("count", "first_step", "last_step", "min", "min_step", "max", "max_step"):
        assert getattr(parts, name) == getattr(whole, name), name
    assert parts.last == whole.last or (math.isnan(parts.last) and math.isnan(whole.last))
    known = [value for _, value in points if not math.isnan(value)]
    assert (whole.min, whole.max) == ((min(known), max(known)) if known else (None, None))


def test_last_is_the_newest_value_at_the_greatest_step() -> None:
    """Not the one that was written last."""
    assert _figures([(3, 1.0), (5, 2.0), (5, 3.0), (4, 4.0)]).last == 3.0


def _digest() -> WriterDigest:
    return WriterDigest(
        "a2-r1-abcdefgh",
        header={"pid": 1, "created": 5.0},
        statistics={"a/b": _figures([(0, math.nan)]), "\ud800": _figures([(1, math.inf)])},
        config={"lr": 0.1},
        damage=Damage(lost_frames=2, places=["bytes 1 to 2: x"]),
    )


def test_a_digest_survives_json() -> None:
    """With NaN, infinities and keys that are no valid Unicode."""
    digest = _digest()
    again = WriterDigest.from_json(json.loads(json.dumps(digest.to_json())))
    assert repr(again) == repr(digest)
    assert (again.attempt, again.rank) == (2, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"statistics": {"a": [1, 2]}},
        {"statistics": [1]},
        {"statistics": {"a": [[], 0, 0, 0, 0, 0, 0, 0, 0]}},
        {"damage": {"surprise": 1}},
        {"records": "many"},
        {"header": None, "writer_id": None, "damage": None},
    ],
)
def test_a_digest_that_is_none_is_refused(change: dict[str, Any]) -> None:
    """With an error that the caller expects."""
    with pytest.raises((ValueError, TypeError, KeyError)):
        WriterDigest.from_json({**_digest().to_json(), **change})


def test_a_configuration_without_bottom_is_cut() -> None:
    """What is nested deeper than anybody's configuration is left out, and nothing recurses into it."""
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    digest = WriterDigest.from_json({**_digest().to_json(), "config": deep})
    assert "(nested too deeply)" in json.dumps(digest.config)


def test_later_configuration_wins() -> None:
    """Deep inside as well, and neither side is changed."""
    earlier = {"a": {"x": 1, "y": 2}, "b": 1}
    assert merged(earlier, {"a": {"y": 3}, "b": {"z": 4}}) == {"a": {"x": 1, "y": 3}, "b": {"z": 4}}
    assert earlier == {"a": {"x": 1, "y": 2}, "b": 1}


def test_numbers_out_of_json_may_be_anything() -> None:
    """Also ones that no double can hold."""
    assert [as_float(one) for one in (1, 2.5, None, "3", 10**400)] == [1.0, 2.5, None, None, None]
