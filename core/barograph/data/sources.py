"""What a piece of data is, told by the module its class comes from; no framework is imported, nothing is consumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import table_of_array, table_of_list, table_of_tensor
from .frames import table_of_arrow, table_of_pandas, table_of_polars
from .sparse import table_of_sparse
from .table import Opaque, Table
from .torch_data import about_dataset, about_loader, is_dataset, is_loader, length, tables_of_dataset

Part = Table | Opaque

_IN_MEMORY = {"tensorflow", "jax", "jaxlib"}
_FEW = 8  # a list of no more arrays is taken for the inputs of a model that has several
_MATRIX_LIMIT_BYTES = 256 << 20  # of a DMatrix, which can only be read by copying it
_STORED_BYTES = 12  # what such a copy takes for each stored value
_DEEPEST = 8


def parts_of(data: Any, labels: object = None, weights: object = None) -> dict[str, Part]:  # Any: what a user trains on
    """The "inputs", "labels" and "weights" of some data, as far as there are any.

    Without labels beside it, a tuple of two or three is inputs, labels and weights, the last tensor of a TensorDataset
    is its labels, and a DMatrix brings its own.
    """
    if labels is None and type(data) is tuple and 1 <= len(data) <= 3:
        data, labels, weights = [*data, None, weights][:3] if len(data) == 1 else [*data, weights][:3]
    about: dict[str, Any] = {}
    if is_loader(data):
        about = {"loader": about_loader(data)}
        data = data.dataset
    parts: dict[str, Part] = {}
    tables = tables_of_dataset(data) if is_dataset(data) else None
    if tables:
        *inputs, last = tables
        parts["inputs"] = _joined(dict(zip(map(str, range(len(inputs))), inputs, strict=True)), class_name(data))
        parts["labels"] = last
        if not inputs:
            parts = {"inputs": last}
        elif len(inputs) == 1:
            parts["inputs"] = dataclasses.replace(inputs[0], kind=class_name(data))
    else:
        parts["inputs"] = describe(data, rows=length(labels) if labels is not None else None)
        if _package(data) == "xgboost" and hasattr(data, "get_label"):
            parts |= _labels_of_matrix(data)
    parts["inputs"] = dataclasses.replace(parts["inputs"], about=parts["inputs"].about | about)
    for name, value in (("labels", labels), ("weights", weights)):
        if value is not None:
            parts[name] = describe(value, rows=parts["inputs"].rows)
    return parts


def describe(data: Any, rows: int | None = None, depth: int = 0) -> Part:  # Any: whatever a user trains on
    """Some data as a table, or what can be said of it without reading it. rows: how many there should be, if known."""
    try:
        found = _readable(data, rows, depth) if depth < _DEEPEST else None
    except Exception as error:  # noqa: BLE001  # a class that only looks like one we know
        return Opaque(class_name(data), length(data), {"problem": f"{type(error).__name__}: {error}"[:200]})
    return found if found is not None else _unread(data)


def class_name(value: object) -> str:
    """A class with the package it comes from, such as pandas.DataFrame."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    return kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"


def _readable(data: Any, rows: int | None, depth: int) -> Part | None:
    package = _package(data)
    if isinstance(data, (np.ndarray, np.generic)):
        return table_of_array(np.asanyarray(data))
    if hasattr(data, "tocsr"):  # before mappings: one of scipy's formats is a dict
        return table_of_sparse(data)
    if isinstance(data, Mapping):
        return _joined({str(key): describe(value, rows, depth + 1) for key, value in data.items()}, class_name(data))
    if isinstance(data, (list, tuple)):
        if _are_inputs(data, rows):
            named = {str(place): describe(value, rows, depth + 1) for place, value in enumerate(data)}
            return _joined(named, class_name(data))
        return table_of_list(data if isinstance(data, list) else list(data))
    if hasattr(data, "detach") and hasattr(data, "layout"):
        return table_of_tensor(data)
    if _is_of(data, "pandas") and hasattr(data, "memory_usage"):
        return table_of_pandas(data)
    if _is_of(data, "polars") and hasattr(data, "estimated_size"):
        return table_of_polars(data)
    if package == "pyarrow" and hasattr(data, "nbytes"):
        return table_of_arrow(data)
    if package == "xgboost" and hasattr(data, "num_row"):
        return _matrix(data)
    # An array of h5py, zarr or dask would be loaded or computed as a whole, so only what lies in memory is taken.
    if (package in _IN_MEMORY and hasattr(data, "__array__")) or hasattr(data, "__array_interface__"):
        return table_of_array(np.asarray(data), class_name(data))
    return None


