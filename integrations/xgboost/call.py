"""What xgb.train() or xgb.cv() was called with, which XGBoost does not tell its callbacks."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from xgboost import DMatrix, XGBModel
from xgboost.callback import CallbackContainer, TrainingCallback

_PLAIN = (str, bool, int, float)


@dataclasses.dataclass(slots=True)
class Call:
    """One call of train() or cv(). Everything is empty or None where it could not be seen.

    container: XGBoost's own holder of this training's callbacks; it lives as long as the call, as the data does.
    rounds: how many were asked for. rows: that a round learns from, over all folds. training: what it learns from.
    evaluated: the sets to evaluate by name; under cv() the test set of each fold. again: what train() is to be given,
    besides data and rounds, to train in the same way once more.
    """

    container: CallbackContainer | None = None
    rounds: int | None = None
    rows: int | None = None
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    fit: dict[str, Any] = dataclasses.field(default_factory=dict)
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    training: DMatrix | None = None
    evaluated: list[tuple[str, DMatrix]] = dataclasses.field(default_factory=list)
    again: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def training_name(self) -> str:
        """What the training set is called among those to evaluate, else "train"."""
        return next((name for name, data in self.evaluated if data is self.training), "train")

    @property
    def callbacks(self) -> Iterable[TrainingCallback]:
        """All callbacks of the training, those that XGBoost added for its arguments included."""
        return self.container.callbacks if self.container is not None else ()


def find_call(model: Any) -> Call:
    """Look at the frames that called a callback's before_training.

    model: what before_training was given. One look a training, at frames of XGBoost only; no frame is kept. An
    estimator is not asked for its parameters: get_params() draws from a RandomState it was given.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not CallbackContainer.before_training.__code__:
        frame = frame.f_back
    if frame is None or frame.f_back is None:
        return Call()
    container, caller = frame.f_locals["self"], frame.f_back
    arguments = caller.f_locals
    folds = getattr(model, "cvfolds", None)
    data = arguments.get("dtrain")
    call = Call(container, arguments.get("num_boost_round"), training=data)
    call.again = {name: arguments.get(name) for name in ("params", "obj", "custom_metric")}
    estimator = _estimator(caller.f_back)
    call.params = _given(arguments.get("params") or {})
    call.params |= {name: value for name, value in _settings(estimator).items() if name not in call.params}
    call.fit = _without_none(
        {
            "call": caller.f_code.co_name,
            "estimator": None if estimator is None else type(estimator).__name__,
            "rounds": call.rounds,
            "callbacks": [type(callback).__name__ for callback in container.callbacks],
            "objective_function": _name(arguments.get("obj")),
            "custom_metric": _name(arguments.get("custom_metric")),
            **{name: arguments.get(name) for name in ("early_stopping_rounds", "maximize")},
        }
    )
    if folds is not None:
        call.fit |= {name: arguments.get(name) for name in ("nfold", "metrics", "stratified", "shuffle", "seed")}
        call.rows = sum(fold.dtrain.num_row() for fold in folds)
        call.evaluated = [(f"test/fold{number}", fold.dtest) for number, fold in enumerate(folds)]
    elif data is not None:
        call.rows = data.num_row()
        call.evaluated = [(name, matrix) for matrix, name in arguments.get("evals") or ()]
    if data is not None:
        evaluated = {name: matrix.num_row() for name, matrix in call.evaluated} if folds is None else {}
        call.data = {**_describe(data), **({"evaluated_samples": evaluated} if evaluated else {})}
    return call


def _estimator(frame: FrameType | None) -> Any:
    """The scikit-learn wrapper whose fit() called train(); None if there is none."""
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("xgboost."):
        if frame.f_code.co_name == "fit":
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None


def _settings(estimator: Any) -> dict[str, Any]:
    """What a wrapper was given that train() does not hear of as a parameter: n_estimators, missing and the like."""
    if estimator is None:
        return {}
    options = inspect.signature(XGBModel.__init__).parameters
    given = ((name, option.default, vars(estimator).get(name)) for name, option in options.items())
    return {name: value for name, default, value in given if isinstance(value, _PLAIN) and value is not default}


def _describe(data: Any) -> dict[str, Any]:
    """A DMatrix in figures that it keeps anyway."""
    groups = data.get_uint_info("group_ptr")
    return _without_none(
        {
            "class": type(data).__name__,
            "samples": data.num_row(),
            "features": data.num_col(),
            "present_values": data.num_nonmissing(),
            "categorical_features": (data.feature_types or []).count("c") or None,
            "groups": len(groups) - 1 if len(groups) else None,
        }
    )


def _given(params: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The parameters as a dict, less those left to XGBoost; one given several times (eval_metric) as a list."""
    given: dict[str, Any] = {}
    for name, value in params.items() if isinstance(params, Mapping) else params:
        if value is not None:
            given[name] = value if name not in given else [*_listed(given[name]), value]
    return given


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name(function: Any) -> str | None:
    return None if function is None else getattr(function, "__qualname__", type(function).__name__)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
