"""What is kept of each metric while its points pass by: last, least, greatest, count and a small curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

KEYS_LIMIT = 10_000  # metrics that are summarised; points of further ones are written all the same
SPARKS_LIMIT = 256  # metrics that also keep a curve: more are never shown
SPARK_POINTS = 48


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """One metric so far. min and max are None as long as every value was NaN."""

    last: float
    last_step: int
    min: float | None
    min_step: int | None
    max: float | None
    max_step: int | None
    count: int
    spark: list[float]

    def as_record(self) -> dict[str, Any]:  # Any: numbers and None
        """As it stands in the summary of a run: everything but the curve."""
        return {name: value for name, value in asdict(self).items() if name != "spark"}


class _Numbers:
    __slots__ = ("count", "last", "last_step", "max", "max_step", "min", "min_step", "spark", "stride")

    def __init__(self, has_spark: bool) -> None:
        self.last, self.last_step, self.count = math.nan, 0, 0
        self.min: float | None = None
        self.max: float | None = None
        self.min_step: int | None = None
        self.max_step: int | None = None
        self.spark: list[float] = []
        self.stride = 1 if has_spark else 0

    def add(self, column: Sequence[float], steps: Sequence[int]) -> None:
        # min() and max() depend on the order where there is a NaN; a sum finds out fastest (inf - inf costs a look).
        known = column if not math.isnan(sum(column)) else [value for value in column if value == value]
        if known:
            low, high = min(known), max(known)
            if self.min is None or low < self.min:
                self.min, self.min_step = low, steps[column.index(low)]
            if self.max is None or high > self.max:
                self.max, self.max_step = high, steps[column.index(high)]
        if self.stride:
            self._draw(column)
        self.count += len(column)
        self.last, self.last_step = column[-1], steps[-1]

    def _draw(self, column: Sequence[float]) -> None:
        position = -self.count % self.stride
        while position < len(column):
            if len(self.spark) == SPARK_POINTS:  # the next point stands at an even multiple of the stride
                del self.spark[1::2]
                self.stride *= 2
            self.spark.append(column[position])
            position += self.stride


class Tally:
    """The summaries of a writer's metrics, fed in portions because a column costs little more than a value."""

    def __init__(self) -> None:
        self._numbers: dict[str, _Numbers] = {}

    def add(self, names: Sequence[str], steps: Sequence[int], rows: Sequence[Sequence[float]]) -> None:
        """Take one or more rows of the same names, in the order in which they were logged."""
        for name, column in zip(names, zip(*rows, strict=True), strict=True):
            numbers = self._numbers.get(name)
            if numbers is None:
                if len(self._numbers) >= KEYS_LIMIT:
                    continue
                numbers = self._numbers[name] = _Numbers(len(self._numbers) < SPARKS_LIMIT)
            numbers.add(column, steps)

    def keys(self) -> tuple[str, ...]:
        """The metrics seen so far, in order of appearance."""
        return tuple(self._numbers)

    def summary(self) -> dict[str, tuple[Any, ...]]:  # Any: the fields differ
        """The fields of a MetricSummary for each metric."""
        return {
            name: (n.last, n.last_step, n.min, n.min_step, n.max, n.max_step, n.count, list(n.spark))
            for name, n in self._numbers.items()
        }
