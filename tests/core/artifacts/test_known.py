"""A large file is read through once, and again as soon as anything about it is different."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from barograph.artifacts import known as module
from barograph.artifacts.known import hash_or_known
from barograph.store.objects import digest_of, hash_file


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read; every file is large and settled."""
    found: list[str] = []

    def reading(path: str, **arguments: object) -> tuple[str, int]:
        found.append(path)
        return hash_file(path)

    monkeypatch.setattr(module, "hash_file", reading)
    monkeypatch.setattr(module, "FEWEST_BYTES", 1)
    monkeypatch.setattr(module, "_SETTLED_S", -1.0)
    return found


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A data set in one file."""
    (tmp_path / "data").write_bytes(b"rows")
    return str(tmp_path / "data")


def test_a_file_is_read_once(path: str, reads: list[str]) -> None:
    """The second answer is the same."""
    assert [hash_or_known(path) for _ in range(3)] == [(digest_of(b"rows"), 4)] * 3
    assert reads == [path]


@pytest.mark.parametrize("change", ["content", "date set back", "replaced"])
def test_a_file_that_is_different_is_read_again(path: str, reads: list[str], change: str) -> None:
    """Even where size and date were made to look the same."""
    hash_or_known(path)
    before = os.stat(path)
    if change == "replaced":
        Path(f"{path}.new").write_bytes(b"ROWS")
        os.utime(f"{path}.new", ns=(before.st_atime_ns, before.st_mtime_ns))
        os.replace(f"{path}.new", path)
    while change != "replaced" and os.stat(path).st_ctime_ns == before.st_ctime_ns:  # until the clock's next tick
        Path(path).write_bytes(b"ROWS")
        if change == "date set back":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hash_or_known(path) == (digest_of(b"ROWS"), 4)
    assert hash_or_known(path) == (digest_of(b"ROWS"), 4)
    assert len(reads) == 2


def test_a_file_that_was_changed_just_now_is_not_remembered(
    path: str, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be changed again within the same tick of the clock."""
    monkeypatch.setattr(module, "_SETTLED_S", 60.0)
    hash_or_known(path)
    hash_or_known(path)
    assert len(reads) == 2


def test_a_small_file_is_always_read(path: str, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves nothing in the cache."""
    monkeypatch.setattr(module, "FEWEST_BYTES", 100)
    assert [hash_or_known(path) for _ in range(2)] == [(digest_of(b"rows"), 4)] * 2
    assert len(reads) == 2
    assert not list(Path(os.environ["BAROGRAPH_CACHE"]).glob("contents/*"))


@pytest.mark.parametrize("left", [b"", b"[]", b"\xff", b'{"state": 1}', b'{"state": [], "digest": "x"}'])
def test_a_broken_cache_is_no_trouble(path: str, reads: list[str], left: bytes) -> None:
    """The file is read instead."""
    hash_or_known(path)
    (entry,) = Path(os.environ["BAROGRAPH_CACHE"]).glob("contents/*")
    entry.write_bytes(left)
    assert hash_or_known(path) == (digest_of(b"rows"), 4)
    assert len(reads) == 2


def test_without_a_cache_folder_files_are_read(
    path: str, reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else changes."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("BAROGRAPH_CACHE", str(tmp_path / "file"))
    assert [hash_or_known(path) for _ in range(2)] == [(digest_of(b"rows"), 4)] * 2
