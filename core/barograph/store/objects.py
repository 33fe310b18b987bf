"""Contents that runs share: each lies in the store once, under the SHA-256 of its bytes.

    objects/<first two digits>/<all 64 digits>

A record names one as "sha256:<64 digits>". Whatever a record of any run names so is kept by `barograph gc`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from barograph.errors import StoreError

from .files import FILE_MODE, LocalFiles, make_folders, open_regular, sync_folder

OBJECTS_NAME = "objects"
# What begins so is the listing of a folder, and names other objects.
LISTING_FORMAT = "barograph directory 1"
LISTING_START = f'{{"format":"{LISTING_FORMAT}"'.encode("ascii")
GET_LIMIT_BYTES = 256 << 20  # what is taken into memory without being asked for more

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_SHARD = re.compile(r"[0-9a-f]{2}")
# Read, hashed and written without the interpreter lock, which is waited for up to 5 ms after each of the three beside a
# busy Python thread: few and large. But ext4 writes blocks of 1 MiB at half the speed of those of 256 KiB.
_READ_BYTES = 4 << 20
_COPY_BYTES = 256 << 10
_TRIES = 3  # for a file that changes while it is read


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One content. used_ns: when it was last put, by any run."""

    digest: str
    size_bytes: int
    used_ns: int


