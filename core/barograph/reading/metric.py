"""One metric of a run out of everything its writers logged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from barograph.journal.reader import Series
from barograph.store.contents import Source, by_step, joined

Attempt = int | Literal["latest", "all"]


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """The points of a metric by step, those of one step in the order of writing. times: Unix seconds."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    times: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        span = f" from step {self.steps[0]} to {self.steps[-1]}" if len(self) else ""
        return f"<Metric of {len(self)} points{span}>"


def merged_metric(sources: Iterable[Source], key: str, rank: int | None, attempt: Attempt) -> Metric:
    """The points of the chosen rank (None: all) and attempt; sources are in the order in which the writers began.

    "latest": a later attempt takes the place of an earlier one from its own first step on, as a training that goes on
    from a checkpoint does.
    """
    by_attempt: dict[int, list[Series]] = {}
    for source in sources:
        digest = source.digest
        if key not in digest.statistics or rank not in (None, digest.rank):
            continue
        if isinstance(attempt, int) and digest.attempt != attempt:
            continue
        series = source.series(key)
        if series is not None and len(series.steps):
            by_attempt.setdefault(digest.attempt, []).append(series)
    pieces = [piece for number in sorted(by_attempt) for piece in by_attempt[number]]
    if attempt == "latest":
        pieces = _without_superseded(by_attempt)
    whole = by_step(joined(pieces)) if pieces else _NOTHING
    return Metric(whole.steps, whole.values, whole.times)


def _without_superseded(by_attempt: dict[int, list[Series]]) -> list[Series]:
    pieces: list[Series] = []
    first_step: int | None = None
    for number in sorted(by_attempt, reverse=True):
        kept = [_before(series, first_step) for series in by_attempt[number]]
        pieces[:0] = kept
        steps = [int(series.steps[0]) for series in by_attempt[number]]
        first_step = min(steps) if first_step is None else min(first_step, *steps)
    return pieces


def _before(series: Series, step: int | None) -> Series:
    """The points before a step; the series is sorted by step."""
    if step is None:
        return series
    end = int(np.searchsorted(series.steps, step))
    return Series(series.steps[:end], series.times[:end], series.values[:end], series.sequence[:end])


def checked_attempt(attempt: object) -> Attempt:
    """An attempt as asked for; ValueError if it is none."""
    if attempt in ("latest", "all") or (isinstance(attempt, int) and not isinstance(attempt, bool)):
        return attempt
    raise ValueError(f"attempt must be a number, 'latest' or 'all', got {attempt!r}")


_NOTHING = Series(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.uint32))
