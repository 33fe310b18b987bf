"""How good a model is in the figures that everybody knows, whatever metric was asked for, from its last predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xgboost import Booster, DMatrix

from barograph.results import Judged, are_whole, judge_classes, results_of_values

_Array = NDArray[Any]
_OF_CLASSES, _OF_VALUES = ("binary:", "multi:"), ("reg:", "count:")  # objectives
_SHARE = 0.003  # of the training's time
# What a row costs, and what it costs in each tree of depth 10; CPU of one core, measured.
_ROW_S, _TREE_S = 100e-9, 20e-9


def is_affordable(booster: Booster, data: DMatrix, training_s: float, is_known: bool) -> bool:
    """Whether the results of a set cost next to nothing of the training.

    is_known: whether XGBoost still keeps what it said of the set.
    """
    trees = 0 if is_known else booster.num_boosted_rounds()
    return bool(data.num_row() * (_ROW_S + trees * _TREE_S) < _SHARE * training_s)


def are_told(objective: str | None, data: DMatrix) -> bool:
    """Whether there are results of a set under an objective; None is one that XGBoost does not know."""
    if objective is None or not objective.startswith((*_OF_CLASSES, *_OF_VALUES)):
        return False
    labels, weights = data.get_label(), _weights(data)
    if not weights.sum() > 0:
        return False
    return not objective.startswith(_OF_CLASSES) or (labels.ndim == 1 and are_whole(labels))


def judge(booster: Booster, data: DMatrix, objective: str) -> Judged:
    """Accuracy, F1 and log loss of a classifier with its tables, MAE, MSE and R2 of a regression, where are_told().

    Rows count by their weights. F1 is that of class 1 under a binary objective, else the mean over the classes that
    occur. Of predictions that are no probabilities there is no log loss. A set that was evaluated in training is
    predicted in no time: XGBoost keeps what it said of it.
    """
    labels, weights, outputs = data.get_label(), _weights(data), booster.predict(data)
    if objective.startswith(_OF_CLASSES):
        return _of_classes(labels.astype(np.int64), outputs, weights, objective)
    is_one_each = outputs.size == labels.size
    return Judged(results_of_values(labels, outputs.reshape(labels.shape), weights) if is_one_each else {}, {})


def _weights(data: DMatrix) -> _Array:
    """One a label, of which 2.1 gives those of several targets in one row; those of groups are none of rows."""
    weights: _Array = data.get_weight()
    count = len(data.get_label())
    return weights if weights.size == count else np.ones(count)


def _of_classes(labels: _Array, outputs: _Array, weights: _Array, objective: str) -> Judged:
    likelihood = None
    if outputs.ndim > 1:
        said, likelihood = outputs.argmax(axis=1), outputs[np.arange(len(labels)), labels]
    elif objective == "binary:logistic":
        said, likelihood = (outputs > 0.5).astype(np.int64), np.where(labels == 1, outputs, 1 - outputs)
    elif objective == "binary:logitraw":
        said = (outputs > 0).astype(np.int64)
    else:
        said = outputs.astype(np.int64)
    return judge_classes(labels, said, weights, likelihood, is_binary=objective.startswith("binary:"))
