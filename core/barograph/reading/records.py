"""What a run holds besides numbers: events, texts, images and tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from barograph.errors import StoreError
from barograph.journal.reader import Record
from barograph.store.files import LocalFiles
from barograph.store.layout import RunFolder

_FILE_LIMIT_BYTES = 64 << 20  # the writing side keeps no longer text or table


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. time_s: Unix seconds; data: what belongs to it."""

    name: str
    step: int | None
    time_s: float
    data: dict[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class Text:
    """A text under a key; text is None if its file is missing."""

    key: str
    text: str | None
    step: int | None
    time_s: float


@dataclass(frozen=True, slots=True)
class Image:
    """A picture under a key. path: its file in the run; None if the record names none that may be opened.

    width, height: pixels, None where they were not known.
    """

    key: str
    path: Path | None
    format: str
    width: int | None
    height: int | None
    step: int | None
    time_s: float


@dataclass(frozen=True)
class Table:
    """A table under a key. path: the file its rows are in, one JSON list a line; None if they stand in the record."""

    key: str
    columns: list[str]
    step: int | None
    time_s: float
    path: Path | None
    _rows: list[list[Any]]

    @cached_property
    def rows(self) -> list[list[Any]]:
        """The rows, read at first use. Any: JSON values."""
        if self.path is None:
            return self._rows
        text = _read(self.path) or ""
        return [row for line in text.splitlines() if isinstance(row := _json(line), list)]


def event_of(record: Record) -> Event:
    """An event from its record."""
    data = record.body.get("data")
    return Event(str(record.body.get("name", "")), record.step, record.time_s, data if isinstance(data, dict) else {})


def text_of(record: Record, folder: RunFolder) -> Text:
    """A text from its record, and from its file where it is long."""
    body = record.body
    text = body.get("text")
    if "file" in body:
        path = _path(body, folder)
        text = _read(path) if path is not None else None
    return Text(str(body.get("key", "")), None if text is None else str(text), record.step, record.time_s)


def image_of(record: Record, folder: RunFolder) -> Image:
    """A picture from its record."""
    body = record.body
    return Image(
        str(body.get("key", "")),
        _path(body, folder),
        str(body.get("format", "")),
        _whole(body.get("width")),
        _whole(body.get("height")),
        record.step,
        record.time_s,
    )


def table_of(record: Record, folder: RunFolder) -> Table:
    """A table from its record."""
    body = record.body
    columns, rows = body.get("columns"), body.get("rows")
    return Table(
        str(body.get("key", "")),
        [str(column) for column in columns] if isinstance(columns, list) else [],
        record.step,
        record.time_s,
        _path(body, folder),
        [row for row in rows if isinstance(row, list)] if isinstance(rows, list) else [],
    )


def _path(body: dict[str, Any], folder: RunFolder) -> Path | None:
    """The file a record names; None for anything but a content id: the run may have been made by a stranger."""
    try:
        return folder.file_path(str(body.get("file", "")))
    except StoreError:
        return None


def _read(path: Path) -> str | None:
    try:
        data = LocalFiles(path.parent).get(path.name, limit_bytes=_FILE_LIMIT_BYTES)
    except (OSError, StoreError):
        return None
    try:
        return data.decode("utf-8", "surrogatepass")  # lone surrogates are written so
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def _json(line: str) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
