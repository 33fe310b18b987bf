"""What a prediction is worth where it meets the truth: the usual figures, and the curves behind them as data.

Nothing is predicted here: the user's own calls have made what is compared. Figures equal those of sklearn.metrics with
their defaults; they are computed from one confusion matrix or one sort, a tenth of the time of as many calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from barograph.predictions import prediction_table
from barograph.results import tables_of_classes

MOST_ROWS = 1_000_000  # of a split; a sort of more takes the time of a fit
_MOST_CLASSES = 200
_MOST_CURVES = 20  # classes that have curves, each against all others
_AGREEING = 0.9  # of the rows, whose highest score is that of the class that was predicted; less in ties
_MOST_POINTS = 200  # of a curve
_MOST_RESIDUALS = 1000
_BINS = 10  # of a calibration curve, as in sklearn.calibration


class Evaluation(NamedTuple):
    """figures: name to value. tables: name to columns. residuals: of a regression."""

    figures: dict[str, float]
    tables: dict[str, dict[str, list[Any]]]
    residuals: NDArray[Any] | None = None


class Outputs(NamedTuple):
    """What an estimator made of some rows. shape (n,) or (n, k); None where it was not asked."""

    labels: Any = None
    probabilities: Any = None
    scores: Any = None

    @classmethod
    def of(cls, made: Mapping[str, Any]) -> Outputs:
        """made: the estimator's method to its result."""
        return cls(made.get("predict"), made.get("predict_proba"), made.get("decision_function"))


def evaluate(truth: Any, outputs: Outputs, is_regression: bool, classes: Any, with_tables: bool) -> Evaluation | None:
    """Compare; None for what is no plain classification or regression: several labels a row, ragged, too large."""
    right = np.asarray(truth)
    if right.ndim not in (1, 2) or not 0 < len(right) <= MOST_ROWS:
        return None
    if is_regression:
        return _regression(right, outputs.labels, with_tables)
    right = right[:, 0] if right.ndim == 2 and right.shape[1] == 1 else right
    try:
        return _classification(right, outputs, classes, with_tables) if right.ndim == 1 else None
    except TypeError:  # labels of several kinds, which have no order
        return None


def rows_of(
    truth: Any, outputs: Outputs, is_regression: bool, classes: Any, split: str, count: int
) -> dict[str, list[Any]] | None:
    """The table of `count` rows that lie evenly in a split, the same in each evaluation; None without predictions."""
    right = np.asarray(truth)
    places = np.unique(np.linspace(0, len(right) - 1, min(count, len(right))).astype(int))
    said = outputs.labels if outputs.labels is not None else outputs.probabilities
    if said is None or len(right) == 0:
        return None
    indices = places.tolist()
    if outputs.probabilities is None or classes is None or right.ndim != 1:
        return prediction_table(right[places], np.asarray(said)[places], indices, split, are_values=is_regression)
    chances, names = np.asarray(outputs.probabilities)[places], np.asarray(classes)
    table = prediction_table(np.zeros(len(places), int), chances, indices, split)
    table["label"] = right[places].tolist()
    table["prediction"] = names[np.asarray(table["prediction"], int)].tolist()
    return table


def _regression(right: NDArray[Any], said: Any, with_tables: bool) -> Evaluation | None:
    found = np.asarray(said) if said is not None else None
    if found is None or found.size != right.size or right.dtype.kind not in "fiub" or found.dtype.kind not in "fiub":
        return None
    right = right.astype(np.float64).reshape(len(right), -1)
    residuals = right - found.reshape(right.shape)
    squares = residuals**2
    spread = ((right - right.mean(axis=0)) ** 2).sum(axis=0)
    figures = {"mae": float(np.abs(residuals).mean()), "mse": float(squares.mean())}
    figures |= {"rmse": float(np.sqrt(squares.mean(axis=0)).mean()), "max_error": float(np.abs(residuals).max())}
    if len(right) > 1:
        left = squares.sum(axis=0)
        shares = np.where(spread > 0, 1 - left / np.where(spread > 0, spread, 1), np.where(left > 0, 0.0, 1.0))
        figures["r2"] = float(shares.mean())
    tables: dict[str, dict[str, list[Any]]] = {}
    if with_tables and right.shape[1] == 1:
        places = np.unique(np.linspace(0, len(right) - 1, min(_MOST_RESIDUALS, len(right))).astype(int))
        tables["residuals"] = {
            "index": places.tolist(),
            "label": right[places, 0].tolist(),
            "prediction": np.ravel(found)[places].tolist(),
            "residual": residuals[places, 0].tolist(),
        }
    return Evaluation(figures, tables, residuals.ravel())


def _classification(right: NDArray[Any], outputs: Outputs, classes: Any, with_tables: bool) -> Evaluation | None:
    chances = None if outputs.probabilities is None else np.asarray(outputs.probabilities)
    names = None if classes is None else np.asarray(classes)
    if chances is not None and (chances.shape != (len(right), 0 if names is None else len(names))):
        chances = None
    said = None if outputs.labels is None else np.ravel(outputs.labels)
    if said is None and chances is not None and names is not None:
        said = names[chances.argmax(axis=1)]
    figures: dict[str, float] = {}
    tables: dict[str, dict[str, list[Any]]] = {}
    if said is not None and len(said) == len(right):
        _add_confusion(figures, tables, right, said, names)
    if names is not None and 2 <= len(names) <= _MOST_CLASSES and np.isin(right, names).all():
        codes = np.searchsorted(names, right)
        if chances is not None:
            _add_chances(figures, tables, codes, chances)
        # Of two classes scores first: whether there are probabilities beside them is a matter of time, the curve is not
        score = chances[:, 1] if outputs.scores is None and chances is not None and len(names) == 2 else outputs.scores
        if len(names) == 2 and score is not None and np.shape(score) == (len(right),):
            _add_ranking(figures, tables, codes == 1, np.asarray(score))
        elif 2 < len(names) <= _MOST_CURVES and (each := _of_each_class(chances, score, said, names)) is not None:
            _add_rankings(figures, tables, codes, each, names)
    return Evaluation(figures, tables if with_tables else {}) if figures else None


