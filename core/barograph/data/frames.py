"""Data frames as tables: of pandas, polars and pyarrow, none of which is imported here.

Equal columns are equal in all three: numbers of one type with the same cells missing, texts, points in time of one
unit. A category goes by its value, and is not equal to the same texts as plain texts. An index is left out.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import column_of_array
from .cells import Cells, Codes, Numbers, Stored, Texts, codes_of, texts_of
from .objects import bytes_of
from .table import Column, Table

_ARROW_NUMBERS = {"halffloat": "float16", "float": "float32", "double": "float64", "bool": "bool"}
_ARROW_TEXTS = {"string", "large_string", "string_view"}
_NO_NUMBERS = "OUST"
_OBJECT_BYTES = 64  # reckoned for an object, so that fewer are read at a time
_POLARS_MOMENTS = {"Date", "Datetime", "Duration"}
_POLARS_OBJECTS = {"Decimal", "Int128", "UInt128"}  # numbers that numpy has no type for


def table_of_pandas(frame: Any) -> Table:  # Any: core does not import pandas
    """A pandas DataFrame, Series or Index."""
    if hasattr(frame, "columns"):
        series = [(_label(name), frame.iloc[:, place]) for place, name in enumerate(frame.columns)]
    else:
        series = [(_label(frame.name) if frame.name is not None else "", frame)]
    columns = [_pandas_column(name, one) for name, one in series]
    usage = frame.memory_usage(index=False) if hasattr(frame, "columns") else frame.memory_usage()
    return Table(f"pandas.{type(frame).__name__}", len(frame), columns, int(np.sum(usage)))


def table_of_polars(frame: Any) -> Table:  # Any: core does not import polars
    """A polars DataFrame or Series; a LazyFrame is not collected."""
    series = frame.get_columns() if hasattr(frame, "get_columns") else [frame]
    columns = [_polars_column(one) for one in series]
    kind = f"polars.{type(frame).__name__}"
    return Table(kind, len(frame), columns, int(frame.estimated_size()), is_immutable=True)


def table_of_arrow(data: Any) -> Table:  # Any: core does not import pyarrow
    """A pyarrow Table, RecordBatch, Array or ChunkedArray."""
    named = zip(data.schema.names, data.columns, strict=True) if hasattr(data, "schema") else [("", data)]
    columns = [_arrow_column(name, one) for name, one in named]
    return Table(f"pyarrow.{type(data).__name__}", len(data), columns, int(data.nbytes), is_immutable=True)


def _label(name: object) -> str:
    return name if isinstance(name, str) else str(name)


# -- pandas ----------------------------------------------------------------------------------------------------------


def _pandas_column(name: str, series: Any) -> Column:
    dtype = series.dtype
    if type(dtype).__name__ == "CategoricalDtype":
        return _coded(name, np.asarray(getattr(series, "cat", series).codes), list(dtype.categories))
    if type(dtype).__name__ == "SparseDtype":
        return _pandas_sparse(name, series.array)
    if isinstance(dtype, np.dtype) and dtype.kind not in _NO_NUMBERS:
        return column_of_array(series.to_numpy(), name)
    if type(dtype).__name__ == "DatetimeTZDtype":
        moments = series.to_numpy(dtype=f"datetime64[{dtype.unit}]")
        return _renamed(column_of_array(moments, name), f"datetime64[{dtype.unit}, {dtype.tz}]")
    pyarrow_dtype = getattr(dtype, "pyarrow_dtype", None)
    if pyarrow_dtype is not None:
        array = series.array.__arrow_array__()
        return _arrow_column(name, array)
    numbers = getattr(dtype, "numpy_dtype", None)
    if isinstance(numbers, np.dtype) and numbers.kind in "biuf":  # with a mask: Int64, Float32, boolean
        mask = series.isna().to_numpy()
        values = series.to_numpy(dtype=numbers, na_value=numbers.type(0))
        return column_of_array(values, name, mask if mask.any() else None)

    is_text = type(dtype).__name__ == "StringDtype" or _holds_texts(series)
    if is_text and getattr(dtype, "storage", None) == "pyarrow":
        return _arrow_column(name, series.array.__arrow_array__())

    def read(start: int, stop: int) -> Cells:
        return texts_of(series.iloc[start:stop].tolist() if hasattr(series, "iloc") else list(series[start:stop]))

    return Column(name, "string" if is_text else "object", (), read, _OBJECT_BYTES)


def _pandas_sparse(name: str, array: Any) -> Column:
    """A sparse column as what it stores; what it does not is missing if it is filled with NaN."""
    places, values = np.asarray(array.sp_index.indices, dtype=np.int64), np.asarray(array.sp_values)
    is_missing = bool(array.fill_value != array.fill_value)

    def read(start: int, stop: int) -> Cells:
        first, last = np.searchsorted(places, (start, stop))
        starts = np.searchsorted(places[first:last], np.arange(start, stop + 1))
        columns = np.zeros(last - first, dtype=np.int64)
        return Stored(starts.astype(np.int64), columns, values[first:last], 1, is_missing)

    return Column(name, f"sparse {values.dtype.name}, else {array.fill_value}", (), read)


def _holds_texts(series: Any) -> bool:
    """Whether an object column holds texts and missing values only: it then equals a column of texts."""
    cells = np.asarray(series, dtype=object).tolist()
    return set(map(type, cells)) <= {str} or all(isinstance(cell, str) or bytes_of(cell) is None for cell in cells)


# -- polars ----------------------------------------------------------------------------------------------------------


def _polars_column(series: Any) -> Column:
    name, dtype = str(series.name), series.dtype
    kind = type(dtype).__name__ if not isinstance(dtype, type) else dtype.__name__
    if kind in ("Categorical", "Enum"):
        return Column(name, "category", (), lambda start, stop: codes_of(series[start:stop].to_list()))
    if (dtype.is_numeric() and kind not in _POLARS_OBJECTS) or kind in _POLARS_MOMENTS or kind == "Boolean":
        return _polars_numbers(name, series, kind)
    if kind == "String":
        return Column(name, "string", (), lambda start, stop: _polars_texts(series[start:stop]))
    if kind in ("List", "Array") and dtype.inner.is_numeric() and not series.null_count():
        return _polars_lists(name, series, kind)
    return Column(name, "object", (), lambda start, stop: texts_of(series[start:stop].to_list()), _OBJECT_BYTES)


def _polars_lists(name: str, series: Any, kind: str) -> Column:
    """Lists of numbers: of one length as a matrix, of several as the bytes of each."""
    if kind == "Array":
        return _renamed(column_of_array(series.to_numpy(), name), series[:0].to_numpy().dtype.name)

    def read(start: int, stop: int) -> Cells:
        part = series[start:stop]
        full = part.filter(part.list.len() > 0)  # an empty list would become a missing number
        return _lists(full.explode().to_numpy(), part.list.len().to_numpy())

    return Column(name, f"list {series[:0].explode().to_numpy().dtype.name}", (), read, _OBJECT_BYTES)


def _polars_texts(part: Any) -> Texts:
    """Texts joined by polars itself, which takes a tenth of the time that Python objects would."""
    missing = part.is_null().to_numpy() if part.null_count() else None
    whole = part.fill_null("")
    offsets = np.zeros(len(part) + 1, dtype=np.int64)
    np.cumsum(whole.str.len_bytes().to_numpy(), out=offsets[1:])
    data = (whole.str.join("").item() if len(part) else "").encode("utf-8")
    return Texts(np.frombuffer(data, dtype=np.uint8), offsets, missing)


def _polars_numbers(name: str, series: Any, kind: str) -> Column:
    empty = series[:0].to_numpy()
    dtype = "datetime64[D]" if kind == "Date" else empty.dtype.name
    if kind == "Datetime" and series.dtype.time_zone:
        dtype = f"datetime64[{series.dtype.time_unit}, {series.dtype.time_zone}]"

    def read(start: int, stop: int) -> Cells:
        part = series[start:stop]
        missing = part.is_null().to_numpy() if part.null_count() else None
        physical = part.to_physical() if kind != "Boolean" else part
        values = (physical.fill_null(False if kind == "Boolean" else 0) if missing is not None else physical).to_numpy()
        return Numbers(_moments(values, dtype, missing), None if kind in _POLARS_MOMENTS else missing)

    return Column(name, dtype, (), read, empty.dtype.itemsize)


# -- pyarrow ---------------------------------------------------------------------------------------------------------


def _arrow_column(name: str, array: Any) -> Column:
    kind = str(array.type)
    pyarrow = sys.modules["pyarrow"]
    if kind.startswith("dictionary"):
        return Column(name, "category", (), lambda start, stop: _arrow_codes(_whole(array.slice(start, stop - start))))
    if kind in _ARROW_TEXTS:
        return Column(name, "string", (), lambda start, stop: _arrow_texts(_whole(array.slice(start, stop - start))))
    is_moment = kind.startswith(("timestamp", "duration", "date32"))
    if not is_moment and not _is_arrow_number(kind):
        if hasattr(array.type, "value_type") and _is_arrow_number(str(array.type.value_type)) and not array.null_count:
            return _arrow_lists(name, array)
        cells = lambda start, stop: texts_of(array.slice(start, stop - start).to_pylist())  # noqa: E731
        return Column(name, "object", (), cells, _OBJECT_BYTES)
    dtype = _arrow_dtype(kind)

    def read(start: int, stop: int) -> Cells:
        part = _whole(array.slice(start, stop - start))
        missing = part.is_null().to_numpy(zero_copy_only=False) if part.null_count else None
        if is_moment:
            part = part.cast(pyarrow.int32() if kind.startswith("date32") else pyarrow.int64(), safe=False)
        if missing is not None:
            part = part.fill_null(False if kind == "bool" else 0)
        values = part.to_numpy(zero_copy_only=False)
        return Numbers(_moments(values, dtype, missing), None if is_moment else missing)

    return Column(name, dtype, (), read, 1 if kind == "bool" else max(1, array.type.bit_width // 8))


def _is_arrow_number(kind: str) -> bool:
    return kind in _ARROW_NUMBERS or kind.startswith(("int", "uint"))


def _arrow_lists(name: str, array: Any) -> Column:
    """Lists of numbers: of one length as a matrix, of several as the bytes of each."""
    size = getattr(array.type, "list_size", 0)
    dtype = _arrow_dtype(str(array.type.value_type))

    def read(start: int, stop: int) -> Cells:
        part = _whole(array.slice(start, stop - start))
        values = part.flatten()
        numbers = values.to_numpy(zero_copy_only=False).astype(dtype, copy=False)
        if size:
            return Numbers(numbers.reshape(len(part), size))
        return _lists(numbers, part.value_lengths().to_numpy(zero_copy_only=False))

    width = max(1, array.type.value_type.bit_width // 8)
    return Column(name, dtype if size else f"list {dtype}", (size,) if size else (), read, width * (size or 8))


def _arrow_dtype(kind: str) -> str:
    if kind.startswith("date32"):
        return "datetime64[D]"
    if kind.startswith("timestamp"):
        unit, _, zone = kind.removeprefix("timestamp[").removesuffix("]").partition(", tz=")
        return f"datetime64[{unit}, {zone}]" if zone else f"datetime64[{unit}]"
    if kind.startswith("duration"):
        return f"timedelta64[{kind.removeprefix('duration[').removesuffix(']')}]"
    return _ARROW_NUMBERS.get(kind, kind)


def _arrow_texts(array: Any) -> Texts:
    pyarrow = sys.modules["pyarrow"]
    large = array.cast(pyarrow.large_string())
    if large.null_count:
        missing = large.is_null().to_numpy(zero_copy_only=False)
        large = large.fill_null("")
    else:
        missing = None
    _, offsets, data = large.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64, count=len(large) + 1, offset=8 * large.offset) if offsets else None
    if starts is None or data is None:
        return Texts(np.empty(0, dtype=np.uint8), np.zeros(len(large) + 1, dtype=np.int64), missing)
    return Texts(np.frombuffer(data, dtype=np.uint8), starts, missing)


def _arrow_codes(array: Any) -> Codes:
    codes = array.indices.fill_null(-1) if array.indices.null_count else array.indices
    return Codes(codes.to_numpy(zero_copy_only=False).astype(np.intp), texts_of(array.dictionary.to_pylist()))


def _whole(array: Any) -> Any:
    """The chunks of a pyarrow array as one."""
    if not hasattr(array, "chunks"):
        return array
    if array.num_chunks == 1:
        return array.chunk(0)
    whole = array.combine_chunks()
    if hasattr(whole, "chunks"):  # older versions give a chunked array of one
        whole = whole.chunk(0) if whole.num_chunks else sys.modules["pyarrow"].array([], whole.type)
    return whole


# -- what they share -------------------------------------------------------------------------------------------------


def _coded(name: str, codes: NDArray[Any], categories: list[object]) -> Column:
    texts = texts_of(categories)

    def read(start: int, stop: int) -> Cells:
        return Codes(codes[start:stop].astype(np.intp), texts)

    return Column(name, "category", (), read)


def _lists(numbers: NDArray[Any], lengths: NDArray[Any]) -> Texts:
    """Lists of numbers one after the other as cells of any length."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths.astype(np.int64) * numbers.itemsize, out=offsets[1:])
    return Texts(np.ascontiguousarray(numbers).view(np.uint8), offsets)


def _moments(values: NDArray[Any], dtype: str, missing: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Numbers as points or spans of time, where they are that, with NaT for missing ones as numpy has it."""
    if not dtype.startswith(("datetime64", "timedelta64")):
        return values
    moments = values.astype(np.int64)
    if missing is not None:
        moments[missing] = np.iinfo(np.int64).min
    head, _, rest = dtype.partition("[")
    return moments.view(f"{head}[{rest.partition(',')[0].rstrip(']')}]")


def _renamed(column: Column, dtype: str) -> Column:
    return Column(column.name, dtype, column.shape, column.read, column.row_bytes)
