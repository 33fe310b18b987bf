"""How much each feature adds to what a model says of a few fixed rows, over the rounds: `log_shap=N`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from xgboost import Booster
from xgboost.core import XGBoostError

from barograph.integrations.xgboost.call import Call
from barograph.integrations.xgboost.rows import Rows, chosen_rows, cut_out_of_bins
from barograph.run import Run

_EVERY = 10  # rounds
_BUDGET_SHARE = 0.25  # of the run's overhead budget
_MOST_FEATURES = 50


class Contributions:
    """Writes `shap/<feature>`: the mean size of a feature's SHAP values over the rows that rows.py chooses.

    Every tenth round has them as long as that stays within a quarter of the run's overhead budget, and the last round
    always; that also has a table `shap/<data set>` of each row's own. Of more than 50 features those have a series that
    were the strongest at first. An event says so where there are no SHAP values: vector leaves, external memory.
    """

    def __init__(self, run: Run, count: int, call: Call) -> None:
        self._run = run
        self._sets = chosen_rows(call, count)
        self._began_s = time.perf_counter()
        self._cost_s = 0.0
        self._kept: list[int] | None = None  # places of features
        self._is_possible = True
        try:
            self._sets = [cut_out_of_bins(rows) for rows in self._sets]
        except XGBoostError as error:
            self._leave_out(error)

    def record(self, boosters: Sequence[Booster], number: int, step: int, is_last: bool = False) -> None:
        """Write what a round comes to, if its turn has come. number: of the round in this training."""
        start_s = time.perf_counter()
        budget_s = self._run.overhead_budget * _BUDGET_SHARE * (start_s - self._began_s)
        if not self._is_possible or not (is_last or (number % _EVERY == 0 and self._cost_s <= budget_s)):
            return
        for place, rows in enumerate(self._sets):
            booster = boosters[place] if len(boosters) > 1 else boosters[0]
            try:
                self._record(booster, rows, f"/fold{place}" if len(boosters) > 1 else "", step, is_last)
            except XGBoostError as error:
                self._leave_out(error)
                return
        self._cost_s += time.perf_counter() - start_s

    def _record(self, booster: Booster, rows: Rows, suffix: str, step: int, is_last: bool) -> None:
        values = booster.predict(rows.data, pred_contribs=True)[..., :-1]  # the last one is the bias
        sizes = np.abs(values).reshape(-1, values.shape[-1]).mean(axis=0)
        names = booster.feature_names or [f"f{place}" for place in range(len(sizes))]
        if self._kept is None:
            self._kept = np.argsort(-sizes, kind="stable")[:_MOST_FEATURES].tolist()
        keys = tuple(f"shap/{names[place]}{suffix}" for place in self._kept)
        self._run.log_scalars(keys, sizes[self._kept].tolist(), step)
        if is_last:
            columns = dict(zip(names, np.moveaxis(values, -1, 0).tolist(), strict=True))
            self._run.log_table(f"shap/{rows.name}", {f"row of {rows.name}": rows.indices.tolist(), **columns}, step)

    def _leave_out(self, error: XGBoostError) -> None:
        self._is_possible = False
        self._run.event("shap_left_out", reason=str(error))