def _add_confusion(
    figures: dict[str, float], tables: dict[str, Any], right: NDArray[Any], said: NDArray[Any], names: Any
) -> None:
    """Accuracy, precision, recall and F1, from how often each class was taken for which."""
    known = np.union1d(np.unique(right), np.unique(said))
    count = len(known)
    if count > _MOST_CLASSES:
        figures["accuracy"] = float((right == said).mean())
        return
    pairs = np.searchsorted(known, right) * count + np.searchsorted(known, said)
    matrix = np.bincount(pairs, minlength=count * count).reshape(count, count)
    hits, of_right, of_said = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    recall, precision = _share(hits, of_right), _share(hits, of_said)
    f1 = _share(2 * hits, of_right + of_said)
    figures["accuracy"] = float(hits.sum() / len(right))
    figures["balanced_accuracy"] = float(recall[of_right > 0].mean())
    for name, each in (("precision", precision), ("recall", recall), ("f1", f1)):
        figures[f"{name}_macro"] = float(each.mean())
        if names is not None and len(names) == 2 and known[-1] == names[1]:
            figures[name] = float(each[-1])
    if names is not None and len(names) > 2:
        figures["f1"] = figures["f1_macro"]  # by the name that it has in every framework
    tables |= tables_of_classes(matrix, known.tolist())


def _add_chances(figures: dict[str, float], tables: dict[str, Any], codes: Any, chances: NDArray[Any]) -> None:
    """Log loss and Brier score, and how far probabilities of the second of two classes can be taken at their word."""
    least = np.finfo(chances.dtype).eps if chances.dtype.kind == "f" else 0.0
    of_right = chances[np.arange(len(codes)), codes]
    figures["log_loss"] = float(-np.log(np.clip(of_right, least, 1 - least)).mean())
    if chances.shape[1] != 2:
        return
    chance, is_second = chances[:, 1], codes == 1
    figures["brier"] = float(((chance - is_second) ** 2).mean())
    bins = np.searchsorted(np.linspace(0.0, 1.0, _BINS + 1)[1:-1], chance)
    counts = np.bincount(bins, minlength=_BINS)
    used = counts > 0
    tables["calibration"] = {
        "predicted": (np.bincount(bins, chance, _BINS)[used] / counts[used]).tolist(),
        "observed": (np.bincount(bins, is_second, _BINS)[used] / counts[used]).tolist(),
        "count": counts[used].tolist(),
    }


def _add_ranking(figures: dict[str, float], tables: dict[str, Any], is_second: Any, score: NDArray[Any]) -> None:
    """Areas under the ROC and precision-recall curves, and the curves at a few of their points."""
    if is_second.all() or not is_second.any() or not np.isfinite(score).all():
        return
    order = np.argsort(-score, kind="stable")
    falling, hit = score[order], is_second[order]
    last_of_value = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    hits = np.cumsum(hit)[last_of_value].astype(np.float64)
    taken = last_of_value + 1.0
    recall, precision = hits / hits[-1], hits / taken
    fpr = (taken - hits) / (taken[-1] - hits[-1])
    rise, run = np.append(0.0, recall), np.append(0.0, fpr)
    figures["roc_auc"] = float((np.diff(run) * (rise[1:] + rise[:-1]) / 2).sum())
    figures["average_precision"] = float((np.diff(np.append(0.0, recall)) * precision).sum())
    places = np.unique(np.linspace(0, len(taken) - 1, min(_MOST_POINTS, len(taken))).astype(int))
    threshold = falling[last_of_value][places].tolist()
    tables["roc"] = {
        "fpr": [0.0, *fpr[places].tolist()],
        "tpr": [0.0, *recall[places].tolist()],
        "threshold": [None, *threshold],
    }
    tables["pr"] = {
        "recall": recall[places].tolist(),
        "precision": precision[places].tolist(),
        "threshold": threshold,
    }


def _add_rankings(
    figures: dict[str, float], tables: dict[str, Any], codes: Any, scores: NDArray[Any], names: NDArray[Any]
) -> None:
    """The same of more than two classes, each against all others: means of the areas, curves one under the other."""
    areas: dict[str, list[float]] = {"roc_auc": [], "average_precision": []}
    curves: dict[str, dict[str, list[Any]]] = {}
    for code, name in enumerate(names.tolist()):
        own: dict[str, float] = {}
        own_curves: dict[str, Any] = {}
        _add_ranking(own, own_curves, codes == code, scores[:, code])
        for key, value in own.items():
            areas[key].append(value)
        for key, columns in own_curves.items():
            told = {"class": [name] * len(columns["threshold"]), **columns}
            for column, values in told.items():
                curves.setdefault(key, {}).setdefault(column, []).extend(values)
    tables |= curves
    figures |= {f"{key}_ovr": sum(each) / len(each) for key, each in areas.items() if len(each) == len(names)}


def _of_each_class(chances: NDArray[Any] | None, scores: Any, said: Any, names: NDArray[Any]) -> NDArray[Any] | None:
    """A column a class that rises with how likely it is; the scores of pairs of classes that SVC may have are none."""
    if scores is None or said is None or np.shape(scores) != (len(said), len(names)):
        return chances
    found = np.asarray(scores)
    return found if (names[found.argmax(axis=1)] == said).mean() > _AGREEING else chances


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[Any]:
    """0 where there is nothing, as zero_division of sklearn.metrics has it."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0)
