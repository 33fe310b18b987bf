"""Any data as columns of cells that are read by ranges of rows; nothing is copied before it is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .cells import Cells

_BLOCK_BYTES = 1 << 19  # read at a time: what is hashed stays in the second cache
_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column. dtype: as numpy names it, or "string", "object", "category"; shape: of one row's cells.

    read: the cells of the rows from the first to before the second number. names: of its features, if they have any.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    read: Callable[[int, int], Cells]
    row_bytes: int = 8
    names: tuple[str, ...] = ()

    @property
    def features(self) -> int:
        """How many numbers or texts a row has in it."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Columns of one length. kind: the class it came as. is_immutable: nobody can change it while we read on.

    about: what else is to be said of where it came from.
    """

    kind: str
    rows: int
    columns: list[Column]
    size_bytes: int
    is_immutable: bool = False
    about: dict[str, Any] = field(default_factory=dict)  # Any: JSON

    @property
    def features(self) -> int:
        """How many numbers or texts a row has."""
        return sum(column.features for column in self.columns)

    def schema(self) -> list[dict[str, object]]:
        """Name, type and shape of each column."""
        found: list[dict[str, object]] = []
        for column in self.columns:
            found.append({"name": column.name, "dtype": column.dtype, "shape": list(column.shape)})
            if column.names:
                found[-1]["names"] = list(column.names)
        return found

    def blocks(self) -> Iterator[tuple[int, int]]:
        """The ranges of rows in which it is best read."""
        return blocks(self.rows, self.row_bytes)

    @property
    def row_bytes(self) -> int:
        """The bytes of a row in its widest column: columns are read one after the other."""
        return max((column.row_bytes for column in self.columns), default=1)


@dataclass(frozen=True, slots=True, eq=False)
class Opaque:
    """Data that cannot be read without taking something from the training. rows: None if unknown."""

    kind: str
    rows: int | None = None
    about: dict[str, Any] = field(default_factory=dict)  # Any: JSON


def blocks(rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """Ranges of so many rows of that size as fit into a cache; an empty one if there are no rows."""
    step = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // max(1, row_bytes)))
    return ((start, min(rows, start + step)) for start in range(0, max(1, rows), step))
