"""Datasets are read from records and objects: what two of them share, how they drift, and damage breaks nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import barograph
from barograph.cli import main
from barograph.errors import StoreError
from barograph.reading.datasets import DatasetView

X = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
Y = np.arange(400) % 4


def _views(**data: Any) -> dict[str, DatasetView]:
    with barograph.init(quiet=True, name="run") as run:
        for name, one in data.items():
            run.log_dataset(name, one)
    return {view.name: view for view in barograph.open().run(run.id).datasets()}


def test_a_dataset_is_read_as_it_was_logged() -> None:
    """By name, in the order of logging, the newest under each name."""
    with barograph.init(quiet=True) as run:
        run.log_dataset("train", X[:10])
        run.log_dataset("val", X, Y, source="a file")
        run.log_dataset("train", X, Y)
    view = barograph.open().run(run.id)
    assert [one.name for one in view.datasets()] == ["train", "val"]
    train, val = view.dataset("train"), view.dataset("val")
    assert (train.kind, train.rows, train.features, train.size_bytes) == ("numpy.ndarray", 400, 5, X.nbytes)
    assert (train.is_complete, train.seen, val.source) == (True, 400, "a file")
    assert set(train.distributions()) == {"0", "1", "2", "3", "4"}
    assert train.features_by_name()["1"]["min"] == float(X[:, 1].min())
    with pytest.raises(StoreError, match="train, val"):
        view.dataset("test")


@pytest.mark.parametrize(
    ("other", "relation"),
    [
        ((X, Y), "same"),
        ((X[::-1], Y[::-1]), "reordered"),
        ((X, Y[::-1]), "relabelled"),
        ((X + 1, Y), "different"),
        ((iter([1]), None), "unknown"),
    ],
)
def test_how_two_datasets_relate(other: tuple[Any, Any], relation: str) -> None:
    """The same, in another order, with other labels, different, or not known."""
    with barograph.init(quiet=True) as run:
        run.log_dataset("one", X, Y)
        run.log_dataset("other", *other)
    view = barograph.open().run(run.id)
    assert view.dataset("one").relation(view.dataset("other")) == relation


def test_rows_that_two_splits_share_are_counted() -> None:
    """By content, whatever their place and labels."""
    views = _views(train=(X[:300], Y[:300]), val=(X[288:][::-1], Y[:112]), test=X[300:])
    overlap = views["train"].overlap(views["val"])
    assert overlap is not None
    assert (overlap.other_rows, overlap.is_exact) == (12.0, True)
    nothing = views["train"].overlap(views["test"])
    assert nothing is not None
    assert nothing.distinct == 0.0


@pytest.mark.parametrize("other", [X.astype(np.float64), X[:, :4], pd.DataFrame(X), scipy.sparse.csr_matrix(X)])
def test_rows_of_another_form_cannot_be_counted(other: Any) -> None:
    """Not 0: the same values under other names, types or shapes have other hashes."""
    views = _views(train=X, val=other)
    assert views["train"].overlap(views["val"]) is None


def test_every_pair_of_many_splits_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the last folds, too."""
    _views(**{f"fold{place}": X[place * 40 : place * 40 + 40] for place in range(7)}, last=X[279:290])
    main(["data", "run"])
    assert "fold6 and last share 1 row " in capsys.readouterr().out


def test_two_runs_can_be_compared() -> None:
    """The secret belongs to the store, so their hashes can be."""
    one, other = _views(train=X[:200])["train"], _views(train=X[100:])["train"]
    overlap = one.overlap(other)
    assert overlap is not None
    assert overlap.distinct == 100.0
    assert one.sketch_digest != other.sketch_digest


def test_equal_data_is_kept_once(store: Path) -> None:
    """A hundred runs of one dataset share its sketch and distributions."""
    _views(train=X)
    before = sorted((store / "objects").rglob("*"))
    _views(train=X)
    assert sorted((store / "objects").rglob("*")) == before


