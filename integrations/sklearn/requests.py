"""What costs predictions or fits of its own: training scores, permutation importance, learning curves.

All of it leaves the global random state as it found it, and what it does is no call of the user's.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import learning_curve

from barograph.integrations.sklearn.calls import unheard
from barograph.integrations.sklearn.estimators import (
    fitted_attributes,
    fitted_parts,
    gives_probabilities,
    is_tree,
    learner,
    shape_of,
)
from barograph.integrations.sklearn.evaluation import MOST_ROWS, Outputs
from barograph.integrations.sklearn.searches import Tried, cross_validation
from barograph.randomness import same_randomness

# An unasked prediction takes at most a tenth of the fit, and at most so long at all, or of a long fit such a share.
_SHARE_OF_FIT = 0.1
_CHEAP_S = 0.005
_SHARE_OF_LONG_FIT = 0.003
_SHORTEST_FIT_S = 0.005  # below, the call alone may take a tenth of it
_TREE_S = 1e-4  # that a tree takes for the first rows
_FIRST_ROWS, _GROWTH = 256, 8  # what is predicted first, and how much more each time
# Whose predictions are far cheaper than their fits, unlike those of neighbours, kernels and processes; and which steps
# before them draw no random numbers and run no code of the user's.
_QUICK = ("linear_model", "tree", "ensemble", "neural_network", "naive_bayes", "discriminant_analysis")
_HARMLESS = ("preprocessing", "compose", "feature_extraction", "feature_selection", "decomposition")
_LARGEST_SHUFFLED = 10_000_000  # cells


@contextlib.contextmanager
def on_our_own() -> Iterator[None]:
    """Calls of scikit-learn in here are not recorded, and draw no random numbers of the user's."""
    with unheard(), same_randomness():
        yield


def training_outputs(
    estimator: Any, X: Any, fit_s: float, wished: bool | None, leave_out: Callable[[], object]
) -> Outputs | None:
    """What a fitted estimator makes of the data it was fitted on, if that was asked for or is next to free.

    leave_out: called where only time is wanting.
    """
    rows = shape_of(X)[0]
    if wished is False or not rows or rows > MOST_ROWS or not hasattr(estimator, "predict"):
        return None
    if wished:
        with on_our_own():
            chances = estimator.predict_proba(X) if gives_probabilities(estimator) else None
            return Outputs(estimator.predict(X), chances)
    if not hasattr(X, "shape") or not _is_quick(estimator):
        return None
    allowed_s, start = _allowed_s(estimator, fit_s), time.perf_counter()
    with on_our_own():
        said = _predict_within(estimator, X, rows, allowed_s) if allowed_s else None
    if said is None:
        leave_out()
        return None
    took_s = time.perf_counter() - start
    return Outputs(said, chances_for(estimator, X, 2 * took_s, fit_s, None, leave_out))  # twice: half of it is spent


def chances_for(
    estimator: Any, X: Any, likely_s: float, fit_s: float, wished: bool | None, leave_out: Callable[[], object]
) -> Any:
    """How likely a fitted classifier finds each class, where that was asked for or is next to free; else None.

    likely_s: that asking may take.
    """
    if wished is False or not gives_probabilities(estimator) or not (wished or _is_quick(estimator)):
        return None
    if not wished and likely_s > _allowed_s(estimator, fit_s):
        leave_out()
        return None
    with on_our_own():
        return estimator.predict_proba(X)


def _allowed_s(estimator: Any, fit_s: float) -> float:
    """What a prediction may take; 0 where every one takes too long."""
    model = learner(fitted_attributes(estimator).get("best_estimator_", estimator))
    allowed_s = min(_SHARE_OF_FIT * fit_s, max(_CHEAP_S, _SHARE_OF_LONG_FIT * fit_s))
    return allowed_s if fit_s >= _SHORTEST_FIT_S and len(_members(model)) * _TREE_S < allowed_s else 0.0


def _predict_within(estimator: Any, X: Any, rows: int, allowed_s: float) -> Any:
    """Predict piece by piece; None as soon as the next piece is likely to take longer than is allowed."""
    said: list[Any] = []
    spent_s, done, size = 0.0, 0, _FIRST_ROWS
    while True:
        start = time.perf_counter()
        said.append(estimator.predict(_piece(X, done, done + size)))
        took_s = time.perf_counter() - start
        spent_s, done = spent_s + took_s, done + size
        if done >= rows:
            return np.concatenate(said)
        if spent_s + took_s * min(_GROWTH, (rows - done) / size) > allowed_s:
            return None
        size *= _GROWTH


def _piece(X: Any, begin: int, end: int) -> Any:
    return X.iloc[begin:end] if hasattr(X, "iloc") else X[begin:end]


def _is_quick(estimator: Any) -> bool:
    """Whether its kind is, however large it has become."""
    model = fitted_attributes(estimator).get("best_estimator_", estimator)
    last = learner(model)
    parts = [part for part in _all_parts(model) if part is not last]
    return (
        _room(last) in _QUICK
        and all(is_tree(member) for member in _members(last)[:1])
        and all(_room(part) in _HARMLESS and not hasattr(part, "func") for part in parts)
    )


def _members(model: Any) -> Any:
    return np.ravel(np.asarray(getattr(model, "estimators_", ()), dtype=object))


def _room(estimator: Any) -> str:
    """The module of scikit-learn that an estimator's class is of; empty for a class of anybody else's."""
    names = type(estimator).__module__.split(".")
    return names[1] if names[0] == "sklearn" and len(names) > 1 else ""


def _all_parts(estimator: Any) -> Iterator[Any]:
    for _, part in fitted_parts(estimator):
        if not hasattr(part, "steps") and not hasattr(part, "transformers"):
            yield part
        yield from _all_parts(part)


def importance(estimator: Any, X: Any, y: Any, repeats: int) -> dict[str, list[Any]]:
    """How much worse the score gets when a feature is shuffled: a table, the most important feature first.

    Raises what scikit-learn raises, for sparse matrices say, and ValueError for data that is too large to be copied.
    """
    from sklearn.inspection import permutation_importance  # which loads trees and neighbours

    rows, features = shape_of(X)
    if (rows or 0) * (features or 1) > _LARGEST_SHUFFLED:
        raise ValueError(f"the data has more than {_LARGEST_SHUFFLED} cells; score a part of it")
    with on_our_own():
        found = permutation_importance(estimator, X, y, n_repeats=repeats, random_state=0)  # which copies X
    names = getattr(X, "columns", None)
    order = np.argsort(-found.importances_mean, kind="stable")
    return {
        "feature": [str(names[place]) if names is not None else f"x{place}" for place in order],
        "importance": found.importances_mean[order].tolist(),
        "std": found.importances_std[order].tolist(),
    }


def curve_over_data(estimator: Any, X: Any, y: Any, shares: Sequence[float]) -> Tried:
    """Scores, in scikit-learn's own five folds, of copies that are fitted on these shares of the data and on all."""
    arguments = {"train_sizes": [*sorted(shares), 1.0], "shuffle": True, "random_state": 0}
    with on_our_own(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user has not made these fits
        found = learning_curve(clone(estimator), X, y, **arguments)
    return cross_validation(learning_curve, (estimator, X, y), arguments, found)
