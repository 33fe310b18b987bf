"""Arguments that every integration takes under the same name, checked in the same way."""

from __future__ import annotations

from collections.abc import Sequence


def check_count(name: str, value: object, least: int = 0) -> None:
    """Raise TypeError or ValueError for an argument that is no number of something; 0 is for none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_shares(name: str, value: Sequence[float]) -> None:
    """Raise TypeError or ValueError for an argument that is no sequence of shares of some data."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a sequence of shares of the data, such as (0.1, 0.3), got {value!r}")
    if not all(isinstance(share, (int, float)) and 0 < share < 1 for share in value):
        raise ValueError(f"{name} must be shares of the data between 0 and 1, got {value!r}")
