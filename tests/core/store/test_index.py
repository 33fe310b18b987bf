"""The index is a cache: whatever is wrong with it, it is made anew or done without, and never lies."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from barograph.store.index import Index, Row, cache_folder


@pytest.fixture
def index(store: Path) -> Index:
    """The index of an empty store."""
    return Index(store)


_ROW = Row("run", "signature", "head", "config", "summary")


def test_rows_are_kept_and_forgotten(index: Index) -> None:
    """By folder, all of them or one."""
    index.save([_ROW, _ROW._replace(folder="other")])
    assert index.load() == {"run": _ROW, "other": _ROW._replace(folder="other")}
    assert index.load("run") == {"run": _ROW}
    index.save([], gone=["other"])
    assert index.load() == {"run": _ROW}


def test_a_folder_that_is_no_unicode_does_not_spoil_the_rest(index: Index) -> None:
    """File systems allow any bytes in names."""
    index.save([_ROW._replace(folder="\udcff"), _ROW], gone=["\udcfe"])
    assert index.load() == {"run": _ROW}
    assert index.load("\udcff") == {}


def test_it_lies_in_the_cache_of_the_user(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never in a store, one file a store, closed to others."""
    Index(store).save([_ROW])
    assert not store.exists()
    assert Index(store).path.parent == tmp_path / "cache"
    assert Index(store).path != Index(tmp_path / "other").path
    monkeypatch.delenv("BAROGRAPH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "barograph"


@pytest.mark.parametrize("rubbish", [b"", b"no database at all, but long enough to be one" * 100, os.urandom(20_000)])
def test_a_damaged_index_is_made_anew(index: Index, rubbish: bytes) -> None:
    """Reading finds nothing, the next writing works."""
    index.save([_ROW])
    index.path.write_bytes(rubbish)
    assert index.load() == {}
    index.save([_ROW])
    assert index.load() == {"run": _ROW}


def test_flipped_bits_are_noticed(index: Index) -> None:
    """SQLite has no sums of its own, so each row carries one."""
    index.save([_ROW._replace(config="x" * 500), _ROW._replace(folder="sound")])
    index.path.write_bytes(index.path.read_bytes().replace(b"xxxx", b"xxxy", 1))
    assert list(index.load()) == ["sound"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON runs BEGIN DELETE FROM runs; END",
        "CREATE VIEW evil AS SELECT * FROM runs",
        "PRAGMA user_version = 99",
        "PRAGMA application_id = 0",
    ],
)
def test_a_foreign_index_is_not_trusted(index: Index, statement: str) -> None:
    """Triggers, views or another version: it is removed, and nothing in it runs."""
    index.save([_ROW])
    with sqlite3.connect(index.path) as connection:
        connection.execute(statement)
    connection.close()
    index.save([_ROW._replace(folder="new")])
    assert list(index.load()) == ["new"]


def test_a_busy_index_is_done_without(index: Index) -> None:
    """Another process is writing: no waiting, no error, and its work is left alone."""
    index.save([_ROW])
    other = sqlite3.connect(index.path)
    other.execute("BEGIN EXCLUSIVE")
    assert index.load() == {}
    index.save([_ROW._replace(folder="lost")])
    other.rollback()
    other.close()
    assert index.load() == {"run": _ROW}


def test_a_cache_that_cannot_be_written_is_done_without(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a file stands where the folder should be; a read-only home is the same."""
    monkeypatch.setenv("BAROGRAPH_CACHE", "/dev/null/cache")
    index = Index(store)
    index.save([_ROW])
    assert index.load() == {}


def test_a_link_in_its_place_is_not_followed(index: Index, tmp_path: Path) -> None:
    """Nothing is read from or written to where it leads."""
    index.path.parent.mkdir(exist_ok=True)
    (tmp_path / "target").write_bytes(b"precious")
    index.path.symlink_to(tmp_path / "target")
    index.save([_ROW])
    assert index.load() == {}
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_a_kill_in_the_middle_of_writing_costs_nothing_but_the_cache(store: Path) -> None:
    """Whatever a killed process leaves can be read or is made anew."""
    code = (
        "import sys; from pathlib import Path; from barograph.store.index import Index, Row\n"
        "index = Index(Path(sys.argv[1])); number = 0\n"
        "while True:\n"
        "    index.save([Row(str(number % 50), 's', 'h' * 3000, 'c', str(number))]); number += 1\n"
        "    if number == 20: print(flush=True)\n"
    )
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, str(store)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        index = Index(store)
        assert {row.head for row in index.load().values()} <= {"h" * 3000, _ROW.head}
        index.save([_ROW])
        assert index.load("run") == {"run": _ROW}
