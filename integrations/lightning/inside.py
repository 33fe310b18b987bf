"""What goes on inside the module during a fit: weights, gradients, updates, activations, and what optimisers keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from barograph.guard import guarded
from barograph.integrations.lightning.describe import labelled
from barograph.integrations.torch import Watch
from barograph.integrations.torch.parameters import is_sharded
from barograph.run import Run


class Inside:
    """A watch over a fit. Lightning says when gradients are complete, unscaled and not yet clipped."""

    def __init__(
        self, trainer: Any, module: Any, run: Run, look: Callable[[], int], options: Mapping[str, Any]
    ) -> None:
        """options: arguments of barograph.integrations.torch.watch. look: told of each look; gives the run's step."""
        self.run = run
        self._look = look
        self._looks_at: int | None = None
        self._labels = {id(optimizer): label for label, optimizer in labelled(trainer.optimizers).items()}
        self._watch = Watch(module, run=run, step=self._begin, attach=False, **options)
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

    def _begin(self) -> int:
        self._looks_at = self._look()
        return self._looks_at

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._watch.after_step(optimizer)
        if self._looks_at is not None:
            step, self._looks_at = self._looks_at, None
            if self.run.rank == 0:
                self._end_look(optimizer, step)

    @guarded  # under a name by which the watch counts what looks cost
    def _end_look(self, optimizer: Optimizer, step: int) -> None:
        norms = state_norms(optimizer, self._labels.get(id(optimizer), "other"))
        if all(norm.is_cpu for norm in norms.values()):
            self.run.log_scalars(tuple(norms), [norm.item() for norm in norms.values()], step)
        else:
            self.run.log(norms, step)  # is written once it has come from its device


def state_norms(optimizer: Optimizer, label: str) -> dict[str, torch.Tensor]:
    """The norm of all that an optimiser keeps of one kind, such as its first moments, over its parameters."""
    kinds: dict[str, list[torch.Tensor]] = {}
    for state in optimizer.state.values():
        for name, value in state.items() if isinstance(state, Mapping) else ():
            if isinstance(value, torch.Tensor) and value.ndim and value.is_floating_point() and not is_sharded(value):
                kinds.setdefault(str(name), []).append(value.detach())
    return {
        f"optimizer/{label}/{name}/norm": torch.stack([norm.double() for norm in torch._foreach_norm(parts)]).norm()
        for name, parts in kinds.items()
    }
