"""All arrays that fitting has put into an estimator, its parts and its trees: equal for two fits that are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barograph.integrations.sklearn.estimators import fitted_attributes, fitted_parts, is_tree

_DEEPEST = 6
_LARGEST_BYTES = 256 * 1024 * 1024  # of one array; a nearest-neighbour model is its training data
# Of a tree's nodes; read one by one, for between them lies padding that nobody has set.
_NODES = ("children_left", "children_right", "feature", "threshold", "value")
_UNLIKE = ("cv_results_", "feature_importances_", "refit_time_")  # times, and what is computed when it is asked for


def learned_arrays(estimator: Any) -> dict[str, NDArray[Any]]:
    """Name to array, parts and members in dotted names; those of trees laid end to end, one array a property."""
    return dict(_arrays(estimator, "", 0))


def _arrays(estimator: Any, prefix: str, depth: int) -> Iterator[tuple[str, NDArray[Any]]]:
    attributes = fitted_attributes(estimator)
    best = attributes.get("best_estimator_")
    if best is not None:
        yield from _arrays(best, prefix, depth)
        return
    for name, part in fitted_parts(estimator) if depth < _DEEPEST else ():
        yield from _arrays(part, f"{prefix}{name}.", depth + 1)
    members = list(np.ravel(np.asarray(attributes.get("estimators_", ()), dtype=object)))
    members += [estimator] if is_tree(estimator) else []
    trees = [member.tree_ for member in members if is_tree(member)]
    for name in _NODES if trees else ():
        yield f"{prefix}trees.{name}", np.concatenate([getattr(tree, name).reshape(-1) for tree in trees])
    if not trees and depth < _DEEPEST and not fitted_parts(estimator):
        for place, member in enumerate(members):
            yield from _arrays(member, f"{prefix}{place}.", depth + 1)
    rounds = getattr(estimator, "_predictors", None)  # histogram gradient boosting
    if isinstance(rounds, list) and rounds:
        nodes = [tree.nodes for row in rounds for tree in row]
        yield f"{prefix}trees.nodes", np.concatenate(nodes).view(np.uint8)
    if hasattr(estimator, "get_booster") and hasattr(estimator, "n_features_in_"):  # of XGBoost
        yield f"{prefix}booster", np.frombuffer(estimator.get_booster().save_raw("ubj"), np.uint8)
    for name, value in sorted(attributes.items()):
        for path, one in _flat(name, value):
            if isinstance(one, np.ndarray) and one.dtype.kind in "biufc" and 0 < one.nbytes <= _LARGEST_BYTES:
                yield prefix + path, one


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """An array, a sparse matrix or a list of arrays, by what they are made of."""
    if name in _UNLIKE:
        return
    if isinstance(value, (list, tuple)):
        for place, one in enumerate(value):
            yield f"{name}.{place}", one
    elif hasattr(value, "indptr"):
        for part in ("data", "indices", "indptr"):
            yield f"{name}.{part}", getattr(value, part)
    elif isinstance(value, (float, int)) and not isinstance(value, bool):
        yield name, np.asarray(value)
    else:
        yield name, value
