"""SQL sees live runs and sealed ones alike, and nothing but them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barograph.errors import StoreError
from barograph.reading import Store, open_store
from barograph.tensors.compute import of_arrays
from barograph.tensors.payload import encode

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py


@pytest.fixture
def opened(begin: Begin) -> Store:
    """A store with a live run and a sealed one of the same contents."""
    for name in ("live", "sealed"):
        run = begin(name, run_id=name, created=1_700_000_000.25, tags=["a", "b"], group="g", notes="it's")
        run.record("config", config={"optimizer": {"lr": 0.5, "name": "adam"}, "nothing": None, "layers": [1, 2]})
        for step, value in enumerate([1.0, math.nan, -math.inf]):
            run.log({"x": value, "y\ud800": 2.0}, step)
        for step in range(2):
            tensors = of_arrays([np.linspace(0, step, 5), np.full(3, np.nan), np.empty(0)], sampling=1)
            named = dict(zip(("weights/a", "w\ud800", "none"), tensors, strict=True))
            for payload in encode(step, 1_700_000_001.0, named):
                run.journal.statistics(payload)
        run.record("event", 1, 1_700_000_001.5, name="fit_start", data={"epochs": 3, "bad": "\ud800"})
        run.record("event", 2, 1_700_000_002.5, name="fit_end", data={"epochs": 3})
        if name == "sealed":
            run.end(duration_s=4.5)
    store = open_store()
    assert store.seal("sealed").problem is None
    return store


def test_runs_and_params(opened: Store) -> None:
    """One row a run, one row a parameter."""
    rows = opened.sql(
        'SELECT id, status, "group", tags, notes, epoch(created), points FROM runs ORDER BY id'
    ).fetchall()
    assert rows == [
        ("live", "running", "g", ["a", "b"], "it's", 1_700_000_000.25, 6),
        ("sealed", "finished", "g", ["a", "b"], "it's", 1_700_000_000.25, 6),
    ]
    rows = opened.sql("SELECT key, value, number FROM params WHERE run_id = 'live' ORDER BY key").fetchall()
    assert rows == [
        ("layers", "[1,2]", None),
        ("nothing", None, None),
        ("optimizer.lr", "0.5", 0.5),
        ("optimizer.name", "adam", None),
    ]


def test_statistics_are_the_same_live_and_sealed(opened: Store) -> None:
    """A row a tensor and step: counts, moments and the occupied bins."""
    query = "SELECT * EXCLUDE (run_id, writer) FROM statistics WHERE run_id = '{}' ORDER BY key, step"
    live, sealed = (opened.sql(query.format(run)).fetchall() for run in ("live", "sealed"))
    assert live == sealed
    assert len(live) == 6
    last = opened.sql("SELECT mean, std, list_sum(counts) FROM statistics WHERE key = 'weights/a' AND step = 1")
    assert last.fetchall() == [(0.5, pytest.approx(0.125**0.5), 5)] * 2
    assert opened.sql("SELECT count(mean) FROM statistics WHERE key = 'none'").fetchall() == [(0,)]


def test_metrics_are_the_same_live_and_sealed(opened: Store) -> None:
    """NaN is a NaN and no NULL, infinities are infinite, keys that are no Unicode have one readable name."""
    query = "SELECT key, step, value::VARCHAR, attempt, rank FROM metrics WHERE run_id = '{}' ORDER BY key, step"
    live, sealed = (opened.sql(query.format(run)).fetchall() for run in ("live", "sealed"))
    assert live == sealed
    assert [row[2] for row in live[:3]] == ["1.0", "nan", "-inf"]
    assert live[3][0].startswith("y\\ud800#")


def test_events_are_the_same_live_and_sealed(opened: Store) -> None:
    """With their data as JSON."""
    query = "SELECT name, step, epoch(time), data FROM events WHERE run_id = '{}' ORDER BY step"
    live, sealed = (opened.sql(query.format(run)).fetchall() for run in ("live", "sealed"))
    assert live[1] == sealed[1] == ("fit_end", 2, 1_700_000_002.5, '{"epochs":3}')
    assert live[0][:3] == sealed[0][:3]
    assert json.loads(live[0][3]) == {"epochs": 3, "bad": "\ud800"}


def test_tables_can_be_joined(opened: Store) -> None:
    """Runs by their id; only what a query names is loaded."""
    query = (
        "SELECT r.name, p.number, max(m.value) FROM runs r "
        "JOIN params p ON p.run_id = r.id JOIN metrics m ON m.run_id = r.id "
        "WHERE p.key = 'optimizer.lr' AND m.key = 'x' AND NOT isnan(m.value) GROUP BY ALL ORDER BY ALL"
    )
    assert opened.sql(query).fetchall() == [("live", 0.5, 1.0), ("sealed", 0.5, 1.0)]


def test_relations_stay_usable(opened: Store, begin: Begin) -> None:
    """Whatever is asked afterwards."""
    first = opened.sql("SELECT count(*) FROM metrics")
    begin("third").log({"x": 1.0}, 0)
    assert opened.sql("SELECT count(*) FROM runs").fetchall() == [(3,)]
    assert opened.sql("SELECT count(*) FROM metrics").fetchall() == [(13,)]
    assert first.fetchall()[0][0] in (12, 13)


def test_an_empty_store_has_empty_tables(store: Path) -> None:
    """With all their columns."""
    (store / "runs").mkdir(parents=True)
    opened = open_store()
    for name in ("runs", "params", "metrics", "events"):
        assert opened.sql(f"SELECT * FROM {name}").fetchall() == []


@pytest.mark.parametrize(
    "query",
    [
        "DROP VIEW runs",
        "CREATE TABLE x (a INT)",
        "COPY (SELECT 1) TO '{folder}/x.csv'",
        "SELECT 1; SELECT 2",
        "SET enable_external_access = true",
        "ATTACH '{folder}/x.db'",
        "INSTALL httpfs",
        "",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('{folder}/secret')",
        "SELECT * FROM '{folder}/secret'",
        "SELECT * FROM glob('/*')",
        "SELECT nonsense FROM runs",
        "SELEKT",
    ],
)
def test_nothing_else_can_be_done(opened: Store, tmp_path: Path, query: str) -> None:
    """No writing, no settings, no file outside the store: one error of ours."""
    (tmp_path / "secret").write_text("a\n1\n")
    with pytest.raises(StoreError, match="sql"):
        opened.sql(query.format(folder=tmp_path))


def test_variables_of_the_caller_are_no_tables(opened: Store) -> None:
    """DuckDB would look for them."""
    import pandas

    frame = pandas.DataFrame({"a": [1]})
    with pytest.raises(StoreError, match="frame"):
        opened.sql("SELECT * FROM frame")
    assert len(frame) == 1
