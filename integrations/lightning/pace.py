"""How fast batches pass: the time a step takes, what it is spent on, the wait for its data, and the samples in it."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from barograph.integrations.lightning.flops import Flops


class Pace:
    """Adds up the batches since figures were last taken.

    A batch lasts from the beginning of its fetch to its end, so validation, checkpoints and whatever else happens
    between two batches is in no figure. The wait for data, the forward pass (all of the training step), the backward
    pass and the optimiser (from the end of the hooks before it, so clipping included and looks of ours not) are parts
    of it. On a device that works asynchronously these are the times that the calls take; of the whole step the mean
    over several is right.
    The methods that frame a pass are told apart by a clock alone: they cannot fail, and no guard stands around them.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.flops: Flops | None = None
        self._began_s: float | None = None
        self._fetch_began_s = self._mark_s = 0.0
        self._is_stepping = False
        self._forget()

    def _forget(self) -> None:
        self._batches = self._batch_samples = 0
        self._first_step = 0
        self._busy_s = self._waited_s = self._forward_s = self._backward_s = self._optimizer_s = 0.0

    def fetch_begins(self) -> None:
        """The loop asks for a batch."""
        self._fetch_began_s = perf_counter()
        if self._began_s is None:  # a loader of unknown length is asked twice for its first batch
            self._began_s = self._fetch_began_s

    def fetch_ended(self) -> None:
        """The batch is there."""
        self._waited_s += perf_counter() - self._fetch_began_s

    def epoch_begins(self) -> None:
        """A fetch that found no batch belongs to none."""
        self._began_s = None

    def batch_begins(self) -> None:
        """The batch is where it is worked on."""
        self._mark_s = perf_counter()

    def backward_begins(self) -> None:
        """The loss is there: what went before since the last mark was a forward pass."""
        if self.flops is not None:
            self.flops.before_backward()
        before_s, self._mark_s = self._mark_s, perf_counter()
        self._forward_s += self._mark_s - before_s

    def backward_ended(self) -> None:
        """The gradients of this pass are there."""
        before_s, self._mark_s = self._mark_s, perf_counter()
        self._backward_s += self._mark_s - before_s

    def step_begins(self) -> None:
        """An optimiser is about to clip and to step."""
        self._mark_s, self._is_stepping = perf_counter(), True

    def step_ended(self, *_: object) -> None:
        """An optimiser has stepped; takes what torch tells a hook."""
        before_s, self._mark_s = self._mark_s, perf_counter()
        if self._is_stepping:  # else the user has stepped past Lightning
            self._optimizer_s += self._mark_s - before_s
            self._is_stepping = False

    def batch_ended(self, batch: Any, step: int) -> None:
        """The work on this batch, a part of optimiser step `step`, is done."""
        if self._began_s is not None:
            self._busy_s += perf_counter() - self._began_s
            self._began_s = None
        if not self._batches:
            self._first_step = step
        count = count_samples(batch)
        if self.flops is not None and self.flops.is_due:
            self.flops.end(count)
        samples = count or 0
        self.samples += samples
        self._batch_samples += samples
        self._batches += 1

    def take(self, step: int) -> dict[str, float]:
        """Means over the optimiser steps since the last call, up to `step`; nothing if there was no batch."""
        figures: dict[str, float] = {}
        if self._batches and self._busy_s > 0.0:
            steps = max(1, step - self._first_step + 1)
            figures = {"time/step_s": self._busy_s / steps, "time/data_s": self._waited_s / steps}
            if self._backward_s > 0.0:
                figures["time/forward_s"] = self._forward_s / steps
                figures["time/backward_s"] = self._backward_s / steps
                figures["time/optimizer_s"] = self._optimizer_s / steps
            if self._batch_samples:
                figures["throughput/samples_per_s"] = self._batch_samples / self._busy_s
            if self.flops is not None:
                figures |= self.flops.figures(self._batches, self._batch_samples, self._busy_s)
        self._forget()
        return figures


def count_samples(batch: Any) -> int | None:
    """The samples in a batch: what it says itself, else the first dimension of its first tensor; None if unknown."""
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 1
    if isinstance(batch, (list, tuple)):
        parts: Any = batch
    elif isinstance(batch, Mapping):
        parts = batch.values()
    else:  # batches of graphs, and classes of the user's own
        counts = (getattr(batch, name, None) for name in ("num_graphs", "batch_size"))
        return next((count for count in counts if isinstance(count, int)), None)
    for part in parts:
        count = len(batch) if isinstance(part, (str, bytes, int, float)) else count_samples(part)
        if count is not None:
            return count
    return None
