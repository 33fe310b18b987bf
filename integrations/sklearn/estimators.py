"""What an estimator is: its parameters with the defaults that were changed, its parts, and what fitting made of it."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

_DEEPEST = 8
_SHORT = 80  # characters of a value in a summary
_FEW = 8  # entries of a list in a summary
# Parameters that hold a model back from learning its data by heart: penalties, limits of size, shares of the data, and
# stopping early. Of scikit-learn and those that follow it (XGBoost, LightGBM, CatBoost).
_REGULARIZING = frozenset(
    "C alpha alpha_1 alpha_2 lambda_1 lambda_2 l1_ratio l1_reg l2_regularization penalty reg_alpha reg_lambda gamma nu "
    "epsilon shrinkage reg_param reg_covar var_smoothing ccp_alpha max_depth max_leaf_nodes min_samples_leaf "
    "min_samples_split min_weight_fraction_leaf min_impurity_decrease min_child_weight max_features max_samples "
    "subsample colsample_bytree early_stopping n_iter_no_change validation_fraction early_stopping_rounds "
    "learning_rate weight_decay dropout l2_leaf_reg num_leaves min_child_samples".split()
)


def is_estimator(value: object) -> bool:
    """Whether a value is an estimator itself, not a class of estimators."""
    return hasattr(value, "get_params") and hasattr(value, "fit") and not isinstance(value, type)


def parameters(estimator: Any, depth: int = 0) -> dict[str, Any]:
    """All parameters of an estimator, defaults included; those of the estimators inside it nested in them."""
    return {name: _described(value, depth + 1) for name, value in _own_parameters(estimator).items()}


def changed_parameters(estimator: Any, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """The parameters that are not at their defaults, those of inner estimators under dotted names."""
    cls: Any = type(estimator)  # Any: mypy takes a type for unhashable
    defaults = _defaults(cls)
    changed: dict[str, Any] = {}
    for name, value in _own_parameters(estimator).items():
        inner = _inner_estimators(value)
        if inner and depth < _DEEPEST:
            for path, one in inner:
                changed[prefix + name + path] = type(one).__name__
                changed |= changed_parameters(one, f"{prefix}{name}{path}.", depth + 1)
        elif name not in defaults or not _is_same(value, defaults[name]):
            changed[prefix + name] = _described(value, depth + 1)
    return changed


def regularization(estimator: Any, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """The parameters that hold the model back, with their values in force; inner estimators under dotted names."""
    found: dict[str, Any] = {}
    for name, value in _own_parameters(estimator).items():
        inner = _inner_estimators(value)
        for path, one in inner if depth < _DEEPEST else ():
            found |= regularization(one, f"{prefix}{name}{path}.", depth + 1)
        if not inner and name in _REGULARIZING and value is not None and isinstance(value, (str, bool, int, float)):
            found[prefix + name] = value
    return found


def is_regression(estimator: Any) -> bool:
    """Whether it predicts numbers rather than classes."""
    return kind(estimator) == "regressor"


def classes_of(estimator: Any) -> Any:
    """The classes of a fitted classifier, shape (k,); None for anything else, or several outputs."""
    try:
        classes = getattr(estimator, "classes_", None)
    except Exception:  # noqa: BLE001  # a property of the user's
        return None
    return classes if isinstance(classes, np.ndarray) and classes.ndim == 1 else None


def gives_probabilities(estimator: Any) -> bool:
    """Whether it can be asked how likely each class is."""
    try:
        return hasattr(estimator, "predict_proba")
    except Exception:  # noqa: BLE001  # a property of the user's
        return False


def is_tree(estimator: Any) -> bool:
    """Whether it is a decision tree; others call the tree of their neighbours `tree_`."""
    return hasattr(getattr(estimator, "tree_", None), "max_n_classes")  # which nothing has to be counted for


def declared_parts(estimator: Any) -> list[tuple[str, Any]]:
    """The named estimators that a pipeline, column transformer, union, vote or stack was given; else none."""
    for attribute in ("steps", "transformers", "transformer_list", "estimators"):
        parts = getattr(estimator, attribute, None)
        if isinstance(parts, (list, tuple)) and parts and all(isinstance(part, tuple) for part in parts):
            return _named(parts)
    return []


def fitted_parts(estimator: Any) -> list[tuple[str, Any]]:
    """The same after the fit, where it may have made others of them."""
    named = getattr(estimator, "named_estimators_", None)  # votes and stacks
    if named is not None:
        return list(named.items())
    fitted = getattr(estimator, "transformers_", None)
    return _named(fitted) if isinstance(fitted, list) else declared_parts(estimator)


def learner(estimator: Any) -> Any:
    """The estimator that learns in the end: the last step of a pipeline, however deep."""
    while isinstance(steps := getattr(estimator, "steps", None), list) and (last := _named(steps[-1:])):
        estimator = last[0][1]
    return estimator


def structure(estimator: Any) -> object:
    """What makes two estimators of one class comparable: equal for two whose parameters have the same names."""
    parts = tuple((name, type(part)) for name, part in declared_parts(estimator))
    return type(estimator), parts, type(getattr(estimator, "estimator", None))


def kind(estimator: Any) -> str | None:
    """What scikit-learn calls it: classifier, regressor, clusterer, outlier_detector, transformer."""
    try:
        tags = estimator.__sklearn_tags__()
    except Exception:  # noqa: BLE001  # no such method, or mixins in an order that it does not work in
        return getattr(estimator, "_estimator_type", None)
    return tags.estimator_type or ("transformer" if tags.transformer_tags is not None else None)


def describe_data(X: Any, y: Any) -> dict[str, Any]:
    """Shape and kind of what is fitted; nothing of it is converted or computed with."""
    samples, features = shape_of(X)
    described: dict[str, Any] = {"samples": samples, "features": features, "class": type(X).__name__}
    if (dtype := getattr(X, "dtype", None)) is not None:
        described["dtype"] = str(dtype)
    if (stored := getattr(X, "nnz", None)) is not None:
        described["present_values"] = int(stored)
    if y is not None:
        described["targets"] = shape_of(y)[1] or 1
    return described


def shape_of(data: Any) -> tuple[int | None, int | None]:
    """Samples and features of anything that has a shape or a length."""
    shape = getattr(data, "shape", None)
    if isinstance(shape, tuple) and shape:
        return int(shape[0]), int(shape[1]) if len(shape) > 1 else None
    if isinstance(data, (list, tuple)):
        first = data[0] if data else None
        return len(data), len(first) if isinstance(first, (list, tuple)) else None
    return (len(data) if hasattr(data, "__len__") else None), None


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """What fitting left in the estimator itself; properties, which may compute for long, are not asked."""
    return {
        name: value
        for name, value in getattr(estimator, "__dict__", {}).items()
        if name.endswith("_") and not name.startswith("_") and value is not None
    }


def fitted_numbers(estimator: Any) -> dict[str, float]:
    """The single numbers among them: iterations, losses, chosen strengths of regularisation."""
    return {
        name: float(value)
        for name, value in fitted_attributes(estimator).items()
        if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    }


def summary(estimator: Any) -> str:
    """A fitted estimator in a few lines: how it is written, and what it has learned in which shape."""
    try:
        lines = [repr(estimator)]
    except Exception:  # noqa: BLE001  # the user's own
        lines = [type(estimator).__name__]
    lines += [f"  {name}: {_in_short(value)}" for name, value in fitted_attributes(estimator).items()]
    for name, part in fitted_parts(estimator):
        lines += [f"{name}:"] + [f"  {line}" for line in summary(part).splitlines()]
    return "\n".join(lines)


def _own_parameters(estimator: Any) -> dict[str, Any]:
    try:
        return dict(estimator.get_params(deep=False))
    except Exception:  # noqa: BLE001  # estimators that only look like one: an __init__ with *args, say
        return {}


def _named(parts: Any) -> list[tuple[str, Any]]:
    pairs = [part[:2] for part in parts if isinstance(part, tuple) and len(part) > 1]
    return [(str(name), part) for name, part in pairs if is_estimator(part)]


def _described(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        return f"<{type(value).__name__}>"
    if is_estimator(value):
        return {"class": type(value).__name__, **parameters(value, depth)}
    if isinstance(value, (list, tuple)) and _inner_estimators(value):
        if all(isinstance(part, tuple) and part and isinstance(part[0], str) for part in value):
            return {part[0]: _described_part(part, depth + 1) for part in value}
        return [_described(part, depth + 1) for part in value]
    if isinstance(value, dict):
        return {name: _described(part, depth + 1) for name, part in value.items()}
    if hasattr(value, "args") and hasattr(getattr(value, "dist", None), "name"):  # frozen, of scipy.stats
        return f"{value.dist.name}{tuple(value.args)} {value.kwds or ''}".rstrip()
    if callable(value) and not isinstance(value, type):
        return getattr(value, "__qualname__", type(value).__name__)
    return value


def _described_part(part: tuple[Any, ...], depth: int) -> Any:
    """A step of a pipeline, or a part of a column transformer with the columns that it is given."""
    described = _described(part[1], depth)
    if len(part) == 2:
        return described
    return {**(described if isinstance(described, dict) else {"class": described}), "columns": part[2]}


def _inner_estimators(value: Any) -> list[tuple[str, Any]]:
    """Estimators in a parameter's value, with the path that leads to each."""
    if is_estimator(value):
        return [("", value)]
    if isinstance(value, (list, tuple)):
        return [
            (f".{part[0]}" if isinstance(part, tuple) else f".{place}", one)
            for place, part in enumerate(value)
            for one in (part if isinstance(part, tuple) else (part,))
            if is_estimator(one)
        ]
    return []


@functools.lru_cache(maxsize=512)
def _defaults(cls: Any) -> dict[str, Any]:
    try:
        signature = inspect.signature(cls.__init__)
    except (TypeError, ValueError):
        return {}
    return {name: one.default for name, one in signature.parameters.items() if one.default is not one.empty}


def _is_same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    if type(value) is not type(default) or not isinstance(value, (str, int, float, tuple)):
        return False
    try:
        return bool(value == default or (value != value and default != default))  # the latter for NaN
    except ValueError:  # arrays in a tuple
        return False


def _in_short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{getattr(value, 'dtype', type(value).__name__)} {shape}"
    if isinstance(value, (list, tuple, dict, set)) and len(value) > _FEW:
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_in_short(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_in_short(one)}' for name, one in value.items())}}}"
    if not isinstance(value, (str, bool, int, float, np.generic)):
        return type(value).__name__  # whose own text may take long
    text = str(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."
