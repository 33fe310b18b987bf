"""Contents lie in a store once, under their digest, whole, and are checked whenever they are read."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from barograph.errors import StoreError
from barograph.store import objects as module
from barograph.store.files import make_folders
from barograph.store.objects import Objects, digest_of, hash_file


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """The objects of a new store."""
    return Objects(tmp_path / "store")


def _files(objects: Objects) -> list[Path]:
    return sorted(path for path in objects.folder.rglob("*") if path.is_file()) if objects.folder.exists() else []


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(3 << 20)], ids=["empty", "one byte", "3 MiB"])
def test_what_was_put_is_got(objects: Objects, tmp_path: Path, data: bytes) -> None:
    """As bytes or as a file, under the SHA-256 that any tool computes."""
    (tmp_path / "file").write_bytes(data)
    digest = objects.put(data)
    assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert objects.put_file(tmp_path / "file") == (digest, len(data))
    assert objects.get(digest) == data
    assert objects.has(digest)
    assert objects.copy_to(digest) == len(data)
    assert objects.path(digest).parent.name == digest[7:9]
    assert len(_files(objects)) == 1


def test_putting_again_writes_nothing_and_renews_the_date(objects: Objects) -> None:
    """So that what is being used again is not collected."""
    path = objects.path(objects.put(b"again"))
    os.utime(path, (1.0, 1.0))
    inode = path.stat().st_ino
    objects.put(b"again")
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > 1e9


def test_many_put_the_same_at_once(objects: Objects) -> None:
    """Threads that put one content leave one object and nothing half made."""
    data, barrier = os.urandom(1 << 20), threading.Barrier(8)

    def put() -> None:
        barrier.wait()
        objects.put(data)

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _files(objects) == [objects.path(digest_of(data))]


def test_a_damaged_object_is_never_returned(objects: Objects) -> None:
    """A flipped bit is told, whichever way it is read."""
    digest = objects.put(b"weights")
    objects.path(digest).write_bytes(b"weightz")
    with pytest.raises(StoreError, match="not what its name says"):
        objects.get(digest)
    with pytest.raises(StoreError, match="not what its name says"):
        objects.copy_to(digest)


def test_an_object_that_was_cut_short_is_mended_when_it_is_put_again(objects: Objects) -> None:
    """As a power cut may leave one."""
    digest = objects.put(b"weights")
    objects.path(digest).write_bytes(b"")
    objects.put(b"weights")
    assert objects.get(digest) == b"weights"


def test_a_missing_object_is_told(objects: Objects) -> None:
    """Reading one is an error of ours; asking is not."""
    digest = digest_of(b"never put")
    assert not objects.has(digest)
    assert not objects.remove(digest, time.time_ns())
    for read in (objects.get, objects.copy_to):
        with pytest.raises(StoreError, match="does not hold"):
            read(digest)


@pytest.mark.parametrize("name", ["", "sha256:", "sha256:" + "../" * 21 + "a", "sha256:" + "A" * 64, "md5:" + "0" * 64])
def test_only_digests_are_names(objects: Objects, name: str) -> None:
    """A name that a stranger wrote leads nowhere."""
    with pytest.raises(StoreError, match="refused"):
        objects.path(name)


def test_a_link_in_the_place_of_an_object_is_not_followed(objects: Objects, tmp_path: Path) -> None:
    """Even to the very content."""
    (tmp_path / "secret").write_bytes(b"secret")
    digest = digest_of(b"secret")
    make_folders(objects.path(digest).parent)
    objects.path(digest).symlink_to(tmp_path / "secret")
    assert not objects.has(digest)
    with pytest.raises(StoreError, match="link"):
        objects.get(digest)
    with pytest.raises(StoreError, match="link"):
        objects.copy_to(digest)
    objects.put(b"secret")
    assert not objects.path(digest).is_symlink()


def test_more_than_the_limit_is_not_taken_into_memory(objects: Objects) -> None:
    """Whoever wants a big one says so."""
    with pytest.raises(StoreError, match="longer than 3 bytes"):
        objects.get(objects.put(b"four"), limit_bytes=3)


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_only_regular_files_are_put(objects: Objects, tmp_path: Path, kind: str) -> None:
    """A pipe is not waited for."""
    path = tmp_path / kind
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(StoreError, match="not a regular file"):
        objects.put_file(path)
    with pytest.raises(FileNotFoundError):
        objects.put_file(tmp_path / "missing")
    assert _files(objects) == []


def test_a_link_of_the_user_is_followed(objects: Objects, tmp_path: Path) -> None:
    """`latest.ckpt -> epoch-3.ckpt` is kept by its content."""
    (tmp_path / "epoch-3").write_bytes(b"weights")
    (tmp_path / "latest").symlink_to("epoch-3")
    assert objects.put_file(tmp_path / "latest") == (digest_of(b"weights"), 7)


def test_a_full_disk_leaves_nothing(objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an object nor half of one."""
    (tmp_path / "file").write_bytes(os.urandom(5 << 20))

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        objects.put_file(tmp_path / "file")
    with pytest.raises(OSError, match="No space"):
        objects.put(b"bytes")
    assert _files(objects) == []


