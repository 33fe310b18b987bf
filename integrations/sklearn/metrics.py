"""What a call of one of scikit-learn's metric functions says: its name in a run, its value, and what it was given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from barograph.integrations.sklearn.estimators import shape_of

_LARGEST_TABLE = 10_000  # cells of a confusion matrix or points of a curve that are kept
_COLUMNS = {
    "roc_curve": ("fpr", "tpr", "threshold"),
    "precision_recall_curve": ("precision", "recall", "threshold"),
    "det_curve": ("fpr", "fnr", "threshold"),
}
_REPORT = ("precision", "recall", "f1-score", "support")


class Measured:
    """One call of a metric function.

    value: the number it returned, None for anything else. table: columns of a curve, matrix or report. text: a report
    as words. truth, features: what was compared with or looked at, None where it is neither. guess: what a model made
    of it.
    """

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: object
    ) -> None:
        given = inspect.signature(function).bind(*args, **kwargs)
        names = list(given.arguments)
        first, self.guess = (given.arguments[name] for name in names[:2])
        self.features = first if names[0] == "X" else None  # silhouettes and the like
        self.truth = first if names[0] not in ("X", "x") else None  # auc is given a curve
        self.name = function.__name__.removesuffix("_score")
        # Of rows with rows and without weights, so that other figures of the same pair are of the same rows
        self.is_comparison = names[0] == "y_true" and given.arguments.get("sample_weight") is None
        average = given.arguments.get("average")
        if isinstance(average, str):
            self.name += f"_{average}"
        self.value = float(result) if isinstance(result, (int, float, np.number)) else None
        self.table = None if self.value is not None else _table(function.__name__, result, self.guess)
        self.text = result if isinstance(result, str) else None
        settings = {name: given.arguments[name] for name in names[2:] if given.arguments[name] is not None}
        self.about: dict[str, Any] = {"function": function.__name__, "samples": shape_of(first)[0]}
        if settings:
            self.about["arguments"] = {
                name: f"<{type(value).__name__} of {len(value)}>" if hasattr(value, "shape") else value
                for name, value in settings.items()
            }


def _table(name: str, result: Any, guess: Any) -> dict[str, list[Any]] | None:
    """Curves, matrices and reports as columns; None for what is none of these, or too large."""
    if name in _COLUMNS and isinstance(result, tuple) and len(result[0]) <= _LARGEST_TABLE:
        return {column: np.asarray(values).tolist() for column, values in zip(_COLUMNS[name], result, strict=True)}
    if name == "silhouette_samples" and len(result) <= _LARGEST_TABLE:
        return {"cluster": np.asarray(guess).tolist(), "silhouette": result.tolist()}
    if isinstance(result, np.ndarray) and result.ndim == 2 and result.size <= _LARGEST_TABLE:
        return {f"predicted_{index}": column.tolist() for index, column in enumerate(result.T)}
    if name == "classification_report" and isinstance(result, dict) and len(result) <= _LARGEST_TABLE:
        rows = [{"label": label, **_report_row(figures)} for label, figures in result.items()]
        return {column: [row.get(column) for row in rows] for column in ("label", *_REPORT)}
    return None


def _report_row(figures: Any) -> dict[str, Any]:
    """A line of a classification report; of the accuracy there is one number only, as the report prints it."""
    return figures if isinstance(figures, dict) else {"f1-score": figures}
