"""Looking for secrets in everything that lies in a store, whoever put it there. Nothing is changed or executed."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from barograph.capture.redaction import redact, redact_long
from barograph.capture.secret_shapes import REDACTED, hide_shapes
from barograph.errors import BarographError
from barograph.journal.format import SUFFIX
from barograph.journal.reader import read_journal
from barograph.store.files import open_regular
from barograph.store.parquet import connect, quoted

_LIMIT_BYTES = 256 << 20  # of one file; the rest of a longer one is not looked at, which is told
_AROUND = 60  # characters shown before a secret
_PRINTABLE = re.compile(rb"[\x20-\x7e]{16,}")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """A place with a secret. excerpt: what stands around it; the secret itself is never shown."""

    path: Path
    where: str
    excerpt: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {"file": str(self.path), "where": self.where, "excerpt": self.excerpt}


class Scan:
    """Goes through a store. Afterwards `files` tells how many files were read, `unread` which were not, or not all."""

    def __init__(self, store: Path) -> None:
        self.files = 0
        self.unread: list[str] = []
        self._store = store

    def findings(self) -> Iterator[Finding]:
        """The secrets, file by file."""
        for folder, folders, names in os.walk(self._store):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                try:
                    found = list(self._in_file(path))
                except (BarographError, OSError, ValueError) as error:
                    self.unread.append(f"{path}: {error}")
                    continue
                self.files += 1
                yield from (Finding(path, where, excerpt) for where, excerpt in found)

    def _in_file(self, path: Path) -> Iterator[tuple[str, str]]:
        if path.suffix == SUFFIX:
            return _in_journal(path)
        if path.suffix == ".parquet":
            return _in_parquet(path)
        with open_regular(path) as file:
            data = file.read(_LIMIT_BYTES + 1)
        if len(data) > _LIMIT_BYTES:
            self.unread.append(f"{path}: only the first {_LIMIT_BYTES >> 20} MiB were looked at")
        return _in_bytes(data[:_LIMIT_BYTES], is_json=path.suffix == ".json")


def _in_journal(path: Path) -> Iterator[tuple[str, str]]:
    contents = read_journal(path)
    for key in contents.series:
        yield from _in_text(key, "a metric's name")
    for record in contents.records:
        yield from _in_json(record.body, f"{record.kind} record {record.sequence}")


def _in_parquet(path: Path) -> Iterator[tuple[str, str]]:
    """Every text in every column; `body` holds the JSON of a record."""
    import duckdb  # 80 ms

    connection = connect(path.parent)
    table = f"read_parquet({quoted(path.as_posix())})"
    try:
        columns = connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
        for name in (column[0] for column in columns if column[1] == "VARCHAR"):
            quoted_name = '"' + name.replace('"', '""') + '"'
            rows = connection.execute(f"SELECT DISTINCT {quoted_name} FROM {table}")
            while row := rows.fetchone():
                if row[0]:
                    yield from _in_bytes(row[0].encode("utf-8", "surrogatepass"), is_json=name == "body", where=name)
    except duckdb.Error as error:
        raise ValueError(str(error)) from error
    finally:
        connection.close()


def _in_bytes(data: bytes, is_json: bool, where: str = "") -> Iterator[tuple[str, str]]:
    if b"\0" in data[:8192]:
        # Not a text: only what has the shape of a secret, since letters that stand together mean nothing there.
        yield from _differences(
            "\n".join(run.decode("ascii") for run in _PRINTABLE.findall(data)), "bytes", hide_shapes
        )
        return
    text = data.decode("utf-8", "replace")
    if is_json:
        try:
            yield from _in_json(json.loads(text), where)
            return
        except (ValueError, RecursionError):
            pass
    yield from _in_text(text, where)


def _in_text(text: str, where: str) -> Iterator[tuple[str, str]]:
    return _differences(text, where, lambda text: redact_long(text, lambda: None))


def _differences(text: str, where: str, hide: Any) -> Iterator[tuple[str, str]]:  # Any: text to text
    """The lines that hiding secrets changes."""
    hidden = hide(text)
    if hidden == text:
        return
    for number, (before, after) in enumerate(zip(text.split("\n"), hidden.split("\n"), strict=False), 1):
        if before != after:
            line = f"{where} line {number}".strip() if "\n" in text else where
            yield line, _excerpt(before, after)


def _in_json(value: Any, where: str) -> Iterator[tuple[str, str]]:
    return _parted(value, redact(value), where)


def _parted(before: Any, after: Any, where: str) -> Iterator[tuple[str, str]]:
    """The places in which a nested value and the one without secrets differ."""
    if isinstance(before, dict) and isinstance(after, dict) and len(before) == len(after):
        for (key, one), (hidden_key, other) in zip(before.items(), after.items(), strict=True):
            if key != hidden_key:
                yield where, _excerpt(key, hidden_key)
            yield from _parted(one, other, f"{where}: {hidden_key}" if where else hidden_key)
    elif isinstance(before, list) and isinstance(after, list):
        for one, other in zip(before, after, strict=True):
            yield from _parted(one, other, where)
    elif before != after:
        yield where, _excerpt(str(before), str(after))


def _excerpt(before: str, after: str) -> str:
    at = next((place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    start, end = max(0, at - _AROUND), at + len(REDACTED)
    return ("..." if start else "") + after[start:end] + ("..." if len(after) > end else "")
