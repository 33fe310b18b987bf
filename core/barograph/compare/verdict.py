"""Whether one run repeats another: to the bit, or from which step and metric on it does not, or why nobody can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from barograph.keys import is_inside, is_measured, is_position, is_telling
from barograph.reading import Metric, RunView

from .causes import Cause, causes_of
from .data import data_changes
from .results import first_difference

_OVER = ("finished", "failed", "interrupted", "killed")


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first point at which two runs part. before, after: None for a point that is missing there."""

    step: int
    metric: str
    rank: int
    before: float | None
    after: float | None
    also: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        """After minus before."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def text(self) -> str:
        """In words."""
        where = f"{self.metric} at step {self.step}" + (f", rank {self.rank}" if self.rank else "")
        if self.difference is None:
            return f"{where} is missing in the {'second' if self.after is None else 'first'}"
        relative = f" ({self.difference / abs(self.before):+.2g} of it)" if self.before else ""
        return f"{where}: {self.before!r} and {self.after!r}, {self.difference:+.3g}{relative}"


@dataclass(slots=True)
class Verdict:
    """kind: "identical" to the bit, "differs", or "not comparable".

    reason: why it is not comparable, or what differs where no metric does. compared: how much was looked at.
    not_compared: metrics that a clock or the machine decides. weights: the tensors that differ at the end.
    """

    kind: str
    before: RunView
    after: RunView
    reason: str | None = None
    first: Divergence | None = None
    weights: list[str] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    compared: dict[str, int] = field(default_factory=dict)
    not_compared: list[str] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0 identical, 1 differs, 2 not comparable."""
        return {"identical": 0, "differs": 1}.get(self.kind, 2)

    def as_dict(self) -> dict[str, Any]:
        """As JSON. Any: JSON."""
        first = self.first
        return {
            "verdict": self.kind,
            "before": {"id": self.before.id, "name": self.before.name},
            "after": {"id": self.after.id, "name": self.after.name},
            "reason": self.reason,
            "first": first
            and {name: getattr(first, name) for name in (*first.__slots__, "difference")} | {"also": list(first.also)},
            "weights": self.weights,
            "causes": [cause.as_dict() for cause in self.causes],
            "compared": self.compared,
            "not_compared": self.not_compared,
        }


def judge(before: RunView, after: RunView) -> Verdict:
    """Compare all metrics at every step, rank by rank, and the weights at the end; say where and why they part."""
    verdict = Verdict("not comparable", before, after)
    if reason := _obstacle(before, after):
        verdict.reason = reason
        return verdict
    verdict.not_compared = sorted(key for key in {*before.metrics(), *after.metrics()} if is_measured(key))
    partings = list(_partings(before, after, verdict))
    verdict.weights, weights_compared = _weights(before, after)
    verdict.compared["weights"] = weights_compared
    children = _children(before, after)
    if partings:
        verdict.kind, verdict.first = "differs", _first(partings)
    elif verdict.weights:
        verdict.kind, verdict.reason = "differs", "the weights at the end differ, though no metric does"
    elif other := next((one for one in children if one.kind != "identical"), None):
        verdict.kind, verdict.first, verdict.weights = other.kind, other.first, other.weights
        verdict.reason = f"its part {other.before.name}: {other.reason or 'differs'}"
        verdict.causes = other.causes
    elif not verdict.compared["points"] and not weights_compared and not children:
        verdict.reason = "no metric and no weights were recorded by both"
    elif unfinished := _unfinished(before, after):
        verdict.reason = f"{unfinished}; what both recorded is identical to the bit"
    else:
        verdict.kind = "identical"
        notes = [] if before.status == "finished" else [f"both are {before.status}"]
        other_data = [f"{one.name}: {one.text}" for one in data_changes(before, after) if one.kind != "same"]
        notes += [f"though the data are not the same ({'; '.join(other_data)})"] if other_data else []
        verdict.reason = ", ".join(notes) or None
    if verdict.kind == "differs" and not verdict.causes:
        verdict.causes = causes_of(before, after)
    return verdict


def _obstacle(before: RunView, after: RunView) -> str | None:
    for view in (before, after):
        if view.status not in _OVER:
            return f"{view.name} is {view.status}"
    if before.ranks != after.ranks:
        return f"{before.name} was written by {len(before.ranks)} processes, {after.name} by {len(after.ranks)}"
    if not before.metrics() and not before.weights():
        return f"{before.name} holds no metrics" + (f": it {before.status}" if before.status != "finished" else "")
    if not after.metrics() and not after.weights() and after.status != "finished":
        error = f": {after.error.type}: {after.error.message}" if after.error else ""
        return f"{after.name} {after.status} before it recorded anything{error}"
    return None


