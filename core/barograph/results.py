"""How good predictions are in the figures that everybody knows: accuracy, F1, log loss; MAE, MSE, R2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[Any]
_SUM_TOLERANCE = 1e-2  # of probabilities in half precision
_LEAST = float(np.finfo(np.float64).eps)  # a probability, for its logarithm
_MOST_CLASSES = 200  # that have tables


class Judged(NamedTuple):
    """What predictions are worth. figures: by name. tables: of classes, as tables_of_classes() gives them."""

    figures: dict[str, float]
    tables: dict[str, dict[str, list[Any]]]


@np.errstate(all="ignore")  # of numbers that are infinite or nearly so, the figures are so, too
def judge(
    labels: _Array,
    outputs: _Array,
    weights: _Array | None = None,
    *,
    are_scores: bool = False,
    are_values: bool = False,
) -> Judged:
    """What a model's outputs are worth, told from what they look like; empty where that tells nothing.

    Classes are told by whole labels, one a row, beside two or more outputs a row; by labels of a single 1 beside as
    many outputs; or by labels of 0 and 1 beside one output. Rows whose label is none of the classes, such as padding,
    do not count. Other labels of the shape of the outputs are values; several of 0 and 1 a row are neither.
    Probabilities count as no less than the precision of their type, as with sklearn.metrics.log_loss.
    weights: shape (n,), what rows count; default 1. are_scores: whether the outputs are known to be scores before a
    softmax or sigmoid; otherwise they are taken for that where they are no probabilities. are_values: whether both are
    known to be values, whatever they look like.
    """
    labels, outputs = _column(labels), _column(outputs)
    if not labels.ndim or labels.shape[:1] != outputs.shape[:1] or not outputs.size or outputs.dtype.kind in "OSUMmc":
        return Judged({}, {})
    if outputs.dtype.kind != "f" or outputs.dtype.itemsize < 4:  # bfloat16 is of no kind that numpy knows
        outputs = outputs.astype(np.float32)
    if labels.dtype.kind not in "biuf" or np.isnan(outputs).any() or np.isnan(labels).any():
        return Judged({}, {})
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    if are_values and labels.shape == outputs.shape and weights.sum() > 0:
        return Judged(results_of_values(labels, outputs, weights), {})
    if outputs.ndim == 2 and labels.shape == outputs.shape and _are_one_hot(labels):
        labels = labels.argmax(axis=1)
    if outputs.ndim == 2 and labels.ndim == 1:
        return _of_many(labels, outputs, weights, are_scores) if are_whole(labels) else Judged({}, {})
    if labels.shape != outputs.shape or not weights.sum() > 0:
        return Judged({}, {})
    if ((labels == 0) | (labels == 1)).all():
        return _of_two(labels.astype(np.int64), outputs, weights, are_scores) if labels.ndim == 1 else Judged({}, {})
    return Judged(results_of_values(labels, outputs, weights), {})


def judge_classes(
    labels: _Array, said: _Array, weights: _Array, likelihood: _Array | None = None, is_binary: bool = False
) -> Judged:
    """Accuracy, F1 and log loss of predicted classes, and their tables.

    labels, said: whole numbers from 0 on, shape (n,). likelihood: the probability that was given to the right class;
    None where there is none, and then no log loss. F1 is that of class 1 of two, else the mean over the classes that
    occur.
    """
    figures = {
        "accuracy": float(np.average(said == labels, weights=weights)),
        "f1": _f1(labels, said, weights, is_binary),
    }
    if likelihood is not None:
        figures["log_loss"] = float(np.average(-np.log(np.maximum(likelihood, _LEAST)), weights=weights))
    count = max(int(labels.max()), int(said.max())) + 1
    if count > _MOST_CLASSES:
        return Judged(figures, {})
    matrix = np.bincount(labels * count + said, weights, count * count).reshape(count, count)
    return Judged(figures, tables_of_classes(matrix))


def tables_of_classes(matrix: _Array, names: Sequence[object] | None = None) -> dict[str, dict[str, list[Any]]]:
    """The tables "confusion" and "classes", the same of every framework, of how often which class was taken for which.

    matrix: counts or sums of weights, shape (k, k), a row for each label and a column for each prediction. names: of
    the k classes, default 0 to k - 1. "confusion" has the columns label, prediction and count, a row for each pair that
    occurs; "classes" has label, count, precision, recall and f1, a row for each class that occurs.
    """
    known = list(range(len(matrix))) if names is None else list(names)
    asked, said, right = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    rows, columns = np.nonzero(matrix)
    used = np.flatnonzero(asked + said)
    each = {"precision": _share(right, said), "recall": _share(right, asked), "f1": _share(2 * right, asked + said)}
    return {
        "confusion": {
            "label": [known[place] for place in rows],
            "prediction": [known[place] for place in columns],
            "count": _counts(matrix[rows, columns]),
        },
        "classes": {
            "label": [known[place] for place in used],
            "count": _counts(asked[used]),
            **{name: values[used].tolist() for name, values in each.items()},
        },
    }


def results_of_values(labels: _Array, said: _Array, weights: _Array) -> dict[str, float]:
    """MAE, MSE and R2 of predicted values, shape (n, ...), the mean over those of a row; no R2 of what never varies."""
    labels = labels.astype(np.float64)
    errors = said - labels
    spread = np.average((labels - np.average(labels, axis=0, weights=weights)) ** 2, axis=0, weights=weights)
    squares = np.average(errors**2, axis=0, weights=weights)
    found = {"mae": float(np.average(np.abs(errors), axis=0, weights=weights).mean()), "mse": float(squares.mean())}
    if (spread > 0).all():
        found["r2"] = float((1 - squares / spread).mean())
    return found


def are_whole(values: _Array) -> bool:
    """Whether numbers are whole, such as classes."""
    return bool((np.floor(values) == values).all())


def _of_many(labels: _Array, outputs: _Array, weights: _Array, are_scores: bool) -> Judged:
    counted = (labels >= 0) & (labels < outputs.shape[1])
    if not counted.all():
        labels, outputs, weights = labels[counted], outputs[counted], weights[counted]
    if not weights.sum() > 0:
        return Judged({}, {})
    labels = labels.astype(np.int64)
    chosen = outputs[np.arange(len(labels)), labels].astype(np.float64)
    if are_scores or (outputs < 0).any() or (np.abs(outputs.sum(axis=1) - 1) > _SUM_TOLERANCE).any():
        largest = outputs.max(axis=1, keepdims=True)
        chosen = np.exp(chosen - largest[:, 0]) / np.exp(outputs - largest).sum(axis=1)
    else:
        chosen = np.maximum(chosen, np.finfo(outputs.dtype).eps)
    return judge_classes(labels, outputs.argmax(axis=1), weights, chosen, is_binary=outputs.shape[1] == 2)


def _of_two(labels: _Array, outputs: _Array, weights: _Array, are_scores: bool) -> Judged:
    chances, least = outputs.astype(np.float64), np.finfo(outputs.dtype).eps
    if are_scores or (chances < 0).any() or (chances > 1).any():
        chances = np.exp(-np.logaddexp(0, -chances))
        least = _LEAST
    likelihood = np.maximum(np.where(labels == 1, chances, 1 - chances), least)
    return judge_classes(labels, (chances >= 0.5).astype(np.int64), weights, likelihood, is_binary=True)


def _f1(labels: _Array, said: _Array, weights: _Array, is_binary: bool) -> float:
    count = max(2, int(labels.max()) + 1, int(said.max()) + 1)
    is_right = labels == said
    right = np.bincount(labels[is_right], weights[is_right], count)
    both = np.bincount(labels, weights, count) + np.bincount(said, weights, count)
    scores = _share(2 * right, both)
    return float(scores[1] if is_binary else scores[both > 0].mean())


def _share(part: _Array, whole: _Array) -> _Array:
    """0 where there is nothing."""
    shares: _Array = part / np.where(whole > 0, whole, 1)
    return shares


def _counts(values: _Array) -> list[Any]:
    found: list[Any] = (values.astype(np.int64) if are_whole(values) else values).tolist()
    return found


def _are_one_hot(labels: _Array) -> bool:
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def _column(values: _Array) -> _Array:
    values = np.asarray(values)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
