"""Streams: batches that pass are fingerprinted as one dataset, within a budget, and nothing is kept of them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import barograph
from barograph.data import stream as streams
from barograph.testing import temporary_run

X = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
Y = np.arange(400) % 4


@pytest.fixture(autouse=True)
def _time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not decide what these tests see."""
    monkeypatch.setattr(streams, "_FREE_S", 60.0)


def _body(run: barograph.Run, name: str = "train") -> dict[str, Any]:
    records = barograph.open(run.store_path).run(run.id).records("dataset")
    return next(record.body for record in records if record.body["name"] == name)


@pytest.mark.parametrize("size", [1, 7, 64, 400])
def test_batches_have_the_fingerprint_of_the_whole(size: int) -> None:
    """Whatever the batches, the record says what log_dataset() would have said of all rows at once."""
    with temporary_run() as recorded:
        stream = recorded.run.stream_dataset("train", rows=400)
        for start in range(0, 400, size):
            stream.see(torch.tensor(X[start : start + size]), torch.tensor(Y[start : start + size]))
        stream.close()
        recorded.run.log_dataset("whole", X, Y)
        body, whole = _body(recorded.run), _body(recorded.run, "whole")
    for name in ("fingerprint", "inputs", "sketch", "seen", "rows", "complete"):
        assert body[name] == whole[name]
    assert body["labels"]["balance"] == whole["labels"]["balance"]
    assert body["labels"]["fingerprint"] == whole["labels"]["fingerprint"]
    assert body["type"] == "batches of torch.Tensor"


@pytest.mark.parametrize(
    "batch",
    [
        lambda x, y: ([x, y], None),
        lambda x, y: ((x, y), None),
        lambda x, y: ({"left": x, "right": x}, y),
        lambda x, y: ([x, x, x], y),
        lambda x, y: ((x, y, y), None),
    ],
    ids=["list", "pair", "dict", "several inputs", "with weights"],
)
def test_nested_batches_are_taken(batch: Any) -> None:
    """What a loader gives, in the shapes that frameworks give it."""
    with temporary_run() as recorded:
        stream = recorded.run.stream_dataset("train", rows=400)
        for x, y in DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=100):
            stream.see(*batch(x, y))
        stream.close()
        body = _body(recorded.run)
    assert body["complete"]
    assert body["labels"]["balance"]["counts"] == {"0": 100, "1": 100, "2": 100, "3": 100}


def test_only_the_first_pass_is_looked_at() -> None:
    """Batches of later passes cost nothing and change nothing."""
    with temporary_run() as recorded:
        stream = recorded.run.stream_dataset("train", rows=400)
        stream.see(X, Y)
        stream.see(X[::-1], Y, first_pass=False)
        stream.close()
        assert _body(recorded.run)["seen"] == 400


@pytest.mark.parametrize(("rows", "is_complete"), [(None, False), (400, True), (500, False)])
def test_a_pass_is_complete_if_all_rows_came(rows: int | None, is_complete: bool) -> None:
    """Only with the number of rows known can it be said that these were all."""
    with temporary_run() as recorded:
        stream = recorded.run.stream_dataset("train", rows=rows)
        stream.see(X)
        stream.close()
        body = _body(recorded.run)
    assert body["complete"] is is_complete
    assert body["rows"] == (rows or 400)


def test_beyond_the_budget_batches_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen until then is told, and why no more was."""
    with temporary_run(overhead_budget=1e-9) as recorded:
        stream = recorded.run.stream_dataset("train", rows=400)
        stream.see(X[:100])
        monkeypatch.setattr(streams, "_FREE_S", 0.0)
        for start in (100, 200, 300):
            stream.see(X[start : start + 100])
        stream.close()
        recorded.run.log_dataset("part", X[:100])
        body, part = _body(recorded.run), _body(recorded.run, "part")
    assert (body["complete"], body["seen"], body["passed"]) == (False, 100, 400)
    assert "budget" in body["about"]["stopped"]
    assert body["fingerprint"] == part["fingerprint"]


def test_a_batch_on_a_device_is_not_brought_over() -> None:
    """A tensor elsewhere is counted, never copied: the training would wait for it."""
    with temporary_run() as recorded:
        stream = recorded.run.stream_dataset("train")
        stream.see({"x": torch.zeros(5, 3, device="meta")})
        stream.close()
        body = _body(recorded.run)
    assert (body["seen"], body["rows"], body["fingerprint"]) == (0, 5, None)
    assert "device" in body["about"]["stopped"]


def test_no_batch_is_kept_alive() -> None:
    """A batch is gone as soon as the loop lets go of it."""
    with temporary_run() as recorded:
        stream = recorded.run.stream_dataset("train")
        watchers = []
        for _ in range(3):
            batch, labels = torch.ones(4, 2), torch.arange(4)
            watchers += [weakref.ref(batch), weakref.ref(labels)]
            stream.see(batch, labels)
        del batch, labels
        gc.collect()
        assert not any(watcher() is not None for watcher in watchers)
        stream.close()


def test_batches_that_cannot_be_read_end_the_looking() -> None:
    """A batch of something unknown is described, and nothing is raised."""
    with temporary_run() as recorded:
        stream = recorded.run.stream_dataset("train")
        stream.see(["one text", "another", "a third"])
        stream.see({"deep": object(), "x": torch.zeros(3)})
        stream.close()
        assert _body(recorded.run)["seen"] == 3


def test_a_stream_that_saw_nothing_writes_nothing() -> None:
    """No batch, no record; closing twice is fine, and seeing after it does nothing."""
    with temporary_run() as recorded:
        stream = recorded.run.stream_dataset("train", rows=5)
        stream.close()
        stream.close()
        stream.see(X)
        assert not recorded.view().records("dataset")
