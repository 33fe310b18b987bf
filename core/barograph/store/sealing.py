"""Sealing: what finished and dead writers left in journals becomes Parquet, and only then the journals go."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from barograph.errors import StoreError
from barograph.journal.format import SUFFIX as JOURNAL_SUFFIX
from barograph.journal.reader import Record

from .contents import JournalSource, RunContents, SegmentSource
from .digest import WriterDigest
from .files import LocalFiles, make_folders, sync_folder
from .layout import RunFolder
from .lease import hold_lease
from .liveness import ABANDONED_S, Life, life_of, silent_s
from .parquet import Database, quoted
from .segment import (
    NO_INTEGER,
    ROW_GROUP_ROWS,
    SUFFIX,
    Segment,
    as_unicode,
    integer_or_none,
    microseconds,
    parquet_names,
)

_COPY = (
    "COPY ({query}) TO {path} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2, ROW_GROUP_SIZE {rows}, "
    "USE_TMP_FILE false, KV_METADATA {{barograph: {note}}})"
)
_WHO = "{writer} AS writer, {attempt}::INTEGER AS attempt, {rank}::INTEGER AS rank"
_POINTS = (
    f"SELECT CAST(getvariable('keys') AS VARCHAR[])[code + 1] AS key, step, nullif(time_us, {NO_INTEGER}) AS time_us, "
    f"value, {_WHO} FROM points"
)
_RECORDS = (
    f"SELECT kind::VARCHAR AS kind, name::VARCHAR AS name, nullif(step, {NO_INTEGER}) AS step, "
    f"nullif(time_us, {NO_INTEGER}) AS time_us, body::VARCHAR AS body, data::BLOB AS data, {_WHO}, sequence "
    "FROM records"
)


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
    return result


class _Points(NamedTuple):
    """All points of a writer as columns, sorted by key and step. keys: as in the file; code: an index into keys."""

    keys: list[str]
    counts: list[int]
    code: NDArray[np.int32]
    step: NDArray[np.int64]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]


class _Row(NamedTuple):
    """One record as a row of the file."""

    kind: str
    name: str | None
    step: int
    time_us: int
    body: str | None
    data: bytes | None
    sequence: int


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
    targets = [folder.segments / name for name in parquet_names(writer_id)]
    temporary = [target.with_name(f".{os.urandom(8).hex()}.tmp") for target in targets]
    keys = {as_unicode(key): key for key in source.digest.statistics}
    try:
        make_folders(folder.segments)
        files.delete(note)  # one that its journal has outgrown
        points, rows = _points(source, keys), _rows(source)
        _write(database, temporary, points, rows, source.digest, folder.path.name)
        for unfinished in temporary:
            _bring_to_disk(unfinished)
        _compare(database, temporary, points, rows)
        for unfinished, target in zip(temporary, targets, strict=True):
            unfinished.replace(target)
        sync_folder(folder.segments)
        segment = Segment(
            digest=source.digest,
            journal_bytes=source.read_bytes,
            sizes={target.name: target.stat().st_size for target in targets},
            escaped={text: key for text, key in keys.items() if text != key},
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


def _points(source: JournalSource, keys: Mapping[str, str]) -> _Points:
    texts, found = [], []
    for text in sorted(keys):
        series = source.series(keys[text])
        if series is not None:
            texts.append(text)
            found.append(series)
    counts = [len(series.steps) for series in found]
    none = np.empty(0)
    return _Points(
        texts,
        counts,
        np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        np.concatenate([none.astype(np.int64), *(series.steps for series in found)]),
        microseconds(np.concatenate([none, *(series.times for series in found)])),
        np.concatenate([none, *(series.values for series in found)]),
    )


def _rows(source: JournalSource) -> list[_Row]:
    rows = [_row(record) for record in source.all_records()]
    rows += [
        _Row("statistics", None, NO_INTEGER, NO_INTEGER, None, data, sequence) for sequence, data in source.statistics
    ]
    return sorted(rows, key=lambda row: row.sequence)


def _row(record: Record) -> _Row:
    name = record.body.get("name", record.body.get("key"))
    time_us = int(microseconds(np.array([record.time_s]))[0])
    text = as_unicode(name) if isinstance(name, str) else None
    step, body = integer_or_none(record.step), json.dumps(record.body, separators=(",", ":"))
    return _Row(as_unicode(record.kind), text, step, time_us, body, None, record.sequence)


def _write(
    database: Database, paths: list[Path], points: _Points, rows: list[_Row], digest: WriterDigest, run_id: str
) -> None:
    about = {"format": 1, "run": run_id, "header": digest.header, "damage": digest.to_json()["damage"]}
    who = {"writer": quoted(digest.writer_id), "attempt": digest.attempt, "rank": digest.rank}
    with database.cursor() as cursor:
        cursor.execute("SET VARIABLE keys = ?::VARCHAR[]", [points.keys])
        columns = {"code": points.code, "step": points.step, "time_us": points.time_us, "value": points.value}
        cursor.register("points", columns)
        cursor.register("records", _columns(rows))
        for path, query in zip(paths, (_POINTS, _RECORDS), strict=True):
            cursor.execute(
                _COPY.format(
                    query=query.format(**who),
                    path=quoted(path.as_posix()),
                    rows=ROW_GROUP_ROWS,
                    note=quoted(json.dumps(about)),
                )
            )


def _columns(rows: list[_Row]) -> dict[str, NDArray[Any]]:
    """Rows as columns; Any: texts and bytes are Python objects to numpy."""
    columns: dict[str, NDArray[Any]] = {}
    for index, name in enumerate(_Row._fields):
        is_number = name in ("step", "time_us", "sequence")
        columns[name] = np.empty(len(rows), np.int64 if is_number else object)
        columns[name][:] = [row[index] for row in rows]
    return columns


def _compare(database: Database, paths: list[Path], points: _Points, rows: list[_Row]) -> None:
    """Read back what was written; StoreError if a single bit differs."""
    points_file, records_file = (f"read_parquet({quoted(path.as_posix())}, file_row_number = true)" for path in paths)
    read = database.columns(f"SELECT step, coalesce(time_us, {NO_INTEGER}) AS time_us, value FROM {points_file}")
    keys = database.rows(f"SELECT key, count(*) FROM {points_file} GROUP BY key ORDER BY min(file_row_number)")
    records = database.rows(
        f"SELECT kind, name, coalesce(step, {NO_INTEGER}), coalesce(time_us, {NO_INTEGER}), body, data, sequence "
        f"FROM {records_file} ORDER BY file_row_number"
    )
    is_same = (
        np.array_equal(read["step"], points.step)
        and np.array_equal(read["time_us"], points.time_us)
        and np.array_equal(np.asarray(read["value"], np.float64).view(np.int64), points.value.view(np.int64))
        and keys == list(zip(points.keys, points.counts, strict=True))
        and records == rows
    )
    if not is_same:
        raise StoreError(f"{paths[0].parent}: what was read back differs from the journal; the journal is kept.")


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
