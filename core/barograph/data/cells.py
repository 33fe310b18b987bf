"""The cells of some rows of one column: numbers, texts, codes into categories, or what a sparse matrix stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .hashing import Words, add_cells, add_sparse, add_values, finish, mark_missing
from .objects import bytes_of

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Cells of a fixed size. values: shape (rows, ...), little endian; missing ones are zeros and marked.

    kind: the name of a number type that numpy lacks, where `values` only holds its bytes.
    """

    values: NDArray[np.generic]
    missing: Mask | None = None
    kind: str | None = None

    def __len__(self) -> int:
        return len(self.values)

    def add(self, sums: Words, first: int) -> None:
        """Add the cells to the sums of their rows, from word number `first` on."""
        add_values(sums, self.values, first)
        if self.missing is not None:
            mark_missing(sums, self.missing, first)


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Cells of any length: texts, bytes, objects. Cell i is data[offsets[i]:offsets[i + 1]]; missing ones are empty."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    missing: Mask | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def add(self, sums: Words, first: int) -> None:
        """Add the cells to the sums of their rows, as word number `first`."""
        add_cells(sums, self.data, self.offsets, first)
        if self.missing is not None:
            mark_missing(sums, self.missing, first)

    def hashes(self) -> Words:
        """A hash of each cell."""
        hashes = np.zeros(len(self), dtype=np.uint64)
        self.add(hashes, 0)
        finish(hashes)
        return hashes


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Cells that are numbers of categories; -1 for a missing one. categories: of this block, in any order."""

    codes: NDArray[np.intp]
    categories: Texts

    def __len__(self) -> int:
        return len(self.codes)

    def add(self, sums: Words, first: int) -> None:
        """Add the cells by the values of their categories, as word number `first`."""
        add_values(sums, self.hashes(), first)
        mark_missing(sums, self.codes < 0, first)

    def hashes(self) -> Words:
        """A hash of each cell, 0 for a missing one."""
        return np.append(self.categories.hashes(), np.uint64(0))[self.codes]


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Rows of a sparse matrix: row i stores values[starts[i]:starts[i + 1]] in the columns of the same places.

    width: of the matrix. absent_is_missing: what is not stored is missing, and not zero.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.generic]
    width: int
    absent_is_missing: bool = False

    def __len__(self) -> int:
        return len(self.starts) - 1

    def add(self, sums: Words, first: int) -> None:
        """Add the stored values, each as the word of its column."""
        add_sparse(sums, self.starts, self.columns, _as_words(self.values), first)


Cells = Numbers | Texts | Codes | Stored


def texts_of(cells: Sequence[object]) -> Texts:
    """Python objects as cells, by value: texts as UTF-8, everything else as `objects.bytes_of` has it."""
    if set(map(type, cells)) <= {str}:
        missing = None
        texts: Sequence[bytes] = [cell.encode("utf-8", "surrogatepass") for cell in cells]  # type: ignore[attr-defined]  # all are str
    else:
        found = [bytes_of(cell) for cell in cells]
        mask = np.array([one is None for one in found], dtype=bool)
        missing = mask if mask.any() else None
        texts = [one or b"" for one in found]
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(one) for one in texts], out=offsets[1:])
    return Texts(np.frombuffer(b"".join(texts), dtype=np.uint8), offsets, missing)


def codes_of(cells: Sequence[object]) -> Codes:
    """Categories as Python objects, as codes; None is missing."""
    places: dict[object, int] = {}
    codes = [-1 if cell is None else places.setdefault(cell, len(places)) for cell in cells]
    return Codes(np.array(codes, dtype=np.intp), texts_of(list(places)))


def _as_words(values: NDArray[np.generic]) -> Words:
    """Values as 64-bit words of their bytes; of those that are longer, a hash."""
    size = values.itemsize
    if size > 8:
        words = np.zeros(len(values), dtype=np.uint64)
        add_values(words, values, 0)
        return words
    # one to eight bytes: a number with its upper bytes zero, as the last word of a field is padded
    return np.ascontiguousarray(values).view(f"<u{size}").astype(np.uint64)
