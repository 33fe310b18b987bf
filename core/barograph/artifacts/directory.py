"""A folder as one content: an object that lists relative paths, digests and sizes, and names whatever it leaves out."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from barograph.errors import StoreError
from barograph.store.objects import LISTING_FORMAT, is_digest

MOST_FILES = 100_000  # of one folder; what has more is a data set in pieces, better logged by what lists the pieces
LISTING_LIMIT_BYTES = 64 << 20


class File(NamedTuple):
    """One file of a folder. path: relative, with forward slashes."""

    path: str
    digest: str
    size_bytes: int


class LeftOut(NamedTuple):
    """Something in a folder that is not kept, and why."""

    path: str
    reason: str


class Found(NamedTuple):
    """A file seen in a folder, not yet read."""

    path: str
    size_bytes: int
    modified_ns: int


@dataclass(slots=True)
class Listing:
    """What a folder holds. folders: those that are empty."""

    files: list[File] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """The bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    def to_bytes(self) -> bytes:
        """The listing as an object; equal folders give equal bytes."""
        parts = {
            "files": sorted(self.files),
            "folders": sorted(self.folders),
            "left_out": sorted(self.left_out),
        }
        return json.dumps({"format": LISTING_FORMAT, **parts}, separators=(",", ":"), ensure_ascii=True).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Listing:
        """The listing in an object that anybody may have made; StoreError if it is none or a path leads out of it."""
        try:
            content = json.loads(data)
            if content["format"] != LISTING_FORMAT:
                raise ValueError(f"format {content['format']!r}")
            listing = cls(
                [File(str(path), str(digest), int(size)) for path, digest, size in content["files"]],
                [str(path) for path in content["folders"]],
                [LeftOut(str(path), str(reason)) for path, reason in content["left_out"]],
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreError(f"this is no listing of a folder ({error}).") from error
        for path in [*(file.path for file in listing.files), *listing.folders]:
            if not is_plain_path(path):
                raise StoreError(
                    f"the listing of a folder names {path[:200]!r}, which leads out of it; it was refused."
                )
        if wrong := [file for file in listing.files if not is_digest(file.digest) or file.size_bytes < 0]:
            raise StoreError(f"the listing of a folder names no content for {wrong[0].path[:200]!r}.")
        return listing


class Scan(NamedTuple):
    """A folder as it was at one moment, by names, sizes and dates."""

    files: list[Found]
    folders: list[str]
    left_out: list[LeftOut]


def scan(root: Path, leave_out: Path | None = None) -> Scan:
    """See what lies in a folder. leave_out: the store, should it lie there.

    Links to files count as files; links to folders, pipes, sockets and what may not be read are left out and named.
    Raises ValueError for more than MOST_FILES files, OSError if the folder itself cannot be listed.
    """
    found = Scan([], [], [])
    avoided = _identity(leave_out) if leave_out is not None else None
    with os.scandir(root):  # an unreadable folder within is left out; this one is an error
        pass
    for entries, prefix in _folders(root, found, avoided):
        for entry in entries:
            if len(found.files) + len(found.left_out) >= MOST_FILES:
                raise ValueError(f"it holds more than {MOST_FILES} files")
            _take(entry, f"{prefix}{entry.name}", found)
    return found


def extent(root: Path, most_files: int, most_bytes: int) -> tuple[int, int]:
    """How many files and bytes a folder holds, counted until one of the limits is passed."""
    files, total = 0, 0
    for folder, _, names in os.walk(root):
        for name in names:
            files += 1
            with suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
            if files > most_files or total > most_bytes:
                return files, total
    return files, total


def is_plain_path(path: str) -> bool:
    """Whether a relative path stays below the folder it is meant for, on any system."""
    unsafe = "\0" if os.name == "posix" else '\0\\:*?"<>|'
    return all(part not in ("", ".", "..") for part in path.split("/")) and not any(letter in path for letter in unsafe)


def _folders(root: Path, found: Scan, avoided: tuple[int, int] | None) -> Iterator[tuple[list[os.DirEntry[str]], str]]:
    """The entries that are no folders, folder by folder, each with its path's beginning."""
    waiting = [(os.fspath(root), "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted(islice(listed, MOST_FILES + 1), key=lambda entry: entry.name)
        except OSError as error:
            found.left_out.append(LeftOut(prefix.rstrip("/"), f"cannot be listed: {error.strerror}"))
            continue
        inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        for entry in inner:
            if avoided is not None and _identity(Path(entry.path)) == avoided:
                found.left_out.append(LeftOut(f"{prefix}{entry.name}", "the store itself"))
            else:
                waiting.append((entry.path, f"{prefix}{entry.name}/"))
        if not entries and prefix:
            found.folders.append(prefix.rstrip("/"))
        yield [entry for entry in entries if not entry.is_dir(follow_symlinks=False)], prefix


def _take(entry: os.DirEntry[str], path: str, found: Scan) -> None:
    try:
        status = entry.stat()
    except OSError as error:
        reason = "a link that leads nowhere" if entry.is_symlink() else f"cannot be read: {error.strerror}"
        found.left_out.append(LeftOut(path, reason))
        return
    if stat.S_ISREG(status.st_mode) and is_plain_path(path):
        found.files.append(Found(path, status.st_size, status.st_mtime_ns))
    elif stat.S_ISDIR(status.st_mode):
        found.left_out.append(LeftOut(path, "a link to a folder, which is not followed"))
    else:
        found.left_out.append(LeftOut(path, "not a regular file"))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def read_listing(root: Path, read: Callable[[Path], tuple[str, int]], leave_out: Path | None = None) -> Listing:
    """Read every file of a folder. read: gives a file's digest and size, and may keep its content.

    Raises StoreError if the folder changes meanwhile, so that a listing is never a mixture of two states; ValueError
    and OSError as `scan` does, and whatever `read` raises for a reason that lies not in the file.
    """
    before = scan(root, leave_out)
    listing = Listing(folders=before.folders, left_out=list(before.left_out))
    for found in before.files:
        path = root / found.path
        try:
            digest, size_bytes = read(path)
        except PermissionError as error:
            if error.filename is None or os.fspath(error.filename) != os.path.realpath(path):
                raise
            listing.left_out.append(LeftOut(found.path, f"cannot be read: {error.strerror}"))
            continue
        listing.files.append(File(found.path, digest, size_bytes))
    if scan(root, leave_out) != before:
        raise StoreError(f"{root} kept changing while it was read: something is still writing it.")
    return listing
