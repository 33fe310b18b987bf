"""What an appender offers, in C (_append.c) and in Python (appender.py) alike. Thread-safe and reentrant."""

from collections.abc import Sequence
from typing import Any

class Appender:
    """Appends frames to one file, in order and whole.

    It begins without a file and blocked. While it is blocked, frames wait in memory, up to `buffer_limit_bytes`; the
    newest beyond that are dropped and counted.
    """

    def __init__(self, buffer_limit_bytes: int, calls: int = 0) -> None: ...

    is_blocked: bool
    """Whether frames wait, or would: no file, or the disk refused."""
    error: int
    """The errno of the last refusal; 0 if the last flush() met none."""
    size: int
    """Bytes in the file, as far as this appender wrote them."""
    file_records: int
    """Records in the file of now, or the last one: frames of points, of JSON, of statistics."""
    file_points: int
    """Scalar points in them."""
    calls: int
    points: int
    """Scalar points written or waiting."""
    cost_s: float
    lost_records: int
    lost_points: int
    lost_bytes: int
    last_step: int | None

    def log(self, metrics: Any, step: Any = None, time_s: float | None = None) -> bool:  # Any: whatever a user logs
        """Write a dict of exact str to float, int within 2**53 or bool as one frame. False: nothing was written."""
    def scalars(
        self,
        names: tuple[str, ...],
        step: int | None,
        values: Sequence[float],
        time_s: float | None = None,
        count_call: bool = True,
    ) -> int:
        """Write doubles under names, and return the step. ValueError if they do not fit into a frame."""
    def put(self, kind: int, payload: bytes) -> bool:
        """Write a frame of any other type; False if it waits."""
    def flush(self, count: int) -> bool:
        """Complete a frame that was begun, then write up to `count` waiting ones. True: none waits any more.

        False with `error` 0: some are left, call again.
        """
    def begin(self, fd: int, seed: int, header: bytes) -> bool:
        """Go on in a new, empty file, beginning with its header; blocked until flush(). fd -1: have none for now."""
    def renew(self, header: bytes) -> bool:
        """Write header and key sets again: something else cut the file."""
    def count_lost(self, records: int, points: int, size_bytes: int) -> None:
        """Add to what is lost."""
    def lose_waiting(self) -> None:
        """Give up the file and everything that waits, and count it as lost."""
    def spend(self, seconds: float) -> None:
        """Add to `cost_s`."""
    def summary(self) -> dict[str, tuple[Any, ...]]:  # Any: the fields of a MetricSummary
        """The fields of a MetricSummary for each metric."""
    def summary_keys(self) -> tuple[str, ...]:
        """The metrics summarised so far."""
    def close(self) -> None:
        """Take no more points; put() and flush() still work."""
    def abandon(self) -> None:
        """Take nothing any more, whatever another thread was doing: for the child of a fork."""
