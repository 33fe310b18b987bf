"""Profiles: what is missing, ranges, moments and distributions of features of every kind."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from barograph.data.keyed import Key
from barograph.data.profile import Profile
from barograph.data.sources import describe
from barograph.data.table import Table

KEY = Key(bytes(range(32)))


def _profile(data: Any, pieces: int = 1) -> Profile:
    table = describe(data)
    assert isinstance(table, Table)
    profile = Profile(table, KEY)
    edges = [table.rows * place // pieces for place in range(pieces + 1)]
    for start, stop in itertools.pairwise(edges):
        profile.add(table, [(start, stop)])
    return profile


def _entry(data: Any, name: str = "0") -> dict[str, Any]:
    return next(entry for entry in _profile(data).features() if entry["name"] == name)


@pytest.mark.parametrize("pieces", [1, 2, 9])
def test_numbers_have_exact_figures(pieces: int) -> None:
    """Counts, extremes and moments of each feature, in however many pieces the rows came."""
    data = np.random.default_rng(0).normal(size=(90, 3))
    data[4, 1], data[5, 1], data[6, 1] = np.nan, np.inf, 0.0
    entries = _profile(data, pieces).features()
    assert [entry["name"] for entry in entries] == ["0", "1", "2"]
    assert (entries[1]["count"], entries[1]["missing"], entries[1]["infinite"], entries[1]["zeros"]) == (90, 1, 1, 1)
    assert entries[0]["mean"] == pytest.approx(data[:, 0].mean())
    assert entries[2]["std"] == pytest.approx(data[:, 2].std())
    assert (entries[0]["min"], entries[0]["max"]) == (data[:, 0].min(), data[:, 0].max())


@pytest.mark.parametrize(
    "data",
    [
        pl.DataFrame({"ids": [[1, 2], [3], []]}),
        pl.DataFrame({"ids": [[0.5, 2.0], [3.0], []]}),
        pa.table({"ids": pa.array([[1, 2], [3], []])}),
        pd.DataFrame({"ids": [[1, 2], [3], []]}),
    ],
)
def test_lists_are_counted_as_wholes(data: Any) -> None:
    """Such as the tokens of a text: how many rows, how many of them differ."""
    entry = _entry(data, "ids")
    assert (entry["count"], entry["missing"], entry["distinct"]) == (3, 0, 3)


def test_the_distribution_is_kept() -> None:
    """Quantiles of a feature far from zero are those of its values."""
    years = np.random.default_rng(0).integers(1950, 2026, 5000)
    found = _profile({"year": years}).distributions()["year"]
    assert found.quantiles([0.25, 0.5, 0.75]) == pytest.approx(np.quantile(years, [0.25, 0.5, 0.75]), abs=2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int8, torch.bool])
def test_narrow_numbers_have_a_profile(dtype: torch.dtype) -> None:
    """Types that numpy lacks are widened for it."""
    entry = _entry(torch.tensor([[0.0], [1.0]]).to(dtype))
    assert (entry["kind"], entry["min"], entry["max"], entry["mean"]) == ("number", 0.0, 1.0, 0.5)


def test_numbers_without_statistics_are_named() -> None:
    """Complex numbers and eight-bit floats have no range here, and break nothing."""
    assert _entry(np.array([1 + 2j]))["kind"] == "other"
    assert _entry(torch.ones(2).to(torch.float8_e4m3fn))["kind"] == "other"


@pytest.mark.parametrize("format_name", ["csr", "csc"])
def test_what_a_sparse_matrix_does_not_store_is_zero(format_name: str) -> None:
    """Figures of a sparse matrix are those of the dense one."""
    dense = np.array([[0.0, 2.0], [0.0, 0.0], [5.0, 4.0]])
    sparse, plain = (_profile(data).features() for data in (scipy.sparse.csr_array(dense).asformat(format_name), dense))
    for one, other in zip(sparse, plain, strict=True):
        assert one.pop("std") == pytest.approx(other.pop("std"))
        assert one.pop("mean") == pytest.approx(other.pop("mean"))
        assert one == other


def test_missing_cells_are_counted_in_every_kind_of_column() -> None:
    """None, NaN, NaT and pandas.NA."""
    frame = pd.DataFrame(
        {
            "masked": pd.array([1, None, 3], dtype="Int64"),
            "float": [1.0, np.nan, 3.0],
            "moment": pd.to_datetime(["2020-01-01", None, "2021-01-01"]),
            "text": ["a", None, "b"],
            "category": pd.Categorical(["a", None, "b"]),
        }
    )
    entries = _profile(frame).features()
    assert [(entry["count"], entry["missing"]) for entry in entries] == [(3, 1)] * 5


def test_categories_are_counted_under_hashes() -> None:
    """A text and a category of the same value have the same keyed hash."""
    words = ["red", "green", "green"]
    text, category = _entry({"c": np.array(words)}, "c"), _entry(pd.DataFrame({"c": pd.Categorical(words)}), "c")
    assert sorted(text["counts"].values()) == [1, 2]
    assert text["bytes"] == {"min": 3, "mean": 13 / 3, "max": 5}
    assert text["distinct"] == category["distinct"] == 2
    assert "red" not in str(text)


def test_a_column_of_many_texts_is_no_category() -> None:
    """Of names and free text only the lengths are told."""
    entry = _entry([f"text {place}" for place in range(5000)])
    assert entry["kind"] == "text"
    assert "counts" not in entry


def test_features_of_a_matrix_have_the_names_of_their_places() -> None:
    """A named column of several numbers, and an unnamed one of several axes."""
    assert [entry["name"] for entry in _profile({"box": np.zeros((4, 2))}).features()] == ["box[0]", "box[1]"]
    assert [entry["name"] for entry in _profile(np.zeros((4, 1, 2))).features()] == ["0,0", "0,1"]


@pytest.mark.parametrize("empty", [np.empty((0, 2)), np.empty((3, 0)), pd.DataFrame(), pd.DataFrame({"a": []}), []])
def test_nothing_has_a_profile(empty: object) -> None:
    """No rows and no columns break nothing."""
    profile = _profile(empty)
    assert isinstance(profile.features(), list)
    assert isinstance(profile.distributions(), dict)
