"""What no record names is removed, what any names stays, and nothing is removed where that cannot be known."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from barograph.errors import StoreError
from barograph.reading import open_store
from barograph.store.collecting import collect
from barograph.store.objects import Objects, digest_of
from barograph.store.sealing import seal
from barograph.store.trash import move_to_trash

Begin = Callable[..., Any]  # Any: the Recorder of tests/core/conftest.py


@pytest.fixture
def objects(store: Path) -> Objects:
    """The objects of this test's store."""
    return Objects(store)


def _put_long_ago(objects: Objects, data: bytes) -> str:
    digest = objects.put(data)
    os.utime(objects.path(digest), (1e9, 1e9))
    return digest


def test_what_no_run_names_is_removed_and_counted(store: Path, objects: Objects, begin: Begin) -> None:
    """A dry run counts the same and removes nothing."""
    named, other = _put_long_ago(objects, b"named"), _put_long_ago(objects, b"nobody's")
    run = begin()
    run.record("anything", deep={"inside": [named]})
    run.end()
    for dry_run in (True, False):
        found = collect(store, dry_run=dry_run)
        assert (found.objects, found.removed, found.removed_bytes, found.young) == (2, 1, 8, 0)
        assert objects.has(other) is dry_run
    assert objects.has(named)
    assert collect(store).removed == 0


@pytest.mark.parametrize("state", ["live", "ended", "sealed", "in the trash", "sealed in the trash"])
def test_a_run_in_any_state_keeps_what_it_names(store: Path, objects: Objects, begin: Begin, state: str) -> None:
    """Until the trash is emptied."""
    digest = _put_long_ago(objects, b"named")
    run = begin()
    run.record("artifact", digest=digest)
    if state != "live":
        run.end()
    if "sealed" in state:
        seal(run.folder)
    if "trash" in state:
        place = move_to_trash(store, run.folder.path)
    found = collect(store)
    assert (found.removed, found.trashed, found.trashed_bytes) == (0, *((1, 5) if "trash" in state else (0, 0)))
    assert objects.has(digest)
    if "trash" in state:
        shutil.rmtree(place)
        assert collect(store).removed == 1


def test_what_a_folder_names_is_kept_with_it(store: Path, objects: Objects, begin: Begin) -> None:
    """Its record names only the listing."""
    inner, outer = _put_long_ago(objects, b"file"), b'{"format":"barograph directory 1","files":[["a","%s",4]]}'
    listing = _put_long_ago(objects, outer % inner.encode())
    run = begin()
    run.record("artifact", digest=listing)
    run.end()
    assert collect(store).removed == 0
    move = move_to_trash(store, run.folder.path)
    shutil.rmtree(move)
    assert collect(store).removed == 2


def test_what_was_put_lately_stays(store: Path, objects: Objects) -> None:
    """Its record may not be written yet; the grace says how long that is believed."""
    store.joinpath("runs").mkdir(parents=True)
    digest = objects.put(b"new")
    found = collect(store)
    assert (found.removed, found.young, found.young_bytes) == (0, 1, 3)
    assert collect(store, grace_s=-1.0).removed == 1
    assert not objects.has(digest)


def test_what_is_put_again_while_it_is_collected_stays(store: Path, objects: Objects) -> None:
    """Threads put and record what another one is collecting; what they hold is there in the end."""
    store.joinpath("runs").mkdir(parents=True)
    stop = threading.Event()
    contents = [bytes([number]) * 10 for number in range(20)]

    def collecting() -> None:
        while not stop.is_set():
            collect(store, grace_s=60.0)

    thread = threading.Thread(target=collecting)
    thread.start()
    for _ in range(50):
        for data in contents:
            with suppress(FileNotFoundError):  # just then moved aside
                os.utime(objects.path(objects.put(data)), (1e9, 1e9))
            objects.put(data)
    stop.set()
    thread.join()
    assert all(objects.get(digest_of(data)) == data for data in contents)


def test_a_damaged_record_still_keeps_what_it_names(store: Path, objects: Objects, begin: Begin) -> None:
    """Its bytes are there, although no reader takes them for a record."""
    digest = _put_long_ago(objects, b"named")
    run = begin()
    run.record("artifact", name="x" * 20, digest=digest)
    run.end()
    (journal,) = run.folder.journals.glob("*.journal")
    journal.write_bytes(journal.read_bytes().replace(b"x" * 20, b"y" * 20))
    assert collect(store).removed == 0


@pytest.mark.parametrize("trouble", ["lost", "broken"])
def test_where_a_run_cannot_be_read_nothing_is_removed(
    store: Path, objects: Objects, begin: Begin, trouble: str
) -> None:
    """It might name anything."""
    _put_long_ago(objects, b"nobody's")
    run = begin()
    run.record("anything")
    run.end()
    seal(run.folder)
    (records,) = run.folder.segments.glob("*.records.parquet")
    if trouble == "lost":
        records.unlink()
    else:
        records.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="Nothing was removed"):
        collect(store)
    assert len(list(objects.all())) == 1


def test_half_copies_of_killed_processes_go(store: Path, objects: Objects) -> None:
    """When they are old enough to be nobody's."""
    store.joinpath("runs").mkdir(parents=True)
    objects.put(b"x")
    for name, age_s in (("old", 1e6), ("new", 0.0)):
        path = objects.folder / f".{name}.tmp"
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age_s,) * 2)
    found = collect(store)
    assert (found.leftovers, found.leftover_bytes) == (1, 4)
    assert [path.name for path in objects.folder.glob(".*.tmp")] == [".new.tmp"]


def test_objects_behind_a_link_are_left_alone(store: Path, objects: Objects, tmp_path: Path) -> None:
    """They may be another store's."""
    other = Objects(tmp_path / "other")
    digest = _put_long_ago(other, b"theirs")
    store.joinpath("runs").mkdir(parents=True)
    objects.folder.symlink_to(other.folder)
    with pytest.raises(StoreError, match="link"):
        collect(store)
    objects.folder.unlink()
    objects.folder.mkdir()
    (objects.folder / other.path(digest).parent.name).symlink_to(other.path(digest).parent)
    assert collect(store).objects == 0
    assert other.has(digest)


def test_a_store_without_objects_has_nothing_to_collect(store: Path, begin: Begin) -> None:
    """Nor is anything made in it."""
    begin().end()
    assert open_store(store).collect().objects == 0
    assert not (store / "objects").exists()


def test_a_name_across_two_blocks_is_found(
    store: Path, objects: Objects, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Big journals are read piece by piece."""
    monkeypatch.setattr("barograph.store.collecting._BLOCK_BYTES", 50)
    digests = [_put_long_ago(objects, bytes([number])) for number in range(20)]
    run = begin()
    for digest in digests:
        run.record("artifact", digest=digest)
    run.end()
    assert collect(store).removed == 0
