"""What was tried: the candidates of a search with every fold, and the folds of cross-validation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np


class Tried(NamedTuple):
    """What came out of a search or a cross-validation.

    series: metric key to one value a candidate, fold or point. steps: where those lie, None for 0, 1, 2, and so on.
    table: key and columns. best: single results. about: for the event. estimator, data: of a cross-validation, what was
    fitted in each fold, and features and targets.
    """

    series: dict[str, list[float]]
    steps: list[int] | None
    table: tuple[str, dict[str, list[Any]]] | None
    best: dict[str, float]
    about: dict[str, Any]
    estimator: Any = None
    data: tuple[Any, Any] = (None, None)


def search(estimator: Any) -> Tried | None:
    """The candidates of a fitted search; None for any other estimator. Halving searches and those of others too."""
    results = getattr(estimator, "cv_results_", None)
    if not isinstance(results, Mapping) or "params" not in results:
        return None
    columns: dict[str, list[Any]] = {"candidate": list(range(len(results["params"])))}
    columns |= {name: _cells(values) for name, values in results.items() if name != "params"}
    series: dict[str, list[float]] = {}
    best: dict[str, float] = {}
    about: dict[str, Any] = {"candidates": len(results["params"]), "folds": getattr(estimator, "n_splits_", None)}
    index = getattr(estimator, "best_index_", None)
    for column in results:
        if column.startswith("mean_test_"):
            score = column.removeprefix("mean_test_")
            name = _scoring_name(getattr(estimator, "scoring", None)) if score == "score" else score
            series[f"search/{name}"] = _floats(results[column])
            series[f"search/{name}_std"] = _floats(results[f"std_test_{score}"])
            if f"mean_train_{score}" in results:
                series[f"search/train_{name}"] = _floats(results[f"mean_train_{score}"])
            if index is not None:
                best[f"val/{name}"] = series[f"search/{name}"][index]
    if "mean_fit_time" in results:
        series["search/fit_s"] = _floats(results["mean_fit_time"])
    if index is not None:
        best["search/best_candidate"] = float(index)
        about |= {"best_candidate": int(index), "best_params": dict(results["params"][index])}
        about |= {"best_score": getattr(estimator, "best_score_", None)}
    return Tried(series, None, ("search/candidates", columns), best, about)


def cross_validation(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Tried:
    """The folds of cross_val_score and cross_validate, or the points of a learning or validation curve."""
    given = inspect.signature(function).bind(*args, **kwargs)
    given.apply_defaults()
    arguments = given.arguments
    tried = _tried(function.__name__, arguments, result)
    return tried._replace(estimator=arguments["estimator"], data=(arguments["X"], arguments.get("y")))


def _tried(name: str, arguments: dict[str, Any], result: Any) -> Tried:
    about: dict[str, Any] = {"function": name, "estimator": type(arguments["estimator"]).__name__}
    about |= {key: arguments[key] for key in ("scoring", "cv", "method", "param_name") if key in arguments}
    series: dict[str, list[float]] = {}
    if name == "learning_curve" or name == "validation_curve":
        return _curve(name, arguments, result, about)
    if name == "cross_val_score":
        series[f"val/{_scoring_name(arguments['scoring'])}"] = _floats(result)
    elif name == "cross_validate":
        series = _fold_series(result, arguments["scoring"])
    elif name == "permutation_test_score":
        about |= {"score": float(result[0]), "p_value": float(result[2])}
        return Tried({"val/permuted_score": _floats(result[1])}, None, None, {"val/score": float(result[0])}, about)
    about["folds"] = max((len(values) for values in series.values()), default=None)
    best: dict[str, float] = {}
    for key, values in series.items():
        if not key.startswith("time/"):
            best |= {f"{key}_mean": float(np.mean(values)), f"{key}_std": float(np.std(values))}
    columns: dict[str, list[Any]] = {"fold": list(range(about["folds"] or 0)), **series}
    table = ("cross_validation/folds", columns) if series else None
    return Tried(series, None, table, best, about)


def _fold_series(result: Mapping[str, Any], scoring: object) -> dict[str, list[float]]:
    series = {}
    for key, values in result.items():
        split, _, metric = key.partition("_")
        if split in ("test", "train") and isinstance(values, np.ndarray):
            metric = _scoring_name(scoring) if metric == "score" else metric
            series[f"{'val' if split == 'test' else 'train'}/{metric}"] = _floats(values)
        elif key in ("fit_time", "score_time"):
            series[f"time/{split}_s"] = _floats(values)
    return series


def _curve(name: str, arguments: dict[str, Any], result: Any, about: dict[str, Any]) -> Tried:
    """Mean scores over the amount of data, or over the values of a parameter."""
    if name == "learning_curve":
        points, (train, test) = list(result[0]), result[1:3]
        steps: list[int] | None = [int(point) for point in points]
    else:
        points, (train, test), steps = list(arguments["param_range"]), result[:2], None
    scores = {
        f"{name}/{split}/{_scoring_name(arguments['scoring'])}": one for split, one in (("train", train), ("val", test))
    }
    series = {key: _floats(values.mean(axis=1)) for key, values in scores.items()}
    series |= {f"{key}_std": _floats(values.std(axis=1)) for key, values in scores.items()}
    columns = {"samples" if steps else str(arguments["param_name"]): _cells(points), **series}
    columns |= {f"val_score_fold_{fold}": _floats(test[:, fold]) for fold in range(test.shape[1])}
    return Tried(series, steps, (name, columns), {}, {**about, "points": len(points)})


def _scoring_name(scoring: object) -> str:
    return scoring if isinstance(scoring, str) else "score"


def _floats(values: Any) -> list[float]:
    return [float(value) for value in values]


def _cells(values: Any) -> list[Any]:
    """A column for a table: masked cells are None, numbers numbers, estimators their class."""
    cells = values.tolist() if isinstance(values, (np.ndarray, np.ma.MaskedArray)) else list(values)
    simple = (str, int, float, bool, type(None))
    return [cell if isinstance(cell, simple) else str(cell) for cell in cells]
