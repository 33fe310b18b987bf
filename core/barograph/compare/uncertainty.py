"""How sure the difference of two means is, from few runs a side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_GRID = 20_001


def welch_interval(before: Sequence[float], after: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """The interval that holds mean(after) - mean(before) with this confidence; None with fewer than two runs a side.

    The two sides may spread differently. Source: Welch, Biometrika 34 (1947), with Satterthwaite's degrees of freedom.
    """
    if len(before) < 2 or len(after) < 2:
        return None
    old, new = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    parts = float(old.var(ddof=1)) / len(old), float(new.var(ddof=1)) / len(new)
    error = math.sqrt(sum(parts))
    middle = float(new.mean() - old.mean())
    if not math.isfinite(error):
        return None
    if error == 0:
        return middle, middle
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(old) - 1) + parts[1] ** 2 / (len(new) - 1))
    reach = student_quantile(freedom, level) * error
    return middle - reach, middle + reach


def student_quantile(freedom: float, level: float) -> float:
    """The t that |T| stays below with probability `level`, for T of Student's distribution.

    With t = sqrt(freedom) tan(a), the density is proportional to cos(a) ** (freedom - 1) on a finite interval, where it
    is integrated numerically; four digits are right for 1 <= freedom and level <= 0.99.
    """
    # Beyond 16 standard deviations nothing is left; without the bound the peak would fall between the points.
    widest = min(math.pi / 2, 16 / math.sqrt(freedom))
    angles = np.linspace(0.0, widest, _GRID)
    density = np.cos(angles) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return math.sqrt(freedom) * math.tan(float(np.interp(level * below[-1], below, angles)))
