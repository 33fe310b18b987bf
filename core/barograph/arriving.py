"""Values that are still on a device: they wait here, in order, and are written once they have arrived."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from barograph.values import Deferred


class _Record(NamedTuple):
    names: tuple[str, ...]
    step: int
    time_s: float
    values: list[Deferred]


class Arriving:
    """Records whose numbers are on their way. Nobody waits; the journal's thread asks from time to time."""

    def __init__(self) -> None:
        self._records: collections.deque[_Record] = collections.deque()

    def __len__(self) -> int:
        return sum(len(record.values) for record in list(self._records))

    def add(self, names: tuple[str, ...], values: Sequence[Deferred], step: int) -> None:
        """Let a record wait; its time is now."""
        self._records.append(_Record(names, step, time.time(), list(values)))

    def clear(self) -> None:
        """Forget everything: in a forked child the devices are the parent's."""
        self._records.clear()

    def write_ready(
        self,
        write: Callable[[tuple[str, ...], list[float], int, float], object],
        failed: Callable[[Exception], None],
    ) -> bool:
        """Write what has arrived, in order, up to the first record that has not; whether none is left."""
        while self._records:
            record = self._records[0]
            try:
                if not all(value.is_ready() for value in record.values):
                    return False
                write(record.names, [value.get() for value in record.values], record.step, record.time_s)
            except Exception as error:  # noqa: BLE001  # the device failed; its own error reaches the user's next call
                failed(error)
            self._records.popleft()
        return True
