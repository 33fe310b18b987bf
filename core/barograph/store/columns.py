"""A writer's points and records as columns, on their way into Parquet and back for comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from barograph.errors import StoreError
from barograph.journal.reader import Record

from .contents import JournalSource
from .digest import WriterDigest
from .parquet import VALUE, Database, quoted, value_columns
from .segment import NO_INTEGER, ROW_GROUP_ROWS, as_unicode, integer_or_none, microseconds
from .tensors import is_readable

_COPY = (
    "COPY ({query}) TO {path} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2, ROW_GROUP_SIZE {rows}, "
    "USE_TMP_FILE false, {dictionary}KV_METADATA {{barograph: {note}}})"
)
_WHO = "{writer} AS writer, {attempt}::INTEGER AS attempt, {rank}::INTEGER AS rank"
_POINTS = (
    f"SELECT CAST(getvariable('keys') AS VARCHAR[])[code + 1] AS key, step, nullif(time_us, {NO_INTEGER}) AS time_us, "
    f"{VALUE}, {_WHO} FROM points"
)
_RECORDS = (
    f"SELECT kind::VARCHAR AS kind, name::VARCHAR AS name, nullif(step, {NO_INTEGER}) AS step, "
    f"nullif(time_us, {NO_INTEGER}) AS time_us, body::VARCHAR AS body, data::BLOB AS data, {_WHO}, sequence "
    "FROM records"
)


class Points(NamedTuple):
    """All points of a writer as columns, sorted by key and step. keys: as in the file; code: an index into keys."""

    keys: list[str]
    counts: list[int]
    code: NDArray[np.int32]
    step: NDArray[np.int64]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]


class Row(NamedTuple):
    """One record as a row of the file."""

    kind: str
    name: str | None
    step: int
    time_us: int
    body: str | None
    data: bytes | None
    sequence: int


def points_of(source: JournalSource, keys: Mapping[str, str]) -> Points:
    """The points of a journal. keys: the metrics by the texts that stand for them in the file."""
    texts, found = [], []
    for text in sorted(keys):
        series = source.series(keys[text])
        if series is not None:
            texts.append(text)
            found.append(series)
    counts = [len(series.steps) for series in found]
    none = np.empty(0)
    return Points(
        texts,
        counts,
        np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        np.concatenate([none.astype(np.int64), *(series.steps for series in found)]),
        microseconds(np.concatenate([none, *(series.times for series in found)])),
        np.concatenate([none, *(series.values for series in found)]),
    )


def rows_of(source: JournalSource) -> list[Row]:
    """The records of a journal, in the order of writing; with statistics that only another version can take apart."""
    rows = [_row(record) for record in source.all_records()]
    rows += [
        Row("statistics", None, NO_INTEGER, NO_INTEGER, None, data, sequence)
        for sequence, data in source.statistics
        if not is_readable(data)
    ]
    return sorted(rows, key=lambda row: row.sequence)


def _row(record: Record) -> Row:
    name = record.body.get("name", record.body.get("key"))
    time_us = int(microseconds(np.array([record.time_s]))[0])
    text = as_unicode(name) if isinstance(name, str) else None
    step, body = integer_or_none(record.step), json.dumps(record.body, separators=(",", ":"))
    return Row(as_unicode(record.kind), text, step, time_us, body, None, record.sequence)


def write(
    database: Database, paths: list[Path], points: Points, rows: list[Row], digest: WriterDigest, run_id: str
) -> None:
    """Write both files, each with a note in its metadata of who wrote the journal and what is damaged in it."""
    who = {"writer": quoted(digest.writer_id), "attempt": digest.attempt, "rank": digest.rank}
    with database.cursor() as cursor:
        cursor.execute("SET VARIABLE keys = ?::VARCHAR[]", [points.keys])
        columns = {"code": points.code, "step": points.step, "time_us": points.time_us, **value_columns(points.value)}
        cursor.register("points", columns)
        cursor.register("records", _columns(rows))
        for path, query in zip(paths, (_POINTS, _RECORDS), strict=True):
            cursor.execute(
                _COPY.format(
                    query=query.format(**who),
                    path=quoted(path.as_posix()),
                    rows=ROW_GROUP_ROWS,
                    dictionary="" if _survives_dictionary(points.value) else "DICTIONARY_SIZE_LIMIT 0, ",
                    note=quoted(json.dumps(about(digest, run_id))),
                )
            )


def about(digest: WriterDigest, run_id: str) -> dict[str, object]:
    """What stands in the metadata of every file of a writer."""
    return {"format": 1, "run": run_id, "header": digest.header, "damage": digest.to_json()["damage"]}


def _survives_dictionary(values: NDArray[np.float64]) -> bool:
    """Whether DuckDB's dictionary encoding keeps the values to the bit: there is one zero in it, and one NaN."""
    bits = values.view(np.int64)
    return all(len(np.unique(bits[alike])) <= 1 for alike in (values == 0, np.isnan(values)))


def _columns(rows: list[Row]) -> dict[str, NDArray[Any]]:
    """Rows as columns; Any: texts and bytes are Python objects to numpy."""
    columns: dict[str, NDArray[Any]] = {}
    for index, name in enumerate(Row._fields):
        is_number = name in ("step", "time_us", "sequence")
        columns[name] = np.empty(len(rows), np.int64 if is_number else object)
        columns[name][:] = [row[index] for row in rows]
    return columns


def compare(database: Database, paths: list[Path], points: Points, rows: list[Row], digest: WriterDigest) -> None:
    """Read back what was written; StoreError if a single bit differs."""
    points_file, records_file = (f"read_parquet({quoted(path.as_posix())}, file_row_number = true)" for path in paths)
    read = database.columns(f"SELECT step, coalesce(time_us, {NO_INTEGER}) AS time_us, value FROM {points_file}")
    keys = database.rows(
        f"SELECT key, count(*), writer, attempt, rank FROM {points_file} GROUP BY ALL ORDER BY min(file_row_number)"
    )
    who = digest.writer_id, digest.attempt, digest.rank
    records = database.rows(
        f"SELECT kind, name, coalesce(step, {NO_INTEGER}), coalesce(time_us, {NO_INTEGER}), body, data, sequence "
        f"FROM {records_file} ORDER BY file_row_number"
    )
    is_same = (
        np.array_equal(read["step"], points.step)
        and np.array_equal(read["time_us"], points.time_us)
        and np.array_equal(np.asarray(read["value"], np.float64).view(np.int64), points.value.view(np.int64))
        and keys == [(key, count, *who) for key, count in zip(points.keys, points.counts, strict=True)]
        and records == rows
    )
    if not is_same:
        raise StoreError(f"{paths[0].parent}: what was read back differs from the journal; the journal is kept.")
