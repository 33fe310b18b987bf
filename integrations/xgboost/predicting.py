"""What the model says of a few fixed rows, evaluation by evaluation: `log_predictions=N`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from xgboost import Booster

from barograph.integrations.xgboost.call import Call
from barograph.integrations.xgboost.rows import chosen_rows
from barograph.predictions import prediction_table
from barograph.results import are_whole
from barograph.run import Run

_BUDGET_SHARE = 0.25  # of the run's overhead budget


class PredictedRows:
    """Writes tables `predictions/<data set>` of the rows that rows.py chooses.

    Every evaluation has a table as long as that stays within a quarter of the run's overhead budget, and the last one
    always. XGBoost keeps what earlier rounds said of a row, so that a table costs one round's prediction.
    """

    def __init__(self, run: Run, count: int, call: Call, objective: str | None) -> None:
        self._run = run
        self._is_class = (objective or "").startswith(("binary:", "multi:"))
        self._are_values = objective is not None and not self._is_class
        self._began_s = time.perf_counter()
        self._cost_s = 0.0
        self._written: int | None = None
        self._sets = chosen_rows(call, count)

    def record(self, boosters: Sequence[Booster], step: int, is_last: bool = False) -> None:
        """Write the tables of a round, unless they would cost too much by now."""
        start_s = time.perf_counter()
        budget_s = self._run.overhead_budget * _BUDGET_SHARE * (start_s - self._began_s)
        if self._written == step or (not is_last and self._written is not None and self._cost_s > budget_s):
            return
        self._written = step
        for number, rows in enumerate(self._sets):
            booster = boosters[number] if len(boosters) > 1 else boosters[0]
            outputs = booster.predict(rows.data)
            outputs = outputs if rows.is_cut else outputs[rows.indices]
            if self._is_class and outputs.ndim == 1 and are_whole(outputs):
                outputs = outputs.astype(np.int64)  # classes, of multi:softmax and binary:hinge
            labels = rows.labels
            if self._is_class and labels is not None and are_whole(labels):
                labels = labels.astype(np.int64)
            where = rows.indices.tolist(), rows.name
            table = prediction_table(labels, outputs, *where, are_values=self._are_values)
            self._run.log_table(f"predictions/{rows.name}", table, step)
        self._cost_s += time.perf_counter() - start_s
