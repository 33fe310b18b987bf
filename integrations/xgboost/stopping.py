"""What XGBoost's early stopping saw: which metric, its best, and the rounds without gain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xgboost.callback import EarlyStopping, TrainingCallback


def rules(callbacks: Iterable[TrainingCallback]) -> list[dict[str, Any]]:
    """What each early stopping among the callbacks waits for; monitor and mode are None where XGBoost chooses them."""
    return [
        {
            "by": type(callback).__name__,
            "monitor": "/".join(filter(None, (callback.data, callback.metric_name))) or None,
            "mode": None if callback.maximize is None else _mode(callback),
            "patience": callback.rounds,
            "min_delta": _min_delta(callback),
            "save_best": bool(callback.save_best),
        }
        for callback in callbacks
        if isinstance(callback, EarlyStopping)
    ]


def early_stoppings(callbacks: Iterable[TrainingCallback], last_step: int) -> list[dict[str, Any]]:
    """One mapping for each early stopping among the callbacks; it ended the training if `wait` reached `patience`.

    last_step: of the last round; the best is as many rounds before it as there were rounds without gain.
    """
    return [
        _describe(callback, last_step)
        for callback in callbacks
        if isinstance(callback, EarlyStopping) and callback.stopping_history
    ]


def _describe(stopping: EarlyStopping, last_step: int) -> dict[str, Any]:
    ((data, metrics),) = stopping.best_scores.items()
    ((metric, scores),) = metrics.items()
    best = scores[-1][0] if isinstance(scores[-1], tuple) else scores[-1]  # cv(): mean and standard deviation
    min_delta = _min_delta(stopping)
    gain = f"by more than {min_delta}" if min_delta else "at all"
    return {
        "by": type(stopping).__name__,
        "monitor": f"{data}/{metric}",
        "best": float(best),
        "best_step": last_step - stopping.current_rounds,
        "wait": stopping.current_rounds,
        "patience": stopping.rounds,
        "min_delta": min_delta,
        "mode": _mode(stopping),
        "reason": "patience_exhausted",
        "message": f"{data}/{metric} has not improved {gain} in the last {stopping.current_rounds} rounds",
    }


def _mode(stopping: EarlyStopping) -> str:
    return "max" if stopping.maximize else "min"


def _min_delta(stopping: EarlyStopping) -> float:
    return float(getattr(stopping, "_min_delta", 0.0))  # not public, and only told
