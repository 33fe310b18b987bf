"""Sparse matrices as tables of what they store; they are never made dense."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Cells, Stored
from .table import Column, Table


def table_of_sparse(matrix: Any, absent_is_missing: bool = False) -> Table:  # Any: core does not import scipy
    """A scipy sparse matrix or array of any format: equal matrices are equal in each of them.

    absent_is_missing: keep zeros that are stored, for they differ from what is not.
    """
    if matrix.ndim == 1:
        matrix = matrix.reshape(-1, 1)
    rows = matrix.tocsr()
    height, width = rows.shape
    size_bytes = rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes

    def read(start: int, stop: int) -> Cells:
        starts = rows.indptr[start : stop + 1].astype(np.int64)
        inside = slice(int(starts[0]), int(starts[-1]))
        starts -= starts[0]
        if _is_canonical(starts, rows.indices[inside], rows.data[inside]):
            return Stored(starts, rows.indices[inside].astype(np.int64), rows.data[inside], width, absent_is_missing)
        own = type(rows)((rows.data[inside].copy(), rows.indices[inside].copy(), starts), shape=(stop - start, width))
        own.sum_duplicates()
        if not absent_is_missing:
            own.eliminate_zeros()
        return Stored(own.indptr.astype(np.int64), own.indices.astype(np.int64), own.data, width, absent_is_missing)

    column = Column("", f"sparse {rows.dtype.name}", (width,), read, size_bytes // max(1, height))
    return Table(f"scipy.sparse.{type(matrix).__name__}", height, [column], size_bytes)


def _is_canonical(starts: NDArray[np.int64], columns: NDArray[Any], values: NDArray[Any]) -> bool:
    """Whether the columns of each row rise, so that none is stored twice, and no zero is stored."""
    rises = np.ones(len(columns), dtype=bool)
    np.greater(columns[1:], columns[:-1], out=rises[:-1])
    rises[starts[(starts > 0) & (starts < len(columns))] - 1] = True  # from one row to the next
    return bool(rises.all()) and bool(np.all(values))


def table_of_sparse_tensor(tensor: Any) -> Table:  # Any: core does not import torch
    """A sparse torch tensor of two dimensions, by what it stores."""
    coo = tensor.cpu().to_sparse_coo().coalesce()
    if coo.dim() != 2 or coo.dense_dim():
        raise TypeError(f"a sparse tensor of {coo.dim()} dimensions is not read")
    from .arrays import numbers_of_tensor

    places, values = coo.indices().numpy(), numbers_of_tensor(coo.values()).values
    height, width = coo.shape
    starts = np.searchsorted(places[0], np.arange(height + 1)).astype(np.int64)

    def read(start: int, stop: int) -> Cells:
        inside = slice(int(starts[start]), int(starts[stop]))
        kept = np.flatnonzero(values[inside] != 0)
        before = np.searchsorted(kept, starts[start : stop + 1] - starts[start]).astype(np.int64)
        return Stored(before, places[1][inside][kept].astype(np.int64), values[inside][kept], width)

    name = str(tensor.dtype).removeprefix("torch.")
    size_bytes = values.nbytes + places.nbytes
    column = Column("", f"sparse {name}", (width,), read, size_bytes // max(1, height))
    return Table("torch.Tensor", height, [column], size_bytes)
