"""What fitted estimators are used for in a run: predictions, scores, metrics and cross-validation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from barograph.integrations.sklearn import requests
from barograph.integrations.sklearn.calls import ANSWERS, Call
from barograph.integrations.sklearn.callsite import split_at_call
from barograph.integrations.sklearn.estimators import (
    changed_parameters,
    classes_of,
    describe_data,
    gives_probabilities,
    is_regression,
)
from barograph.integrations.sklearn.evaluation import Outputs, evaluate, rows_of
from barograph.integrations.sklearn.metrics import Measured
from barograph.integrations.sklearn.options import Options
from barograph.integrations.sklearn.recorder import MOST_EVENTS, NO_BUDGET, Fitted, Made, Recorder
from barograph.integrations.sklearn.searches import cross_validation
from barograph.integrations.sklearn.splits import identify


def used(recorder: Recorder, call: Call, result: Any) -> None:
    """A prediction, transformation or score outside any fit: its time, its value, and what it was made of."""
    fitted = recorder.known(call.estimator) or recorder.latest
    label = recorder.label(call.estimator)
    recorder.count(label, f"{call.about}s")
    recorder.count(label, f"{call.about}_s", call.seconds)
    recorder.run.log({f"time/{call.about}_s": call.seconds}, fitted.step)
    if call.about == "score":
        _scored(recorder, call, fitted, result)
    elif call.about in ANSWERS:
        recorder.remember_prediction(result, str(call.about), fitted, call.estimator, call.argument("X", 1))


def _scored(recorder: Recorder, call: Call, fitted: Fitted, result: Any) -> None:
    X, y = call.argument("X", 1), call.argument("y", 2)
    split = fitted.splits.name(identify(X), identify(y), split_at_call())
    if isinstance(result, (int, float, np.number)):
        recorder.run.log({f"{split}/score": float(result)}, fitted.step)
    recorder.describe_data(split, X, y)
    if y is None or call.argument("sample_weight", 3) is not None:
        return
    estimator, made = call.estimator, call.answers.made if call.answers is not None else {}
    outputs, classes = Outputs.of(made), classes_of(estimator)
    if classes is not None and len(classes) > 2 and gives_probabilities(estimator):
        outputs = outputs._replace(scores=None)  # which order rows otherwise than the probabilities of a class do
    if classes is not None and outputs.probabilities is None:
        wished, leave_out = call.options.training_score, functools.partial(recorder.leave_out, split)
        with recorder.attempting("probabilities"):
            chances = requests.chances_for(estimator, X, call.seconds, fitted.fit_s, wished, leave_out)
            outputs = outputs._replace(probabilities=chances)
    compare(recorder, call.options, fitted, split, y, outputs, is_regression(estimator), classes)
    table = None
    if repeats := call.options.permutation_importance:
        with recorder.attempting("permutation_importance"):
            table = requests.importance(estimator, X, y, repeats)
    if table is not None:
        recorder.run.log_table(f"{split}/permutation_importance", table, fitted.step)


def evaluated(recorder: Recorder, function: Callable[..., Any], call: Call, result: Any) -> None:
    """A metric function was called."""
    measured = Measured(function, call.args, call.kwargs, result)
    made, is_it = recorder.origin_of(measured.guess)
    fitted = made.fitted if made is not None else recorder.latest
    X = identify(measured.features) or (made.X if made is not None else None)
    split = fitted.splits.name(X, identify(measured.truth), split_at_call())
    key = f"{split}/{measured.name}"
    if measured.value is not None:
        recorder.run.log(fitted.news({key: measured.value}), fitted.step)
    elif measured.table is not None:
        recorder.run.log_table(key, measured.table, fitted.step)
    elif measured.text is not None:
        recorder.run.log_text(key, measured.text, fitted.step)
    if recorder.count("metrics", "calls") <= MOST_EVENTS:
        about = {"key": key, "split": split, "value": measured.value, **measured.about}
        recorder.run.event("metric", estimator=fitted.label, fit=fitted.number, **about)
    if made is not None and is_it and measured.is_comparison:
        _met(recorder, call.options, made, split, measured.truth)


def _met(recorder: Recorder, options: Options, made: Made, split: str, truth: Any) -> None:
    """A prediction was compared with the truth by the user."""
    if made.data is not None and (X := made.data()) is not None:
        recorder.describe_data(split, X, truth)
    outputs = Outputs.of({made.method: made.result()})
    compare(recorder, options, made.fitted, split, truth, outputs, made.is_regression, made.classes)


def compare(
    recorder: Recorder,
    options: Options,
    fitted: Fitted,
    split: str,
    truth: Any,
    outputs: Outputs,
    is_regression: bool,
    classes: Any,
) -> None:
    """Write what a prediction is worth: figures each time, curves the first time, rows if they were asked for."""
    if not recorder.can_afford_comparison():
        recorder.leave_out(split, NO_BUDGET)
        return
    run, step = recorder.run, fitted.step
    with recorder.comparing():
        found = evaluate(truth, outputs, is_regression, classes, fitted.in_full)
    if found is None:
        return
    run.log(fitted.news({f"{split}/{name}": value for name, value in found.figures.items()}), step)
    for name, table in found.tables.items():
        if fitted.is_first(f"{split}/{name}"):
            run.log_table(f"{split}/{name}", table, step)
            if name == "residuals" and found.residuals is not None:
                run.log_histogram(f"{split}/residuals", found.residuals, step)
    # Labels and probabilities may be asked for one after the other
    if options.log_predictions and split != "train" and fitted.is_first((split, outputs.probabilities is None)):
        rows = rows_of(truth, outputs, is_regression, classes, split, options.log_predictions)
        if rows is not None:
            recorder.has_rows = True
            run.log_table(f"predictions/{split}", rows, step)


def cross_validated(recorder: Recorder, function: Callable[..., Any], call: Call, result: Any) -> None:
    """cross_val_score or one of its like returned."""
    tried = cross_validation(function, call.args, call.kwargs, result)
    _, last = recorder.write_series(tried.series, tried.steps)
    recorder.run.log({"time/cross_validation_s": call.seconds, **tried.best}, last)
    if recorder.count(function.__name__, "calls") <= MOST_EVENTS:
        if tried.table is not None:
            recorder.run.log_table(*tried.table, last)
        estimator, changed = tried.estimator, changed_parameters(tried.estimator)
        recorder.describe_estimator(recorder.label(estimator), estimator, changed, describe_data(*tried.data))
        recorder.run.event("cross_validation", duration_s=call.seconds, changed=changed, **tried.about, **tried.best)
        recorder.describe_data("train", *tried.data)
