"""Runs are listed, found, searched and removed; what cannot be found is an error that helps."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import barograph
from barograph.errors import AmbiguousRunError, RunIsLiveError, RunNotFoundError, StoreError
from barograph.reading import open_store
from barograph.store import background
from barograph.store.layout import create_store

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py


def test_a_missing_store_says_what_to_do(store: Path) -> None:
    """Where it was looked for, and how to name another."""
    with pytest.raises(StoreError, match="BAROGRAPH_STORE") as caught:
        barograph.open()
    assert str(store) in str(caught.value)


def test_an_empty_store_has_no_runs(store: Path) -> None:
    """And says so when it is asked for one."""
    create_store(store)
    assert open_store().runs() == []
    with pytest.raises(RunNotFoundError, match="no runs at all"):
        open_store().run("x")


def test_runs_are_listed_newest_first(begin: Begin) -> None:
    """All of them or those of a project."""
    for number, name in enumerate(["a", "b", "c"]):
        begin(name, created=1000.0 + number, project="odd" if name == "b" else "even").end()
    store = open_store()
    assert [view.name for view in store.runs()] == ["c", "b", "a"]
    assert [view.name for view in store.runs(project="even")] == ["c", "a"]


def test_runs_are_searched_by_condition_or_function(begin: Begin) -> None:
    """By what was configured, what came out, tags, status."""
    for number in range(4):
        run = begin(f"run-{number}", tags=["draft"] if number % 2 else [])
        run.record("config", config={"optimizer": {"lr": number / 10}, "x": "config"})
        run.log({"val/loss": float(number), "x": 7.0}, 0)
        run.end("failed" if number == 3 else "finished")
    store = open_store()

    def names(where: Any) -> list[str]:
        return sorted(view.name for view in store.runs(where=where))

    assert names("optimizer.lr > 0.05 and val/loss < 3") == ["run-1", "run-2"]
    assert names("config.optimizer.lr = 0.1") == ["run-1"]
    assert names("status = failed or tag = draft") == ["run-1", "run-3"]
    assert names("x = config and metric.x = 7 and name != run-0") == ["run-1", "run-2", "run-3"]
    assert names("created > 2020-01-01 and project = p and id ~ 20") == ["run-0", "run-1", "run-2", "run-3"]
    assert names(lambda view: view.summary["val/loss"] > 2.5) == ["run-3"]
    with pytest.raises(ValueError, match="where"):
        store.runs(where="status")


def test_a_run_is_found_by_id_name_or_beginning(begin: Begin) -> None:
    """In this order; of one name the newest."""
    begin("calm-heron", run_id="calm", created=1.0).end()
    begin("calm-heron", run_id="second", created=2.0).end()
    begin("calm-otter", run_id="third", created=3.0).end()
    begin("second", run_id="fourth", created=4.0).end()
    store = open_store()
    assert store.run("second").id == "second"
    assert store.run("calm-heron").id == "second"
    assert store.run("calm-o").id == "third"
    assert store.run("thi").id == "third"
    assert store.run("calm").id == "calm"


def test_a_run_is_found_by_the_id_the_user_gave(begin: Begin) -> None:
    """Also where the folder had to be called something else, or was renamed."""
    folder = begin(run_id=barograph.store.layout.safe_run_id("my/run")).end()
    assert open_store().run("my/run").path == folder.path
    folder.path.rename(folder.path.with_name("moved"))
    assert open_store().run(folder.path.name).id == "moved"


def test_what_cannot_be_told_is_an_error_that_helps(begin: Begin) -> None:
    """The candidates of an ambiguous beginning, and the nearest names to an unknown one."""
    begin("calm-heron").end()
    begin("calm-otter").end()
    store = open_store()
    with pytest.raises(AmbiguousRunError, match=r"calm-otter.*calm-heron|calm-heron.*calm-otter"):
        store.run("calm")
    with pytest.raises(RunNotFoundError, match="Similar: calm-heron"):
        store.run("clam-heron")
    for nothing in ("", "../../etc", ".", "/", "x\0y"):
        with pytest.raises(RunNotFoundError):
            store.run(nothing)


def test_parents_and_children_know_each_other(begin: Begin) -> None:
    """Oldest child first; a parent that is not here is none."""
    begin("parent", run_id="parent", created=1.0).end()
    begin("b", created=3.0, parent_id="parent").end()
    begin("a", created=2.0, parent_id="parent").end()
    begin("orphan", parent_id="gone").end()
    store = open_store()
    assert [view.name for view in store.run("parent").children()] == ["a", "b"]
    assert store.run("a").parent == store.run("parent")
    assert store.run("orphan").parent is None
    assert store.run("parent").parent is None


def test_a_removed_run_lies_in_the_trash(begin: Begin, store: Path) -> None:
    """From where it can be taken back; two of one id do not meet there."""
    folder = begin("one").end()
    opened = open_store()
    place = opened.delete_run("one")
    assert place.parent == store / "trash"
    assert (place / "run.json").exists()
    assert opened.runs() == []
    place.rename(folder.path)
    assert opened.run("one").status == "finished"
    assert opened.delete_run(opened.run("one")) != place


def test_a_live_run_is_removed_only_by_force(begin: Begin) -> None:
    """A training would go on writing into the trash."""
    begin("live").log({"x": 1.0}, 0)
    store = open_store()
    with pytest.raises(RunIsLiveError, match="running"):
        store.delete_run("live")
    assert store.run("live").status == "running"
    assert store.delete_run("live", force=True).exists()


def test_a_linked_run_is_not_removed(begin: Begin, store: Path, tmp_path: Path) -> None:
    """What the link leads to belongs to somebody else."""
    folder = begin("one").end()
    folder.path.rename(tmp_path / "elsewhere")
    folder.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is a link"):
        open_store().delete_run("one", force=True)
    assert (tmp_path / "elsewhere" / "run.json").exists()


def test_a_big_finished_run_is_sealed_by_its_first_reader(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the side: the reader has its answer at once, and gets the same one afterwards."""
    monkeypatch.setattr(background, "FEWEST_POINTS", 100)
    run = begin("big")
    for step in range(200):
        run.log({"x": float(step)}, step)
    folder = run.end()
    small = begin("small")
    small.log({"x": 1.0}, 0)
    small_folder = small.end()
    with open_store() as store:
        values = store.run("big").metric("x").values.tolist()
        store.run("small").metric("x")
    assert os.listdir(folder.journals) == []
    assert len(os.listdir(small_folder.journals)) == 1
    assert open_store().run("big").metric("x").values.tolist() == values