class Objects:
    """The objects of one store. Any number of threads and processes may put at once; a reader sees a whole or none.

    An object is there with all its bytes or not at all, survives SIGKILL once it is put, and is checked against its
    name whenever it is read. Putting what is there already writes nothing and only renews its date.
    """

    def __init__(self, store_path: Path) -> None:
        self.folder = store_path / OBJECTS_NAME
        self._files = LocalFiles(self.folder)

    def put(self, data: bytes) -> str:
        """Keep some bytes and return their digest."""
        digest = digest_of(data)
        if not self.renew(digest, len(data)):
            with self._new_file() as (file, temporary):
                file.write(data)
                file.close()
                self._place(temporary, digest)
        return digest

    def put_file(self, path: str | os.PathLike[str]) -> tuple[str, int]:
        """Keep a file's content and return its digest and size; the file is read once and may be of any size.

        Raises OSError if it cannot be read or the disk is full, StoreError if it is no regular file or changes while it
        is read; then nothing of it is kept.
        """
        with self._new_file() as (file, temporary):
            digest, size_bytes = hash_file(os.path.realpath(path), copy_to=file)
            file.close()
            if not self.renew(digest, size_bytes):
                self._place(temporary, digest)
            return digest, size_bytes

    def get(self, digest: str, *, limit_bytes: int = GET_LIMIT_BYTES) -> bytes:
        """An object's bytes; StoreError if it is missing, longer than the limit, or not what its name says."""
        try:
            data = self._files.get(self._name(digest), limit_bytes=limit_bytes)
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        if digest_of(data) != digest:
            raise self._damaged(digest)
        return data

    def copy_to(self, digest: str, file: BinaryIO | None = None) -> int:
        """Write an object's bytes into an open file, or only check them; returns how many there are.

        Raises StoreError if it is missing, or if the bytes, all written by then, are not what its name says.
        """
        try:
            found, size_bytes = hash_file(self.path(digest), copy_to=file)
        except FileNotFoundError as error:
            raise self._missing(digest) from error
        if found != digest:
            raise self._damaged(digest)
        return size_bytes

    def path(self, digest: str) -> Path:
        """Where an object lies, whether or not it does; StoreError for what is no digest."""
        return self._files.path(self._name(digest))

    def has(self, digest: str) -> bool:
        """Whether an object is there; its bytes are not looked at."""
        path = self.path(digest)
        return path.is_file() and not path.is_symlink()

    def renew(self, digest: str, size_bytes: int | None = None) -> bool:
        """Set an object's date to now; False if it is not there, has another size, or its date may not be set."""
        path = self.path(digest)
        try:
            if not self.has(digest) or size_bytes not in (None, path.stat().st_size):
                return False
            os.utime(path)
        except (FileNotFoundError, PermissionError):
            return False
        return self.has(digest)  # remove() may have looked at the date while it was being set

    def sync(self, digest: str) -> None:
        """Bring an object onto the disk itself, against a power cut; takes as long as the disk does."""
        path = self.path(digest)
        with open_regular(path) as file:
            os.fsync(file.fileno())
        sync_folder(path.parent)

    def all(self) -> Iterator[StoredObject]:
        """Every object, in no order."""
        try:
            shards = [name for name in os.listdir(self.folder) if _SHARD.fullmatch(name)]
        except (FileNotFoundError, NotADirectoryError):
            return
        for shard in shards:
            if (self.folder / shard).is_symlink():  # put there by a stranger: it may lead into another store
                continue
            for entry in self._files.list(shard):
                digest = f"sha256:{entry.name.rpartition('/')[2]}"
                if is_digest(digest) and digest.startswith(f"sha256:{shard}"):
                    yield StoredObject(digest, entry.size_bytes, entry.changed_ns)

    def remove(self, digest: str, used_before_ns: int) -> bool:
        """Remove an object unless it was put after that moment; False if it stays.

        It is moved aside before its date is looked at, so a run that puts the same content meanwhile either renews the
        date in time to be seen here, or finds nothing and writes it again.
        """
        path, aside = self.path(digest), self._temporary()
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        if aside.lstat().st_mtime_ns >= used_before_ns:
            aside.replace(path)
            return False
        aside.unlink()
        return True

    def leftovers(self, used_before_ns: int) -> list[Path]:
        """What processes that were killed while they put something left behind, if it is older than that moment."""
        found = []
        for path in self.folder.glob(".*.tmp"):
            with suppress(FileNotFoundError):  # finished meanwhile
                if path.lstat().st_mtime_ns < used_before_ns:
                    found.append(path)
        return found

    def _name(self, digest: str) -> str:
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise StoreError(f"{self.folder}: {digest[:100]!r} is not the name of an object and was refused.")
        return f"{match[1][:2]}/{match[1]}"

    def _place(self, temporary: Path, digest: str) -> None:
        path = self.path(digest)
        make_folders(path.parent)
        try:
            temporary.replace(path)
        except PermissionError:  # Windows, while somebody reads the one that is there
            if not self.has(digest):
                raise

    def _temporary(self) -> Path:
        return self.folder / f".{os.urandom(8).hex()}.tmp"

    @contextmanager
    def _new_file(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A temporary file, which is gone afterwards unless it was moved to its place."""
        make_folders(self.folder)
        path = self._temporary()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags, FILE_MODE), "w+b")
        try:
            yield file, path
        finally:
            with suppress(OSError):  # what was not written cannot be written now either
                file.close()
            path.unlink(missing_ok=True)

    def _missing(self, digest: str) -> StoreError:
        return StoreError(f"{self.folder} does not hold {digest}. It was removed, or the run was copied without it.")

    def _damaged(self, digest: str) -> StoreError:
        return StoreError(f"{self.path(digest)} is not what its name says: it was damaged or changed. It was not used.")


def digest_of(data: bytes) -> str:
    """The name of the object with these bytes."""
    return f"sha256:{hashlib.sha256(data, usedforsecurity=False).hexdigest()}"


def is_digest(value: object) -> bool:
    """Whether something is the name of an object."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def hash_file(
    path: str | os.PathLike[str], *, copy_to: BinaryIO | None = None, on_block: Callable[[], None] | None = None
) -> tuple[str, int]:
    """The digest and size of a file's content, copied at the same time if a file is given that can be written.

    on_block: called before each block is read, and may raise to stop. Begins again, twice at most, if the file changes
    meanwhile. Raises OSError if it cannot be read, StoreError if it is a link, no regular file, or never holds still.
    """
    for _ in range(_TRIES):
        with open_regular(Path(path)) as file:
            if copy_to is not None:
                copy_to.seek(0)
                copy_to.truncate()
            before = os.fstat(file.fileno())
            digest, size_bytes = _hash(file, copy_to, on_block)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and size_bytes == after.st_size:
            return digest, size_bytes
    raise StoreError(f"{path} kept changing while it was read: something is still writing it.")


def _hash(file: BinaryIO, copy_to: BinaryIO | None, on_block: Callable[[], None] | None) -> tuple[str, int]:
    total, size_bytes = hashlib.sha256(usedforsecurity=False), 0
    most_bytes = _READ_BYTES if copy_to is None else _COPY_BYTES
    size_now = os.fstat(file.fileno()).st_size
    block = memoryview(bytearray(min(most_bytes, size_now + 1)))  # a small file needs no block of zeros first
    while True:
        if on_block is not None:
            on_block()
        count = file.readinto(block)  # type: ignore[attr-defined]  # BinaryIO does not name it
        if not count:
            return f"sha256:{total.hexdigest()}", size_bytes
        size_bytes += count
        total.update(block[:count])
        if copy_to is not None:
            copy_to.write(block[:count])
