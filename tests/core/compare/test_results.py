"""What came of two trainings is summed up per metric, with how sure a difference is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import barograph
from barograph.compare import diff
from barograph.compare.results import Result
from barograph.compare.uncertainty import student_quantile, welch_interval


def _run(values: list[float], key: str = "val/loss", **options: Any) -> str:
    with barograph.init(quiet=True, **options) as run:
        for step, value in enumerate(values):
            run.log({key: value}, step=step)
    return str(run.id)


def _figures(result: Result) -> dict[str, Any]:
    return {figure.name: figure for figure in result.figures}


def test_a_curve_is_summed_up_in_both_runs(store: Path) -> None:
    """Last, best, area, the way to a value that both reach; the first of several steps is shared."""
    (result,) = diff(_run([4.0, 1.0, 2.0]), _run([4.0, 2.0, 1.5])).results
    figures = _figures(result)
    assert (figures["last"].before, figures["last"].after, figures["last"].is_better) == (2.0, 1.5, True)
    assert (figures["best"].before, figures["best"].after, figures["best"].is_better) == (1.0, 1.5, False)
    assert (figures["area"].before, figures["area"].after) == (2.0, 2.375)
    assert (figures["steps to 1.5"].before, figures["steps to 1.5"].after) == (1.0, 2.0)
    assert figures["seconds to 1.5"].before > 0


def test_runs_of_different_lengths_are_compared_at_an_equal_step(store: Path) -> None:
    """The last step that both came to."""
    (result,) = diff(_run([4.0, 3.0, 2.0]), _run([5.0, 4.0])).results
    assert (_figures(result)["at step 1"].before, _figures(result)["at step 1"].after) == (3.0, 4.0)


def test_more_is_better_of_an_accuracy(store: Path) -> None:
    """Going by the name, as everywhere else."""
    (result,) = diff(_run([0.5], "val/accuracy"), _run([0.6], "val/accuracy")).results
    assert _figures(result)["last"].is_better is True


def test_no_value_of_a_learning_rate_is_better(store: Path) -> None:
    """It was chosen."""
    (result,) = diff(_run([0.5], "lr"), _run([0.6], "lr")).results
    assert {figure.is_better for figure in result.figures} == {None}


def test_values_that_are_not_finite_raise_nothing(store: Path) -> None:
    """NaN and infinity are results as well."""
    (result,) = diff(_run([math.nan, math.inf]), _run([1.0, math.nan])).results
    assert _figures(result)["last"].is_better is None


def test_groups_are_compared_with_their_spread(store: Path) -> None:
    """A difference that the spread explains is called neither better nor worse."""
    for value in (1.0, 1.1, 0.9):
        _run([value], group="a")
        _run([value - 0.5], group="b")
        _run([value + 0.01], group="c")
    clear = _figures(diff("group:a", "group:b").results[0])["last"]
    unclear = _figures(diff("group:a", "group:c").results[0])["last"]
    assert clear.runs == (3, 3)
    assert clear.interval is not None
    assert clear.interval[0] < -0.5 < clear.interval[1] < 0
    assert (clear.is_better, unclear.is_better) == (True, None)


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.7062), (2, 4.3027), (4.5, 2.6589), (30, 2.0423), (1e6, 1.95997)])
def test_students_quantiles_are_those_of_the_tables(freedom: float, t: float) -> None:
    """At 95 %, two-sided."""
    assert student_quantile(freedom, 0.95) == pytest.approx(t, abs=2e-4)


def test_one_run_a_side_has_no_interval() -> None:
    """Nothing is known of the spread."""
    assert welch_interval([1.0], [2.0, 3.0]) is None
    assert welch_interval([1.0, 1.0], [2.0, 2.0]) == (1.0, 1.0)
