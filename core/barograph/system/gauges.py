"""Figures that are read again and again, each on its own: one that keeps failing goes silent and the others go on."""

import time
from collections import Counter
from collections.abc import Callable, Mapping

Read = Callable[[], Mapping[str, float]]

_FAILURES_ALLOWED = 2  # in a row; a busy driver fails once, a missing field or a lost GPU always
_SHORTEST_S = 0.1  # counters tick every 10 ms: differences over less time are noise


class Gauges:
    """Named readings. `silent` says which were given up, and what they failed with last."""

    def __init__(self) -> None:
        self.silent: dict[str, str] = {}
        self._reads: dict[str, Read] = {}
        self._failures: Counter[str] = Counter()

    def add(self, name: str, make: Callable[[], Mapping[str, Read]]) -> None:
        """Take over the readings that `make` returns, as "name/..."; all of them are silent if it raises."""
        try:
            self._reads.update({f"{name}/{part}": read for part, read in make().items()})
        except Exception as error:  # noqa: BLE001  # whatever a driver or /proc answers must not end the sampling
            self.give_up(name, error)

    def read(self) -> dict[str, float]:
        """One sample: the figures of every reading that works just now."""
        sample: dict[str, float] = {}
        for name, read in list(self._reads.items()):
            try:
                sample.update({key: float(value) for key, value in read().items()})
                del self._failures[name]
            except Exception as error:  # noqa: BLE001  # as above
                self._failures[name] += 1
                if self._failures[name] > _FAILURES_ALLOWED:
                    del self._reads[name]
                    self.give_up(name, error)
        return sample

    def give_up(self, name: str, error: Exception) -> None:
        """Remember that something is silent from now on."""
        self.silent[name] = f"{type(error).__name__}: {error}"


def per_second(counters: Read, clock: Callable[[], float] = time.monotonic) -> Read:
    """A reading of how fast counters rise, per second since it was read before; empty the first time."""
    before: Mapping[str, float] = {}
    before_s = 0.0

    def read() -> Mapping[str, float]:
        nonlocal before, before_s
        now_s = clock()
        if before and now_s - before_s < _SHORTEST_S:
            return {}
        now = counters()
        rates = {
            key: (value - before[key]) / (now_s - before_s)
            for key, value in now.items()
            if key in before and value >= before[key]  # a counter that fell began anew
        }
        before, before_s = now, now_s
        return rates

    return read
