"""Files of a store appear whole or not at all, are never overwritten, and never lie outside its folder."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from barograph.errors import StoreError
from barograph.store.files import LocalFiles, make_folders


def test_a_file_is_put_once(tmp_path: Path) -> None:
    """The second put of a name says so and changes nothing."""
    files = LocalFiles(tmp_path)
    assert files.put_if_absent("a/b.json", b"first")
    assert not files.put_if_absent("a/b.json", b"second")
    assert files.get("a/b.json", limit_bytes=10) == b"first"
    assert [entry.name for entry in files.list("a")] == ["a/b.json"]


def test_of_many_putting_at_once_one_wins(tmp_path: Path) -> None:
    """Exactly one thread is told that it wrote the file, and its bytes are what is there."""
    files = LocalFiles(tmp_path)
    won: list[bytes] = []
    barrier = threading.Barrier(8)

    def put(data: bytes) -> None:
        barrier.wait()
        if files.put_if_absent("one", data, sync=False):
            won.append(data)

    threads = [threading.Thread(target=put, args=(bytes([number]),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [files.get("one", limit_bytes=1)]
    assert os.listdir(tmp_path) == ["one"]


def test_without_hard_links_files_are_put_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT and some network mounts refuse link()."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    files = LocalFiles(tmp_path)
    assert files.put_if_absent("a", b"first")
    assert not files.put_if_absent("a", b"second")
    assert files.get("a", limit_bytes=10) == b"first"


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written raises, and no temporary file stays."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="full"):
        LocalFiles(tmp_path).put_if_absent("a", b"first")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\\b", "C:x", "a\0b", "", ".."])
def test_names_do_not_leave_the_folder(tmp_path: Path, name: str) -> None:
    """Absolute names, steps upward and what only Windows understands are refused for every call."""
    files = LocalFiles(tmp_path)
    for call in (
        lambda: files.put_if_absent(name, b""),
        lambda: files.get(name, limit_bytes=1),
        lambda: files.delete(name),
    ):
        with pytest.raises(StoreError, match="refused"):
            call()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A link is not followed, and a pipe that nobody writes to does not hang the reader."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    files = LocalFiles(tmp_path)
    for name in ("link", "pipe"):
        with pytest.raises(StoreError, match=name):
            files.get(name, limit_bytes=100)
    assert [entry.name for entry in files.list()] == ["secret"]


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    """The limit is checked before anything longer is in memory."""
    files = LocalFiles(tmp_path)
    files.put_if_absent("a", b"0123456789")
    assert files.get_range("a", 3, 4) == b"3456"
    with pytest.raises(StoreError, match="longer than 9 bytes"):
        files.get("a", limit_bytes=9)


def test_a_listing_is_bounded(tmp_path: Path) -> None:
    """A folder without end costs no more than the entries that are asked for."""
    for number in range(20):
        (tmp_path / f"{number:02}").touch()
    assert len(LocalFiles(tmp_path).list(most=5)) == 5


def test_deleting_a_link_leaves_what_it_points_to(tmp_path: Path) -> None:
    """And a file that is gone already is no error."""
    (tmp_path / "kept").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    files = LocalFiles(tmp_path)
    files.delete("link")
    files.delete("link")
    assert os.listdir(tmp_path) == ["kept"]


def test_others_may_not_read(tmp_path: Path) -> None:
    """Whatever the umask allows the group, the bits for others are cleared."""
    before = os.umask(0)
    try:
        LocalFiles(tmp_path).put_if_absent("folder/file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) & 0o777 == 0o770
    assert stat.S_IMODE((tmp_path / "folder/file").stat().st_mode) == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_new_folders_keep_the_group_of_the_store(tmp_path: Path) -> None:
    """Also where the folder above has no setgid bit that would do it."""
    os.chown(tmp_path, -1, 12345)
    make_folders(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_gid == 12345
    LocalFiles(tmp_path / "a").put_if_absent("file", b"")
    assert (tmp_path / "a" / "file").stat().st_gid == 12345
