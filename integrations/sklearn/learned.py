"""What fitting has put into an estimator: coefficients, layers, importances, trees, centres and components.

Only what lies in the estimator is read, nothing is predicted, and of a tree only the figures that it keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from barograph.integrations.sklearn.estimators import fitted_attributes, fitted_parts, is_tree
from barograph.run import Run
from barograph.tensors.compute import of_arrays

_MOST_SERIES = 50  # features that have a series of their own, the weightiest
_MOST_ROWS = 1000  # of a table
_MOST_COLUMNS = 50
_MOST_TREES = 1000
_MOST_PARTS = 20
# Arrays, and lists of one array a layer, whose values are recorded as a distribution.
_ARRAYS = {
    "coef_": "weights/coef",
    "intercept_": "weights/intercept",
    "cluster_centers_": "weights/cluster_centers",
    "components_": "weights/components",
}
_LAYERS = {"coefs_": "weights/layer", "intercepts_": "weights/bias"}


class Learned(NamedTuple):
    """figures: by metric key. arrays: by the key of their distribution. tables: key to columns."""

    figures: dict[str, float]
    arrays: dict[str, NDArray[Any]]
    tables: dict[str, dict[str, list[Any]]]


def record_learned(run: Run, estimator: Any, step: int, with_tables: bool) -> None:
    """Write what a fitted estimator and the parts of it have learned; keys of a part begin with its name.

    Distributions `weights/coef`, `weights/layer0` and so on, with their norm, mean and std; `coef/<feature>` for one
    output and `importance/<feature>` for at most 50 features; `trees/...`, also as distributions over the trees of a
    forest; `components/...`; tables `model/coefficients`, `model/importance`, `model/cluster_centers`,
    `model/components`.
    """
    for prefix, model in list(_models(estimator))[:_MOST_PARTS]:
        found = learned(model)
        figures = dict(found.figures)
        statistics = dict(zip(found.arrays, of_arrays(list(found.arrays.values())), strict=True))
        for key, one in statistics.items():
            figures |= {f"{key}/norm": one.l2, f"{key}/mean": one.mean, f"{key}/std": one.std}
        if figures:
            run.log_scalars(tuple(prefix + key for key in figures), list(figures.values()), step)
        if statistics:
            run.log_statistics({prefix + key: one for key, one in statistics.items()}, step)
        for key, table in found.tables.items() if with_tables else ():
            run.log_table(prefix + key, table, step)


def learned(estimator: Any) -> Learned:
    """What one estimator has learned, its parts left out."""
    attributes = fitted_attributes(estimator)
    found = Learned({}, {}, {})
    for name, key in _ARRAYS.items():
        if _is_numbers(attributes.get(name)):
            found.arrays[key] = attributes[name]
    for name, key in _LAYERS.items():
        for place, layer in enumerate(attributes.get(name, ())):
            if _is_numbers(layer):
                found.arrays[f"{key}{place}"] = layer
    _add_coefficients(found, attributes)
    _add_trees(found, estimator, attributes)
    _add_centres(found, attributes)
    _add_components(found, attributes)
    return found


def growth(estimator: Any) -> dict[str, list[float]]:
    """Depth and leaves of the trees of each iteration of a boosting, those of several classes together."""
    trees = getattr(estimator, "estimators_", None)
    if isinstance(trees, np.ndarray) and trees.ndim == 2:  # gradient boosting
        rounds = [[(tree.tree_.max_depth, tree.tree_.n_leaves) for tree in row] for row in trees[:_MOST_TREES]]
    elif "do_early_stopping_" in fitted_attributes(estimator):  # histogram gradient boosting, which shows them nowhere
        predictors = getattr(estimator, "_predictors", [])[:_MOST_TREES]
        rounds = [[(tree.get_max_depth(), tree.get_n_leaf_nodes()) for tree in row] for row in predictors]
    else:
        return {}
    return {
        "trees/round/depth": [float(max(depth for depth, _ in row)) for row in rounds],
        "trees/round/leaves": [float(sum(leaves for _, leaves in row)) for row in rounds],
    }


def _models(estimator: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The estimators in a search, pipeline, vote and so on; the last step of a pipeline speaks for the whole."""
    best = fitted_attributes(estimator).get("best_estimator_")
    if best is not None:
        yield from _models(best, prefix)
        return
    parts = fitted_parts(estimator)
    last = parts[-1][1] if parts and hasattr(estimator, "steps") else None
    for name, part in parts:
        yield from _models(part, prefix if part is last else f"{prefix}{name}/")
    yield prefix, estimator


