"""What a metric is when many writers logged it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from barograph.errors import StoreError
from barograph.reading import RunView
from barograph.store.sealing import seal

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py


def _pairs(view: RunView, **choice: Any) -> list[tuple[int, float]]:
    metric = view.metric("x", **choice)
    return list(zip(metric.steps.tolist(), metric.values.tolist(), strict=True))


def _write(recorder: Any, *points: tuple[int, float]) -> Any:
    for step, value in points:
        recorder.log({"x": value}, step)
    return recorder


@pytest.fixture(params=["open", "sealed"])
def finish(request: pytest.FixtureRequest) -> Callable[[Any], RunView]:
    """The view of a run, once as journals and once sealed."""

    def view(folder: Any) -> RunView:
        if request.param == "sealed":
            assert seal(folder).problem is None
        return RunView(folder.path)

    return view


def test_points_are_sorted_by_step_then_order_of_writing(begin: Begin, finish: Callable[[Any], RunView]) -> None:
    """Every point is kept, whatever its step."""
    view = finish(_write(begin(), (5, 1.0), (3, 2.0), (5, 3.0), (-1, 4.0)).end())
    assert _pairs(view) == [(-1, 4.0), (3, 2.0), (5, 1.0), (5, 3.0)]
    metric = view.metric("x")
    assert (metric.steps.dtype, metric.values.dtype, metric.times.dtype) == (np.int64, np.float64, np.float64)


def test_a_later_attempt_takes_the_place_of_an_earlier_one(begin: Begin, finish: Callable[[Any], RunView]) -> None:
    """From its first step on, as a training does that goes on from a checkpoint; all points are still there."""
    folder = _write(begin(), (0, 1.0), (1, 1.1), (2, 1.2), (3, 1.3)).end()
    _write(begin(into=folder, attempt=2), (2, 2.2), (3, 2.3)).end()
    _write(begin(into=folder, attempt=3), (3, 3.3), (4, 3.4)).end()
    view = finish(folder)
    assert _pairs(view) == [(0, 1.0), (1, 1.1), (2, 2.2), (3, 3.3), (4, 3.4)]
    assert _pairs(view, attempt=1) == [(0, 1.0), (1, 1.1), (2, 1.2), (3, 1.3)]
    assert _pairs(view, attempt="all") == [
        (0, 1.0), (1, 1.1), (2, 1.2), (2, 2.2), (3, 1.3), (3, 2.3), (3, 3.3), (4, 3.4)
    ]  # fmt: skip
    assert view.summary == {"x": 3.4}
    figures = view.statistics("x")
    assert (figures.count, figures.first_step, figures.max, figures.max_step) == (5, 0, 3.4, 4)


def test_writers_of_one_attempt_are_one_series(begin: Begin, finish: Callable[[Any], RunView]) -> None:
    """A run that was reopened, or whose journal had to be begun anew after a failed sync."""
    folder = _write(begin(), (0, 1.0), (1, 2.0)).end()
    _write(begin(into=folder), (1, 3.0), (2, 4.0)).end()
    view = finish(folder)
    assert _pairs(view) == [(0, 1.0), (1, 2.0), (1, 3.0), (2, 4.0)]
    assert view.statistics("x").count == 4


def test_ranks_are_apart_or_together(begin: Begin, finish: Callable[[Any], RunView]) -> None:
    """Rank 0 unless told otherwise."""
    folder = _write(begin(), (0, 0.0), (1, 0.1)).end()
    _write(begin(into=folder, rank=1), (0, 1.0), (1, 1.1)).end()
    view = finish(folder)
    assert _pairs(view) == [(0, 0.0), (1, 0.1)]
    assert _pairs(view, rank=1) == [(0, 1.0), (1, 1.1)]
    assert sorted(_pairs(view, rank=None)) == [(0, 0.0), (0, 1.0), (1, 0.1), (1, 1.1)]
    assert _pairs(view, rank=2) == []
    assert view.summary == {"x": 0.1}


def test_a_metric_of_another_rank_only_is_summed_up_from_there(begin: Begin) -> None:
    """It is in the list and in the summary."""
    folder = begin().end()
    _write(begin(into=folder, rank=3), (0, 1.0)).end()
    view = RunView(folder.path)
    assert (view.metrics(), view.summary, view.statistics("x").count) == (["x"], {"x": 1.0}, 1)


def test_arrays_are_the_callers_own(begin: Begin) -> None:
    """Changing them changes nothing for the next who asks."""
    view = RunView(_write(begin(), (0, 1.0)).end().path)
    view.metric("x").values[:] = 99.0
    assert view.metric("x").values.tolist() == [1.0]


def test_an_unknown_metric_is_an_error_that_helps(begin: Begin) -> None:
    """It names what comes close."""
    run = begin()
    run.log({"train/loss": 1.0}, 0)
    view = RunView(run.end().path)
    with pytest.raises(StoreError, match="Similar: train/loss"):
        view.metric("train_loss")
    with pytest.raises(ValueError, match="attempt must be"):
        view.metric("train/loss", attempt="newest")  # type: ignore[arg-type]  # the mistake that is tested
