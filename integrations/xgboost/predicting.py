"""What the model says of a few fixed rows, evaluation by evaluation: `log_predictions=N`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xgboost import Booster, DMatrix
from xgboost.core import DataSplitMode, XGBoostError

from barograph.integrations.xgboost.call import Call
from barograph.integrations.xgboost.results import are_whole
from barograph.predictions import prediction_table
from barograph.run import Run

_BUDGET_SHARE = 0.25  # of the run's overhead budget


class _Rows(NamedTuple):
    """Rows of a data set. data: these rows alone, or all rows where XGBoost cannot cut them out."""

    name: str
    data: DMatrix
    indices: NDArray[np.int64]
    labels: NDArray[Any] | None
    is_cut: bool


class PredictedRows:
    """Writes tables `predictions/<data set>` for the last data set that is not trained on, under cv() for every fold.

    The rows are spread evenly over the set. Every evaluation has a table as long as that stays within a quarter of the
    run's overhead budget, and the last one always. XGBoost keeps what earlier rounds said of a row, so that a table
    costs one round's prediction.
    """

    def __init__(self, run: Run, count: int, call: Call, objective: str | None) -> None:
        self._run = run
        self._is_class = (objective or "").startswith(("binary:", "multi:"))
        self._began_s = time.perf_counter()
        self._cost_s = 0.0
        self._written: int | None = None
        self._sets = [_rows_of(name, data, count, self._is_class) for name, data in _chosen(call)]

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
            table = prediction_table(rows.labels, outputs, rows.indices.tolist(), rows.name)
            self._run.log_table(f"predictions/{rows.name}", table, step)
        self._cost_s += time.perf_counter() - start_s


def _chosen(call: Call) -> list[tuple[str, DMatrix]]:
    """The sets to show; none that is empty, or that other workers would have to predict with us."""
    sets = [
        (name, data) for name, data in call.evaluated if data.num_row() and data.data_split_mode() == DataSplitMode.ROW
    ]
    if call.fit.get("call") == "cv":
        return sets
    unseen = [(name, data) for name, data in sets if data is not call.training]
    return (unseen or sets)[-1:]


def _rows_of(name: str, data: DMatrix, count: int, is_class: bool) -> _Rows:
    rows = data.num_row()
    indices = np.unique(np.linspace(0, rows - 1, min(count, rows)).astype(np.int64))
    try:
        cut, is_cut = data.slice(indices.tolist(), allow_groups=True), True
    except XGBoostError:  # quantized data and external memory
        cut, is_cut = data, False
    labels = data.get_label()
    if not labels.size or labels.size % rows:
        return _Rows(name, cut, indices, None, is_cut)
    labels = labels.reshape(rows, -1)[indices]
    return _Rows(name, cut, indices, labels.astype(np.int64) if is_class and are_whole(labels) else labels, is_cut)