def _unread(data: Any) -> Opaque:
    """What can be said of data that is not read: class, length, and what it stands on."""
    if is_dataset(data):
        return Opaque(class_name(data), length(data), about_dataset(data))
    if hasattr(data, "element_spec") and hasattr(data, "cardinality"):
        elements = int(data.cardinality())  # negative: unknown, or without end
        about = {"elements": elements if elements >= 0 else None, "spec": str(data.element_spec)[:2000]}
        return Opaque(class_name(data), None, about)
    about = {name: str(found)[:200] for name in ("shape", "dtype") if (found := getattr(data, name, None)) is not None}
    return Opaque(class_name(data), length(data), about)


def _joined(parts: Mapping[str, Part], kind: str) -> Part:
    """Several parts of one length as one table: the inputs of a model that has several, or the columns of a dict."""
    tables = {name: part for name, part in parts.items() if isinstance(part, Table)}
    lengths = {part.rows for part in parts.values()}
    rows = lengths.pop() if len(lengths) == 1 else None
    if not parts or rows is None or len(tables) < len(parts):
        said = {name: {"kind": part.kind, "rows": part.rows, **part.about} for name, part in parts.items()}
        return Opaque(kind, rows, {"parts": said})
    columns = [
        dataclasses.replace(column, name=f"{name}/{column.name}" if column.name else name)
        for name, table in tables.items()
        for column in table.columns
    ]
    return Table(
        kind,
        rows,
        columns,
        sum(table.size_bytes for table in tables.values()),
        all(table.is_immutable for table in tables.values()),
    )


def _are_inputs(data: list[Any] | tuple[Any, ...], rows: int | None) -> bool:
    """Whether a list holds arrays for the several inputs of a model, and not one sample each."""
    if not data or not all(hasattr(one, "shape") and len(one.shape) for one in data):
        return False
    if len({one.shape[0] for one in data}) != 1 or rows == len(data):
        return False
    return bool(rows == data[0].shape[0]) if rows is not None else len(data) <= _FEW


def _matrix(matrix: Any) -> Part:
    """An xgboost DMatrix: its content if it is small, for it can only be copied; missing values are not zeros."""
    names = tuple(matrix.feature_names or ())
    rows, stored = int(matrix.num_row()), int(matrix.num_nonmissing())
    if _STORED_BYTES * stored > _MATRIX_LIMIT_BYTES:
        return Opaque(class_name(matrix), rows, {"features": int(matrix.num_col()), "stored": stored})
    table = table_of_sparse(matrix.get_data(), absent_is_missing=True)
    columns = [dataclasses.replace(column, names=names) for column in table.columns]
    return dataclasses.replace(table, kind=class_name(matrix), columns=columns)


def _labels_of_matrix(matrix: Any) -> dict[str, Part]:
    found = {"labels": np.asarray(matrix.get_label()), "weights": np.asarray(matrix.get_weight())}
    return {name: table_of_array(array) for name, array in found.items() if array.size}


def _is_of(data: object, package: str) -> bool:
    """Whether a class, or one it is derived from, comes from a package: geopandas' frames are pandas'."""
    return any(base.__module__.partition(".")[0] == package for base in type(data).__mro__)


def _package(data: object) -> str:
    return type(data).__module__.partition(".")[0]
