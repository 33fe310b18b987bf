"""Statistics of tensors in sealed Parquet: columns of their own, and the same figures as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pytest

from barograph.errors import StoreError
from barograph.reading import RunView
from barograph.store import tensors
from barograph.store.layout import RunFolder
from barograph.store.sealing import seal
from barograph.tensors.compute import of_arrays
from barograph.tensors.payload import encode
from barograph.tensors.statistics import Statistics

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py

_STRANGE = ["gradients/fc1.weight", "weights/\ud800 lone", "it's", ""]


def _records(step: int) -> dict[str, Statistics]:
    values = np.linspace(-1, 1, 1_000, dtype=np.float32) * np.float32(step + 1) + np.float32(step % 2 * 1e4)
    broken = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30], np.float32)
    found = of_arrays([values, broken, np.full(3, np.nan), np.empty(0)], [values.mean(), 0.0, 0.0, 0.0], sampling=1)
    return dict(zip(_STRANGE, found, strict=True))


@pytest.fixture
def run_folder(begin: Begin) -> RunFolder:
    """A finished run with statistics of four tensors at five steps, written out of order."""
    run = begin()
    for step in (3, 0, 4, 1, 2):
        for payload in encode(step, 1e9 + step, _records(step)):
            run.journal.statistics(payload)
    folder: RunFolder = run.end()
    return folder


def _figures(view: RunView) -> dict[str, list[str]]:
    return {key: [repr(one) for one in view.histogram(key).records] for key in view.histograms()}


def test_a_sealed_tensor_reads_as_before(run_folder: RunFolder) -> None:
    """Counts, moments, extremes, centres and bins, whatever the name."""
    before = _figures(RunView(run_folder.path))
    assert sorted(before) == sorted(_STRANGE)
    assert seal(run_folder).problem is None
    assert _figures(RunView(run_folder.path)) == before


def test_any_tool_reads_the_columns(run_folder: RunFolder) -> None:
    """A figure a column and bins as lists, sorted by tensor and step."""
    seal(run_folder)
    (path,) = run_folder.segments.glob("*.statistics.parquet")
    rows = duckdb.sql(f"SELECT step, mean, nans, list_sum(counts) FROM '{path}' WHERE key = 'it''s'").fetchall()
    assert rows == [(step, None, 3, None) for step in range(5)]
    key, step, std, bins = duckdb.sql(f"SELECT key, step, std, bins FROM '{path}' WHERE count = 1000").fetchall()[2]
    assert (key, step, len(bins)) == (_STRANGE[0], 2, len(_records(2)[key].bins))
    assert std == _records(2)[key].std


def test_many_rows_are_written_in_pieces(run_folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What DuckDB holds of them at once is bounded."""
    before = _figures(RunView(run_folder.path))
    monkeypatch.setattr(tensors, "_ROWS_AT_ONCE", 3)
    assert seal(run_folder).problem is None
    assert _figures(RunView(run_folder.path)) == before


def test_a_run_without_tensors_has_no_such_file(begin: Begin) -> None:
    """Most runs of a sweep are small."""
    folder = begin().end()
    seal(folder)
    assert not list(folder.segments.glob("*.statistics.parquet"))
    assert RunView(folder.path).histograms() == []


def test_a_figure_that_is_read_back_wrong_keeps_the_journal(
    run_folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes that was not found again to the last bin."""
    write = tensors.write

    def write_another(database: Any, path: Any, found: tensors.TensorColumns, *who: Any) -> None:
        found.counts[-1] += 1
        write(database, path, found, *who)
        found.counts[-1] -= 1

    monkeypatch.setattr(tensors, "write", write_another)
    with pytest.raises(StoreError, match="the journal is kept"):
        seal(run_folder)
    assert len(RunView(run_folder.path).histogram(_STRANGE[0])) == 5


def test_a_segment_without_its_statistics_is_a_problem_that_is_said(run_folder: RunFolder) -> None:
    """A copy that is not complete yet."""
    seal(run_folder)
    (path,) = run_folder.segments.glob("*.statistics.parquet")
    path.unlink()
    view = RunView(run_folder.path)
    assert (view.histograms(), len(view.problems)) == ([], 1)
