"""The five calls through which everything under a store is reached.

The other kinds of store that come later (object stores) offer the same five, so nothing above this file knows where the
bytes lie.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from barograph.errors import StoreError

FOLDER_MODE = 0o770  # the umask may take more away; others get nothing
FILE_MODE = 0o660

# A folder made by a stranger may hold millions of names; a scan stops here and the caller can see that it did.
MOST_ENTRIES = 100_000

# What link() answers where a file system has no hard links (FAT, some FUSE mounts, some network shares).
_NO_HARD_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EINVAL, errno.EACCES}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its name below the folder, its size and when it last changed."""

    name: str
    size_bytes: int
    changed_ns: int


class LocalFiles:
    """Files below one local folder, addressed by relative names with forward slashes.

    A name never leaves the folder, and only regular files are read: no link, pipe or device that a stranger put there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_if_absent(self, name: str, data: bytes, *, sync: bool = True) -> bool:
        """Write a whole file unless the name is taken; False if it is, and nothing has changed.

        Of several processes exactly one gets True. The name appears with all its bytes or not at all, except on a file
        system without hard links, where a reader may see it half written. sync: on disk before this returns.
        """
        target = self.path(name)
        if os.path.lexists(target):
            return False
        make_folders(target.parent)
        temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")
        try:
            _write_new(temporary, data, sync)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                try:
                    _write_new(target, data, sync)
                except FileExistsError:
                    return False
        finally:
            temporary.unlink(missing_ok=True)
        if sync:
            sync_folder(target.parent)
        return True

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """The whole file; StoreError if it is longer than the limit, FileNotFoundError if there is none."""
        data = self.get_range(name, 0, limit_bytes + 1)
        if len(data) > limit_bytes:
            raise StoreError(f"{self.path(name)} is longer than {limit_bytes} bytes and was not read.")
        return data

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; fewer where the file ends."""
        with open_regular(self.path(name)) as file:
            file.seek(start)
            return file.read(length)

    def list(self, folder: str = "", *, most: int = MOST_ENTRIES) -> list[Entry]:
        """The regular files directly in a folder, sorted by name; none if the folder does not exist.

        At most `most` entries are looked at. Names that begin with a dot are ours and unfinished; they are left out.
        """
        entries = []
        try:
            with os.scandir(self.path(folder) if folder else self.root) as scan:
                for _, entry in zip(range(most), scan, strict=False):
                    if entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    entries.append(Entry(name, status.st_size, status.st_mtime_ns))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(entries, key=lambda entry: entry.name)

    def delete(self, name: str) -> None:
        """Remove a file; a file that is already gone is fine. A link is removed, never what it points to."""
        self.path(name).unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """Where a name lies; StoreError if it would leave the folder."""
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/") or any(letter in name for letter in "\\:\0"):
            raise StoreError(f"{self.root}: the name {name!r} is not a plain relative path and was refused.")
        return self.root.joinpath(*parts)


def make_folders(path: Path) -> None:
    """Make a folder and its missing parents, closed to others, in the group of the folder they are made in."""
    if path.is_dir():
        return
    make_folders(path.parent)
    try:
        path.mkdir(FOLDER_MODE)
    except FileExistsError:
        return
    if os.name == "posix":
        _keep_group(path)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; StoreError for a link, pipe, device or folder.

    The check is made on the opened file, so nobody can swap it in between; a pipe is not waited for.
    """
    flags = os.O_RDONLY
    for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, flag, 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{path} is a link and was not followed.") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(f"{path} is not a regular file and was not read.")
    return os.fdopen(descriptor, "rb")


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to disk, where the system can do that (Windows cannot)."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, data: bytes, sync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(descriptor)


def _keep_group(folder: Path) -> None:
    """Give a new folder its parent's group where the parent does not already pass it on by its setgid bit."""
    above, own = folder.parent.stat(), folder.stat()
    if own.st_gid != above.st_gid:
        with suppress(OSError):  # not a member of that group
            os.chown(folder, -1, above.st_gid)
            folder.chmod(stat.S_IMODE(own.st_mode) | stat.S_ISGID)