def test_a_file_that_changes_while_it_is_read_is_read_again(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is never a mixture of two states."""
    path = tmp_path / "file"
    path.write_bytes(b"first")
    original, calls = module._hash, []

    def changing(*arguments: object) -> tuple[str, int]:
        calls.append(1)
        found = original(*arguments)  # type: ignore[arg-type]  # handed on as they came
        if len(calls) <= times:
            path.write_bytes(b"second")
            os.utime(path, ns=(times, len(calls)))
        return found

    monkeypatch.setattr(module, "_hash", changing)
    times = 1
    assert objects.put_file(path) == (digest_of(b"second"), 6)
    times = 99
    with pytest.raises(StoreError, match="still writing"):
        objects.put_file(path)
    assert len(_files(objects)) == 1


def test_files_are_closed_to_others(objects: Objects) -> None:
    """As all files of a store are."""
    path = objects.path(objects.put(b"x"))
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o007 == 0


def test_only_what_nobody_put_lately_is_removed(objects: Objects) -> None:
    """A content that is put again in the very moment stays."""
    old, new = objects.put(b"old"), objects.put(b"new")
    os.utime(objects.path(old), (1.0, 1.0))
    assert objects.remove(old, used_before_ns=10**10)
    assert not objects.remove(new, used_before_ns=10**10)
    assert [one.digest for one in objects.all()] == [new]


def test_all_objects_are_listed_and_nothing_else(objects: Objects) -> None:
    """Strange names, links and what is unfinished are none."""
    digests = {objects.put(bytes([number])) for number in range(50)}
    (objects.folder / "notes.txt").write_text("x")
    (objects.folder / ".0123.tmp").write_bytes(b"unfinished")
    shard = objects.path(next(iter(digests))).parent
    (shard / "readme").write_text("x")
    (objects.folder / "zz").mkdir()
    assert {one.digest for one in objects.all()} == digests
    assert {one.size_bytes for one in objects.all()} == {1}
    assert objects.leftovers(time.time_ns() + 10**12) == [objects.folder / ".0123.tmp"]
    assert list(Objects(objects.folder / "nowhere").all()) == []


def test_a_process_killed_while_it_puts_leaves_no_half_object(tmp_path: Path) -> None:
    """SIGKILL in the middle of a copy: the name does not exist."""
    (tmp_path / "big").write_bytes(os.urandom(8 << 20))
    code = (
        "import os, sys; from pathlib import Path; from barograph.store import objects\n"
        "count = 0\n"
        "original = objects._hash\n"
        "def hash_some(file, copy_to, on_block):\n"
        "    def stop():\n"
        "        global count\n"
        "        count += 1\n"
        "        if count == 4: os.kill(os.getpid(), 9)\n"
        "    return original(file, copy_to, stop)\n"
        "objects._hash = hash_some\n"
        "objects.Objects(Path(sys.argv[1])).put_file(sys.argv[2])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "store"), str(tmp_path / "big")], check=False)
    objects = Objects(tmp_path / "store")
    assert ended.returncode == -9
    assert list(objects.all()) == []
    assert len(objects.leftovers(time.time_ns() + 10**12)) == 1


def test_hashing_can_be_stopped_between_blocks(tmp_path: Path) -> None:
    """The end of a run does not wait for a file of any size."""
    (tmp_path / "big").write_bytes(bytes(9 << 20))

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        hash_file(tmp_path / "big", on_block=stop)


def test_an_object_is_brought_to_disk(objects: Objects) -> None:
    """On demand: putting one does not wait for the disk."""
    objects.sync(objects.put(b"x"))
