"""Looks into a booster while it grows: the trees of a round, and now and then the importance of the features."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xgboost import Booster

from barograph.integrations.xgboost.model import importance, importance_kinds
from barograph.integrations.xgboost.trees import Trees, newest_trees
from barograph.run import Run
from barograph.tensors.compute import of_arrays
from barograph.tensors.schedule import ALWAYS, Schedule

_FIRST_ROUNDS = 20
_BUDGET_SHARE = 0.25  # of the run's overhead budget; the rest is for the records that every round gets, and the end
_IMPORTANCE_EVERY = 10  # rounds, of those that are looked into
_IMPORTANCE_S = 0.001  # what it is taken to cost until it was measured
_MOST_FEATURES = 50
# Up to this size the whole model is saved to see its newest trees, 5 us a kB; to cut out a round takes 400 us and more.
_WHOLE_MODEL_BYTES = 64 * 1024


class Looks:
    """What is found in the boosters of one training, written to the run at the step of the round.

    Trees: `trees/round/depth`, `trees/round/leaves`; `trees/leaf_values` and `trees/gains` as histograms, with their
    norm, mean and std. Linear models: `weights/coefficients` likewise. `importance/<kind>/<feature>` for at most 50
    features, the first to be among the most important; several coefficients of a feature count by their norm. Under
    cv() each key ends in `/fold<n>`.

    Looked into are the first three rounds (only one where rounds are cheaper than looks), as many of the first 20 as
    the budget allows, then every 50th, or fewer.
    every: a period that the user fixed. The boosters stay as they were, and nothing here draws a random number.
    """

    def __init__(self, run: Run, config: Mapping[str, Any], is_new: bool, every: int | None) -> None:
        self._run = run
        self._kinds = importance_kinds(config)
        self._is_linear = config["gradient_booster"]["name"] == "gblinear"
        self._is_fixed = every is not None
        self._schedule = Schedule(every, None, _FIRST_ROUNDS)
        # A model that goes on may have had other numbers of trees in a round: only cut out rounds are told apart then.
        self._bytes_a_round = 0.0 if is_new else math.inf
        self._features: dict[str, list[str]] = {}  # by fold, as the end of the keys names it
        self._written: dict[str, int] = {}  # the step of the newest importance
        self._cost_s = self._look_s = 0.0  # of all looks, and of the newest one
        self._looked_s = 0.0  # when that was
        self._importance_s = _IMPORTANCE_S
        self._has_told_widened = False

    def are_due(self, number: int) -> bool:
        """Whether to look into a round. number: of the round in this training, from 0."""
        if number >= _FIRST_ROUNDS and number % self._schedule.period:  # what most rounds are asked
            return False
        if not self._is_fixed and 0 < number < ALWAYS and self._look_s > time.perf_counter() - self._looked_s:
            return False  # a round is cheaper than a look
        next_s = self._look_s + self._has_importance(number) * self._importance_s
        return self._schedule.wants(number, self._run.overhead_budget * _BUDGET_SHARE, lambda: self._cost_s, next_s)

    def look(self, boosters: Sequence[Booster], number: int, step: int) -> None:
        """Look into a round."""
        began_s = time.perf_counter()
        for booster, suffix in _named(boosters):
            self._look_into(booster, suffix, step)
        self._looked_s = time.perf_counter()
        self._look_s = self._looked_s - began_s
        if self._has_importance(number):
            for booster, suffix in _named(boosters):
                self._record_importance(importance(booster, self._kinds), suffix, step)
            self._importance_s = time.perf_counter() - self._looked_s
        self._cost_s += time.perf_counter() - began_s
        if self._schedule.is_widened and not self._has_told_widened:
            self._has_told_widened = True
            reason = f"looks cost more than the overhead budget of {self._run.overhead_budget:.0%} leaves for them"
            self._run.event("watch_widened", log_every=self._schedule.period, reason=reason)

    def finish(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """Write the importance at the end of the training. rows: as portray() gives them."""
        for fold in dict.fromkeys(row.get("fold") for row in rows):
            suffix = "" if fold is None else f"/fold{fold}"
            self._record_importance([row for row in rows if row.get("fold") == fold], suffix, step)

    def _record_importance(self, rows: Sequence[Mapping[str, Any]], suffix: str, step: int) -> None:
        if self._written.get(suffix) == step:
            return
        self._written[suffix] = step
        kept = self._features.setdefault(suffix, [])
        kept += [row["feature"] for row in rows if row["feature"] not in kept][: _MOST_FEATURES - len(kept)]
        found = {row["feature"]: row for row in rows}
        values = {
            f"importance/{kind}/{feature}{suffix}": _number(found[feature][kind])
            for kind in self._kinds
            for feature in kept
            if feature in found
        }
        if values:
            self._run.log_scalars(tuple(values), list(values.values()), step)

    def _has_importance(self, number: int) -> bool:
        return number > 0 and number % _IMPORTANCE_EVERY == 0

    def _look_into(self, booster: Booster, suffix: str, step: int) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        values: dict[str, float] = {}
        if self._is_linear:
            (kind,) = self._kinds
            scores = booster.get_score(importance_type=kind)
            arrays["weights/coefficients"] = np.array(list(scores.values()), np.float32)
        else:
            trees = self._newest_trees(booster)
            counts = {"depth": trees.max_depth, "leaves": trees.leaves}
            values = {f"trees/round/{name}{suffix}": float(count) for name, count in counts.items()}
            arrays |= {"trees/leaf_values": trees.leaf_values(), "trees/gains": trees.gains()}
        arrays = {key: array for key, array in arrays.items() if array.size}
        statistics = dict(zip(arrays, of_arrays(list(arrays.values())), strict=True))
        for key, one in statistics.items():
            figures = {"norm": one.l2, "mean": one.mean, "std": one.std}
            values |= {f"{key}/{name}{suffix}": figure for name, figure in figures.items()}
        self._run.log_scalars(tuple(values), list(values.values()), step)
        self._run.log_statistics({key + suffix: one for key, one in statistics.items()}, step)

    def _newest_trees(self, booster: Booster) -> Trees:
        rounds = booster.num_boosted_rounds()
        if rounds * self._bytes_a_round > _WHOLE_MODEL_BYTES:
            return Trees(booster[rounds - 1 : rounds].save_raw("ubj"))
        raw = booster.save_raw("ubj")
        self._bytes_a_round = len(raw) / rounds
        return newest_trees(raw, rounds)


def _named(boosters: Sequence[Booster]) -> list[tuple[Booster, str]]:
    """Each booster with what its keys end in."""
    if len(boosters) == 1:
        return [(boosters[0], "")]
    return [(booster, f"/fold{fold}") for fold, booster in enumerate(boosters)]


def _number(score: float | list[float]) -> float:
    return float(np.linalg.norm(score)) if isinstance(score, list) else score
