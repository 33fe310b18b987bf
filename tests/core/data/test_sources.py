"""Data of every library: the same values are the same data, and nothing is consumed, changed or made dense."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

from barograph.data.sources import parts_of
from barograph.data.table import Opaque, Table

from .reading_in import ordered, scan_of

X = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
Y = np.arange(300) % 3
WORDS = [None if place % 7 == 0 else "é" * (place % 4) for place in range(300)]
MOMENTS = np.datetime64("2020-01-01", "us") + np.arange(300) * np.timedelta64(1, "h")
COLUMNS: dict[str, Any] = {
    "number": X[:, 0].astype(np.float64),
    "narrow": X[:, 1],
    "whole": [None if place % 5 == 0 else place for place in range(300)],
    "text": WORDS,
    "moment": MOMENTS,
    "truth": [place % 2 == 0 for place in range(300)],
}


def _pandas() -> pd.DataFrame:
    return pd.DataFrame(COLUMNS).astype({"whole": "Int64", "moment": "datetime64[us]"})


def _polars() -> pl.DataFrame:
    return pl.DataFrame(COLUMNS, schema_overrides={"narrow": pl.Float32})


def _arrow() -> pa.Table:
    return pa.table({**COLUMNS, "moment": pa.array(MOMENTS)})


FRAMES: dict[str, Callable[[], Any]] = {
    "polars": _polars,
    "polars in chunks": lambda: pl.concat([_polars()[:100], _polars()[100:]], rechunk=False),
    "pyarrow": _arrow,
    "pyarrow in chunks": lambda: pa.concat_tables([_arrow()[:17], _arrow()[17:]]),
    "pyarrow record batch": lambda: _arrow().to_batches()[0],
    "pandas with objects": lambda: _pandas().astype({"text": object}),
    "pandas with string": lambda: _pandas().astype({"text": "string"}),
    "pandas on pyarrow": lambda: _arrow().to_pandas(types_mapper=pd.ArrowDtype),
    "pandas with an index": lambda: _pandas().set_index(pd.Index(range(7, 307))),
    "pandas, a slice": lambda: pd.concat([_pandas(), _pandas()]).iloc[300:],
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_the_same_in_every_library(name: str) -> None:
    """Numbers, texts, moments and truth values with missing cells do not depend on who holds them, nor in which way."""
    assert ordered(FRAMES[name]()) == ordered(_pandas())


@pytest.mark.parametrize(
    "make",
    [
        torch.tensor,
        lambda array: torch.tensor(array.T.copy()).T,
        lambda array: torch.tensor(array).requires_grad_(),
        lambda array: array.astype(">f4"),
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=1)[:, ::2],
        lambda array: pytest.importorskip("tensorflow").constant(array),
        lambda array: pytest.importorskip("jax").numpy.asarray(array),
    ],
    ids=["torch", "torch turned", "torch with gradient", "big endian", "Fortran", "gaps", "tensorflow", "jax"],
)
def test_an_array_is_the_same_in_every_library(make: Callable[[Any], object]) -> None:
    """Equal numbers of one type and shape are the same data."""
    assert ordered(make(X)) == ordered(X)


@pytest.mark.parametrize("format_name", ["csc", "coo", "lil", "dok", "dia", "bsr"])
@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csr_array])
def test_a_sparse_matrix_is_the_same_in_every_format(format_name: str, kind: Any) -> None:
    """Matrices and arrays of all formats agree; zeros that are stored do not count, values stored twice are added."""
    matrix = kind(scipy.sparse.random(40, 30, 0.2, random_state=0))
    matrix.data = np.arange(1.0, 1.0 + matrix.nnz)  # whole numbers add up exactly
    expected = ordered(matrix)
    assert ordered(matrix.asformat(format_name)) == expected
    assert ordered(torch.tensor(matrix.toarray()).to_sparse()) == expected
    coo = matrix.tocoo()
    rows, columns = np.append(coo.row, [0, 5, 5]), np.append(coo.col, [29, 7, 7])
    twice = scipy.sparse.coo_matrix((np.append(coo.data, [0.0, 2.0, -2.0]), (rows, columns)), shape=(40, 30))
    assert ordered(twice) == expected


def test_a_huge_sparse_matrix_is_never_made_dense() -> None:
    """A matrix that would fill 8 TB is read in no time, and stays as it was."""
    rows = np.arange(1000) * 1000
    matrix = scipy.sparse.csr_matrix((np.ones(1000), (rows, rows)), shape=(1_000_000, 1_000_000))
    before = matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()
    assert scan_of(matrix).rows == 1_000_000
    assert all(map(np.array_equal, before, (matrix.data, matrix.indices, matrix.indptr)))


def test_a_sparse_column_of_pandas_is_read_as_it_is_stored() -> None:
    """What is filled in is not stored, and NaN is not zero."""
    zeros = pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 0, 1, 0, 2])})
    gaps = pd.DataFrame({"a": pd.arrays.SparseArray([np.nan, np.nan, 1, np.nan, 2])})
    assert ordered(zeros) != ordered(gaps)
    assert ordered(zeros) == ordered(zeros.copy())


def test_a_category_goes_by_its_value() -> None:
    """Codes and the order of categories do not count; a category is not a text."""
    words = ["b", "a", None, "b"]
    expected = ordered(pd.DataFrame({"c": pd.Categorical(words)}))
    assert ordered(pd.DataFrame({"c": pd.Categorical(words, categories=["z", "b", "a"])})) == expected
    assert ordered(pl.DataFrame({"c": words}, schema={"c": pl.Categorical})) == expected
    assert ordered(pa.table({"c": pa.array(words).dictionary_encode()})) == expected
    assert ordered(pd.DataFrame({"c": words})) != expected


def test_lists_of_numbers_are_the_same_in_polars_and_pyarrow() -> None:
    """Lists of several lengths go by their bytes, those of one length as a matrix."""
    lists = [[1, 2, 3], [], [4]]
    assert ordered(pl.DataFrame({"a": lists})) == ordered(pa.table({"a": lists}))
    matrix = np.arange(12.0).reshape(4, 3)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), 3)
    assert ordered(pa.table({"a": fixed})) == ordered({"a": matrix})
    assert ordered(pl.DataFrame({"a": pl.Series(matrix, dtype=pl.Array(pl.Float64, 3))})) == ordered({"a": matrix})


def test_nested_and_exact_cells_go_by_value() -> None:
    """Decimals, dates, lists and dicts in cells have equal bytes when they are equal."""

    def cells() -> list[object]:
        return [decimal.Decimal("1.50"), datetime.date(2020, 1, 2), [1, {"a": (2.0, None)}], b"\0", {3, 4}, 2**70]

    assert ordered(cells()) == ordered(cells())
    for place in range(len(cells())):
        other = cells()
        other[place] = "else"
        assert ordered(other) != ordered(cells())


@pytest.mark.parametrize(
    "make",
    [
        lambda inputs, labels: (TensorDataset(inputs, labels), None),
        lambda inputs, labels: (DataLoader(TensorDataset(inputs, labels), shuffle=True), None),
        lambda inputs, labels: (Subset(TensorDataset(inputs, labels), range(300)), None),
        lambda inputs, labels: (
            Subset(
                Subset(TensorDataset(torch.cat((inputs, inputs)), torch.cat((labels, labels))), range(300, 600)),
                range(300),
            ),
            None,
        ),
        lambda inputs, labels: ((inputs, labels), None),
        lambda inputs, labels: (inputs, labels),
    ],
    ids=["dataset", "loader", "subset", "subset of a subset", "pair", "apart"],
)
def test_tensors_of_torch_are_read_where_they_lie(make: Callable[..., tuple[object, object]]) -> None:
    """A TensorDataset is its tensors, in a loader or subset as well; the last one are the labels."""
    data, labels = make(torch.tensor(X), torch.tensor(Y))
    assert ordered(data, labels) == ordered(X, Y)


class _Made(Dataset[int]):
    """A dataset whose items cost something."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.asked = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, place: int) -> int:
        self.asked += 1
        return place


