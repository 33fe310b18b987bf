"""Floating point operations of a training step, counted once, and how many of them pass in a second."""

from __future__ import annotations

from typing import Any

import torch

from barograph.guard import guarded
from barograph.integrations.torch.flops import FlopCounter, reason_against
from barograph.integrations.torch.peaks import peak_of, single_precision
from barograph.run import Run

_TRIES = 5  # batches that are counted, if there was no backward pass before


class Flops:
    """The operations of the first batch of a fit, on one rank; see FlopCounter for what counts.

    They are taken for those of every batch, in proportion to the samples in it, so where samples differ in length the
    figures are as good as the first batch is typical. An event says what was counted, or why nothing was. The rate is
    that of one device, and `throughput/mfu` its share of the device's peak, where that is known.
    """

    def __init__(self, trainer: Any, module: Any, run: Run) -> None:
        self.run = run
        self.is_due = True
        self._trainer, self._module = trainer, module
        self._counter: FlopCounter | None = None
        self._tries = _TRIES
        self._had_backward = False
        self._flops = self._samples = 0
        self._peak: float | None = None

    @guarded
    def begin(self) -> None:
        """A batch is about to be worked on."""
        self.stop()
        problem = reason_against(self._module)
        if problem is None:
            self._had_backward = False
            self._counter = FlopCounter()
            self._counter.begin()
        else:
            self._leave_out(problem)

    def before_backward(self) -> None:
        """The loss is there."""
        self._had_backward = True
        if self._counter is not None:
            self._counter.before_backward()

    @guarded
    def end(self, samples: int | None) -> None:
        """The work on the batch is done. samples: how many it held, if that is known."""
        counter = self._counter
        self.stop()
        if counter is None:
            return
        problem = counter.problem
        if problem is None and not counter.flops:
            problem = "the batch had no operations that count"
        self._tries -= 1
        if problem is None and self._module.automatic_optimization and not self._had_backward:
            if self._tries:
                return  # the step gave no loss; the next one may
            problem = f"the first {_TRIES} batches had no backward pass"
        if problem is not None:
            self._leave_out(problem)
            return
        self.is_due = False
        self._flops, self._samples = counter.flops, samples or 0
        device = self._trainer.strategy.root_device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        precision = str(self._trainer.precision).partition("-")[0]
        if precision == "32" and device.type == "cuda":
            precision = single_precision()
        self._peak = peak_of(name, precision)
        self._note(
            "flops_counted", flops=self._flops, samples=samples, device=name, precision=precision, peak=self._peak
        )

    def stop(self) -> None:
        """Count no more; a batch that was not finished is not counted."""
        if self._counter is not None:
            self._counter.end()
            self._counter = None

    def figures(self, batches: int, samples: int, busy_s: float) -> dict[str, float]:
        """How fast so many batches, with so many samples in all, were computed; nothing if nothing was counted."""
        if not self._flops:
            return {}
        rate = self._flops * (samples / self._samples if self._samples else batches) / busy_s
        return {"throughput/flops_per_s": rate} | ({"throughput/mfu": rate / self._peak} if self._peak else {})

    def _leave_out(self, reason: str) -> None:
        self.is_due = False
        self._note("flops_left_out", reason=reason)

    def _note(self, event: str, **about: Any) -> None:
        if self._trainer.is_global_zero:
            self.run.event(event, **about)