def test_a_run_that_cannot_be_sealed_is_read_all_the_same(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a file stands where the segments should go; a store of somebody else is the same."""
    monkeypatch.setattr(background, "FEWEST_POINTS", 1)
    run = begin("big")
    run.log({"x": 1.0}, 0)
    folder = run.end()
    folder.segments.touch()
    with open_store() as store:
        assert store.run("big").metric("x").values.tolist() == [1.0]
    assert len(os.listdir(folder.journals)) == 1


def test_store_seals_by_name(begin: Begin) -> None:
    """And says what became of it."""
    run = begin("one")
    run.log({"x": 1.0}, 0)
    run.end()
    store = open_store()
    assert (store.seal("one").points, store.seal(store.run("one")).points) == (1, 0)
    assert store.run("one").metric("x").values.tolist() == [1.0]


def test_readers_of_every_kind_get_whole_answers_while_a_run_is_written(begin: Begin) -> None:
    """Listing, views, SQL and sealing at once; the writer notices nothing, and nothing is lost."""
    run = begin("live")
    run.log({"x": 0.0}, 0)
    begin("ended").end()
    store = open_store()
    counts: list[int] = []

    def read(ask: Callable[[], int]) -> None:
        counts.extend(ask() for _ in range(10))

    asked: list[Callable[[], int]] = [
        lambda: int(store.run("live").summary["x"]) + 1,
        lambda: len(store.run("live").metric("x")),
        lambda: int(store.sql("SELECT count(*) FROM metrics").fetchall()[0][0]),
        lambda: len(store.seal("live").kept),
    ]
    threads = [threading.Thread(target=read, args=(ask,)) for ask in asked]
    for thread in threads:
        thread.start()
    for step in range(1, 2000):
        run.log({"x": float(step)}, step)
    for thread in threads:
        thread.join()
    assert len(counts) == 40
    assert all(0 < count <= 2000 for count in counts)
    assert run.journal.health == "ok"
    assert store.run("live").metric("x").values.tolist() == [float(step) for step in range(2000)]


def test_an_open_store_sees_what_others_seal(begin: Begin) -> None:
    """Between two questions a journal became a segment."""
    run = begin("one")
    run.log({"x": 1.0}, 0)
    folder = run.end()
    view = open_store().run("one")
    assert view.metric("x").values.tolist() == [1.0]
    barograph.store.sealing.seal(folder)
    assert view.metric("x").values.tolist() == [1.0]
    assert view.problems == []


def test_a_thousand_runs_are_listed_in_milliseconds(begin: Begin, store: Path) -> None:
    """With a warm index; the bound is a multiple of what is measured, to find a wrong way and not a busy machine."""
    run = begin("template")
    run.record("config", config={f"p{number}": number / 7 for number in range(20)})
    run.log({f"metric/{number}": number / 7 for number in range(20)}, 0)
    folder = run.end()
    journal = next(iter(folder.journals.iterdir()))
    long_ago = time.time() - 100
    for number in range(300):
        copy = store / "runs" / f"copy-{number}"
        (copy / "journals").mkdir(parents=True)
        os.link(journal, copy / "journals" / journal.name)
        (copy / "run.json").write_text(json.dumps({"id": copy.name, "name": copy.name}))
        os.utime(copy / "journals", (long_ago, long_ago))
    open_store().runs()
    opened = open_store()
    begun = time.perf_counter()
    found = [(view.config, view.summary) for view in opened.runs()]
    took_s = time.perf_counter() - begun
    assert len(found) == 301
    assert took_s < 0.3
