"""A fit in a run: what began, on what and how, and what came out.

A loop of a thousand small fits must not pay a millisecond for each, nor fill the run with events: the first fits of a
kind are described in full, of the others only the numbers are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from barograph.integrations.sklearn import requests
from barograph.integrations.sklearn.calls import About, Call, Part
from barograph.integrations.sklearn.children import write_children
from barograph.integrations.sklearn.curves import RESULTS, curves, early_stop, iterations
from barograph.integrations.sklearn.estimators import (
    changed_parameters,
    classes_of,
    describe_data,
    fitted_attributes,
    fitted_numbers,
    fitted_parts,
    is_regression,
    kind,
    learner,
    shape_of,
    summary,
)
from barograph.integrations.sklearn.keeping import keepsake
from barograph.integrations.sklearn.learned import growth, record_learned
from barograph.integrations.sklearn.live import Live, attach
from barograph.integrations.sklearn.recorder import DEAR_ITERATIONS, MOST_EVENTS, Fitted, Recorder
from barograph.integrations.sklearn.scores import compare
from barograph.integrations.sklearn.searches import Tried, search
from barograph.integrations.sklearn.splits import Splits, identify

_SUMMARIES = 10  # of one kind


def fit_begins(recorder: Recorder, call: Call) -> None:
    """Note what is fitted, on what, with which parameters."""
    run, estimator = recorder.run, call.estimator
    X, y = call.argument("X", 1), call.argument("y", 2)
    label, before = recorder.label(estimator), recorder.known(estimator)
    continues = call.about == "partial_fit" and before is not None
    count = recorder.count(label, f"{call.about}s" if continues else "fits")
    if reports_itself := _reports_itself(estimator):
        number = run.fits + 1  # as the callback will count it
    else:
        number = run.fits = run.fits + (not continues)
    fitted = Fitted(label, number, Splits(identify(X), identify(y)))
    fitted.in_full = count <= MOST_EVENTS and not continues and not reports_itself
    fitted.has_summary = count <= _SUMMARIES
    if before is not None:
        fitted.step, fitted.points = before.step, before.points
        fitted.signature = before.signature if continues else None
    call.state = fitted
    if count > MOST_EVENTS or continues:
        return
    changed, data = changed_parameters(estimator), describe_data(X, y)
    recorder.describe_estimator(label, estimator, changed, data)
    if fitted.in_full:
        about = {"fit": fitted.number, "estimator": label, "method": call.about, "first_step": run.steps_done}
        run.event("fit_start", framework="scikit-learn", **about, changed=changed, **data)
        run.log_seeds("fit_start", _generators_of(estimator))
    if fitted.has_summary and not continues and not reports_itself:
        fitted.live = Live(run)
        call.undo = attach(estimator, fitted.live)


def fit_ends(recorder: Recorder, call: Call, result: object, error: BaseException | None) -> None:
    """Write the curves, the results and the end of a fit."""
    run, estimator, fitted = recorder.run, call.estimator, call.state
    live, fitted.live = fitted.live, None
    recorder.count(fitted.label, "fit_s", call.seconds)
    about: dict[str, Any] = {"fit": fitted.number, "estimator": fitted.label, "method": call.about}
    about["duration_s"] = call.seconds
    if error is not None:
        recorder.failed(error, fitted.label)
        if fitted.in_full:
            run.event("fit_end", **about, reason="exception" if isinstance(error, Exception) else "interrupted")
        return
    model = learner(estimator)
    tried, found = search(estimator), curves(model)
    # All iterations have a step, told or not: the fits after this one are not to stand where time decides
    live_points = max(live.points, iterations(model)[0] or 0) if live is not None and live.points else 0
    if live is not None and live.is_dear:
        recorder.leave_out("train", DEAR_ITERATIONS)
    if _reports_itself(estimator):
        first = last = max(run.steps_done - 1, 0)
    else:
        points = found | growth(model)
        series = tried.series if tried else _new_points(model, fitted, points)
        first, last = recorder.write_series(series, None, live_points)
    run.log(_results(call, tried, found), last)
    if fitted.in_full or (call.about == "partial_fit" and recorder.is_look_due(fitted.label)):
        with recorder.looking(fitted.label):
            record_learned(run, estimator, last, fitted.in_full and fitted.has_summary)
    fitted.step, fitted.fit_s = last, call.seconds
    recorder.remember(estimator, fitted)
    if result is not estimator:  # fit_predict, fit_transform
        recorder.remember_prediction(result, "predict", fitted, estimator, call.argument("X", 1))
    if fitted.signature is not None:
        recorder.loops[id(estimator)] = keepsake(call, fitted.label or "model", last, fitted.signature)
    if not fitted.in_full:
        return
    about["model"] = _keep(recorder, call, fitted, last)
    stop = early_stop(model, found)
    if stop is not None:
        best = stop["best_iteration"]
        run.event("early_stop", fit=fitted.number, best_step=None if best is None else first + best, **stop)
    if fitted.has_summary:
        run.log_text("model/summary", summary(estimator), last)
    if tried is not None:
        about |= tried.about
        if tried.table is not None:
            run.log_table(*tried.table, last)
        if call.options.candidates == "runs":
            write_children(run, estimator, fitted.label)
    about |= _inside(call.part, estimator)
    about |= {"reason": _end_reason(model, call.about, stop is not None), "first_step": first, "last_step": last}
    about |= {"iterations": iterations(model)[0], "classes": _class_count(model)}
    run.event("fit_end", **about, fitted=fitted_numbers(model))
    _measure(recorder, call, fitted)


def _keep(recorder: Recorder, call: Call, fitted: Fitted, step: int) -> str | None:
    """Describe the data, digest what was learned, and store the model of the first fits; what became of that."""
    recorder.describe_data("train", call.argument("X", 1), call.argument("y", 2))
    recorder.loops.pop(id(call.estimator), None)
    kept = keepsake(call, fitted.label or "model", step)
    if call.about == "partial_fit" and fitted.has_summary:
        fitted.signature = kept.signature
        recorder.loops[id(call.estimator)] = kept
        return "at the end of the loop"
    return kept.keep(recorder.run, with_model=fitted.has_summary)


def end_loops(recorder: Recorder) -> None:
    """Keep what loops of partial_fit have come to, which nobody knows before the end."""
    while recorder.loops:
        recorder.loops.popitem()[1].keep(recorder.run)


def _measure(recorder: Recorder, call: Call, fitted: Fitted) -> None:
    """What the model is worth on its own training data, and what more data would make of it, as far as asked for."""
    X, y, options = call.argument("X", 1), call.argument("y", 2), call.options
    if y is None or not hasattr(call.estimator, "predict"):
        return
    outputs, tried = None, None
    wished, facts = options.training_score, (is_regression(call.estimator), classes_of(call.estimator))
    leave_out = functools.partial(recorder.leave_out, "train")
    with recorder.attempting("training_score"):
        if wished or facts[0] or (facts[1] is not None and shape_of(y)[1] in (None, 1)):
            outputs = requests.training_outputs(call.estimator, X, call.seconds, wished, leave_out)
    if outputs is not None:
        compare(recorder, options, fitted, "train", y, outputs, *facts)
    if options.learning_curve:
        with recorder.attempting("learning_curve"):
            tried = requests.curve_over_data(call.estimator, X, y, options.learning_curve)
    if tried is not None:
        recorder.write_series(tried.series, tried.steps)
        if tried.table is not None:
            recorder.run.log_table(*tried.table, fitted.step)


def _generators_of(estimator: Any) -> dict[str, Any]:
    """The generators of random numbers that an estimator was given."""
    given = {name: getattr(estimator, name, None) for name in ("random_state", "random_state_")}
    return {name: one for name, one in given.items() if isinstance(one, (np.random.RandomState, np.random.Generator))}


def _new_points(estimator: Any, fitted: Fitted, found: dict[str, list[float]]) -> dict[str, list[float]]:
    """The curves, without what earlier fits of a warm start have written."""
    before = fitted.points if getattr(estimator, "warm_start", False) else {}
    fitted.points = {key: len(values) for key, values in found.items()}
    return {
        key: values[before[key] :] if before.get(key, 0) and before[key] < len(values) else values
        for key, values in found.items()
    }


def _results(call: Call, tried: Tried | None, found: Mapping[str, object]) -> dict[str, float]:
    """The numbers of a fit that stand at its last step."""
    samples, _ = shape_of(call.argument("X", 1))
    results = {f"time/{'partial_fit' if call.about == 'partial_fit' else 'fit'}_s": call.seconds}
    if samples and call.seconds > 0:
        results["throughput/samples_per_s"] = samples / call.seconds
    model = learner(call.estimator)
    taken, _ = iterations(model)
    if taken is not None:
        results["fit/iterations"] = float(taken)
    if kind(model) == "clusterer" and (labels := fitted_attributes(model).get("labels_")) is not None:
        results["fit/clusters"] = float(np.count_nonzero(np.unique(labels) >= 0))  # -1 stands for noise
    numbers = fitted_numbers(model)
    results |= {key: numbers[name] for name, key in RESULTS.items() if name in numbers and key not in found}
    results |= {f"time/fit/{name}_s": part.seconds for name, part in _timed_parts(call.part, call.estimator)}
    return results | (tried.best if tried is not None else {})


def _reports_itself(estimator: Any) -> bool:
    """Whether a callback of ours in the estimator (XGBoost's) writes the fit into the same run."""
    callbacks = getattr(learner(estimator), "callbacks", None)
    return isinstance(callbacks, (list, tuple)) and any(
        type(callback).__module__.startswith("barograph.") for callback in callbacks
    )


def _timed_parts(part: Part | None, estimator: Any, prefix: str = "") -> list[tuple[str, Part]]:
    """The parts of a composed estimator that were fitted here, under their names."""
    found: list[tuple[str, Part]] = []
    if part is None or not part.parts:
        return found
    for name, one in fitted_parts(estimator):
        inner = next((inner for inner in part.parts if inner.estimator is one), None)
        if inner is not None:
            found += [(prefix + name, inner), *_timed_parts(inner, one, f"{prefix}{name}/")]
    return found


def _inside(part: Part | None, estimator: Any) -> dict[str, Any]:
    """What was fitted inside: the parts with their times, and how many others."""
    about: dict[str, Any] = {}
    if parts := _timed_parts(part, estimator):
        about["parts"] = {name: {"class": type(one.estimator).__name__, "fit_s": one.seconds} for name, one in parts}
    if part is not None and part.counted:
        about["inner_fits"] = {name: {"fits": int(fits), "fit_s": s} for name, (fits, s) in part.counted.items()}
    return about


def _end_reason(estimator: Any, about: About, has_stopped: bool) -> str:
    taken, allowed = iterations(estimator)
    if has_stopped:
        return "early_stop"
    if taken is None or allowed is None or about == "partial_fit":  # which goes as far as the user goes
        return "completed"
    return "max_steps" if taken >= allowed else "converged"


def _class_count(estimator: Any) -> int | None:
    classes = classes_of(estimator)
    return None if classes is None else len(classes)
