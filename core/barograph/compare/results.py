"""What came out of two trainings, metric by metric: last, best, at an equal step, area, and the way to a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from barograph.keys import best_of, is_better_high, is_telling
from barograph.reading import Metric, RunView
from barograph.store.digest import Statistics

from .uncertainty import welch_interval


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that sums a curve up, on both sides; means where a side has several runs.

    name: last, best, at step N, area, steps to V, seconds to V. interval: of the difference, at 95 %, where both sides
    have several runs. is_better: whether `after` is; None where neither is.
    """

    name: str
    before: float | None
    after: float | None
    runs: tuple[int, int]
    interval: tuple[float, float] | None
    is_better: bool | None

    @property
    def difference(self) -> float | None:
        """After minus before."""
        return None if self.before is None or self.after is None else self.after - self.before

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in (*self.__slots__, "difference")}


@dataclass(frozen=True, slots=True)
class Result:
    """A metric on both sides. is_same: every point is equal to the bit.

    is_better_high: whether more is better, going by its name; None if no value is best.
    """

    key: str
    is_same: bool
    is_better_high: bool | None
    figures: tuple[Figure, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        figures = [figure.as_dict() for figure in self.figures]
        return {"key": self.key, "is_same": self.is_same, "is_better_high": self.is_better_high, "figures": figures}


def results_of(before: Sequence[RunView], after: Sequence[RunView], *, every: bool = False) -> list[Result]:
    """The metrics that both sides have; only those that tell how good a training was, unless every one is asked for."""
    keys = [set.intersection(*(set(view.metrics()) for view in side)) for side in (before, after)]
    return [_result(key, before, after) for key in sorted(keys[0] & keys[1]) if every or is_telling(key)]


def has_the_same_points(one: Metric, other: Metric) -> bool:
    """Whether two curves are equal to the bit, times aside."""
    return len(one) == len(other) and bool((one.steps == other.steps).all()) and first_difference(one, other) is None


def first_difference(one: Metric, other: Metric) -> int | None:
    """The first place at which values of two equally long curves differ in any bit; every NaN is like every other."""
    differ = one.values.view(np.int64) != other.values.view(np.int64)
    differ &= ~(np.isnan(one.values) & np.isnan(other.values))
    places = np.flatnonzero(differ)
    return int(places[0]) if len(places) else None


def _result(key: str, before: Sequence[RunView], after: Sequence[RunView]) -> Result:
    curves = [[_curve(view, key) for view in side] for side in (before, after)]
    everything = [curve for side in curves for curve in side]
    has_best = all(curve.best is not None for curve in everything)
    better_high = is_better_high(key) if has_best else None
    is_single = len(before) == len(after) == 1
    if is_single and has_the_same_points(curves[0][0].metric, curves[1][0].metric):
        return Result(key, True, better_high, (_figure("last", curves, lambda curve: curve.last, better_high),))
    figures = [_figure("last", curves, lambda curve: curve.last, better_high)]
    if has_best:
        figures.append(_figure("best", curves, lambda curve: curve.best, better_high))
    common = _common_steps(everything)
    if len(common):
        step = int(common[-1])
        if any(curve.metric.steps[-1] != step for curve in everything):
            figures.append(_figure(f"at step {step}", curves, lambda curve: curve.at(step), better_high))
    if has_best and len(common) > 1:
        figures.append(_figure("area", curves, lambda curve: curve.area(int(common[0]), int(common[-1])), better_high))
    target = None if better_high is None else _target(everything, better_high)
    if target is not None and better_high is not None and len(common) > 1:
        for name, place in (("steps", 0), ("seconds", 1)):
            way = [[curve.reaches(target, better_high) for curve in side] for side in curves]
            values = [[float(one[place]) for one in side if one is not None] for side in way]
            figures.append(_figure_of(f"{name} to {target:.6g}", values, False))
    return Result(key, False, better_high, tuple(figures))


@dataclass(frozen=True, slots=True)
class _Curve:
    """One run's metric. created: when the run began, Unix seconds."""

    key: str
    metric: Metric
    created: float

    @property
    def last(self) -> float:
        return float(self.metric.values[-1])

    @property
    def best(self) -> float | None:
        statistics = Statistics.of(self.metric.steps, self.metric.times, self.metric.values)
        return best_of(self.key, statistics)[0]

    def at(self, step: int) -> float:
        return float(self.metric.values[np.searchsorted(self.metric.steps, step, side="right") - 1])

    def area(self, first: int, last: int) -> float:
        """The mean height between two steps, by the trapezoidal rule."""
        chosen = (self.metric.steps >= first) & (self.metric.steps <= last) & np.isfinite(self.metric.values)
        steps, values = self.metric.steps[chosen].astype(np.float64), self.metric.values[chosen]
        if len(steps) < 2 or steps[-1] == steps[0]:
            return math.nan
        return float(((values[1:] + values[:-1]) / 2 * np.diff(steps)).sum() / (steps[-1] - steps[0]))

    def reaches(self, target: float, high: bool) -> tuple[int, float] | None:
        """Step, and seconds from the beginning of the run, of the first value that is as good."""
        values = self.metric.values
        places = np.flatnonzero(values >= target if high else values <= target)
        if not len(places):
            return None
        return int(self.metric.steps[places[0]]), float(self.metric.times[places[0]]) - self.created


def _curve(view: RunView, key: str) -> _Curve:
    metric = view.metric(key)
    if not len(metric):
        metric = view.metric(key, rank=None)
    return _Curve(key, metric, view.created)


def _common_steps(curves: list[_Curve]) -> np.ndarray[Any, np.dtype[np.int64]]:
    common = curves[0].metric.steps
    for curve in curves[1:]:
        common = np.intersect1d(common, curve.metric.steps)
    return common


def _target(curves: list[_Curve], high: bool) -> float | None:
    """The best value that all runs reach."""
    bests = [curve.best for curve in curves]
    if any(best is None or not math.isfinite(best) for best in bests):
        return None
    reached = [best for best in bests if best is not None]
    return min(reached) if high else max(reached)


def _figure(
    name: str, curves: list[list[_Curve]], read: Callable[[_Curve], float | None], better_high: bool | None
) -> Figure:
    values = [[value for curve in side if (value := read(curve)) is not None] for side in curves]
    return _figure_of(name, values, better_high)


def _figure_of(name: str, values: list[list[float]], better_high: bool | None) -> Figure:
    means = [float(np.mean(side)) if side else None for side in values]
    interval = welch_interval(values[0], values[1])
    before, after = means
    is_better = None
    # Where the spread between the runs explains a difference, none of the two is better.
    is_told_apart = interval is None or not interval[0] <= 0 <= interval[1]
    if before is not None and after is not None and better_high is not None and is_told_apart:
        is_better = None if before == after or math.isnan(after - before) else (after > before) == better_high
    return Figure(name, before, after, (len(values[0]), len(values[1])), interval, is_better)