def test_a_dataset_that_makes_its_items_is_not_asked() -> None:
    """Class, length and what a subset takes are known without reading an item."""
    made = _Made(7)
    whole, loader = parts_of(made)["inputs"], parts_of(DataLoader(made, batch_size=2))["inputs"]
    one, other = (parts_of(Subset(made, places))["inputs"] for places in ([1, 2], [2, 1]))
    both = parts_of(ConcatDataset([made, made]))["inputs"]
    assert all(isinstance(part, Opaque) for part in (whole, loader, one, both))
    parts_of([made])
    assert (whole.rows, loader.rows, one.rows, both.rows) == (7, 7, 2, 14)
    assert loader.about["loader"]["batch_size"] == 2
    assert one.about["indices"] != other.about["indices"]
    assert made.asked == 0


def test_what_can_be_had_only_once_is_left_alone() -> None:
    """Generators are not consumed, a tf.data pipeline is not iterated, a lazy frame is not collected."""

    def numbers() -> Iterator[int]:
        yield from range(3)

    generator = numbers()
    assert isinstance(parts_of(generator)["inputs"], Opaque)
    assert list(generator) == [0, 1, 2]
    tensorflow = pytest.importorskip("tensorflow")
    pulled: list[int] = []

    def pull() -> Iterator[int]:
        pulled.append(1)
        yield 1

    pipeline = tensorflow.data.Dataset.from_generator(pull, output_types=tensorflow.int32)
    described = parts_of(pipeline)["inputs"]
    assert isinstance(described, Opaque)
    assert "spec" in described.about
    assert not pulled
    assert isinstance(parts_of(pl.LazyFrame({"a": [1]}))["inputs"], Opaque)


