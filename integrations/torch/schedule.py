"""Which steps are looked into: the opening ones, then every so many, fewer where a look is dear, one after a spike."""

from __future__ import annotations

import math
import time

LOG_EVERY = 50
_ALWAYS = 3  # the opening steps that no budget forbids: without them the first mistakes of a model go unseen
_SPIKE = 3.0  # a loss this many times its running mean asks for a look
_MEMORY = 0.9  # of the running mean of the loss, and of the cost of a look


class Schedule:
    """Decides for each step whether it is logged, and with histograms.

    log_every: a period that the user fixed, or None for LOG_EVERY, which widens where the looks would cost more than
    `budget`, a share of the time that passes. histogram_every: in steps; None for every step that is logged.
    """

    def __init__(self, log_every: int | None, histogram_every: int | None, first_steps: int, budget: float) -> None:
        for name, value in (("log_every", log_every), ("histogram_every", histogram_every)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 step, got {value}")
        self.period = log_every or LOG_EVERY
        self.widened_to: int | None = None
        self._is_fixed = log_every is not None
        self._histogram_every = histogram_every
        self._first_steps = first_steps
        self._budget = budget
        self._began = time.perf_counter()
        self._steps = 0
        self._cost_s = 0.0
        self._look_s = 0.0
        self._last_logged = -1
        self._loss: float | None = None
        self._spiked = False

    def wants(self, step: int) -> bool:
        """Whether to look into this step."""
        self._steps += 1
        due = step - self._last_logged >= self.period or step < self._last_logged
        opening = step < _ALWAYS or (step < self._first_steps and self._can_afford())
        if not (due or opening or self._spiked):
            return False
        self._last_logged, self._spiked = step, False
        return True

    def wants_histogram(self, step: int) -> bool:
        """Whether a step that is logged gets histograms."""
        return self._histogram_every is None or step % self._histogram_every == 0

    def spent(self, seconds: float) -> None:
        """Learn what a look has cost, and widen the period if that is more than the budget allows."""
        self._cost_s += seconds
        self._look_s = seconds if not self._look_s else _MEMORY * self._look_s + (1 - _MEMORY) * seconds
        step_s = (time.perf_counter() - self._began - self._cost_s) / max(1, self._steps)
        if self._is_fixed or step_s <= 0 or self._steps < _ALWAYS:
            return
        needed = math.ceil(self._look_s / (self._budget * step_s)) if self._budget else self.period
        if needed > self.period:
            self.period = self.widened_to = 2 ** math.ceil(math.log2(needed))

    def note_loss(self, loss: float) -> None:
        """Look into the step after a loss that is not finite or far above what it was."""
        before = self._loss
        if not math.isfinite(loss) or (before is not None and before > 0 and loss > _SPIKE * before):
            self._spiked = True
        if math.isfinite(loss):
            self._loss = loss if before is None else _MEMORY * before + (1 - _MEMORY) * loss

    def _can_afford(self) -> bool:
        return self._cost_s <= self._budget * (time.perf_counter() - self._began)
