"""How a fit went: the curves that estimators keep of their iterations, and why they stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from barograph.integrations.sklearn.estimators import fitted_attributes

# What estimators keep of every iteration.
_CURVES = {
    "loss_curve_": "train/loss",  # multi-layer perceptrons
    "validation_scores_": "val/score",
    "train_score_": "train/loss",  # gradient boosting; histogram gradient boosting is treated below
    "oob_scores_": "oob/loss",
    "estimator_errors_": "train/estimator_error",  # AdaBoost
    "lower_bounds_": "train/lower_bound",  # mixtures
    "scores_": "train/score",  # Bayesian regressions
    "error_": "train/error",  # dictionary learning
}
# Single numbers that are results of a fit rather than settings it found.
RESULTS = {
    "oob_score_": "oob/score",
    "best_validation_score_": "val/best_score",
    "inertia_": "train/inertia",
    "reconstruction_err_": "train/reconstruction_error",
    "lower_bound_": "train/lower_bound",
    "dual_gap_": "train/dual_gap",
    "loss_": "train/loss",
}


def curves(estimator: Any) -> dict[str, list[float]]:
    """Metric key to its value in every iteration; empty for estimators that keep nothing."""
    attributes = fitted_attributes(estimator)
    if "do_early_stopping_" in attributes:  # histogram gradient boosting
        return _histogram_boosting_curves(estimator)
    found = {key: _numbers(attributes[name]) for name, key in _CURVES.items() if name in attributes}
    if "loss_curve_" in attributes:
        found["epoch"] = [float(epoch) for epoch in range(len(attributes["loss_curve_"]))]
    found |= _evaluation_curves(attributes.get("evals_result_"))
    return {key: values for key, values in found.items() if values}


def _histogram_boosting_curves(estimator: Any) -> dict[str, list[float]]:
    """Its scores; with scoring="loss" they are negative losses (_check_early_stopping_loss)."""
    is_loss = estimator.scoring == "loss"
    found = {}
    for split, values in (("train", estimator.train_score_), ("val", estimator.validation_score_)):
        numbers = _numbers(values)
        if numbers:
            found[f"{split}/{'loss' if is_loss else 'score'}"] = [-one for one in numbers] if is_loss else numbers
    return found


def _evaluation_curves(result: Any) -> dict[str, list[float]]:
    """Evaluation sets of XGBoost and LightGBM: {set: {metric: values}}."""
    if not isinstance(result, Mapping):
        return {}
    return {
        f"{name}/{metric}": _numbers(values) for name, metrics in result.items() for metric, values in metrics.items()
    }


def _numbers(values: Any) -> list[float]:
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, str) or len(values) == 0:
        return []
    array = np.asarray(values)
    return [float(value) for value in array] if array.ndim == 1 and array.dtype.kind in "fiu" else []


def iterations(estimator: Any) -> tuple[int | None, int | None]:
    """How many iterations the fit took, and how many it was allowed."""
    taken = getattr(estimator, "n_estimators_", None)  # gradient boosting
    allowed = getattr(estimator, "n_estimators", None)
    if taken is None:
        taken, allowed = getattr(estimator, "n_iter_", None), getattr(estimator, "max_iter", None)
    if taken is None and isinstance(result := getattr(estimator, "evals_result_", None), Mapping):
        lengths = [len(values) for metrics in result.values() for values in metrics.values()]
        taken, allowed = max(lengths, default=None), getattr(estimator, "n_estimators", None)
    array = np.asarray(taken if taken is not None else [])
    if array.size == 0 or array.dtype.kind not in "fiu":
        return None, None
    return int(array.max()), int(allowed) if isinstance(allowed, (int, np.integer)) and allowed > 0 else None


def early_stop(estimator: Any, found: Mapping[str, Sequence[float]]) -> dict[str, Any] | None:
    """What an early_stop event says, if the fit was stopped before its last iteration.

    found: the fit's curves. best_iteration counts from 0; best is None where the estimator does not keep its scores.
    """
    taken, allowed = iterations(estimator)
    rule = _stopping_rule(estimator, found)
    if rule is None or taken is None or allowed is None or taken >= allowed:
        return None
    patience, monitor, best_is = rule
    values = found.get(monitor, [])
    best = best_is(values) if values else None
    least = getattr(estimator, "tol", None)
    return {
        "by": type(estimator).__name__,
        "monitor": monitor,
        "best": None if best is None else values[best],
        "best_iteration": best,
        "iterations": taken,
        "wait": None if best is None else len(values) - 1 - best,
        "patience": patience,
        "min_delta": least,
        "mode": None if best is None else "max" if values[best] == max(values) else "min",
        "reason": "patience_exhausted",
        "message": f"{monitor} did not improve by more than {least or 0} for {patience} iterations; "
        f"stopped after {taken} of {allowed}",
    }


def _last(found: Mapping[str, Sequence[float]]) -> str:
    return list(found)[-1] if found else ""


def _stopping_rule(
    estimator: Any, found: Mapping[str, Sequence[float]]
) -> tuple[int | None, str, Callable[[Any], int]] | None:
    """Patience, the metric that is watched, how to find its best value; None for a fit that could not stop early."""
    patience = getattr(estimator, "n_iter_no_change", None)
    rounds = getattr(estimator, "early_stopping_rounds", None)
    if rounds is not None:  # XGBoost watches the last metric of the last evaluation set
        return rounds, _last(found), lambda values: int(estimator.best_iteration)
    if hasattr(estimator, "do_early_stopping_"):
        last = _last(found)
        return (patience, last, np.argmin if last.endswith("loss") else np.argmax) if found else None
    if getattr(estimator, "early_stopping", False) is True and getattr(estimator, "solver", None) != "lbfgs":
        return patience, "val/score", np.argmax
    if hasattr(estimator, "n_estimators_") and patience is not None:
        return patience, "val/loss", np.argmin
    return None
