"""Which steps are looked into: the opening ones, then every so many, fewer where looks are dear, one after a spike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

LOG_EVERY = 50
ALWAYS = 3  # the opening steps that no budget forbids: without them the first mistakes of a model go unseen
_SPIKE = 3.0  # a loss this many times its running mean asks for a look
_MEMORY = 0.9  # of the running mean of the loss


class Schedule:
    """Decides for each step of an optimiser whether it is logged, and with histograms.

    log_every: a period that the user fixed, or None for LOG_EVERY, which doubles whenever a look is due and all of them
    together have cost more than the budget, a share of the time since, and halves again once they have cost less than
    half of it; the first ALWAYS are not counted.
    histogram_every: in steps; None for every step that is logged.
    is_shared: several processes must choose the same steps, so that time and losses decide nothing.
    """

    def __init__(
        self, log_every: int | None, histogram_every: int | None, first_steps: int, is_shared: bool = False
    ) -> None:
        for name, value in (("log_every", log_every), ("histogram_every", histogram_every)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 step, got {value}")
        self.period = log_every or LOG_EVERY
        self.is_widened = False
        self._is_fixed = log_every is not None or is_shared
        self._is_shared = is_shared
        self._histogram_every = histogram_every
        self._first_steps = first_steps
        self._began_s = self._opening_cost_s = 0.0
        self._loss: float | None = None
        self._has_spiked = False

    def wants(self, step: int, budget: float, cost_s: Callable[[], float], next_s: float = 0.0) -> bool:
        """Whether to look into a step, counted from 0. cost_s: what looks have cost so far; next_s: what one will."""
        if step < ALWAYS:
            return True
        if step == ALWAYS:
            self._began_s, self._opening_cost_s = time.perf_counter(), cost_s()

        def can_afford(share: float = budget) -> bool:
            return cost_s() + next_s - self._opening_cost_s <= share * (time.perf_counter() - self._began_s)

        if self._has_spiked:
            self._has_spiked = False
            return True
        if step % self.period == 0:
            if self._is_fixed or can_afford():
                if self.period > LOG_EVERY and not self._is_fixed and can_afford(budget / 2):
                    self.period //= 2
                return True
            self.period *= 2
            self.is_widened = True
        return step < self._first_steps and not self._is_shared and can_afford()

    def wants_histogram(self, step: int) -> bool:
        """Whether a step that is logged gets histograms."""
        return self._histogram_every is None or step % self._histogram_every == 0

    def note_loss(self, loss: float) -> None:
        """Look into the step after a loss that is not finite or far above what it was."""
        before = self._loss
        if not math.isfinite(loss) or (before is not None and before > 0 and loss > _SPIKE * before):
            self._has_spiked = not self._is_shared
        if math.isfinite(loss):
            self._loss = loss if before is None else _MEMORY * before + (1 - _MEMORY) * loss