def test_an_array_that_is_not_in_memory_is_not_loaded() -> None:
    """Classes that only look like arrays, as those of h5py and dask, are described."""

    class Far:
        shape = (10, 3)
        dtype = np.dtype("f4")

        def __array__(self, *_: object, **__: object) -> None:
            raise AssertionError("was loaded")

    part = parts_of(Far())["inputs"]
    assert isinstance(part, Opaque)
    assert (part.rows, part.about["shape"]) == (10, "(10, 3)")


def test_a_file_in_memory_is_read(tmp_path: Path) -> None:
    """A memory map has the fingerprint of the array in it."""
    np.save(tmp_path / "x.npy", X)
    assert ordered(np.load(tmp_path / "x.npy", mmap_mode="r")) == ordered(X)


def test_several_inputs_are_columns() -> None:
    """Dicts and short lists of arrays of one length are the inputs of one model; a list of samples is not."""
    named = parts_of({"left": X, "right": Y})["inputs"]
    assert isinstance(named, Table)
    assert [column.name for column in named.columns] == ["left", "right"]
    several, samples = parts_of([X, X], labels=Y)["inputs"], parts_of(list(X[:3]), labels=Y[:3])["inputs"]
    assert (several.rows, samples.rows) == (300, 3)


def test_a_matrix_of_xgboost_brings_its_labels() -> None:
    """The values of a DMatrix, its labels, weights and feature names; a missing value is not a zero."""
    xgboost = pytest.importorskip("xgboost")
    with_gaps = X.copy()
    with_gaps[3, 2] = np.nan
    zeros = np.where(np.isnan(with_gaps), np.float32(0), with_gaps)
    matrix = xgboost.DMatrix(X, Y, weight=np.ones(300), feature_names=list("abcde"))
    parts = parts_of(matrix)
    assert set(parts) == {"inputs", "labels", "weights"}
    assert isinstance(parts["inputs"], Table)
    assert parts["inputs"].columns[0].names == ("a", "b", "c", "d", "e")
    assert len({ordered(xgboost.DMatrix(data, Y)) for data in (X, with_gaps, zeros)}) == 3


@pytest.mark.parametrize(
    "odd",
    [None, 5, "abc", b"abc", object(), {}, {"x": 1}, {"a": X, "b": X[:2]}, torch.zeros(3, device="meta")],
    ids=lambda odd: type(odd).__name__,
)
def test_what_is_no_data_is_described(odd: object) -> None:
    """Nothing is raised; the class is told."""
    assert isinstance(parts_of(odd)["inputs"], Opaque)


@pytest.mark.parametrize(
    "odd",
    [
        np.float32(3),
        np.array(5),
        np.array([[1, "a", None]], dtype=object),
        np.zeros(3, dtype=[("x", "f4"), ("y", "U3")]),
        np.ma.masked_array([[1, 2], [3, 4]], [[0, 1], [0, 0]]),
        np.arange(3, dtype=np.longdouble),
        np.array(["2020", "NaT"], dtype="M8[s]"),
        np.array([1 + 2j]),
        pd.DataFrame(),
        pa.table({}),
        pa.chunked_array([], pa.string()),
        pd.DataFrame({"a": ["x", 1, None, 2.5, pd.NaT]}),
        pd.Series(["a", "b"], dtype="category"),
        pd.Index(["a"]),
        pl.DataFrame({"a": [[["deep"]]], "b": [None], "c": [{"x": 1}]}),
        torch.zeros(2, 3).to(torch.float8_e4m3fn),
        torch.tensor(1.0),
        ["a\ud800", "\0"],
        [[1], [2, 3]],
        [{"a": 1}, {"b": 2}],
    ],
    ids=lambda odd: f"{type(odd).__module__}.{type(odd).__name__}",
)
def test_odd_data_are_read(odd: object) -> None:
    """Scalars, empty frames, objects, eight-bit floats, lone surrogates: all have a fingerprint, and the same twice."""
    assert ordered(odd) == ordered(odd)


def test_no_library_is_imported() -> None:
    """Reading numpy arrays brings no data frame or tensor library into the process."""
    code = (
        "import sys, numpy; from barograph.data.sources import parts_of; parts_of(numpy.ones(3)); parts_of([1]);"
        "parts_of({'a': 1}); print([name for name in ('pandas', 'polars', 'pyarrow', 'scipy', 'torch', 'xgboost')"
        " if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
