"""Runs are found by their folders, whatever else strangers put there, and read anew only when they have changed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from barograph.store import catalogue as catalogue_module
from barograph.store import contents as contents_module
from barograph.store import signature as signature_module
from barograph.store.catalogue import Catalogue
from barograph.store.index import Index
from barograph.store.layout import RUNS_NAME
from barograph.store.overview import Overview

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py


@pytest.fixture
def catalogue(store: Path) -> Catalogue:
    """A catalogue with an index, as an open store has it."""
    return Catalogue(store / RUNS_NAME, Index(store))


def _named(catalogue: Catalogue) -> dict[str, Overview]:
    return {overview.name: overview for overview in catalogue.overviews()}


def _count_readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The journals that are opened from now on."""
    opened: list[Path] = []

    class Counting(contents_module.JournalReader):
        def __init__(self, path: Path) -> None:
            opened.append(path)
            super().__init__(path)

    monkeypatch.setattr(contents_module, "JournalReader", Counting)
    return opened


def test_a_finished_run_is_read_once(begin: Begin, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next process finds it in the index, with configuration, last values and status."""
    run = begin("one")
    run.record("config", config={"lr": 0.1})
    run.log({"x": 1.5}, 0)
    run.end()
    assert _named(Catalogue(store / RUNS_NAME, Index(store)))
    opened = _count_readings(monkeypatch)
    overview = _named(Catalogue(store / RUNS_NAME, Index(store)))["one"]
    assert (overview.config, overview.summary, overview.status("")) == ({"lr": 0.1}, {"x": 1.5}, "finished")
    assert opened == []


def test_what_is_added_is_seen(begin: Begin, catalogue: Catalogue) -> None:
    """A live run's points, a new run, and the end of one, at each listing."""
    run = begin("one")
    run.log({"x": 1.0}, 0)
    assert _named(catalogue)["one"].summary == {"x": 1.0}
    run.log({"x": 2.0}, 1)
    assert _named(catalogue)["one"].summary == {"x": 2.0}
    begin("two").log({"x": 3.0}, 0)
    assert set(_named(catalogue)) == {"one", "two"}
    folder = run.end()
    assert _named(catalogue)["one"].status(str(folder.path)) == "finished"


def test_a_resumed_run_is_seen_once_its_folder_is_old(
    begin: Begin, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then only the time of the folder is looked at, and a new journal changes that."""
    monkeypatch.setattr(signature_module, "_COARSE_NS", -1)
    monkeypatch.setattr(signature_module, "_CHECK_AGAIN_S", 0.0)
    first = begin("one")
    first.log({"x": 1.0}, 0)
    folder = first.end()
    assert _named(catalogue)["one"].attempts == [1]
    begin(into=folder, attempt=2).log({"x": 2.0}, 1)
    overview = _named(catalogue)["one"]
    assert (overview.attempts, overview.status(str(folder.path))) == ([1, 2], "running")


def test_a_live_journal_is_read_on_from_where_it_was(
    begin: Begin, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing again and again costs what is new, not what is there."""
    run = begin("one")
    run.log({"x": 1.0}, 0)
    opened = _count_readings(monkeypatch)
    for step in range(1, 5):
        run.log({"x": 1.0}, step)
        assert _named(catalogue)["one"].points == step + 1
    assert len(opened) == 1


def test_a_deleted_run_is_gone(begin: Begin, catalogue: Catalogue) -> None:
    """From the listing and from the index."""
    folder = begin("one").end()
    begin("two").end()
    assert set(_named(catalogue)) == {"one", "two"}
    shutil.rmtree(folder.path)
    assert set(_named(catalogue)) == {"two"}
    assert catalogue.overview(folder.path.name) is None
    assert set(Index(catalogue.folder.parent).load()) == {overview.id for overview in _named(catalogue).values()}


def test_what_is_no_run_is_passed_over(begin: Begin, catalogue: Catalogue, tmp_path: Path) -> None:
    """Files, empty folders, links into nothing and to themselves, hidden folders."""
    begin("one").end()
    runs = catalogue.folder
    (runs / "file").touch()
    (runs / "empty").mkdir()
    (runs / ".hidden").mkdir()
    (runs / ".hidden" / "run.json").write_text("{}")
    (runs / "loop").symlink_to(runs / "loop")
    (runs / "up").symlink_to(runs)
    (runs / "nowhere").symlink_to(tmp_path / "nowhere")
    assert list(_named(catalogue)) == ["one"]


def test_a_listing_without_end_is_bounded(begin: Begin, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops looking after so many names."""
    for name in "abcdef":
        begin(name).end()
    monkeypatch.setattr(catalogue_module, "MOST_RUNS", 3)
    assert len(catalogue.overviews()) == 3


def test_writers_without_end_are_bounded(begin: Begin, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the run is read, and it says what is left out."""
    folder = begin("one").end()
    begin(into=folder, rank=1).end()
    begin(into=folder, rank=2).end()
    monkeypatch.setattr(contents_module, "MOST_WRITERS", 2)
    assert "3 writers; only the first 2" in _named(catalogue)["one"].problems[0]


def test_nothing_is_ever_unpickled(begin: Begin, catalogue: Catalogue, tmp_path: Path) -> None:
    """A run may hold any file; those that run code when they are opened are not opened."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    folder = begin("one").end()
    for place in (folder.path, folder.journals, folder.path / "segments"):
        place.mkdir(exist_ok=True)
        for name in ("model.pkl", "model.pt", "array.npy", "a1-r0-aaaaaaaa.json", "a1-r0-bbbbbbbb.journal"):
            (place / name).write_bytes(pickle.dumps(Trap()))
    overview = _named(catalogue)["one"]
    assert overview.status(str(folder.path)) == "finished"
    assert len(overview.problems) == 2
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("manifest", ["", "[" * 100_000, '{"id": NaN, "name": 5, "created": "x", "tags": 1}', "null"])
def test_a_bad_manifest_does_not_hide_a_run(begin: Begin, catalogue: Catalogue, manifest: str) -> None:
    """What the journals say is shown, with the problem."""
    run = begin("one")
    run.log({"x": 1.0}, 0)
    folder = run.end()
    (folder.path / "run.json").write_text(manifest)
    (overview,) = catalogue.overviews()
    assert (overview.name, overview.summary) == (folder.path.name, {"x": 1.0})
    assert overview.problems


@pytest.mark.parametrize("created", [-5.0, 1e300, float("nan"), float("inf"), 10**400])
def test_dates_may_be_anything(begin: Begin, catalogue: Catalogue, created: float) -> None:
    """They are shown and sorted."""
    begin("odd", created=created).end()
    begin("even").end()
    names = [overview.name for overview in sorted(catalogue.overviews(), key=lambda overview: overview.age_order)]
    assert sorted(names) == ["even", "odd"]


def test_two_folders_of_one_id_are_both_shown(begin: Begin, catalogue: Catalogue) -> None:
    """A copied folder says whose copy it is, and the original that it has one."""
    folder = begin("one").end()
    shutil.copytree(folder.path, folder.path.with_name("copy"))
    overviews = {overview.id: overview for overview in catalogue.overviews()}
    assert set(overviews) == {folder.path.name, "copy"}
    assert overviews["copy"].claimed_id == folder.path.name
    assert "calls itself run" in overviews["copy"].problems[0]
    assert catalogue.claimant(folder.path.name) == "copy"


def test_pipes_and_links_among_the_journals_are_not_opened(begin: Begin, catalogue: Catalogue, tmp_path: Path) -> None:
    """A pipe would hang the reader, a link may lead anywhere."""
    folder = begin("one").end()
    os.mkfifo(folder.journals / "a1-r0-aaaaaaaa.journal")
    (tmp_path / "elsewhere").write_text("secret")
    (folder.journals / "a1-r0-bbbbbbbb.journal").symlink_to(tmp_path / "elsewhere")
    overview = _named(catalogue)["one"]
    assert (overview.problems, overview.status(str(folder.path))) == ([], "finished")


def test_a_half_copied_run_is_shown_and_completes(begin: Begin, catalogue: Catalogue, tmp_path: Path) -> None:
    """First without its manifest, then with half a journal, then whole."""
    run = begin("one")
    for step in range(100):
        run.log({"x": float(step)}, step)
    folder = run.end()
    whole = {path: path.read_bytes() for path in (folder.path / "run.json", *folder.journals.iterdir())}
    journal = next(iter(folder.journals.iterdir()))
    (folder.path / "run.json").unlink()
    journal.write_bytes(whole[journal][:1000])
    (overview,) = catalogue.overviews()
    assert 0 < overview.points < 100
    for path, data in whole.items():
        path.write_bytes(data)
    overview = _named(catalogue)["one"]
    assert (overview.points, overview.problems, overview.is_damaged) == (100, [], False)


def test_a_run_that_was_only_begun_is_empty(begin: Begin, catalogue: Catalogue) -> None:
    """Killed between its manifest and its journal."""
    folder = begin("one").end()
    shutil.rmtree(folder.journals)
    (overview,) = catalogue.overviews()
    assert (overview.name, overview.status(str(folder.path))) == ("one", "empty")


def test_an_index_that_lies_about_its_rows_is_not_believed(begin: Begin, catalogue: Catalogue, store: Path) -> None:
    """Texts of another version or none at all: the run is read anew."""
    begin("one").end()
    catalogue.overviews()
    index = Index(store)
    rows = index.load()
    index.save([row._replace(head=json.dumps({"surprise": 1})) for row in rows.values()])
    assert list(_named(Catalogue(store / RUNS_NAME, Index(store)))) == ["one"]
