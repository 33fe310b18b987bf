"""The index: a cache of overviews in SQLite, in the user's own folder; never the truth and never needed.

Whatever is wrong with it (damaged, foreign, read-only, busy), it is made anew or done without.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

_TABLE = (
    "CREATE TABLE runs (folder TEXT PRIMARY KEY, signature TEXT, head TEXT, config TEXT, summary TEXT, sum INTEGER) "
    "WITHOUT ROWID"
)
_APPLICATION_ID = 0x4261726F  # "Baro": tells our file from any other SQLite database
_VERSION = 1  # raised whenever a row means something else; an older file is then made anew
_WAIT_S = 0.05  # another process is writing: rather work without the index than wait


class Row(NamedTuple):
    """What is kept of a run; the texts are JSON."""

    folder: str
    signature: str
    head: str
    config: str
    summary: str

    @property
    def sum(self) -> int:
        """SQLite does not notice flipped bits in its pages."""
        return crc32("\0".join(self).encode("utf-8", "surrogatepass"))


class Index:
    """The cached overviews of one store. No method raises: what cannot be read is missing, and that is all."""

    def __init__(self, store: Path) -> None:
        name = hashlib.blake2b(os.fsencode(os.path.realpath(store)), digest_size=16).hexdigest()
        self.path = cache_folder() / f"{name}.sqlite"

    def load(self, folder: str | None = None) -> dict[str, Row]:
        """All rows by folder, or that of one folder."""
        query = "SELECT folder, signature, head, config, summary, sum FROM runs"
        if folder is not None:
            query += " WHERE folder = ?"
        try:
            connection = self._connect()
            if connection is None:
                return {}
            try:
                rows = {}
                for *texts, total in connection.execute(query, () if folder is None else (folder,)):
                    if all(isinstance(text, str) for text in texts) and (row := Row(*texts)).sum == total:
                        rows[row.folder] = row
                return rows
            finally:
                connection.close()
        except (sqlite3.Error, OSError, UnicodeError) as error:
            self._discard_if_broken(error)
            return {}

    def save(self, rows: Iterable[Row], gone: Iterable[str] = ()) -> None:
        """Keep some rows and forget the runs that are gone. A folder whose name is no Unicode is not kept."""
        kept = [(*row, row.sum) for row in rows if _is_unicode(row.folder)]
        try:
            connection = self._connect()
            if connection is None:
                return
            try:
                with connection:
                    connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)", kept)
                    connection.executemany(
                        "DELETE FROM runs WHERE folder = ?", [(folder,) for folder in gone if _is_unicode(folder)]
                    )
            finally:
                connection.close()
        except (sqlite3.Error, OSError, UnicodeError) as error:
            self._discard_if_broken(error)

    def _connect(self) -> sqlite3.Connection | None:
        """The database, made if it is missing or not ours; None if it cannot be had."""
        if not self.path.exists():
            self.path.parent.mkdir(0o700, parents=True, exist_ok=True)
        elif not _is_own(self.path):
            return None
        connection = sqlite3.connect(self.path, timeout=_WAIT_S)
        try:
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "synchronous = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            if _is_ours(connection):
                return connection
            is_new = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
            if is_new:
                with connection:
                    connection.execute(_TABLE)
                    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        self._discard()
        return self._connect() if not self.path.exists() else None

    def _discard_if_broken(self, error: Exception) -> None:
        """Remove a file that is no database, so that the next use makes a new one; a busy one is left alone."""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            self._discard()

    def _discard(self) -> None:
        for suffix in ("", "-journal"):
            with suppress(OSError):
                Path(f"{self.path}{suffix}").unlink()


def cache_folder() -> Path:
    """Where caches lie: BAROGRAPH_CACHE, else what the system has for the user's caches."""
    if given := os.environ.get("BAROGRAPH_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "barograph"


def _is_ours(connection: sqlite3.Connection) -> bool:
    """Whether it holds our table and nothing else: a view or trigger in it would run in our name."""
    marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    schema = connection.execute("SELECT type, sql FROM sqlite_schema").fetchall()
    return marks == [_APPLICATION_ID, _VERSION] and schema == [("table", _TABLE)]


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_own(path: Path) -> bool:
    """Whether a file is a regular one of this user; another's could be changed under us."""
    status = path.lstat()
    return path.is_file() and not path.is_symlink() and (os.name != "posix" or status.st_uid == os.geteuid())
