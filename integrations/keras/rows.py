"""Rows of what a call was given: cut out of arrays, tensors, data frames and sparse matrices, one or several."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

# Any, throughout: whatever users train on


def are_arrays(data: Any) -> bool:
    """Whether data lie in memory as arrays, tensors or data frames, one or several."""
    leaves = keras.tree.flatten(data)
    return bool(leaves) and all(hasattr(leaf, "shape") for leaf in leaves)


def count_rows(*data: Any) -> int | None:
    """How many rows several data have; None where they differ, or have none. What is None is passed over."""
    sizes = {leaf.shape[0] if len(leaf.shape) else None for leaf in keras.tree.flatten(data) if leaf is not None}
    size = sizes.pop() if len(sizes) == 1 else None
    return None if size is None else int(size)


def first_rows(data: Any, stop: int, start: int = 0) -> Any:
    """Copies on the host of the rows from `start` to `stop`."""
    return on_host(keras.tree.map_structure(lambda one: _sliced(one, start, stop), data))


def on_host(data: Any) -> Any:
    """Data as arrays of numpy, in memory of their own. None stays None."""
    return keras.tree.map_structure(lambda one: None if one is None else _on_host(one), data)


def rows_at(data: Any, places: np.ndarray[Any, Any]) -> Any:
    """The rows at some places, of the kind that the data are of. None stays None."""
    return None if data is None else keras.tree.map_structure(lambda one: _taken(one, places), data)


def by_name(model: Any, values: Any) -> dict[str, Any]:
    """Outputs or labels by the names of the outputs; those of a model with one output by an empty name."""
    if isinstance(values, dict):
        return dict(values) if len(values) > 1 else {"": next(iter(values.values()), None)}
    if isinstance(values, (list, tuple)) and len(values) == 1:
        return {"": values[0]}
    if isinstance(values, (list, tuple)):
        names = getattr(model, "output_names", None) or range(len(values))
        return {str(name): one for name, one in zip(names, values, strict=True)}
    return {"": values}


def _sliced(values: Any, start: int, stop: int) -> Any:
    if hasattr(values, "iloc"):
        return values.iloc[start:stop]
    return (values.tocsr() if hasattr(values, "tocsr") else values)[start:stop]


def _taken(values: Any, places: np.ndarray[Any, Any]) -> Any:
    if hasattr(values, "iloc"):
        return values.iloc[places]
    if hasattr(values, "tocsr"):
        return values.tocsr()[places]
    if keras.ops.is_tensor(values):
        return keras.ops.take(values, places, axis=0)
    return values[places]


def _on_host(values: Any) -> Any:
    if keras.ops.is_tensor(values):
        return np.array(keras.ops.convert_to_numpy(values))
    return values.toarray() if hasattr(values, "toarray") else np.array(values)