def test_drift_names_the_feature_that_moved() -> None:
    """The most moved comes first; numbers, categories and labels are compared."""
    frame = pd.DataFrame({"still": X[:, 0], "moved": X[:, 1], "kind": ["a", "b"] * 200})
    later = frame.assign(moved=X[:, 1] + 2, kind=["a", "a", "a", "b"] * 100)
    with barograph.init(quiet=True) as run:
        run.log_dataset("one", frame, Y)
        run.log_dataset("other", later, Y % 2)
    view = barograph.open().run(run.id)
    found = {one.name: one for one in view.dataset("one").drift(view.dataset("other"))}
    assert set(found) == {"still", "moved", "kind", "labels"}
    assert found["still"].psi == 0.0
    assert found["moved"].distance == pytest.approx(2.0, rel=0.1)
    assert found["kind"].psi > 0.1
    assert found["labels"].psi > 0.25


def test_drift_of_a_target_that_is_a_number() -> None:
    """Labels of a regression drift by their distribution."""
    with barograph.init(quiet=True) as run:
        run.log_dataset("one", X, X[:, 0])
        run.log_dataset("other", X, X[:, 0] + 1)
    view = barograph.open().run(run.id)
    (labels,) = [one for one in view.dataset("one").drift(view.dataset("other")) if one.name == "labels"]
    assert labels.distance == pytest.approx(1.0, rel=0.1)


def test_without_the_objects_the_record_is_read(store: Path) -> None:
    """A run that was copied without them has its figures, and what needs them is unknown."""
    views = _views(train=X, val=X[:5])
    shutil.rmtree(store / "objects")
    assert views["train"].overlap(views["val"]) is None
    assert views["train"].drift(views["val"]) == []
    assert views["train"].rows == 400


def test_damaged_objects_are_not_believed(store: Path) -> None:
    """An object that is not what its name says is as good as missing."""
    views = _views(train=X, val=X[:5])
    for path in (store / "objects").rglob("*"):
        if path.is_file():
            path.write_bytes(b"x" * path.stat().st_size)
    assert views["train"].overlap(views["val"]) is None
    assert views["train"].distributions() == {}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": 5, "rows": "many", "fingerprint": [], "schema": {"a": 1}, "profile": 3, "labels": None},
        {"name": "train", "sketch": {"object": "../../etc/passwd"}, "profile": {"distributions": ["../x", 7]}},
        {"name": "train", "profile": {"features": [5, {"name": None, "counts": {"a": "b"}}]}, "complete": 1},
        {"name": "train", "labels": {"balance": {"kind": "classes", "counts": {"a": None}, "rows": []}}},
    ],
)
def test_records_of_strangers_break_nothing(
    store: Path, capsys: pytest.CaptureFixture[str], body: dict[str, Any], begin: Callable[..., Any]
) -> None:
    """Whatever a record claims, the commands print and no path outside the store is opened."""
    recorder = begin()
    recorder.record("dataset", **body)
    recorder.record("dataset", **{**body, "name": "other"})
    recorder.record("weights", each=[1], digest=None)
    folder = recorder.end()
    view = barograph.open(store).run(folder.path.name)
    one, other = view.datasets()[0], view.datasets()[-1]
    assert one.overlap(other) is None
    assert one.drift(other) == []
    assert view.weights()[0].each == {}
    for command in ("data", "show"):
        for json_or_not in ([], ["--json"]):
            assert main([command, folder.path.name, "--store", str(store), *json_or_not]) == 0
    capsys.readouterr()


def test_the_command_shows_data_and_what_splits_share(capsys: pytest.CaptureFixture[str]) -> None:
    """Figures of each dataset, and a line for splits that share rows; `show` has that line, too."""
    _views(train=(X[:300], Y[:300]), val=(X[288:], Y[288:]))
    assert main(["data", "run"]) == 0
    printed = capsys.readouterr().out
    assert "train and val share 12 rows (10.7% of val)" in printed
    assert "0: 25.0%" in printed
    assert main(["show", "run"]) == 0
    assert "train and val share 12 rows" in capsys.readouterr().out


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that was recorded, and the overlaps."""
    _views(train=X[:300], val=X[299:])
    assert main(["data", "run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told["datasets"]] == ["train", "val"]
    assert told["overlaps"][0]["other_rows"] == 1.0


def test_splits_that_share_nothing_have_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No news of clean splits; the same data under two names is told."""
    _views(train=X[:300], val=X[300:], again=X[:300])
    assert main(["data", "run"]) == 0
    printed = capsys.readouterr().out
    assert "share" not in printed
    assert "train and again are the same data" in printed


def test_a_run_without_data_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty answer is an answer."""
    _views()
    assert main(["data", "run"]) == 0
    assert "No data was recorded" in capsys.readouterr().out
