"""The journal of a run that is switched off (BAROGRAPH_MODE=disabled): it takes everything and keeps nothing."""

from collections.abc import Mapping, Sequence
from typing import Any


class NoJournal:
    """Stands where a Journal stands; every call returns at once and touches no file."""

    health = "ok"
    last_step: int | None = None
    cost_s = 0.0
    calls = 0
    expect_ticks = False
    is_forked = False
    lost: Mapping[str, int] = {}

    def log(self, metrics: object, step: object = None) -> bool:
        """Say that everything was written."""
        return True

    def scalars(
        self,
        names: tuple[str, ...],
        step: int | None,
        values: Sequence[float],
        time_s: float | None = None,
        count_call: bool = True,
    ) -> int:
        """Return the step; nothing is written."""
        return step or 0

    def record(self, kind: str, step: int | None = None, time_s: float | None = None, **body: object) -> None:
        """Write nothing."""

    def statistics(self, payload: bytes) -> None:
        """Write nothing."""

    def summary(self) -> dict[str, Any]:
        """Nothing was logged."""
        return {}

    def summary_keys(self) -> tuple[str, ...]:
        """Nothing was logged."""
        return ()

    def sync(self) -> None:
        """There is nothing to bring to disk."""

    def close(self, timeout_s: float = 5.0) -> None:
        """There is nothing to close."""
