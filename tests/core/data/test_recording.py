"""run.log_dataset(): what is written, what never is, what it costs, and that the training notices nothing."""

from __future__ import annotations

import itertools
import json
import random
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import barograph
from barograph.data import recording
from barograph.data.profile import MOST_FEATURES
from barograph.data.recording import sample_of
from barograph.data.sources import parts_of
from barograph.data.table import Table
from barograph.testing import temporary_run

X = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
Y = np.arange(400) % 4


def _bodies(run: barograph.Run, name: str = "train") -> list[dict[str, Any]]:
    records = barograph.open(run.store_path).run(run.id).records("dataset")
    return [record.body for record in records if record.body["name"] == name]


def test_a_dataset_is_described_in_one_record() -> None:
    """Class, rows, features, bytes, fingerprints, schema, profile, labels, source and metadata."""
    with temporary_run() as recorded:
        recorded.run.log_dataset("train", X, Y, source="digits.csv", metadata={"fold": 1})
        (body,) = _bodies(recorded.run)
    assert (body["type"], body["rows"], body["features"], body["bytes"]) == ("numpy.ndarray", 400, 5, X.nbytes)
    assert (body["complete"], body["seen"], body["source"], body["metadata"]) == (True, 400, "digits.csv", {"fold": 1})
    assert set(body["fingerprint"]) == set(body["inputs"]) == {"ordered", "unordered"}
    assert body["schema"] == [{"name": "", "dtype": "float32", "shape": [5]}]
    assert body["labels"]["balance"]["counts"] == {"0": 100, "1": 100, "2": 100, "3": 100}
    assert body["duplicates"] == {"rows": 0.0, "is_exact": True}
    feature = body["profile"]["features"][2]
    assert feature["mean"] == pytest.approx(float(X[:, 2].mean()), abs=1e-6)
    assert (feature["min"], feature["max"]) == (float(X[:, 2].min()), float(X[:, 2].max()))


def test_the_same_data_is_written_once_and_other_data_again() -> None:
    """A later fit with the same data adds nothing; one with other data under the same name does."""
    with temporary_run() as recorded:
        for data in (X, X.copy(), X[::-1], X[::-1]):
            recorded.run.log_dataset("train", data, Y)
        assert len(_bodies(recorded.run)) == 2


def test_no_text_of_the_data_reaches_the_disk(store: Path) -> None:
    """Texts, categories, objects and labels are only there as keyed hashes, in whatever file of the store."""
    frame = pd.DataFrame(
        {
            "city": ["Zanzibar"] * 200 + ["Ulaanbaatar"] * 200,
            "kind": pd.Categorical(["ultramarine", "vermilion"] * 200),
            "thing": [{"patient": "Quetzalcoatl"}] * 400,
        }
    )
    with barograph.init(quiet=True) as run:
        run.log_dataset("train", frame, np.array(["positive-diagnosis", "negative-diagnosis"] * 200))
        run.log_dataset("lists", ["Zanzibar"] * 10)
    written = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    for word in (b"Zanzibar", b"Ulaanbaatar", b"ultramarine", b"vermilion", b"Quetzalcoatl", b"diagnosis"):
        assert word not in written
    assert stat.S_IMODE((store / "secret").stat().st_mode) == 0o600


def test_a_secret_in_source_or_metadata_is_redacted(store: Path) -> None:
    """Where data came from may hold a password; it does not reach the disk."""
    with barograph.init(quiet=True) as run:
        run.log_dataset("train", X, source="postgres://me:hunter2hunter2@db/x", metadata={"password": "hunter2hunter2"})
    assert b"hunter2hunter2" not in b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())


def test_data_and_random_state_stay_as_they_were() -> None:
    """Nothing is changed, and what is drawn afterwards does not depend on us."""
    drawn = []
    for logs in (True, False):
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        data = {"a": X.copy(), "b": torch.tensor(X)}
        if logs:
            with temporary_run() as recorded:
                recorded.run.log_dataset("train", data, Y)
        assert np.array_equal(data["a"], X)
        drawn.append((random.random(), np.random.rand(), float(torch.rand(()))))
    assert drawn[0] == drawn[1]


