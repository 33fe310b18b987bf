"""The balance of labels: classes are counted, numbers are not taken for classes, texts are hashed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from barograph.data.keyed import Key
from barograph.data.labels import Balance
from barograph.data.sources import describe
from barograph.data.table import Table

KEY = Key(bytes(range(32)))


def _balance(labels: Any) -> dict[str, Any]:
    table = describe(labels)
    assert isinstance(table, Table)
    balance = Balance(table.columns[0], KEY)
    for start, stop in ((0, table.rows // 3), (table.rows // 3, table.rows)):
        balance.add(table.columns[0].read(start, stop))
    return balance.record()


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, 1, 1, 2]),
        np.array([0, 1, 1, 2], dtype=np.float32),
        np.array([[0], [1], [1], [2]], dtype=np.uint8),
        torch.tensor([0, 1, 1, 2]),
        pd.Series([0, 1, 1, 2]),
        [0, 1, 1, 2],
        np.eye(3)[[0, 1, 1, 2]],
    ],
    ids=["ints", "floats", "column", "torch", "pandas", "list", "one-hot"],
)
def test_classes_are_counted(labels: object) -> None:
    """Whole numbers of any type, and one-hot rows, are classes."""
    record = _balance(labels)
    assert (record["kind"], record["classes"], record["counts"]) == ("classes", 3, {"0": 1, "1": 2, "2": 1})
    assert record["rows"] == 4


@pytest.mark.parametrize(
    "labels",
    [np.linspace(0, 1, 50), np.arange(5000), np.arange(200.0), np.full(3, 1e300), np.random.rand(9, 4)],
    ids=["floats", "many ints", "many whole floats", "huge", "several"],
)
def test_numbers_are_not_classes(labels: object) -> None:
    """A target of numbers has no balance."""
    assert _balance(labels)["kind"] == "numbers"


def test_several_answers_of_a_row_are_counted_each() -> None:
    """Zeros and ones that are not one-hot say how often each answer is yes."""
    record = _balance(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]]))
    assert (record["kind"], record["counts"]) == ("several", {"0": 1, "1": 2, "2": 0})


@pytest.mark.parametrize("make", [list, pd.Series, pd.Categorical, lambda words: np.array(words, dtype=object)])
def test_texts_are_classes_under_their_hashes(make: Any) -> None:
    """Counts of texts are the same whoever holds them, and show no text."""
    record = _balance(pd.Series(make(["cat", "dog", "dog", None])))
    assert (record["kind"], record["classes"], record["missing"]) == ("classes", 2, 1)
    assert sorted(record["counts"].values()) == [1, 2]
    assert not any(len(name) != 16 or "cat" in name for name in record["counts"])


def test_missing_labels_are_counted() -> None:
    """NaN is no class."""
    record = _balance(np.array([0.0, np.nan, 1.0, np.nan]))
    assert (record["missing"], record["counts"]) == (2, {"0": 1, "1": 1})


def test_negative_labels_are_classes() -> None:
    """-1 and 1 keep their names."""
    assert _balance(np.array([-1, 1, 1]))["counts"] == {"-1": 1, "1": 2}


def test_no_labels_have_a_record() -> None:
    """An empty array counts nothing."""
    assert _balance(np.empty(0, dtype=int))["rows"] == 0
