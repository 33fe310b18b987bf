"""Artifact: a file or folder that a run made or used, and how to get at its content again, checked."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from barograph.errors import StoreError
from barograph.store.objects import GET_LIMIT_BYTES, Objects, hash_file

from .directory import LISTING_LIMIT_BYTES, Listing, read_listing

_NAME_LIMIT = 100  # characters of a file's name on disk


@dataclass(frozen=True)
class Artifact:
    """One artifact of one run. Its content is checked whenever it is asked for; nothing in it is ever executed.

    kind: model, checkpoint, data, figure, file, directory, or a word of the user's. role: "output" or "input". digest:
    of the content, of a folder that of its listing; None until it is known. files: None for a single file. path: where
    it lay; of a file that was made for the store alone, its name. stored: whether the store holds the content; else it
    lies at `path` or nowhere. version: the n-th of this name and role in its run, from 1. problem: why the content is
    not stored or not known, if so.
    """

    name: str
    kind: str
    role: str
    digest: str | None
    size_bytes: int | None
    files: int | None
    path: str
    stored: bool
    step: int | None
    time_s: float
    run_id: str
    version: int = 1
    metadata: dict[str, Any] = field(default_factory=dict)  # Any: JSON
    problem: str | None = None
    modified_ns: int | None = None
    id: str = ""
    store_path: Path = field(default=Path(), repr=False, compare=False)

    @property
    def is_directory(self) -> bool:
        """Whether it is a folder."""
        return self.files is not None

    def listing(self) -> Listing:
        """What a folder holds: files, empty folders, and what was left out; StoreError for what is no folder."""
        if not self.is_directory or self.digest is None:
            raise StoreError(f"artifact {self.name!r} is no folder, or its content is not known.")
        return Listing.from_bytes(self._objects.get(self.digest, limit_bytes=LISTING_LIMIT_BYTES))

    def local_path(self) -> Path:
        """A path at which the content can be read, by its own name; checked at this moment.

        Of what the store holds a copy in the user's cache folder, else the place where it lies. Raises StoreError if it
        is gone or is not what it was.
        """
        if not self.stored or self.digest is None:
            self._check_in_place()
            return Path(self.path)
        from barograph.store.index import cache_folder

        digits = self.digest.partition(":")[2]
        target = cache_folder() / "artifacts" / digits[:2] / digits / _file_name(self.path or self.name)
        if not self._is_copied_to(target):
            try:
                target.parent.mkdir(0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{target.parent} cannot be made: {error}. Use save() instead.") from error
            _remove(target)
            try:
                self._write(target)
            except StoreError:
                if not self._is_copied_to(target):  # else another process was faster
                    raise
        return target

    def read_bytes(self, *, limit_bytes: int = GET_LIMIT_BYTES) -> bytes:
        """A file's content; StoreError if it is a folder, longer than the limit, gone, or not what it was."""
        if self.is_directory:
            raise StoreError(f"artifact {self.name!r} is a folder; listing() tells its files, save() writes them.")
        if self.stored and self.digest is not None:
            return self._objects.get(self.digest, limit_bytes=limit_bytes)
        if (self.size_bytes or 0) > limit_bytes:
            raise StoreError(f"artifact {self.name!r} is longer than {limit_bytes} bytes and was not read.")
        stream = io.BytesIO()
        self._copy_to(stream)
        return stream.getvalue()

    def save(self, target: str | os.PathLike[str], *, replace: bool = False) -> Path:
        """Write the content, checked, to a new file or folder and return its path.

        target: for a file, or the folder that it is put into by its name. replace: a file that is there; folders are
        never replaced. Raises StoreError if the content is gone or damaged or the target exists; nothing is left then.
        """
        path = Path(target)
        if path.is_dir():
            path = path / _file_name(self.path or self.name)
        if os.path.lexists(path) and not (replace and path.is_file()):
            raise StoreError(f"{path} exists already and was left as it is.")
        self._write(path)
        return path

    def check(self) -> None:
        """Read the content to the last bit; StoreError if it is gone or is not what it was."""
        if not self.stored or self.digest is None:
            self._check_in_place()
        for digest in self.objects():
            self._objects.copy_to(digest)

    def objects(self) -> dict[str, int | None]:
        """The objects of the store that it consists of, with their sizes where known; none if it is not stored.

        Raises StoreError if a folder's listing is gone or damaged.
        """
        if not self.stored or self.digest is None:
            return {}
        if not self.is_directory:
            return {self.digest: self.size_bytes}
        return {self.digest: None} | {file.digest: file.size_bytes for file in self.listing().files}

    @property
    def _objects(self) -> Objects:
        return Objects(self.store_path)

    def _check_in_place(self) -> None:
        """StoreError unless the file or folder at `path` is the one that was recorded."""
        path = Path(self.path)
        try:
            if self.digest is None:
                status = path.stat()
                is_same = not self.is_directory and (status.st_size, status.st_mtime_ns) == (
                    self.size_bytes,
                    self.modified_ns,
                )
            elif self.is_directory:
                is_same = _digests(read_listing(path, hash_file, self.store_path)) == _digests(self.listing())
            else:
                is_same = hash_file(os.path.realpath(path))[0] == self.digest
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        if not is_same:
            raise self._changed(self.path)

    def _unreadable(self, error: Exception) -> StoreError:
        return StoreError(f"artifact {self.name!r}: {self.path} cannot be read: {error}")

    def _changed(self, path: str) -> StoreError:
        return StoreError(
            f"artifact {self.name!r}: {path} is not, or is not known to be, what it was when it was recorded. "
            "Its content was not copied into the store."
        )

    def _is_copied_to(self, target: Path) -> bool:
        try:
            if self.is_directory:
                return _digests(read_listing(target, hash_file)) == _digests(self.listing())
            return hash_file(target)[0] == self.digest
        except (OSError, ValueError, StoreError):
            return False

    def _write(self, target: Path) -> None:
        """Bring the content to a path: whole, or not at all."""
        temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")
        try:
            if self.is_directory:
                self._write_folder(temporary)
                temporary.rename(target)
            else:
                _write_file(temporary, self._copy_to)
                temporary.replace(target)
        except OSError as error:
            raise StoreError(f"artifact {self.name!r} could not be written to {target}: {error}") from error
        finally:
            _remove(temporary)

    def _write_folder(self, root: Path) -> None:
        """Write a listing's files. Every folder is made here, so there is no link that a path could lead through."""
        listing = self.listing()
        root.mkdir()
        for folder in listing.folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
        for file in listing.files:
            (root / file.path).parent.mkdir(parents=True, exist_ok=True)
            _write_file(root / file.path, self._copier(file.path, file.digest))

    def _copy_to(self, file: BinaryIO) -> None:
        if self.stored and self.digest is not None:
            self._objects.copy_to(self.digest, file)
            return
        if self.digest is None:
            self._check_in_place()
        try:
            digest = hash_file(os.path.realpath(self.path), copy_to=file)[0]
        except OSError as error:
            raise self._unreadable(error) from error
        if self.digest not in (None, digest):
            raise self._changed(self.path)

    def _copier(self, path: str, digest: str) -> Callable[[BinaryIO], None]:
        def copy(file: BinaryIO) -> None:
            if self.stored:
                self._objects.copy_to(digest, file)
            elif hash_file(os.path.realpath(Path(self.path) / path), copy_to=file)[0] != digest:
                raise self._changed(f"{self.path}/{path}")

        return copy


def _digests(listing: Listing) -> tuple[list[tuple[str, str]], list[str]]:
    return sorted((file.path, file.digest) for file in listing.files), sorted(listing.folders)


def _file_name(path: str) -> str:
    """The last part of a path that anybody may have written, as a name that leads nowhere."""
    last = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    safe = "".join(letter if letter.isprintable() and letter not in ':*?"<>|' else "_" for letter in last)
    stem, dot, suffix = safe.lstrip(".").rpartition(".")
    return f"{stem[:_NAME_LIMIT]}{dot}{suffix[:_NAME_LIMIT]}" or "content"


def _write_file(path: Path, write: Callable[[BinaryIO], None]) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o666), "w+b") as file:
        write(file)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
