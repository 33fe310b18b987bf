"""A writer's statistics of tensors as columns: on their way into Parquet, back for comparison, and read by tensor.

    segments/<writer id>.statistics.parquet   key, step, time_us, count, zeros, nans, pos_infs, neg_infs, mean, std,
                                              min, max, centre, sampling, bins, counts, writer, attempt, rank, sequence

One row a tensor and step, sorted by key, step, then order of writing; the file is there only if there are such rows.
mean to max are NULL where no value was finite. bins: the occupied bins, counts: the values seen in each. Which values
lie in a bin says tensors/bins.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from barograph.errors import StoreError
from barograph.tensors.payload import decode
from barograph.tensors.statistics import Statistics

from .parquet import Database, quoted
from .segment import NO_INTEGER, ROW_GROUP_ROWS, as_unicode, microseconds, seconds

COUNTS = ("count", "zeros", "nans", "pos_infs", "neg_infs", "sampling")
NUMBERS = ("mean", "std", "min", "max", "centre")
_FIGURES = frozenset(COUNTS + NUMBERS)
_COPY = (
    "COPY (SELECT * FROM sealing) TO {path} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2, "
    "ROW_GROUP_SIZE {rows}, USE_TMP_FILE false, KV_METADATA {{barograph: {note}}})"
)
# The least integer stands for none on the way through numpy; NaN arrives as NULL by itself.
_INSERT = (
    "SELECT CAST(getvariable('keys') AS VARCHAR[])[code + 1] AS key, step, nullif(time_us, {none}) AS time_us, "
    "{counts}, {numbers}, coalesce(bins, []) AS bins, coalesce(counts, []) AS counts, "
    "{writer} AS writer, {attempt}::INTEGER AS attempt, {rank}::INTEGER AS rank, sequence "
    "FROM rows LEFT JOIN (SELECT row, list(bin ORDER BY place) AS bins, list(n ORDER BY place) AS counts "
    "FROM bins GROUP BY row) USING (row) ORDER BY row"
)
_ROWS_AT_ONCE = 50_000  # of which DuckDB makes lists: the memory of a piece, not of all, is what that takes


class TensorRecord(NamedTuple):
    """What was recorded of one tensor at a step, and its place in the order of writing."""

    step: int
    time_s: float
    sequence: int
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class TensorColumns:
    """All statistics of a writer as columns, sorted by key, step and order of writing.

    keys: as in the file; code: an index into keys. columns: the numbers of each row by name. starts: shape (rows + 1,),
    where the bins of a row begin in `bins` and `counts`.
    """

    keys: list[str]
    code: NDArray[np.int32]
    columns: dict[str, NDArray[Any]]
    starts: NDArray[np.int64]
    bins: NDArray[np.uint16]
    counts: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.code)


def decoded(payloads: Iterable[tuple[int, bytes]]) -> Iterable[tuple[str, TensorRecord]]:
    """Key and record of each tensor in packed statistics; what another version packed is passed over."""
    for sequence, payload in payloads:
        try:
            told = decode(payload)
        except ValueError:
            continue
        for key, statistics in told.statistics.items():
            yield key, TensorRecord(told.step, told.time_s, sequence, statistics)


def is_readable(payload: bytes) -> bool:
    """Whether this version can take packed statistics apart; what it cannot is kept as it is."""
    try:
        decode(payload)
    except ValueError:
        return False
    return True


def columns_of(payloads: Iterable[tuple[int, bytes]]) -> tuple[TensorColumns, dict[str, str]]:
    """The readable ones of a writer's packed statistics as columns; and the keys by the texts that stand for them."""
    codes: dict[str, int] = {}
    rows: list[tuple[int, int, int, float]] = []  # code, step, sequence, time
    numbers: list[tuple[float, ...]] = []
    counts: list[tuple[int, ...]] = []
    bins: list[NDArray[np.uint16]] = []
    seen: list[NDArray[np.uint64]] = []
    for key, (step, time_s, sequence, one) in decoded(payloads):
        rows.append((codes.setdefault(key, len(codes)), step, sequence, time_s))
        counts.append((one.count, one.zeros, one.nans, one.pos_infs, one.neg_infs, one.sampling))
        numbers.append((one.mean, one.std, one.min, one.max, one.centre))
        bins.append(one.bins)
        seen.append(one.counts)
    escaped = {as_unicode(key): key for key in codes}
    texts = sorted(escaped)
    place = {codes[escaped[text]]: index for index, text in enumerate(texts)}
    code = np.array([place[row[0]] for row in rows], np.int32)
    step_of = np.array([row[1] for row in rows], np.int64)
    sequence_of = np.array([row[2] for row in rows], np.int64)
    order = np.lexsort((sequence_of, step_of, code))
    columns: dict[str, NDArray[Any]] = {
        "step": step_of[order],
        "time_us": microseconds(np.array([row[3] for row in rows], np.float64))[order],
        "sequence": sequence_of[order],
    }
    whole = np.array(counts, np.int64).reshape(-1, len(COUNTS))[order]
    real = np.array(numbers, np.float64).reshape(-1, len(NUMBERS))[order]
    columns |= {name: np.ascontiguousarray(whole[:, index]) for index, name in enumerate(COUNTS)}
    columns |= {name: np.ascontiguousarray(real[:, index]) for index, name in enumerate(NUMBERS)}
    starts = np.cumsum([0, *(len(bins[index]) for index in order)], dtype=np.int64)
    found = TensorColumns(
        texts,
        code[order],
        columns,
        starts,
        np.concatenate([np.empty(0, np.uint16), *(bins[index] for index in order)]),
        np.concatenate([np.empty(0, np.uint64), *(seen[index] for index in order)]),
    )
    return found, {text: key for text, key in escaped.items() if text != key}


