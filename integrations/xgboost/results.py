"""How good a model is in the figures that everybody knows, whatever metric was asked for, from its last predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xgboost import Booster, DMatrix

from barograph.results import are_whole, results_of_classes, results_of_values

_Array = NDArray[Any]
_SHARE = 0.003  # of the training's time
# What a row costs, and what it costs in each tree of depth 10; CPU of one core, measured.
_ROW_S, _TREE_S = 100e-9, 20e-9


def affordable_results(
    booster: Booster,
    sets: Sequence[tuple[str, DMatrix | None]],
    objective: str | None,
    training_s: float,
    is_known: bool,
) -> dict[str, float]:
    """The results of each set by `<set>/<figure>`, of those sets for which they cost next to nothing of the training.

    objective: None for one that XGBoost does not know. is_known: whether XGBoost still keeps what it said of the sets.
    """
    found: dict[str, float] = {}
    trees = 0 if is_known else booster.num_boosted_rounds()
    for name, data in sets:
        if data is None or objective is None:
            continue
        cost_s = data.num_row() * (_ROW_S + trees * _TREE_S)
        if cost_s < _SHARE * training_s:
            found |= {f"{name}/{figure}": value for figure, value in results(booster, data, objective).items()}
    return found


def results(booster: Booster, data: DMatrix, objective: str) -> dict[str, float]:
    """Accuracy, F1 and log loss of a classifier, MAE, MSE and R2 of a regression, by name; empty for other objectives.

    Rows count by their weights. F1 is that of class 1 under a binary objective, else the mean over the classes that
    occur. Of predictions that are no probabilities there is no log loss. A set that was evaluated in training is
    predicted in no time: XGBoost keeps what it said of it.
    """
    is_class = objective.startswith(("binary:", "multi:"))
    labels, weights = data.get_label(), data.get_weight()
    if weights.size != len(labels):  # none, or of groups
        weights = np.ones(len(labels))
    if not (is_class or objective.startswith(("reg:", "count:"))) or not weights.sum() > 0:
        return {}
    if is_class and (labels.ndim > 1 or not are_whole(labels)):
        return {}
    outputs = booster.predict(data)
    if is_class:
        return _of_classes(labels.astype(np.int64), outputs, weights, objective)
    return results_of_values(labels, outputs.reshape(labels.shape), weights) if outputs.size == labels.size else {}


def _of_classes(labels: _Array, outputs: _Array, weights: _Array, objective: str) -> dict[str, float]:
    likelihood = None
    if outputs.ndim > 1:
        said, likelihood = outputs.argmax(axis=1), outputs[np.arange(len(labels)), labels]
    elif objective == "binary:logistic":
        said, likelihood = (outputs > 0.5).astype(np.int64), np.where(labels == 1, outputs, 1 - outputs)
    elif objective == "binary:logitraw":
        said = (outputs > 0).astype(np.int64)
    else:
        said = outputs.astype(np.int64)
    return results_of_classes(labels, said, weights, likelihood, is_binary=objective.startswith("binary:"))
