"""Collecting garbage: objects that no record of any run names, however they came to be left, are removed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from barograph.errors import StoreError

from .files import open_regular
from .layout import RUNS_NAME
from .objects import LISTING_START, Objects
from .parquet import Database, quoted
from .trash import TRASH_NAME

GRACE_S = 86_400.0  # a run whose disk refuses may keep the record of what it has just put in memory for that long

_NAMED = re.compile(rb"sha256:[0-9a-f]{64}")
_NAME_BYTES = 71
_BLOCK_BYTES = 4 << 20
_NAMED_IN_SQL = "sha256:[0-9a-f]{64}"
_TEXTS = {".journal", ".json", ".jsonl", ".txt"}


@dataclass(slots=True)
class Collected:
    """What a collection found and did, in objects and bytes.

    trashed: named only by runs in the trash, and kept. young: named by nobody, but put too lately. leftovers: copies
    that were cut off.
    """

    objects: int = 0
    bytes: int = 0
    trashed: int = 0
    trashed_bytes: int = 0
    removed: int = 0
    removed_bytes: int = 0
    young: int = 0
    young_bytes: int = 0
    leftovers: int = 0
    leftover_bytes: int = 0
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def collect(store_path: Path, *, grace_s: float = GRACE_S, dry_run: bool = False) -> Collected:
    """Remove the objects of a store that no record of any run, in the trash or not, names; count what was removed.

    Safe while runs are written: what was put within the last `grace_s` seconds stays. Raises StoreError, with nothing
    removed, if a single run cannot be read in full, for it might name anything.
    """
    objects = Objects(store_path)
    if objects.folder.is_symlink():
        raise StoreError(f"{objects.folder} is a link: other stores may share what lies there. Nothing was removed.")
    used_before_ns = time.time_ns() - int(grace_s * 1e9)
    result = Collected(dry_run=dry_run)
    with closing(Database(store_path)) as database:
        # in this order: a run may be moved to the trash meanwhile
        named, trashed = (_named_below(store_path / name, objects, database) for name in (RUNS_NAME, TRASH_NAME))
    for stored in objects.all():
        result.objects += 1
        result.bytes += stored.size_bytes
        if stored.digest in named:
            continue
        if stored.digest in trashed:
            result.trashed += 1
            result.trashed_bytes += stored.size_bytes
        elif stored.used_ns >= used_before_ns:
            result.young += 1
            result.young_bytes += stored.size_bytes
        elif dry_run or objects.remove(stored.digest, used_before_ns):
            result.removed += 1
            result.removed_bytes += stored.size_bytes
    for path in objects.leftovers(used_before_ns):
        with suppress(FileNotFoundError):
            result.leftover_bytes += path.lstat().st_size
            result.leftovers += 1
            if not dry_run:
                path.unlink()
    return result


def named_by(run_path: Path, database: Database) -> set[str]:
    """The digests that stand anywhere in a run's records; StoreError if not all of it can be read.

    Read as bytes, so that damaged records, and those of later versions, count as well.
    """
    named: set[str] = set()
    try:
        for path in _texts(run_path):  # before the segments: a run that is being sealed is seen in one form or both
            named |= _named_in(path)
        for path in _sealed(run_path):
            named |= _named_in_parquet(path, database)
    except (OSError, StoreError) as error:
        raise StoreError(f"{run_path} cannot be read in full ({error}). Nothing was removed.") from error
    return named


def _named_below(folder: Path, objects: Objects, database: Database) -> set[str]:
    """What the runs in a folder name, and what the listings name that they name."""
    named: set[str] = set()
    for run_path in _folders(folder):
        try:
            named |= named_by(run_path, database)
        except StoreError:
            if run_path.is_dir():
                raise
    waiting = list(named)
    while waiting:
        inner = _named_in_listing(objects, waiting.pop()) - named
        named |= inner
        waiting += inner
    return named


def _named_in_listing(objects: Objects, digest: str) -> set[str]:
    """What an object names if it is the listing of a folder; whether it is sound is no matter here."""
    try:
        with open_regular(objects.path(digest)) as file:
            if file.read(len(LISTING_START)) != LISTING_START:
                return set()
            return _named_in_file(file)
    except (FileNotFoundError, StoreError):
        return set()


def _folders(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as scan:
            return sorted(Path(entry.path) for entry in scan if entry.is_dir())
    except FileNotFoundError:
        return []


def _texts(run_path: Path) -> Iterator[Path]:
    """The files of a run that are not compressed: journals, notes, long texts and tables."""
    for folder in (run_path, *(run_path / name for name in ("journals", "segments", "files"))):
        with suppress(FileNotFoundError), os.scandir(folder) as scan:
            yield from sorted(
                Path(entry.path)
                for entry in scan
                if os.path.splitext(entry.name)[1] in _TEXTS and entry.is_file(follow_symlinks=False)
            )


def _sealed(run_path: Path) -> list[Path]:
    """The sealed records of a run; StoreError if some that its notes speak of are not there."""
    found = sorted((run_path / "segments").glob("*.records.parquet"))
    stems = {path.name.partition(".")[0] for path in [*found, *(run_path / "journals").glob("*.journal")]}
    if lost := [note for note in (run_path / "segments").glob("*.json") if note.stem not in stems]:
        raise StoreError(f"what {lost[0]} speaks of is not there")
    return found


def _named_in(path: Path) -> set[str]:
    try:
        with open_regular(path) as file:
            return _named_in_file(file)
    except FileNotFoundError:  # sealed or moved meanwhile
        return set()


def _named_in_file(file: BinaryIO) -> set[str]:
    named: set[str] = set()
    rest = b""
    while block := file.read(_BLOCK_BYTES):
        block = rest + block
        named |= {match.decode("ascii") for match in _NAMED.findall(block)}
        rest = block[-_NAME_BYTES:]
    return named


def _named_in_parquet(path: Path, database: Database) -> set[str]:
    rows = database.rows(
        f"SELECT DISTINCT unnest(regexp_extract_all(body, {quoted(_NAMED_IN_SQL)})) "
        f"FROM read_parquet({quoted(path.as_posix())}) WHERE contains(body, 'sha256:')"
    )
    return {str(digest) for (digest,) in rows}
