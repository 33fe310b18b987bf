"""The balance of labels: how often each class occurs, or the range of a target that is a number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Cells, Codes, Numbers, Texts
from .keyed import Key
from .profile import Counts, keyed_counts, plain_numbers_of
from .table import Column

MOST_CLASSES = 1000
_MOST_FLOAT_CLASSES = 100  # floats are classes only if they are this few whole numbers
_MOST_OUTPUTS = 1000


class Balance:
    """Counts the classes of one column of labels, block by block.

    Numbers stand for themselves, texts and categories for their keyed hashes. A matrix whose rows hold a single one
    among zeros is a one-hot coding; one of other zeros and ones says several things of a row.
    """

    def __init__(self, column: Column, key: Key | None) -> None:
        self._key = key
        self._dtype = column.dtype
        self._outputs = column.features
        self._rows = self._missing = 0
        self._counts = Counts(MOST_CLASSES)
        self._is_float = False
        self._is_coded = 1 < self._outputs <= _MOST_OUTPUTS
        self._is_one_hot = True
        self._positive = np.zeros(self._outputs if self._is_coded else 0, dtype=np.int64)

    def add(self, cells: Cells) -> None:
        """Count some labels."""
        self._rows += len(cells)
        if isinstance(cells, Codes):
            self._missing += int((cells.codes < 0).sum())
            self._counts.add(cells.hashes()[cells.codes >= 0])
        elif isinstance(cells, Texts):
            self._missing += int(cells.missing.sum()) if cells.missing is not None else 0
            self._counts.add(cells.hashes() if cells.missing is None else cells.hashes()[~cells.missing])
        elif isinstance(cells, Numbers):
            values = cells.values if cells.missing is None else cells.values[~cells.missing]
            self._missing += len(cells) - len(values)
            plain = plain_numbers_of(values, cells.kind)
            if plain is None or plain.size != len(plain) * self._outputs:
                self._counts.is_over, self._is_coded = True, False
            elif self._outputs == 1:
                self._add_numbers(plain.reshape(-1))
            elif self._is_coded:
                self._add_codes(plain.reshape(len(plain), -1))

    def record(self) -> dict[str, Any]:
        """What was counted. Any: JSON."""
        found: dict[str, Any] = {"rows": self._rows, "missing": self._missing}
        if self._outputs > 1:
            if not self._is_coded:
                return found | {"kind": "numbers", "outputs": self._outputs}
            counts = {str(place): int(count) for place, count in enumerate(self._positive)}
            kind = "classes" if self._is_one_hot else "several"
            return found | {"kind": kind, "classes": self._outputs, "counts": counts}
        if self._dtype in ("string", "object", "category"):
            return found | ({"kind": "texts"} if self._counts.is_over else {"kind": "classes"} | self._keyed())
        few = _MOST_FLOAT_CLASSES if self._is_float else MOST_CLASSES
        counted = self._counts.most_common()
        if self._counts.is_over or len(counted) > few:
            return found | {"kind": "numbers", "outputs": 1}
        values = np.array([word for word, _ in counted], dtype=np.uint64).view(np.int64).tolist()
        named = sorted(zip(values, (count for _, count in counted), strict=True))
        return found | {
            "kind": "classes",
            "classes": len(named),
            "counts": {str(value): count for value, count in named},
        }

    def _keyed(self) -> dict[str, Any]:
        counts = keyed_counts(self._counts, self._key)
        return {"classes": counts.pop("distinct")} | counts

    def _add_numbers(self, values: NDArray[Any]) -> None:
        if values.dtype.kind not in "biu":
            self._is_float = True
            values = values.astype(np.float64)
            is_missing = np.isnan(values)
            self._missing += int(is_missing.sum())
            values = values[~is_missing]
            if not bool(((np.abs(values) < 2.0**53) & (values == np.rint(values))).all()):
                self._counts.is_over = True
                return
        self._counts.add(values.astype(np.int64).view(np.uint64))

    def _add_codes(self, values: NDArray[Any]) -> None:
        is_one = values == 1
        self._is_coded = bool((is_one | (values == 0)).all())
        self._is_one_hot &= bool((is_one.sum(axis=1) == 1).all())
        self._positive += is_one.sum(axis=0)
