"""The tables that SQL sees: runs, params, metrics, events, statistics; of live runs and sealed ones alike."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from barograph.errors import StoreError
from barograph.journal.reader import Record, Series
from barograph.store.catalogue import Catalogue
from barograph.store.contents import JournalSource, SegmentSource
from barograph.store.overview import Overview
from barograph.store.parquet import VALUE, quoted, value_columns
from barograph.store.segment import NO_INTEGER, as_unicode, integer_or_none, microseconds, parquet_names
from barograph.store.tensors import COUNTS, NUMBERS, columns_of

from .params import flat

if TYPE_CHECKING:
    import duckdb

_Column = list[Any] | NDArray[Any]  # Any: numbers or texts
_TIME = f"make_timestamp(nullif(time_us, {NO_INTEGER}))"
# The third name from the end of .../runs/<id>/segments/<file>; DuckDB leaves files out by it before it opens them.
_RUN = "string_split(filename, '/')[-3]"

_FIGURES = ", ".join(COUNTS + NUMBERS)

# What is not sealed lies in arrays under names that begin with _; the views make both look the same.
_OPEN = {
    "runs": (
        'SELECT id, name, project, status, "group", parent AS parent_id, '
        "CASE WHEN tags = '' THEN [] ELSE string_split(tags, chr(31)) END AS tags, notes, "
        f"{_TIME} AS created, duration_s, points, path FROM _runs"
    ),
    "params": "SELECT run AS run_id, key, value, try_cast(value AS DOUBLE) AS number FROM _params",
    "metrics": (
        f"SELECT run AS run_id, key, step, {_TIME} AS time, {VALUE}, attempt, rank, writer "
        "FROM _points JOIN _series USING (code)"
    ),
    "events": (
        f"SELECT run AS run_id, name, nullif(step, {NO_INTEGER}) AS step, {_TIME} AS time, data, attempt, rank "
        "FROM _events"
    ),
    "statistics": (
        f"SELECT run AS run_id, key, step, {_TIME} AS time, {_FIGURES}, coalesce(bins, []) AS bins, "
        "coalesce(counts, []) AS counts, attempt, rank, writer FROM _tensors LEFT JOIN "
        "(SELECT row, list(bin ORDER BY place) AS bins, list(n ORDER BY place) AS counts FROM _bins GROUP BY row) "
        "USING (row)"
    ),
}
_SEALED = {
    "metrics": f"SELECT {_RUN} AS run_id, key, step, {_TIME} AS time, value, attempt, rank, writer FROM {{files}}",
    "events": (
        f"SELECT {_RUN} AS run_id, name, step, {_TIME} AS time, "
        # lone surrogates, which JSON text may hold and DuckDB refuses
        "CASE WHEN json_valid(body) THEN json_extract(body, '$.data')::VARCHAR ELSE body END AS data, "
        "attempt, rank FROM {files} WHERE kind = 'event'"
    ),
    "statistics": (
        f"SELECT {_RUN} AS run_id, key, step, {_TIME} AS time, {_FIGURES}, bins, counts, attempt, rank, writer "
        "FROM {files}"
    ),
}


class Tables:
    """Answers queries about a catalogue's runs, as they are at the moment of each query."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._lock = threading.Lock()

    def query(self, query: str) -> duckdb.DuckDBPyRelation:
        """The relation of one SELECT; StoreError for anything else and for what DuckDB does not understand."""
        import duckdb

        connection = self._catalogue.database.connection
        try:
            statements = connection.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise StoreError("sql: a store answers one SELECT at a time and is changed by none.")
            with self._lock:
                self._refresh(connection, query)
                return connection.sql(query)
        except duckdb.Error as error:
            raise StoreError(f"sql: {error}") from error

    def _refresh(self, connection: duckdb.DuckDBPyConnection, query: str) -> None:
        """Bring those tables up to date that the query can be about; a table it does not name is left as it is."""
        overviews = self._catalogue.overviews()
        fill: dict[str, Callable[[duckdb.DuckDBPyConnection, list[Overview]], None]] = {
            "runs": self._fill_runs,
            "params": self._fill_params,
            "metrics": self._fill_metrics,
            "events": self._fill_events,
            "statistics": self._fill_statistics,
        }
        for name, fill_table in fill.items():
            if re.search(rf"\b{name}\b", query, re.IGNORECASE):
                fill_table(connection, overviews)

    def _fill_runs(self, connection: duckdb.DuckDBPyConnection, overviews: list[Overview]) -> None:
        columns: dict[str, _Column] = {
            "id": [overview.id for overview in overviews],
            "name": [as_unicode(overview.name) for overview in overviews],
            "project": [as_unicode(overview.project) for overview in overviews],
            "status": [overview.status(f"{self._catalogue.folder}/{overview.id}") for overview in overviews],
            "group": [None if overview.group is None else as_unicode(overview.group) for overview in overviews],
            "parent": [
                None if overview.parent_id is None else as_unicode(overview.parent_id) for overview in overviews
            ],
            "tags": [as_unicode("\x1f".join(overview.tags)) for overview in overviews],
            "notes": [as_unicode(overview.notes) for overview in overviews],
            "time_us": microseconds(np.array([overview.created_s for overview in overviews], np.float64)),
            "duration_s": np.array([overview.duration_s for overview in overviews], np.float64),
            "points": np.array([overview.points for overview in overviews], np.int64),
            "path": [f"{self._catalogue.folder}/{overview.id}" for overview in overviews],
        }
        _register(connection, "runs", {"_runs": columns}, [])

    def _fill_params(self, connection: duckdb.DuckDBPyConnection, overviews: list[Overview]) -> None:
        rows = [(overview.id, *item) for overview in overviews for item in flat(overview.config).items()]
        columns: dict[str, _Column] = {
            "run": [run for run, _, _ in rows],
            "key": [as_unicode(key) for _, key, _ in rows],
            "value": [None if value is None else as_unicode(_as_text(value)) for _, _, value in rows],
        }
        _register(connection, "params", {"_params": columns}, [])

    def _fill_metrics(self, connection: duckdb.DuckDBPyConnection, overviews: list[Overview]) -> None:
        self._catalogue.seal_big(overviews)
        journals, files = self._sources(overviews, 0)
        found: list[tuple[str, JournalSource, str, Series]] = []
        for run, source in journals:
            for key in source.digest.statistics:
                if (series := source.series(key)) is not None:
                    found.append((run, source, key, series))
        counts = [len(series.steps) for *_, series in found]
        series_columns: dict[str, _Column] = {
            "code": np.arange(len(found), dtype=np.int32),
            "run": [run for run, *_ in found],
            "key": [as_unicode(key) for _, _, key, _ in found],
            "attempt": np.array([source.digest.attempt for _, source, *_ in found], np.int32),
            "rank": np.array([source.digest.rank for _, source, *_ in found], np.int32),
            "writer": [source.digest.writer_id for _, source, *_ in found],
        }
        points: dict[str, _Column] = {
            "code": np.repeat(np.arange(len(found), dtype=np.int32), counts),
            "step": np.concatenate([np.empty(0, np.int64), *(series.steps for *_, series in found)]),
            "time_us": microseconds(np.concatenate([np.empty(0), *(series.times for *_, series in found)])),
            **value_columns(np.concatenate([np.empty(0), *(series.values for *_, series in found)])),
        }
        _register(connection, "metrics", {"_series": series_columns, "_points": points}, files)

    def _fill_events(self, connection: duckdb.DuckDBPyConnection, overviews: list[Overview]) -> None:
        journals, files = self._sources(overviews, 1)
        rows: list[tuple[str, JournalSource, Record]] = [
            (run, source, record) for run, source in journals for record in source.records("event")
        ]
        columns: dict[str, _Column] = {
            "run": [run for run, _, _ in rows],
            "name": [as_unicode(str(record.body.get("name", ""))) for _, _, record in rows],
            "step": np.array([integer_or_none(record.step) for _, _, record in rows], np.int64),
            "time_us": microseconds(np.array([record.time_s for _, _, record in rows], np.float64)),
            "data": [_as_text(record.body.get("data")) for _, _, record in rows],
            "attempt": np.array([source.digest.attempt for _, source, _ in rows], np.int32),
            "rank": np.array([source.digest.rank for _, source, _ in rows], np.int32),
        }
        _register(connection, "events", {"_events": columns}, files)

    def _fill_statistics(self, connection: duckdb.DuckDBPyConnection, overviews: list[Overview]) -> None:
        journals, files = self._sources(overviews, 2)
        found = [(run, source.digest, columns_of(source.statistics)[0]) for run, source in journals]
        lengths = np.concatenate([np.empty(0, np.int64), *(np.diff(one.starts) for *_, one in found)])
        rows: dict[str, _Column] = {
            "row": np.arange(len(lengths)),
            "run": [run for run, _, one in found for _ in range(len(one))],
            "key": [one.keys[code] for *_, one in found for code in one.code],
            "writer": [digest.writer_id for _, digest, one in found for _ in range(len(one))],
            "attempt": np.array([digest.attempt for _, digest, one in found for _ in range(len(one))], np.int32),
            "rank": np.array([digest.rank for _, digest, one in found for _ in range(len(one))], np.int32),
        }
        for name in ("step", "time_us", *COUNTS, *NUMBERS):
            none = np.empty(0, np.float64 if name in NUMBERS else np.int64)
            rows[name] = np.concatenate([none, *(one.columns[name] for *_, one in found)])
        bins: dict[str, _Column] = {
            "row": np.repeat(np.arange(len(lengths)), lengths),
            "place": np.arange(int(lengths.sum())),
            "bin": np.concatenate([np.empty(0, np.uint16), *(one.bins for *_, one in found)]),
            "n": np.concatenate([np.empty(0, np.uint64), *(one.counts for *_, one in found)]),
        }
        _register(connection, "statistics", {"_tensors": rows, "_bins": bins}, files)

    def _sources(self, overviews: list[Overview], which: int) -> tuple[list[tuple[str, JournalSource]], list[str]]:
        """The writers that are not sealed, by run, and the others' Parquet files: 0 points, 1 records, 2 statistics."""
        journals: list[tuple[str, JournalSource]] = []
        files: list[str] = []
        for overview in overviews:
            contents = self._catalogue.contents(overview.id)
            contents.refresh()
            for source in contents.sources:
                if isinstance(source, JournalSource):
                    journals.append((overview.id, source))
                elif isinstance(source, SegmentSource):
                    name = parquet_names(source.digest.writer_id)[which]
                    if name in source.segment.sizes and name not in source.missing:
                        files.append((contents.folder.segments / name).as_posix())
        return journals, files


def _register(
    connection: duckdb.DuckDBPyConnection, view: str, tables: dict[str, dict[str, _Column]], files: Sequence[str]
) -> None:
    """Make a view over arrays, and over Parquet files where there are any."""
    for name, columns in tables.items():
        connection.register(name, {column: _array(values) for column, values in columns.items()})
    query = _OPEN[view]
    if files:
        listed = ", ".join(quoted(file) for file in files)
        sealed = _SEALED[view].format(files=f"read_parquet([{listed}], filename = true)")
        query = f"{sealed} UNION ALL {query}"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS {query}")


def _array(values: _Column) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