def test_data_that_cannot_be_read_is_still_named() -> None:
    """Of a generator the class is recorded, and that nothing was seen."""
    with temporary_run() as recorded:
        recorded.run.log_dataset("train", (row for row in X))
        (body,) = _bodies(recorded.run)
    assert (body["type"], body["rows"], body["fingerprint"], body["complete"], body["seen"]) == (
        "generator", None, None, False, 0,
    )  # fmt: skip


def test_a_path_has_no_rows() -> None:
    """A text in place of data is named by its class; how many letters it has says nothing."""
    with temporary_run() as recorded:
        recorded.run.log_dataset("train", "data/train.csv")
        (body,) = _bodies(recorded.run)
    assert (body["type"], body["rows"]) == ("str", None)


def test_labels_of_another_length_are_described_apart() -> None:
    """Labels that do not belong to the rows are no part of the fingerprint."""
    with temporary_run() as recorded:
        recorded.run.log_dataset("train", X, Y[:7])
        recorded.run.log_dataset("alone", X)
        (body,), (alone,) = _bodies(recorded.run), _bodies(recorded.run, "alone")
    assert body["labels"]["rows"] == 7
    assert body["fingerprint"] == alone["fingerprint"]


def test_a_scan_that_takes_too_long_stops_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that were seen are told, and the fingerprint is not called complete."""
    monkeypatch.setattr(recording, "SCAN_LIMIT_S", 0.0)
    with temporary_run() as recorded:
        recorded.run.log_dataset("train", np.zeros((200_000, 10)))
        (body,) = _bodies(recorded.run)
    assert body["complete"] is False
    assert 0 < body["seen"] < 200_000


def test_a_sample_is_evenly_spaced_and_always_the_same() -> None:
    """Runs of rows from the first to the last, as many numbers as fit into the budget."""
    table = parts_of(np.zeros((3_000_000, 2)))["inputs"]
    assert isinstance(table, Table)
    sample = sample_of(table)
    assert sample == sample_of(table)
    assert (sample[0][0], sample[-1][1]) == (0, 3_000_000)
    assert len({stop - start for start, stop in sample}) == 1
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(sample))
    assert sum(stop - start for start, stop in sample) * 2 <= recording._PROFILED_NUMBERS


def test_what_was_sampled_is_said() -> None:
    """A profile of a part of the rows says so, one of all says that."""
    with temporary_run() as recorded:
        recorded.run.log_dataset("large", np.zeros((3_000_000, 2)))
        recorded.run.log_dataset("train", X)
        (large,), (small,) = _bodies(recorded.run, "large"), _bodies(recorded.run)
    assert "runs of rows" in large["profile"]["sampled"]
    assert large["profile"]["rows"] < 3_000_000
    assert (small["profile"]["sampled"], small["profile"]["rows"]) == ("all rows", 400)


def test_a_frame_that_cannot_change_is_profiled_whole_in_the_background() -> None:
    """The first record has a sample; the second, written by a thread, has all rows."""
    frame = pl.DataFrame({"a": np.arange(2_000_000.0)})
    with temporary_run(overhead_budget=1.0) as recorded:
        recorded.run.log_dataset("train", frame)
        deadline = time.monotonic() + 60
        while len(_bodies(recorded.run)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        first, second = _bodies(recorded.run)
    assert first["profile"]["rows"] < second["profile"]["rows"] == 2_000_000
    assert second["profile"]["features"][0]["max"] == 1_999_999.0
    assert first["fingerprint"] == second["fingerprint"]


def test_the_end_does_not_wait_for_the_background() -> None:
    """A profile that is far from done is given up when the run ends."""
    frame = pl.DataFrame({"a": np.arange(2_000_000.0)})
    with barograph.init(quiet=True, overhead_budget=1e-9) as run:
        run.log_dataset("train", frame)
    assert len(_bodies(run)) == 1


def test_array_that_may_change_is_not_read_afterwards() -> None:
    """numpy arrays are never read by a thread: the user may write into them."""
    with temporary_run(overhead_budget=1.0) as recorded:
        recorded.run.log_dataset("train", np.zeros(2_000_000))
        assert recorded.run._datasets is not None
        assert not recorded.run._datasets._threads


def test_wide_data_are_profiled_as_far_as_there_is_room() -> None:
    """Pictures are one distribution; of very many columns the first are told apart and the rest are counted."""
    with temporary_run() as recorded:
        recorded.run.log_dataset("pictures", np.zeros((5, 3, 64, 64), dtype=np.uint8))
        recorded.run.log_dataset("train", pd.DataFrame(np.zeros((3, 3000))))
        (pictures,), (wide,) = _bodies(recorded.run, "pictures"), _bodies(recorded.run)
    assert len(pictures["profile"]["features"]) == 1
    assert len(wide["profile"]["features"]) == MOST_FEATURES
    assert wide["profile"]["columns_left_out"] == 3000 - MOST_FEATURES
    assert wide["features"] == 3000


@pytest.mark.parametrize("variable", ["BAROGRAPH_CAPTURE_DATA", "BAROGRAPH_CAPTURE"])
def test_it_can_be_switched_off(store: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Nothing of the data is read or written then."""
    monkeypatch.setenv(variable, "0")
    with barograph.init(quiet=True) as run:
        run.log_dataset("train", X)
        run.stream_dataset("stream").see(X)
    assert not _bodies(run)
    assert not (store / "secret").exists()