def write(
    database: Database, path: Path, tensors: TensorColumns, writer_id: str, attempt: int, rank: int, note: object
) -> None:
    """Write the file, with a note in its metadata."""
    query = _INSERT.format(
        none=NO_INTEGER,
        counts=", ".join(COUNTS),
        numbers=", ".join(NUMBERS),
        writer=quoted(writer_id),
        attempt=attempt,
        rank=rank,
    )
    with database.cursor() as cursor:
        cursor.execute("SET VARIABLE keys = ?::VARCHAR[]", [tensors.keys])
        for first in range(0, len(tensors), _ROWS_AT_ONCE):
            _register(cursor, tensors, first, min(len(tensors), first + _ROWS_AT_ONCE))
            cursor.execute(f"CREATE TEMP TABLE sealing AS {query}" if not first else f"INSERT INTO sealing {query}")
        try:
            about = quoted(json.dumps(note))
            cursor.execute(_COPY.format(path=quoted(path.as_posix()), rows=ROW_GROUP_ROWS, note=about))
        finally:
            cursor.execute("DROP TABLE sealing")


def _register(cursor: Any, tensors: TensorColumns, first: int, end: int) -> None:  # Any: a connection of DuckDB
    rows = slice(first, end)
    lengths = np.diff(tensors.starts[first : end + 1])
    inside = slice(tensors.starts[first], tensors.starts[end])
    cursor.register(
        "rows",
        {
            "row": np.arange(end - first),
            "code": tensors.code[rows],
            **{name: column[rows] for name, column in tensors.columns.items()},
        },
    )
    cursor.register(
        "bins",
        {
            "row": np.repeat(np.arange(end - first), lengths),
            "place": np.arange(inside.stop - inside.start),
            "bin": tensors.bins[inside],
            "n": tensors.counts[inside],
        },
    )


def compare(database: Database, path: Path, tensors: TensorColumns) -> None:
    """Read back what was written; StoreError if a number differs."""
    file = f"read_parquet({quoted(path.as_posix())}, file_row_number = true)"
    names = [name for name in tensors.columns if name != "time_us"]
    read = database.columns(
        f"SELECT {', '.join(names)}, coalesce(time_us, {NO_INTEGER}) AS time_us, len(bins) AS length "
        f"FROM {file} ORDER BY file_row_number"
    )
    keys = database.rows(f"SELECT key, count(*) FROM {file} GROUP BY key ORDER BY min(file_row_number)")
    lists = database.columns(f"SELECT unnest(bins) AS bins, unnest(counts) AS counts FROM {file}")
    is_same = (
        all(_are_equal(read[name], column) for name, column in tensors.columns.items())
        and keys == list(zip(tensors.keys, np.bincount(tensors.code).tolist(), strict=True))
        and np.array_equal(read["length"], np.diff(tensors.starts))
        and np.array_equal(lists["bins"], tensors.bins)
        and np.array_equal(lists["counts"], tensors.counts)
    )
    if not is_same:
        raise StoreError(f"{path.parent}: what was read back differs from the journal; the journal is kept.")


def _are_equal(read: Any, written: NDArray[Any]) -> bool:  # Any: masked where there are NULLs
    if written.dtype.kind == "f":
        return np.array_equal(np.ma.filled(read, np.nan), written, equal_nan=True)
    return np.array_equal(read, written)


def read_keys(database: Database, path: Path) -> list[str]:
    """The texts that stand for the tensors in a file."""
    return [text for (text,) in database.rows(f"SELECT DISTINCT key FROM read_parquet({quoted(path.as_posix())})")]


def read_tensor(database: Database, path: Path, text: str) -> list[TensorRecord]:
    """What a file holds of one tensor, by step, then order of writing. Raises StoreError if it contradicts itself."""
    where = f"FROM read_parquet({quoted(path.as_posix())}) WHERE key = ?"
    names = ("step", "sequence", *COUNTS, *NUMBERS)
    read = database.columns(
        f"SELECT {', '.join(names)}, coalesce(time_us, {NO_INTEGER}) AS time_us, len(bins) AS length {where}", [text]
    )
    lists = database.columns(f"SELECT unnest(bins) AS bins, unnest(counts) AS counts {where}", [text])
    starts = np.concatenate([[0], np.cumsum(read["length"], dtype=np.int64)])
    bins, counts = np.asarray(lists["bins"], np.uint16), np.asarray(lists["counts"], np.uint64)
    if len(bins) != starts[-1]:
        raise StoreError(f"{path}: the histograms of {text!r} do not have as many bins as they say.")
    whole = {name: np.asarray(read[name]).tolist() for name in ("step", "sequence", *COUNTS)}
    real = {name: np.ma.filled(read[name], np.nan).tolist() for name in NUMBERS}
    times = seconds(read["time_us"]).tolist()
    return [
        TensorRecord(
            whole["step"][row],
            times[row],
            whole["sequence"][row],
            _statistics(whole, real, row, bins[starts[row] : starts[row + 1]], counts[starts[row] : starts[row + 1]]),
        )
        for row in range(len(times))
    ]


def _statistics(
    whole: dict[str, list[int]],
    real: dict[str, list[float]],
    row: int,
    bins: NDArray[np.uint16],
    counts: NDArray[np.uint64],
) -> Statistics:
    figures: dict[str, Any] = {name: values[row] for name, values in (whole | real).items() if name in _FIGURES}
    return Statistics(**figures, bins=bins, counts=counts)