def _unfinished(before: RunView, after: RunView) -> str | None:
    """Why two runs that agree may still not be called identical: one of them came to no end, or to another one."""
    if before.status == after.status:
        return None
    return f"{before.name} is {before.status}, {after.name} is {after.status}"


def _partings(before: RunView, after: RunView, verdict: Verdict) -> Iterator[tuple[int, float, Divergence]]:
    """For each metric that parts: step, when it was written, and how."""
    points = keys_compared = 0
    unfinished = before.status != after.status
    events = [event for view in (before, after) for event in view.events("results_left_out")]
    left_out = tuple(f"{event.data.get('dataset')}/" for event in events)
    for key in sorted({*before.metrics(), *after.metrics()}):
        if is_measured(key):
            continue
        keys_compared += 1
        for rank in before.ranks:
            one, other = _points(before, key, rank), _points(after, key, rank)
            # Written as far as time allowed; a position stands beside what was.
            if is_inside(key) or is_position(key) or (key.startswith(left_out) and is_telling(key)):
                one, other = _at_common_steps(one, other)
            points += min(len(one), len(other))
            parting = _parting(key, rank, one, other)
            if parting is None or (unfinished and None in (parting.before, parting.after)):
                continue
            view, metric = (before, one) if parting.before is not None else (after, other)
            written = metric.times[np.searchsorted(metric.steps, parting.step)]
            yield parting.step, float(written) - view.created, parting
    verdict.compared |= {"metrics": keys_compared, "points": points, "ranks": len(before.ranks)}


def _parting(key: str, rank: int, one: Metric, other: Metric) -> Divergence | None:
    shared = min(len(one), len(other))
    other_step = np.flatnonzero(one.steps[:shared] != other.steps[:shared])
    end = int(other_step[0]) if len(other_step) else shared
    place = first_difference(_first_points(one, end), _first_points(other, end))
    if place is not None:
        return Divergence(int(one.steps[place]), key, rank, float(one.values[place]), float(other.values[place]))
    if len(one) == len(other) == end:
        return None
    steps = [int(metric.steps[end]) if end < len(metric) else None for metric in (one, other)]
    if steps[1] is None or (steps[0] is not None and steps[0] < steps[1]):
        return Divergence(int(one.steps[end]), key, rank, float(one.values[end]), None)
    return Divergence(int(other.steps[end]), key, rank, None, float(other.values[end]))


def _first(partings: list[tuple[int, float, Divergence]]) -> Divergence:
    """The earliest step; of its metrics one that tells how good a training is and was written first, and the others."""
    step = min(parting[0] for parting in partings)
    at_step = sorted((one for one in partings if one[0] == step), key=_in_order)
    first = at_step[0][2]
    also = dict.fromkeys(one[2].metric for one in at_step[1:] if one[2].metric != first.metric)
    return Divergence(step, first.metric, first.rank, first.before, first.after, tuple(also))


def _in_order(parting: tuple[int, float, Divergence]) -> tuple[int, bool, float, str]:
    divergence = parting[2]
    return (
        divergence.rank,
        not is_telling(divergence.metric),
        *parting[1:2],
        divergence.metric,
    )


def _weights(before: RunView, after: RunView) -> tuple[list[str], int]:
    """The tensors that differ after the first fit that left any so, and how many sets of weights were compared."""
    compared = 0
    for rank in before.ranks:
        for one, other in zip(before.weights(rank), after.weights(rank), strict=False):
            compared += 1
            if one.digest != other.digest:
                names = [name for name in {**one.each, **other.each} if one.each.get(name) != other.each.get(name)]
                return names or ["all of them"], compared
    return [], compared


def _children(before: RunView, after: RunView) -> list[Verdict]:
    """The parts of a search, each against the one with the same settings."""
    if not before.children():
        return []
    old, new = (sorted(view.children(), key=lambda one: repr(sorted(one.params.items()))) for view in (before, after))
    if len(old) != len(new):
        return [Verdict("not comparable", before, after, f"{len(old)} and {len(new)} parts")]
    return [judge(one, other) for one, other in zip(old, new, strict=True)]


def _points(view: RunView, key: str, rank: int) -> Metric:
    return view.metric(key, rank) if key in view.metrics() else _NOTHING


def _first_points(metric: Metric, count: int) -> Metric:
    return Metric(metric.steps[:count], metric.values[:count], metric.times[:count])


def _at_common_steps(one: Metric, other: Metric) -> tuple[Metric, Metric]:
    chosen = [np.isin(metric.steps, against.steps) for metric, against in ((one, other), (other, one))]
    pair = zip((one, other), chosen, strict=True)
    first, second = (Metric(metric.steps[where], metric.values[where], metric.times[where]) for metric, where in pair)
    return first, second


_NOTHING = Metric(np.empty(0, np.int64), np.empty(0), np.empty(0))
