"""A profile of data: for each feature what is missing, ranges and moments, and its distribution.

Numbers have the statistics that tensors have. Of texts and categories only lengths, and counts under keyed hashes, are
kept: no value of the data but a number reaches the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from barograph.tensors.compute import of_arrays
from barograph.tensors.statistics import Statistics

from .cells import Cells, Codes, Numbers, Stored, Texts
from .hashing import Words
from .keyed import Key
from .table import Column, Table

MOST_FEATURES = 512  # that are told apart; a column of more (the pixels of a picture) is one distribution
_MOST_CATEGORIES = 2000  # a column of more different texts is no category
_SMALL = 1 << 14  # words below it are counted in a table
_KEPT_CATEGORIES = 200  # of which the counts are kept, the most frequent ones


class Profile:
    """What was seen of the columns of one table, or of several alike. key: None if there is no secret to hash with.

    No data is kept, nor anything that would keep it alive.
    """

    def __init__(self, table: Table, key: Key | None) -> None:
        self.rows = 0
        self.left_out = 0
        self._columns: list[tuple[tuple[object, ...], _ColumnProfile]] = []
        room = MOST_FEATURES
        for column in table.columns:
            if room <= 0:
                self.left_out += 1
                continue
            apart = 0 < column.features <= room
            room -= column.features if apart else 1
            self._columns.append((_kind_of(column), _profile_of(column, apart, key)))

    def add(self, table: Table, ranges: Sequence[tuple[int, int]]) -> None:
        """Take in ranges of rows of the table; a column that is not like the one before in its place is left out."""
        for column, (kind, profile) in zip(table.columns, self._columns, strict=False):
            if _kind_of(column) == kind:
                profile.add([column.read(start, stop) for start, stop in ranges])
        self.rows += sum(stop - start for start, stop in ranges)

    def features(self) -> list[dict[str, Any]]:
        """What is known of each feature. Any: JSON."""
        return [entry for _, profile in self._columns for entry in profile.entries()]

    def distributions(self) -> dict[str, Statistics]:
        """The statistics, with histograms, of each feature that is a number."""
        return {name: found for _, profile in self._columns for name, found in profile.statistics().items()}


def _kind_of(column: Column) -> tuple[object, ...]:
    return column.name, column.dtype, column.shape


class _ColumnProfile(Protocol):
    """What was seen of one column."""

    def add(self, cells: Sequence[Any]) -> None: ...

    def entries(self) -> list[dict[str, Any]]: ...

    def statistics(self) -> dict[str, Statistics]: ...


def _profile_of(column: Column, apart: bool, key: Key | None) -> _ColumnProfile:
    if column.dtype in ("string", "object", "category") or column.dtype.startswith("list "):
        return _Categories(column, key)
    return _Numbers(column, apart)


def feature_names(column: Column, apart: bool) -> list[str]:
    """What the features of a column are called; its own name if they are not told apart."""
    if not apart or not column.shape:
        return [column.name or "0"]
    if len(column.names) == column.features:
        return list(column.names)
    places = (",".join(map(str, place)) for place in np.ndindex(*column.shape))
    return [f"{column.name}[{place}]" if column.name else place for place in places]


class _Numbers:
    """Statistics of numbers, dense or sparse."""

    def __init__(self, column: Column, apart: bool) -> None:
        self._names = feature_names(column, apart)
        self._apart = apart
        self._missing = np.zeros(len(self._names), dtype=np.int64)
        self._found: list[Statistics] | None = None
        self._centres: list[float] | None = None

    def add(self, cells: Sequence[Cells]) -> None:
        if isinstance(cells[0], Stored):
            self._add_stored([one for one in cells if isinstance(one, Stored)])
            return
        dense = [one for one in cells if isinstance(one, Numbers)]
        values = np.concatenate([one.values for one in dense]) if len(dense) > 1 else dense[0].values
        absent = [np.zeros(len(one), dtype=bool) if one.missing is None else one.missing for one in dense]
        mask = np.concatenate(absent)
        if mask.any():
            values = values[~mask]
        plain = plain_numbers_of(values, dense[0].kind)
        if plain is None:
            return
        if not self._apart:
            features = [plain.reshape(-1)]
        elif plain.size == len(plain) * len(self._names):
            features = list(np.ascontiguousarray(plain.reshape(len(plain), len(self._names)).T))
        else:  # a batch of another shape, or numbers that are kept as several
            return
        self._missing += int(mask.sum())
        if values.dtype.kind in "mM":
            features = [one[one != np.iinfo(np.int64).min] for one in features]  # NaT
            self._missing += len(plain) - np.array([len(one) for one in features])
        self._take(features)

    def _add_stored(self, cells: list[Stored]) -> None:
        rows = sum(len(one) for one in cells)
        values, columns = np.concatenate([one.values for one in cells]), np.concatenate([one.columns for one in cells])
        if self._apart:
            order = np.argsort(columns, kind="stable")
            ends = np.searchsorted(columns[order], np.arange(1, cells[0].width))
            features = np.split(values[order], ends)
            absent = [rows - len(one) for one in features]
        else:
            features, absent = [values], [rows * cells[0].width - len(values)]
        if len(features) != len(self._names):
            return
        zeros = [Statistics.of_zeros(0 if cells[0].absent_is_missing else one) for one in absent]
        self._take(features, zeros)
        if cells[0].absent_is_missing:
            self._missing += np.array(absent)

    def _take(self, features: list[NDArray[Any]], zeros: list[Statistics] | None = None) -> None:
        if self._centres is None:
            self._centres = [one.next_centre() for one in of_arrays(features, sampling=0)]
            if zeros is not None:
                self._centres = [0.0] * len(features)
        found = of_arrays(features, self._centres, sampling=1)
        if zeros is not None:
            found = [one + zero for one, zero in zip(found, zeros, strict=True)]
        before = self._found
        self._found = found if before is None else [one + two for one, two in zip(before, found, strict=True)]

    def entries(self) -> list[dict[str, Any]]:
        if self._found is None:
            return [{"name": name, "kind": "other"} for name in self._names]
        return [
            {
                "name": name,
                "kind": "number",
                "count": one.count + int(missing),
                "missing": one.nans + int(missing),
                "infinite": one.pos_infs + one.neg_infs,
                "zeros": one.zeros,
                **({"mean": one.mean, "std": one.std, "min": one.min, "max": one.max} if one.finite else {}),
            }
            for name, one, missing in zip(self._names, self._found, self._missing, strict=True)
        ]

    def statistics(self) -> dict[str, Statistics]:
        return dict(zip(self._names, self._found, strict=True)) if self._found is not None else {}


class _Categories:
    """Counts of texts or categories under keyed hashes, and their lengths."""

    def __init__(self, column: Column, key: Key | None) -> None:
        self._name = column.name or "0"
        self._key = key
        self._is_text = column.dtype != "category"
        self._rows = self._missing = self._letters = 0
        self._shortest, self._longest = 2**62, 0
        self.counts = Counts(_MOST_CATEGORIES)

    def add(self, cells: Sequence[Cells]) -> None:
        for one in cells:
            if isinstance(one, (Texts, Codes)):
                self._add(one)

    def _add(self, cells: Texts | Codes) -> None:
        self._rows += len(cells)
        missing = cells.codes < 0 if isinstance(cells, Codes) else cells.missing
        present = slice(None) if missing is None else ~missing
        self._missing += int(missing.sum()) if missing is not None else 0
        self.counts.add(cells.hashes()[present])
        if isinstance(cells, Texts):
            lengths = np.diff(cells.offsets)[present]
            self._letters += int(lengths.sum())
            if len(lengths):
                self._shortest = min(self._shortest, int(lengths.min()))
                self._longest = max(self._longest, int(lengths.max()))

    def entries(self) -> list[dict[str, Any]]:
        entry: dict[str, Any] = {
            "name": self._name,
            "kind": "text" if self.counts.is_over else "category",
            "count": self._rows,
            "missing": self._missing,
        }
        present = self._rows - self._missing
        if self._is_text and present:
            entry["bytes"] = {"min": self._shortest, "mean": self._letters / present, "max": self._longest}
        if not self.counts.is_over:
            entry |= keyed_counts(self.counts, self._key)
        return [entry]

    def statistics(self) -> dict[str, Statistics]:
        return {}


class Counts:
    """How often each of a few 64-bit words occurs; it gives up when they are more than a few."""

    def __init__(self, most: int) -> None:
        self.is_over = False
        self._most = most
        self._of: dict[int, int] = {}

    def add(self, words: Words) -> None:
        """Count some words."""
        if self.is_over or not len(words):
            return
        if int(words.max()) < _SMALL:  # without sorting them, which takes twenty times as long
            every = np.bincount(words.astype(np.intp))
            values = np.flatnonzero(every)
            counts = every[values]
        else:
            values, counts = np.unique(words, return_counts=True)
        self.is_over = len(values) > self._most
        if not self.is_over:
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                self._of[value] = self._of.get(value, 0) + count
            self.is_over = len(self._of) > self._most

    def most_common(self) -> list[tuple[int, int]]:
        """Words and their counts, the most frequent first."""
        return sorted(self._of.items(), key=lambda item: (-item[1], item[0]))


def keyed_counts(counts: Counts, key: Key | None) -> dict[str, Any]:
    """How often each category occurs, under its keyed hash; without a key only how many there are. Any: JSON."""
    common = counts.most_common()
    found: dict[str, Any] = {"distinct": len(common)}
    if key is not None:
        kept = common[:_KEPT_CATEGORIES]
        names = key.hashes(np.array([word for word, _ in kept], dtype=np.uint64))
        found["counts"] = {f"{int(name):016x}": count for name, (_, count) in zip(names, kept, strict=True)}
        if len(common) > len(kept):
            found["others"] = sum(count for _, count in common[len(kept) :])
    return found


def plain_numbers_of(values: NDArray[Any], kind: str | None = None) -> NDArray[Any] | None:
    """Numbers that statistics can be taken of: points in time as integers, bfloat16 as float32; None for others."""
    if kind == "bfloat16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if kind is not None or (values.dtype.kind in "cV" and values.dtype.name != "bfloat16"):
        return None
    if values.dtype.kind in "mM":
        return values.view(np.int64)
    return values
