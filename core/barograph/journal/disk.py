"""The few calls by which a journal reaches the disk, in one place, so that tests can make each of them fail."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Bound at import: what a training patches later (os, builtins.open) changes nothing here.
_open, _close, _fstat, _fsync, _mkdir = os.open, os.close, os.fstat, os.fsync, os.mkdir
_datasync = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have no fdatasync
_LAST_STREAM = 2  # stderr
_CREATE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def create(path: Path) -> int:
    """A descriptor of a new file that is only ever appended to; folders are made as needed. Never an existing file.

    Modes follow the umask, with the bits for others cleared.
    """
    try:
        return _apart(_open(path, _CREATE, 0o660))
    except FileNotFoundError:
        for folder in [*reversed(path.parent.parents), path.parent]:
            if not folder.exists():
                try:
                    _mkdir(folder, 0o770)
                except FileExistsError:  # another process of the run was faster
                    pass
        return _apart(_open(path, _CREATE, 0o660))


def _apart(fd: int) -> int:
    """The descriptor, moved if it is that of a standard stream: a process that closed its stderr may still print."""
    if fd > _LAST_STREAM or os.name != "posix":
        return fd
    import fcntl  # POSIX only

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LAST_STREAM + 1)
    finally:
        _close(fd)


def sync(fd: int) -> None:
    """Bring a file's content to the disk itself."""
    _datasync(fd)


def sync_folder(folder: Path) -> None:
    """Bring a new file's name to the disk; nothing where folders cannot be opened (Windows)."""
    if os.name == "posix":
        fd = _open(folder, os.O_RDONLY)
        try:
            _fsync(fd)
        finally:
            _close(fd)


def size_and_links(fd: int) -> tuple[int, int]:
    """A file's size, and how many names it still has."""
    facts = _fstat(fd)
    return facts.st_size, facts.st_nlink


def close(fd: int) -> None:
    """Give a descriptor back; an error here says nothing about the data that a sync would not have said."""
    try:
        _close(fd)
    except OSError:
        pass


def free_text(folder: Path) -> str:
    """How much room is left around a folder, for a message."""
    for place in (folder, *folder.parents):
        try:
            return f"{shutil.disk_usage(place).free:,} bytes free"
        except OSError:
            continue
    return "free space unknown"
