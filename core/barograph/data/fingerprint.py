"""Fingerprints of data: one that knows the order of the rows, and one that does not.

Both are taken of the hashes of the rows (hashing.py): the ordered one is the XXH3-128 of their sequence, the unordered
one of their sum and that of their squares, each with the number of rows and the names, types and shapes of the columns.
So data is the same if names, order, types and shapes of its columns and the bits of its values are: -0.0 is not 0.0,
one NaN not another, and int32 not int64. Memory layout, chunks, batches and the library do not count. They are no
cryptographic hashes: whoever wants to can make two pieces of data alike, chance cannot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cells import Numbers
from .hashing import Words, add_values, finish, hash_values
from .sketch import SketchBuilder
from .table import Column, Table

_FIELD = 32  # bits: a field of a row has its words numbered from its own place times 2**32
_PARTS = ("inputs", "labels", "weights")


class Fingerprint:
    """The two fingerprints of rows, taken in block by block; where the blocks end makes no difference."""

    def __init__(self) -> None:
        import xxhash

        self.rows = 0
        self._sequence = xxhash.xxh3_128()
        self._first = self._second = 0

    def add(self, sums: Words) -> Words:
        """Take in rows by the sums of their words; returns their hashes, which take the place of the sums."""
        self._take(sums, *finish(sums))
        return sums

    def add_values(self, values: NDArray[np.generic], first: int) -> Words:
        """Take in rows of one field; returns their hashes."""
        hashes, *sums = hash_values(values, first)
        self._take(hashes, *sums)
        return hashes

    def _take(self, hashes: Words, first: int, second: int) -> None:
        self._first, self._second = self._first + first, self._second + second
        self._sequence.update(hashes.astype("<u8", copy=False).data)
        self.rows += len(hashes)

    def digests(self, schema: object) -> dict[str, str]:
        """The fingerprints of the rows so far, 32 hex digits each."""
        head = json.dumps(schema, ensure_ascii=True).encode() + self.rows.to_bytes(8, "little")
        sums = b"".join((one % 2**64).to_bytes(8, "little") for one in (self._first, self._second))
        return {"ordered": _digest(head + self._sequence.digest()), "unordered": _digest(head + sums)}


class Scan:
    """One pass over inputs, labels and weights: the fingerprint of each and of all together, and the inputs' sketch."""

    def __init__(self) -> None:
        self.rows = 0
        self.sketch = SketchBuilder()
        self._parts: dict[str, _Part] = {}
        self._whole = Fingerprint()

    def add(self, parts: Mapping[str, Table], start: int, stop: int) -> None:
        """Take in the rows from `start` to before `stop` of each part; they follow those taken in before."""
        whole = np.zeros(stop - start if len(parts) > 1 else 0, dtype=np.uint64)
        for place, name in enumerate(_PARTS):
            if name in parts:
                part = self._parts.setdefault(name, _Part())
                hashes = part.add(parts[name], start, stop)
                if len(parts) > 1:
                    add_values(whole, hashes, place << _FIELD)
                if name == "inputs":
                    self.sketch.add(hashes)
        if len(parts) > 1:
            self._whole.add(whole)
        self.rows += stop - start

    @property
    def parts(self) -> list[str]:
        """The names of the parts that were taken in."""
        return list(self._parts)

    def fingerprint(self) -> dict[str, str]:
        """The fingerprints of all parts together: of which inputs went with which labels."""
        if len(self._parts) == 1:
            return self.fingerprint_of(*self._parts)
        return self._whole.digests({name: part.schema for name, part in self._parts.items()})

    def fingerprint_of(self, name: str) -> dict[str, str]:
        """The fingerprints of one part."""
        part = self._parts[name]
        return part.fingerprint.digests(part.schema)


@dataclass(slots=True)
class _Known:
    """What the blocks so far say of a column. shape: None if it varies."""

    place: int
    dtype: str
    shape: list[int] | None
    names: list[str]


class _Part:
    """The fingerprint of one part, and its columns as far as they are the same in each block."""

    def __init__(self) -> None:
        self.fingerprint = Fingerprint()
        self._columns: dict[tuple[str, int], _Known] = {}

    @property
    def schema(self) -> list[list[object]]:
        return [[name, known.dtype, known.shape, known.names] for (name, _), known in self._columns.items()]

    def add(self, table: Table, start: int, stop: int) -> Words:
        if len(table.columns) == 1:
            (column,) = table.columns
            cells = column.read(start, stop)
            if isinstance(cells, Numbers) and cells.missing is None:
                return self.fingerprint.add_values(cells.values, self._place(column, 1) << _FIELD)
        sums = np.zeros(stop - start, dtype=np.uint64)
        of_name: dict[str, int] = {}
        for column in table.columns:
            of_name[column.name] = again = of_name.get(column.name, 0) + 1  # a frame may have a name twice
            column.read(start, stop).add(sums, self._place(column, again) << _FIELD)
        return self.fingerprint.add(sums)

    def _place(self, column: Column, again: int) -> int:
        """The number of a column; a shape that varies from batch to batch, as that of padded texts, is left open."""
        known = self._columns.get((column.name, again))
        if known is None:
            known = self._columns[column.name, again] = _Known(
                len(self._columns), column.dtype, list(column.shape), list(column.names)
            )
        elif known.shape != list(column.shape):
            known.shape = None
        return known.place


def _digest(data: bytes) -> str:
    import xxhash

    return str(xxhash.xxh3_128_hexdigest(data))
