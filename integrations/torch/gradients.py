"""Gradients as backward left them: complete, before anybody clips, whatever the loop around it looks like."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.autograd import Variable

from barograph.integrations.torch.taking import Taker
from barograph.tensors.statistics import Statistics

_KIND = "gradients"

Write = Callable[[Any, list[str], list[Statistics]], None]  # Any: the mark, (step, kind)


class Gradients:
    """Reads the gradients of an armed step at the end of each backward pass; the last one before the step counts.

    A hook on each parameter tests a flag. In an armed step the first one in a backward pass asks the engine to call
    back when that pass is over: then gradients are accumulated and, under DistributedDataParallel, reduced.
    """

    def __init__(
        self, parameters: Mapping[str, torch.Tensor], names: Mapping[int, str], taker: Taker, write: Write, attach: bool
    ) -> None:
        self.armed = False
        self.sampling = 0
        self._names, self._taker, self._write = names, taker, write
        self._touched: list[torch.Tensor] = []
        self._pass = 0  # counts readings; only the newest counts
        self._found: dict[str, Statistics] = {}  # of the newest reading, until an optimiser takes them
        self._claims: list[tuple[int, set[str], float, int]] = []  # steps that wait for a reading to arrive
        self._norm: float | None = None
        self._handles = [
            parameter.register_post_accumulate_grad_hook(self._after_one)
            for parameter in parameters.values()
            if attach and parameter.requires_grad and parameter.is_leaf
        ]

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def read(self, parameters: Iterable[torch.Tensor]) -> None:
        """Take the statistics of the gradients as they are now."""
        having = [parameter for parameter in parameters if parameter.grad is not None]
        if having:
            self._pass += 1
            self._found = {}
            names = [self._names[id(parameter)] for parameter in having]
            gradients = [local_part(parameter.grad) for parameter in having if parameter.grad is not None]
            self._taker.take((self._pass, _KIND), names, gradients, self.sampling, self._arrived)

    def settle(self, parameters: Iterable[torch.Tensor], scale: float, step: int) -> None:
        """An optimiser steps now: what was read of its parameters counts, divided by the loss scale."""
        mine = list(parameters)
        if not self._pass:
            self.read(mine)
            scale = 1.0
        claim = self._pass, {self._names[id(parameter)] for parameter in mine}, scale, step
        self._norm = None
        self._claims.append(claim)
        self._honour()

    def forget(self) -> None:
        """The step is over: readings of it that nobody claimed do not count for the next."""
        self._pass = 0
        self._found = {}

    def clipped(self, parameters: Iterable[torch.Tensor]) -> tuple[float, float] | None:
        """The norm of the gradients that the optimiser saw, and what clipping had multiplied them by; CPU only."""
        if not self._norm or not math.isfinite(self._norm):
            return None
        gradients = [one.grad for one in parameters if one.grad is not None]
        if not gradients or any(one.device.type != "cpu" or one.layout is not torch.strided for one in gradients):
            return None
        norm = math.hypot(*(float(one) for one in torch._foreach_norm(gradients)))
        return norm, norm / self._norm

    def _arrived(self, mark: Any, names: list[str], found: list[Statistics]) -> None:
        if any(claim[0] == mark[0] for claim in self._claims) or mark[0] == self._pass:
            self._found |= dict(zip(names, found, strict=True))
            self._honour()

    def _honour(self) -> None:
        """Write what was read for the steps that claimed it."""
        waiting = []
        for claim in self._claims:
            _, names, scale, step = claim
            mine = {name: self._found[name] for name in names if name in self._found}
            if not mine:
                waiting.append(claim)
                continue
            if scale != 1.0:
                mine = {name: record.scaled(1.0 / scale) for name, record in mine.items()}
            self._norm = math.hypot(*(record.l2 for record in mine.values()))
            self._write((step, _KIND), list(mine), list(mine.values()))
        self._claims = waiting[-4:]  # a reading that a full device dropped never arrives

    def _after_one(self, parameter: torch.Tensor) -> None:
        if not self.armed:
            return
        if not self._touched:
            Variable._execution_engine.queue_callback(self._after_backward)
        self._touched.append(parameter)

    def _after_backward(self) -> None:
        # once more to the end of the queue: DistributedDataParallel puts its own last step there during this pass
        Variable._execution_engine.queue_callback(self._after_reduction)

    def _after_reduction(self) -> None:
        touched, self._touched = self._touched, []
        self.read(touched)


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a sharded tensor, or the tensor."""
    own = getattr(tensor, "to_local", None)
    local: torch.Tensor = own() if own is not None else tensor
    return local.detach()
