"""One evaluation or prediction that is no validation of a fit, as its hooks show it."""

from __future__ import annotations

import time

from barograph.integrations.keras.batches import Batches
from barograph.integrations.keras.calls import Watch
from barograph.integrations.keras.data import DataSets


class Visit:
    """The account of one call of evaluate or predict. watch: None inside a fit, which has its own."""

    def __init__(self, batches: Batches, data: DataSets, watch: Watch | None) -> None:
        self.batches, self.data, self.watch = batches, data, watch
        self.duration_s = 0.0
        self._began_s = time.perf_counter()

    def end(self, name: str) -> dict[str, float]:
        """The call is over: how long it took, and how many samples it went through in a second."""
        self.duration_s = time.perf_counter() - self._began_s
        metrics = {f"time/{name}_s": self.duration_s}
        batches = self.batches.in_epoch
        samples = self.batches.samples(batches) if batches else None
        if samples:
            metrics[f"throughput/{name}_samples_per_s"] = samples / self.duration_s
        return metrics
