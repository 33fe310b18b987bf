"""A sealed writer: its points and records as Parquet, and the note that makes the files count.

    segments/<writer id>.points.parquet    key, step, time_us, value, writer, attempt, rank; sorted by key, then step
    segments/<writer id>.records.parquet   kind, name, step, time_us, body, data, writer, attempt, rank, sequence
    segments/<writer id>.statistics.parquet  statistics of tensors, if it took any; see tensors.py
    segments/<writer id>.json              written last; from then on the journal of that writer is no longer read

The note holds the writer's digest, so listings need no Parquet, and how long the journal was: one that has grown since
is the truth again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barograph.errors import StoreError
from barograph.journal.reader import Record, Series

from .digest import WriterDigest
from .files import LocalFiles
from .layout import RunFolder
from .parquet import Database, quoted

FORMAT = 1
SUFFIX = ".json"
ROW_GROUP_ROWS = 100_000  # DuckDB rounds to 2,048; one series of 1e5 points then lies in two groups at most
MOST_POINTS = 200_000_000  # of one series; a stranger's file may claim and expand to anything
NO_INTEGER = -(2**63)  # stands for NULL on the way to and from numpy, which has no integer that is none

_NOTE_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """What a note says. sizes, sums: bytes and xxh3_128 of the Parquet files, by their names.

    escaped: keys that are no valid Unicode, by the text that stands for them in the Parquet files.
    """

    digest: WriterDigest
    journal_bytes: int
    sizes: dict[str, int]
    sums: dict[str, str]
    escaped: dict[str, str]

    @classmethod
    def read(cls, files: LocalFiles, writer_id: str) -> Segment:
        """The note of a sealed writer; StoreError if it cannot be understood."""
        name = f"segments/{writer_id}{SUFFIX}"
        try:
            note = json.loads(files.get(name, limit_bytes=_NOTE_LIMIT_BYTES))
            if note["format"] != FORMAT:
                raise StoreError(f"{files.path(name)} has format {note['format']!r}; this version reads {FORMAT}.")
            segment = cls(
                WriterDigest.from_json(note["digest"]),
                int(note["journal_bytes"]),
                {str(file): int(size) for file, size in note["sizes"].items()},
                {str(file): str(total) for file, total in note["sums"].items()},
                {str(text): str(key) for text, key in note["escaped"].items()},
            )
            names = parquet_names(writer_id)
            if segment.digest.writer_id != writer_id or not set(names[:2]) <= set(segment.sizes) <= set(names):
                raise ValueError("it belongs to another writer")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise StoreError(f"{files.path(name)} is no note of a sealed writer ({error}).") from error
        return segment

    def to_json(self) -> bytes:
        """The note as it stands on disk."""
        note = {
            "format": FORMAT,
            "journal_bytes": self.journal_bytes,
            "sizes": self.sizes,
            "sums": self.sums,
            "escaped": self.escaped,
            "digest": self.digest.to_json(),
        }
        return json.dumps(note).encode("ascii")

    def missing(self, sizes: Mapping[str, int]) -> list[str]:
        """The Parquet files that are not there as the note says: not yet copied, or lost. sizes: what is there."""
        return [name for name, size in self.sizes.items() if sizes.get(name) != size]


def parquet_names(writer_id: str) -> tuple[str, str, str]:
    """The names of a sealed writer's points, records and statistics of tensors."""
    return f"{writer_id}.points.parquet", f"{writer_id}.records.parquet", f"{writer_id}.statistics.parquet"


def sum_of(path: Path) -> str:
    """The xxh3_128 of a file."""
    import xxhash

    total = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            total.update(block)
    return str(total.hexdigest())


def read_series(database: Database, folder: RunFolder, segment: Segment, key: str) -> Series | None:
    """One metric of a sealed writer by step, then order of writing; None if it has no such metric."""
    figures = segment.digest.statistics.get(key)
    if figures is None:
        return None
    path = folder.segments / parquet_names(segment.digest.writer_id)[0]
    text = {one: text for text, one in segment.escaped.items()}.get(key, key)
    columns = database.columns(
        f"SELECT step, coalesce(time_us, {NO_INTEGER}) AS time_us, value "
        f"FROM read_parquet({quoted(path.as_posix())}) WHERE key = ? LIMIT {min(figures.count, MOST_POINTS)}",
        [text],
    )
    steps = np.asarray(columns["step"], np.int64)
    sequence = np.arange(len(steps), dtype=np.uint32)
    return Series(steps, seconds(columns["time_us"]), np.asarray(columns["value"], np.float64), sequence)


def read_records(database: Database, folder: RunFolder, segment: Segment, kind: str) -> list[Record]:
    """A sealed writer's records of one kind, in the order of writing."""
    path = folder.segments / parquet_names(segment.digest.writer_id)[1]
    rows = database.rows(
        f"SELECT sequence, step, time_us, body FROM read_parquet({quoted(path.as_posix())}) "
        f"WHERE kind = ? ORDER BY sequence LIMIT {segment.digest.records}",
        [kind],
    )
    return [as_record(sequence, kind, step, time_us, body) for sequence, step, time_us, body in rows]


def as_record(sequence: int, kind: str, step: int | None, time_us: int | None, body: str) -> Record:
    """A record from the columns of its row."""
    return Record(sequence, kind, float("nan") if time_us is None else time_us / 1e6, step, _body(body))


def microseconds(times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Unix seconds as whole microseconds; NO_INTEGER for what is no time."""
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(times * 1e6)
        is_time = np.abs(scaled) < 2.0**63
    return np.where(is_time, np.where(is_time, scaled, 0.0).astype(np.int64), NO_INTEGER)


def seconds(time_us: NDArray[np.int64]) -> NDArray[np.float64]:
    """The way back from `microseconds`."""
    whole = np.asarray(time_us, np.int64)
    return np.where(whole == NO_INTEGER, np.nan, whole / 1e6)


def integer_or_none(value: int | None) -> int:
    """A whole number as numpy can hold it; NO_INTEGER for none and for what is too great."""
    return value if value is not None and abs(value) < -NO_INTEGER else NO_INTEGER


def as_unicode(key: str) -> str:
    """The key itself, or for one with lone surrogates, which Parquet cannot hold, a text that no other key becomes."""
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:
        readable = key.encode("utf-8", "backslashreplace").decode("utf-8")
        return f"{readable}#{hashlib.blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"
    return key


def _body(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