def _add_coefficients(found: Learned, attributes: dict[str, Any]) -> None:
    coefficients = attributes.get("coef_")
    if not _is_numbers(coefficients) or coefficients.ndim > 2:
        return
    rows = np.atleast_2d(coefficients)
    names = _names(attributes, rows.shape[1])
    if len(rows) == 1:
        found.figures.update(_of_features("coef", names, rows[0]))
    classes = [str(one) for one in attributes.get("classes_", ())]
    outputs = classes if len(classes) == len(rows) else [str(place) for place in range(len(rows))]
    order = np.argsort(-np.abs(rows).max(axis=0), kind="stable")[:_MOST_ROWS]
    table: dict[str, list[Any]] = {"feature": [names[place] for place in order]}
    for output, row in list(zip(outputs, rows, strict=True))[:_MOST_COLUMNS]:
        table["coefficient" if len(rows) == 1 else f"coefficient {output}"] = row[order].tolist()
    found.tables["model/coefficients"] = table


def _add_trees(found: Learned, estimator: Any, attributes: dict[str, Any]) -> None:
    members = attributes.get("estimators_", [])
    members = members.ravel() if isinstance(members, np.ndarray) else members
    members = [estimator] if is_tree(estimator) else list(members)[:_MOST_TREES]
    trees = [member.tree_ for member in members if is_tree(member)]
    if not trees:
        return
    depths, leaves = (np.array([getattr(tree, name) for tree in trees]) for name in ("max_depth", "n_leaves"))
    totals = {"count": len(trees), "leaves": leaves.sum(), "max_depth": depths.max(), "mean_depth": depths.mean()}
    found.figures.update({f"trees/{name}": float(total) for name, total in totals.items()})
    if len(trees) > 1:
        found.arrays.update({"trees/depth": depths, "trees/leaf_count": leaves})
    if len(members) != len(trees) or type(estimator).__name__.startswith(("AdaBoost", "Bagging")):
        return  # their trees count differently, or see other columns
    # As the property computes it (forests: of normalised trees; boosting: not), without starting threads
    is_boosting = isinstance(attributes.get("estimators_"), np.ndarray)
    shares = [tree.compute_feature_importances(normalize=not is_boosting) for tree in trees if tree.node_count > 1]
    if shares and (mean := np.mean(shares, axis=0)).sum() > 0:
        importance = mean / mean.sum()
        names = _names(attributes, len(importance))
        found.figures.update(_of_features("importance", names, importance))
        order = np.argsort(-importance, kind="stable")[:_MOST_ROWS]
        columns = {"feature": [names[place] for place in order], "importance": importance[order].tolist()}
        found.tables["model/importance"] = columns


def _add_centres(found: Learned, attributes: dict[str, Any]) -> None:
    centres, labels = attributes.get("cluster_centers_"), attributes.get("labels_")
    if not _is_numbers(centres) or centres.ndim != 2:
        return
    shown = centres[:_MOST_ROWS, :_MOST_COLUMNS]
    table: dict[str, list[Any]] = {"cluster": list(range(len(shown)))}
    if _is_numbers(labels) and labels.dtype.kind in "iu":
        table["size"] = np.bincount(labels[labels >= 0], minlength=len(centres))[: len(shown)].tolist()
    table |= {name: shown[:, place].tolist() for place, name in enumerate(_names(attributes, shown.shape[1]))}
    found.tables["model/cluster_centers"] = table


def _add_components(found: Learned, attributes: dict[str, Any]) -> None:
    names = ("explained_variance_", "explained_variance_ratio_", "singular_values_")
    kept = {name.rstrip("_"): attributes[name] for name in names if _is_numbers(attributes.get(name))}
    columns = {name: values[:_MOST_ROWS].tolist() for name, values in kept.items() if values.ndim == 1}
    if "components_" not in attributes or not columns:
        return
    if "explained_variance_ratio" in kept:
        found.figures["components/explained_variance_ratio"] = float(kept["explained_variance_ratio"].sum())
    length = max(map(len, columns.values()))
    found.tables["model/components"] = {"component": list(range(length)), **columns}


def _of_features(kind: str, names: list[str], values: NDArray[Any]) -> dict[str, float]:
    """Of few features all, in their order; of many the weightiest."""
    places = list(range(len(names)))
    if len(names) > _MOST_SERIES:
        places = sorted(np.argsort(-np.abs(values), kind="stable")[:_MOST_SERIES].tolist())
    return {f"{kind}/{names[place]}": float(values[place]) for place in places}


def _names(attributes: dict[str, Any], count: int) -> list[str]:
    given = attributes.get("feature_names_in_")
    if given is not None and len(given) >= count:
        return [str(name) for name in given[:count]]
    return [f"x{place}" for place in range(count)]  # as scikit-learn calls columns without a name


def _is_numbers(value: Any) -> TypeGuard[NDArray[Any]]:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.size > 0
