"""What fitted estimators are used for in a run: predictions, scores, metrics and cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from barograph.integrations.sklearn.calls import Call
from barograph.integrations.sklearn.callsite import split_at_call
from barograph.integrations.sklearn.metrics import Measured
from barograph.integrations.sklearn.recorder import MOST_EVENTS, Recorder
from barograph.integrations.sklearn.searches import cross_validation
from barograph.integrations.sklearn.splits import identify


def used(recorder: Recorder, call: Call, result: Any) -> None:
    """A prediction, transformation or score outside any fit: its time, its value, and what it was made of."""
    fitted = recorder.known(call.estimator) or recorder.latest
    label = recorder.label(call.estimator)
    recorder.count(label, f"{call.about}s")
    recorder.count(label, f"{call.about}_s", call.seconds)
    numbers = {f"time/{call.about}_s": call.seconds}
    X = identify(call.argument("X", 1))
    if call.about != "score":
        recorder.remember_prediction(result, fitted, X)
    elif isinstance(result, (int, float, np.number)):
        split = fitted.splits.name(X, identify(call.argument("y", 2)), split_at_call())
        numbers[f"{split}/score"] = float(result)
    recorder.run.log(numbers, fitted.step)


def evaluated(recorder: Recorder, function: Callable[..., Any], call: Call, result: Any) -> None:
    """A metric function was called."""
    measured = Measured(function, call.args, call.kwargs, result)
    fitted, X = recorder.origin_of(measured.guess)
    split = fitted.splits.name(identify(measured.features) or X, identify(measured.truth), split_at_call())
    key = f"{split}/{measured.name}"
    if measured.value is not None:
        recorder.run.log({key: measured.value}, fitted.step)
    elif measured.table is not None:
        recorder.run.log_table(key, measured.table, fitted.step)
    if recorder.count("metrics", "calls") <= MOST_EVENTS:
        about = {"key": key, "split": split, "value": measured.value, **measured.about}
        recorder.run.event("metric", estimator=fitted.label, fit=fitted.number, **about)


def cross_validated(recorder: Recorder, function: Callable[..., Any], call: Call, result: Any) -> None:
    """cross_val_score or one of its like returned."""
    tried = cross_validation(function, call.args, call.kwargs, result)
    _, last = recorder.write_series(tried.series, tried.steps)
    recorder.run.log({"time/cross_validation_s": call.seconds, **tried.best}, last)
    if recorder.count(function.__name__, "calls") <= MOST_EVENTS:
        if tried.table is not None:
            recorder.run.log_table(*tried.table, last)
        recorder.run.event("cross_validation", duration_s=call.seconds, **tried.about, **tried.best)