def test_a_disabled_run_reads_nothing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BAROGRAPH_MODE=disabled makes every call a no-op."""
    monkeypatch.setenv("BAROGRAPH_MODE", "disabled")
    with barograph.init(quiet=True) as run:
        run.log_dataset("train", X)
        run.stream_dataset("stream").close()
        run.log_weights({"w": X})
    assert not store.exists()


def test_after_the_end_nothing_is_kept() -> None:
    """log_dataset() after finish() is told by one warning, as log() is."""
    run = barograph.init(quiet=True)
    run.finish()
    with pytest.warns(barograph.BarographWarning, match="finish"):
        run.log_dataset("train", X)
    assert not _bodies(run)


def test_without_room_for_objects_the_figures_are_kept(store: Path) -> None:
    """A store whose objects cannot be written still gets fingerprint and profile."""
    with barograph.init(quiet=True) as run:
        (store / "objects").write_text("a file where the folder should be")
        run.log_dataset("train", X)
    (body,) = _bodies(run)
    assert body["sketch"] is None
    assert body["fingerprint"]


def test_without_a_secret_there_is_no_sketch_and_no_hash(store: Path) -> None:
    """A secret that cannot be read leaves the fingerprint, and how many categories there are."""
    with barograph.init(quiet=True) as run:
        (store / "secret").write_bytes(b"damaged")
        run.log_dataset("train", pd.DataFrame({"a": ["x", "y"]}))
    (body,) = _bodies(run)
    assert body["sketch"] is None
    assert body["fingerprint"]
    assert body["profile"]["features"][0]["distinct"] == 2
    assert "counts" not in body["profile"]["features"][0]


def test_a_record_is_plain_json() -> None:
    """NaN, infinities and huge numbers in the data make a record that every reader takes."""
    with temporary_run() as recorded:
        recorded.run.log_dataset("train", np.array([[np.nan, np.inf, 1e308], [-np.inf, np.nan, -1e308]]), [None, "a"])
        (body,) = _bodies(recorded.run)
    json.dumps(body, allow_nan=False)
    assert [feature["missing"] for feature in body["profile"]["features"]] == [1, 1, 0]
    assert body["labels"]["balance"]["missing"] == 1
