"""The points that are written of tensors' statistics: three figures of each, how many are not finite, and norms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

from .statistics import Statistics

ACTIVATIONS = "activations"
_FIGURES = ("norm", "mean", "std")
_OF_ACTIVATIONS = ("zero_fraction", "mean", "std")


def points_of(kind: str, records: Mapping[str, Statistics]) -> dict[str, float]:
    """`<kind>/<name>/<figure>` to the figure. kind: "weights", "gradients" or "activations"; records: by name."""
    is_activation = kind == ACTIVATIONS
    figures: list[float] = []
    for record in records.values():
        figures += (record.zero_share if is_activation else record.l2, record.mean, record.std)
    points = dict(zip(_keys(kind, tuple(records)), figures, strict=True))
    for name, record in records.items():
        if record.count != record.finite:
            points[f"{kind}/{name}/not_finite"] = float(record.count - record.finite)
    return points


def norm_of(records: Iterable[Statistics]) -> float:
    """The Euclidean norm of all tensors together."""
    return math.hypot(*(record.l2 for record in records))


@lru_cache(maxsize=64)  # the names are the same at every look
def _keys(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    figures = _OF_ACTIVATIONS if kind == ACTIVATIONS else _FIGURES
    return tuple(f"{kind}/{name}/{figure}" for name in names for figure in figures)
