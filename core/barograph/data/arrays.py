"""Arrays and tensors as tables: of numpy, torch, tensorflow and jax, and plain lists. They are read where they lie."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Cells, Numbers, texts_of
from .table import Column, Table

_NO_NUMBERS = "OUST"  # the kinds of arrays that hold texts and objects
_MOST_COLUMNS = 1024  # that a matrix of texts or objects is taken apart into
_OBJECT_BYTES = 64  # reckoned for a text or object, so that fewer are read at a time
_NUMBERS = (int, float, complex, np.generic, np.ndarray, list, tuple)

_BYTES_AS = {1: np.uint8, 2: np.uint16}  # what numpy sees of the number types it lacks


def table_of_array(array: NDArray[Any], kind: str | None = None) -> Table:  # Any: an array of whatever there is
    """An array: its first axis are the rows; a structured one has a column a field."""
    array = array.reshape(1) if array.ndim == 0 else array
    if isinstance(array, np.ma.MaskedArray):
        columns = [_masked(array)]
    elif array.ndim == 2 and array.dtype.kind in _NO_NUMBERS and 0 < array.shape[1] <= _MOST_COLUMNS:
        columns = [column_of_array(array[:, place], str(place)) for place in range(array.shape[1])]
    elif array.dtype.names is not None:
        columns = [column_of_array(array[name], name) for name in array.dtype.names]
    else:
        columns = [column_of_array(array)]
    return Table(kind or _class_name(array), len(array), columns, array.nbytes)


def column_of_array(array: NDArray[Any], name: str = "", mask: NDArray[np.bool_] | None = None) -> Column:
    """An array as one column. mask: which rows are missing; shape (rows,).

    Equal numbers of one type are equal in any layout, byte order and library. Texts and objects go by value.
    """
    array = np.asarray(array)
    shape = array.shape[1:]
    letter = array.dtype.kind
    if letter in _NO_NUMBERS or (letter == "V" and array.dtype.names is not None):
        row_bytes = _OBJECT_BYTES * int(np.prod(shape, dtype=np.int64))
        return Column(name, "string" if letter in "UT" else "object", shape, _objects(array, mask), row_bytes)

    def read(start: int, stop: int) -> Cells:
        return Numbers(plain_numbers(array[start:stop]), None if mask is None else mask[start:stop])

    row_bytes = array.itemsize * int(np.prod(shape, dtype=np.int64))
    return Column(name, array.dtype.name, shape, read, row_bytes)


def plain_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """The numbers as little endian, without bytes that mean nothing."""
    if values.dtype.byteorder == ">" or (values.dtype.byteorder == "=" and sys.byteorder == "big"):
        values = values.astype(values.dtype.newbyteorder("<"))
    if values.dtype.kind in "fc" and values.dtype.itemsize > (8 if values.dtype.kind == "f" else 16):
        # a long double has ten bytes of sixteen; its value is the sum of two doubles
        parts = values.view(np.longdouble) if values.dtype.kind == "c" else values
        upper = parts.astype(np.float64)
        with np.errstate(invalid="ignore"):
            return np.stack((upper, (parts - upper).astype(np.float64)), axis=-1)
    return values


def table_of_tensor(tensor: Any, places: NDArray[np.int64] | None = None) -> Table:  # Any: core does not import torch
    """A torch tensor, on whatever device; what lies on a GPU is brought over block by block.

    places: only these rows of it, in this order.
    """
    tensor = tensor.detach()
    if tensor.is_meta or tensor.is_quantized or tensor.is_nested:
        raise TypeError("a tensor without values of its own, quantized or nested, is not read")
    if tensor.is_sparse or str(tensor.layout) != "torch.strided":
        from .sparse import table_of_sparse_tensor

        return table_of_sparse_tensor(tensor)
    if tensor.dim() == 0:
        tensor = tensor.reshape(1)
    name = str(tensor.dtype).removeprefix("torch.")

    def read(start: int, stop: int) -> Cells:
        return numbers_of_tensor(tensor[start:stop] if places is None else tensor[places[start:stop]])

    rows = len(tensor) if places is None else len(places)
    row_bytes = tensor.element_size() * (tensor.numel() // max(1, len(tensor)))
    column = Column("", name, tuple(tensor.shape[1:]), read, row_bytes)
    return Table("torch.Tensor", rows, [column], row_bytes * rows)


def numbers_of_tensor(tensor: Any) -> Numbers:  # Any: core does not import torch
    """The numbers of a dense torch tensor, in place if they lie in host memory."""
    host = tensor.detach().cpu().resolve_conj().resolve_neg()
    try:
        return Numbers(host.numpy())
    except TypeError:  # bfloat16, float8: numpy has no such type
        torch = sys.modules["torch"]
        unsigned = np.dtype(_BYTES_AS[host.element_size()]).name
        kind = str(host.dtype).removeprefix("torch.")
        signed = getattr(torch, "int16" if unsigned == "uint16" else "uint8")
        return Numbers(host.contiguous().view(signed).numpy().view(unsigned), kind=kind)


def table_of_list(rows: list[Any]) -> Table:  # Any: a user's list
    """A list of numbers, of rows of one length, or of anything else, which then goes by value."""
    array = None
    # numpy would take a dataset in a list for a sequence and read all its items
    if rows and (isinstance(rows[0], _NUMBERS) or hasattr(rows[0], "__array__")):
        try:
            array = np.asarray(rows)
        except (ValueError, TypeError, OverflowError):  # rows of several lengths
            pass
    if array is not None and array.ndim and array.dtype.kind in "biufcmM" and len(array) == len(rows):
        return table_of_array(array, "list")

    def read(start: int, stop: int) -> Cells:
        return texts_of(rows[start:stop])

    dtype = "string" if set(map(type, rows)) <= {str} else "object"
    return Table("list", len(rows), [Column("", dtype, (), read, _OBJECT_BYTES)], 8 * len(rows))


def _objects(array: NDArray[Any], mask: NDArray[np.bool_] | None) -> Any:
    def read(start: int, stop: int) -> Cells:
        rows = array[start:stop]
        cells = rows.tolist() if rows.ndim == 1 else list(rows)
        if mask is not None:
            cells = [None if absent else cell for cell, absent in zip(cells, mask[start:stop], strict=True)]
        return texts_of(cells)

    return read


def _masked(array: NDArray[Any]) -> Column:
    """A masked array: by row if it has one cell a row, else by value, with zeros where cells are masked."""
    mask: NDArray[np.bool_] = np.asarray(np.ma.getmaskarray(array))
    plain = np.ma.getdata(array)
    if array.ndim == 1:
        return column_of_array(np.where(mask, np.zeros(1, plain.dtype), plain), mask=mask)
    whole = np.ma.filled(array, np.zeros(1, plain.dtype)[0])
    return column_of_array(whole, mask=np.asarray(mask.reshape(len(mask), -1).any(axis=1)))


def _class_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
