"""Sealing: what finished and dead writers left in journals becomes Parquet, and only then the journals go."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from barograph.errors import StoreError
from barograph.journal.format import SUFFIX as JOURNAL_SUFFIX

from . import tensors
from .columns import about, compare, points_of, rows_of, write
from .contents import JournalSource, RunContents, SegmentSource
from .files import LocalFiles, make_folders, sync_folder
from .layout import RunFolder
from .lease import hold_lease
from .liveness import ABANDONED_S, Life, life_of, silent_s
from .parquet import Database
from .segment import SUFFIX, Segment, as_unicode, parquet_names, sum_of


@dataclass(slots=True)
class SealResult:
    """What became of a run. kept: the journals that are still there, by writer, and why."""

    run_id: str
    sealed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    points: int = 0
    journal_bytes: int = 0
    segment_bytes: int = 0

    @property
    def problem(self) -> str | None:
        """Why journals are left, in one line; None if none is."""
        return "; ".join(f"{writer_id}: {reason}" for writer_id, reason in self.kept.items()) or None

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def seal(run: RunFolder | Path, database: Database | None = None) -> SealResult:
    """Seal all writers of a run that will not write again; those that may are left alone and named in the result.

    A journal goes only after its Parquet was read back and compared, and never if it was damaged. Killed at any moment,
    either the journal or the finished segment is what readers see, and the next call goes on from there. Raises
    StoreError, with the journal kept, if the disk is full or another process is sealing the run.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    result = SealResult(folder.path.name)
    files = LocalFiles(folder.path)
    try:
        _seal_all(folder, files, database, result)
    except OSError as error:
        raise StoreError(f"{folder.path} could not be sealed: {error}. Its journals are as they were.") from error
    return result


def _seal_all(folder: RunFolder, files: LocalFiles, database: Database | None, result: SealResult) -> None:
    with _own_database(folder, database) as reading, hold_lease(files) as is_ours:
        if not is_ours:
            raise StoreError(f"{folder.path} is being sealed by another process; nothing was changed.")
        _remove_leftovers(folder)
        contents = RunContents(folder, reading)
        contents.refresh()
        for source in contents.sources:
            if isinstance(source, SegmentSource):
                _remove_journal(files, source.segment, result)
            elif isinstance(source, JournalSource):
                reason = _reason_to_wait(source)
                if reason is not None:
                    result.kept[source.digest.writer_id] = reason
                else:
                    _seal_writer(folder, files, source, reading, result)


def check_segment(path: Path) -> int:
    """How many points or records a sealed Parquet file holds; StoreError if it is not as it was when it was sealed.

    0 for one that a sealing left behind when it was killed: nobody reads it, the journal counts.
    """
    writer_id, _, kind = path.name.partition(".")
    try:
        segment = Segment.read(LocalFiles(path.parent.parent), writer_id)
    except FileNotFoundError:
        return 0
    if path.stat().st_size != segment.sizes.get(path.name) or sum_of(path) != segment.sums.get(path.name):
        raise StoreError(f"{path} has changed since it was sealed; what it holds cannot be trusted.")
    return {"points.parquet": segment.digest.points, "records.parquet": segment.digest.records}.get(kind, 0)


def _reason_to_wait(source: JournalSource) -> str | None:
    """Why a writer's journal must be left alone; None if nobody will add to it."""
    if source.is_over:
        return None
    life = life_of(source.digest.header)
    silent_for_s = silent_s([source.digest.last_sign_s, source.changed_ns / 1e9], time.time())
    if life is Life.UNKNOWN and silent_for_s > ABANDONED_S:
        return None
    return "it is still being written" if life is Life.ALIVE else "its process cannot be asked and may still be alive"


def _seal_writer(
    folder: RunFolder, files: LocalFiles, source: JournalSource, database: Database, result: SealResult
) -> None:
    import duckdb

    writer_id = source.digest.writer_id
    note = f"segments/{writer_id}{SUFFIX}"
    packed, escaped = tensors.columns_of(source.statistics)
    names = parquet_names(writer_id) if len(packed) else parquet_names(writer_id)[:2]
    targets = [folder.segments / name for name in names]
    temporary = [target.with_name(f".{os.urandom(8).hex()}.tmp") for target in targets]
    keys = {as_unicode(key): key for key in source.digest.statistics}
    try:
        make_folders(folder.segments)
        files.delete(note)  # one that its journal has outgrown
        points, rows = points_of(source, keys), rows_of(source)
        digest = source.digest
        write(database, temporary[:2], points, rows, digest, folder.path.name)
        for path in temporary[2:]:
            note_in_file = about(digest, folder.path.name)
            tensors.write(database, path, packed, digest.writer_id, digest.attempt, digest.rank, note_in_file)
        for unfinished in temporary:
            _bring_to_disk(unfinished)
        compare(database, temporary[:2], points, rows, digest)
        for path in temporary[2:]:
            tensors.compare(database, path, packed)
        for unfinished, target in zip(temporary, targets, strict=True):
            unfinished.replace(target)
        sync_folder(folder.segments)
        segment = Segment(
            digest=digest,
            journal_bytes=source.read_bytes,
            sizes={target.name: target.stat().st_size for target in targets},
            sums={target.name: sum_of(target) for target in targets},
            escaped={text: key for text, key in keys.items() if text != key} | escaped,
        )
        files.put_if_absent(note, segment.to_json())
    except (OSError, duckdb.Error) as error:
        raise StoreError(
            f"{folder.path}: writer {writer_id} could not be sealed ({error}). Its journal is kept as it was; "
            "if the disk is full, free some space and seal again."
        ) from error
    finally:
        for unfinished in temporary:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
    result.sealed.append(writer_id)
    result.points += len(points.step)
    result.journal_bytes += source.read_bytes
    result.segment_bytes += sum(segment.sizes.values())
    _remove_journal(files, segment, result)


def _remove_journal(files: LocalFiles, segment: Segment, result: SealResult) -> None:
    """Let a sealed writer's journal go, unless it is damaged or has grown since."""
    writer_id = segment.digest.writer_id
    name = f"journals/{writer_id}{JOURNAL_SUFFIX}"
    try:
        size = os.lstat(files.path(name)).st_size
    except FileNotFoundError:
        return
    if segment.digest.damage.is_in_file:
        result.kept[writer_id] = "it is damaged; what could be read is sealed, and the journal stays beside it"
    elif size > segment.journal_bytes:
        result.kept[writer_id] = "it has grown while it was sealed"
    else:
        files.delete(name)
        sync_folder(files.path("journals"))


def _bring_to_disk(path: Path) -> None:
    """Close a new file to others, as all files of a store are, and wait until it is on disk."""
    if os.name == "posix":
        path.chmod(path.stat().st_mode & ~0o007)
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(folder: RunFolder) -> None:
    """Remove what a sealing that was killed left unfinished."""
    for path in folder.segments.glob(".*.tmp"):
        path.unlink(missing_ok=True)


@contextmanager
def _own_database(folder: RunFolder, database: Database | None) -> Iterator[Database]:
    if database is not None:
        yield database
        return
    own = Database(folder.path)
    try:
        yield own
    finally:
        own.close()
