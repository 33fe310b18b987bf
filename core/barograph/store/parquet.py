"""The DuckDB through which Parquet is written and read: in memory, and shut off from everything outside the store."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from barograph.errors import StoreError

if TYPE_CHECKING:
    import duckdb

# Enough for a row group of every column many times over; a file that expands to more than this is refused.
MEMORY_LIMIT = "2GB"
THREADS = 2


# Values out of numpy arrays, exactly: DuckDB takes every NaN in them for NULL, so those come from their bits.
VALUE = "CASE WHEN value IS NULL THEN bits::BIT::DOUBLE ELSE value END AS value"


def value_columns(values: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """The columns that VALUE is made of. Any: doubles, and their bits as integers."""
    return {"value": values, "bits": values.view(np.int64)}


def connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own that reaches files below one folder only.

    It loads no extension, sees no Python variable and spills nothing to disk, as DuckDB else would where it is started.
    """
    import duckdb  # 80 ms: only for those who read or write Parquet

    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": THREADS,
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": "",
            "python_enable_replacements": False,
        },
    )
    connection.execute(f"SET allowed_directories = [{quoted(folder.as_posix() + '/')}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


class Database:
    """The DuckDB of an open store: made at first use, and usable from several threads at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The one connection that relations of `Store.sql` live on."""
        with self._lock:
            if self._connection is None:
                self._connection = connect(self._folder)
            return self._connection

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection for one thread's use, with registrations and variables of its own."""
        return self.connection.cursor()

    def columns(self, query: str, parameters: Sequence[object] = ()) -> dict[str, Any]:
        """A query's columns as numpy arrays (Any: numpy knows their types); StoreError if it cannot be answered."""
        import duckdb

        try:
            columns: dict[str, Any] = self.cursor().execute(query, list(parameters)).fetchnumpy()
            return columns
        except duckdb.Error as error:
            raise StoreError(f"{error} (while reading sealed runs in {self._folder})") from error

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """A query's rows; StoreError if it cannot be answered."""
        import duckdb

        try:
            rows: list[tuple[Any, ...]] = self.cursor().execute(query, list(parameters)).fetchall()
            return rows
        except duckdb.Error as error:
            raise StoreError(f"{error} (while reading sealed runs in {self._folder})") from error

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
