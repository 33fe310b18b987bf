"""What goes on inside the module during a fit: weights, gradients, updates and activations, by watch()."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer

from barograph.integrations.torch import Watch
from barograph.run import Run


class Inside:
    """A watch over a fit. Lightning says when gradients are complete, unscaled and not yet clipped."""

    def __init__(
        self, trainer: Any, module: Any, run: Run, step: Callable[[], int], options: Mapping[str, Any]
    ) -> None:
        """options: arguments of barograph.integrations.torch.watch. step: the run's step, asked for at each look."""
        self._watch = Watch(module, run=run, step=step, attach=False, **options)
        self._handles = [optimizer.register_step_post_hook(self._after_step) for optimizer in trainer.optimizers]

    def before_step(self, optimizer: Optimizer) -> None:
        """An optimiser is about to step."""
        self._watch.before_step(optimizer, gradients_are_final=True)

    def start_epoch(self) -> None:
        """Count units that never fire from here on."""
        self._watch.start_epoch()

    def close(self) -> None:
        """Take every hook away."""
        for handle in self._handles:
            handle.remove()
        self._watch.close()

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._watch.after_step(optimizer)
