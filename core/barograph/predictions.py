"""A few fixed rows of an evaluation as a table: what was asked, what was right, what the model said, how surely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barograph.tensors.compute import on_host

_SUM_TOLERANCE = 1e-2  # of probabilities in half precision


def prediction_table(
    labels: object,
    outputs: object,
    indices: Sequence[int] | None = None,
    dataset: str = "val",
    *,
    classes: Sequence[object] | None = None,
    predictions: object = None,
    are_values: bool = False,
) -> dict[str, list[Any]]:
    """Columns index, dataset, label, prediction and score, one row an example, for `run.log_table()`.

    labels: shape (n,), (n, 1), one-hot (n, k), or any other for which there is no class; None where there is none.
    outputs: what the model put out, shape (n,), (n, 1) or (n, k), as arrays or tensors of any library.
    indices: places of the rows in the data set called `dataset`; default 0 to n - 1. classes: what the k outputs stand
    for; default 0 to k - 1. predictions: the predicted labels, where the model itself gives them beside its outputs.
    are_values: that the outputs are predicted values, whatever they look like.

    Else classes are told from whole labels: of k outputs the largest is the prediction and its value, as the model
    gave it, the score; of one output between 0 and 1 beside labels 0 and 1 the score is the probability of 1.
    Everything else is a prediction as it stands, without a score. Raises ValueError if the numbers of rows differ.
    """
    found = _rows(outputs)
    count = len(found)
    asked = [None] * count if labels is None else _rows(labels)
    if len(asked) != count:
        raise ValueError(f"predictions: {count} outputs do not go with {len(asked)} labels")
    if indices is not None and len(indices) != count:
        raise ValueError(f"predictions: {count} outputs do not go with {len(indices)} indices")
    one_hot = not are_values and labels is not None and _is_one_hot(asked, found)
    right = asked.argmax(axis=1) if one_hot else asked  # type: ignore[union-attr]  # an array if it is one-hot
    said, scores = (found, None) if are_values else _judged(right, found, one_hot)
    if classes is not None and scores is not None and found.ndim > 1:
        said = [_named(classes, one) for one in said]
        right = [_named(classes, one) for one in right] if one_hot else right
    if predictions is not None:
        said = _rows(predictions)
    return {
        "index": list(range(count)) if indices is None else [int(one) for one in indices],
        "dataset": [dataset] * count,
        "label": _plain(right),
        "prediction": _plain(said),
        "score": [None] * count if scores is None else _plain(scores),
    }


def _rows(values: object) -> NDArray[Any]:
    """An array of at least one axis; one of (n, 1) as (n,)."""
    array = np.asarray(on_host(values))
    if array.ndim == 0:
        array = array.reshape(1)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _is_one_hot(labels: Any, outputs: NDArray[Any]) -> bool:
    if labels.ndim != 2 or labels.shape != outputs.shape or labels.dtype.kind not in "biuf":
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def _judged(labels: Any, outputs: NDArray[Any], one_hot: bool) -> tuple[Any, Any]:
    """The predictions, and their scores or None."""
    kind = getattr(getattr(labels, "dtype", None), "kind", "O")
    if outputs.ndim == 2 and outputs.dtype.kind == "f":
        is_class = one_hot or (kind in "biu" and np.ndim(labels) == 1) or (kind not in "f" and _are_shares(outputs))
        if is_class:
            best = outputs.argmax(axis=1)
            return best, outputs[np.arange(len(outputs)), best]
    elif outputs.ndim == 1 and outputs.dtype.kind == "f" and _are_binary(labels, kind) and _are_within(outputs):
        return (outputs >= 0.5).astype(np.int64), outputs
    return outputs, None


def _are_within(outputs: NDArray[Any]) -> bool:
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def _are_shares(outputs: NDArray[Any]) -> bool:
    return bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=1) - 1) < _SUM_TOLERANCE).all())


def _are_binary(labels: Any, kind: str) -> bool:
    return kind in "biuf" and len(labels) > 0 and bool(((labels == 0) | (labels == 1)).all())


def _named(classes: Sequence[object], place: Any) -> object:
    return classes[int(place)] if 0 <= int(place) < len(classes) else int(place)


def _plain(values: Any) -> list[Any]:
    return [value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value for value in values]
