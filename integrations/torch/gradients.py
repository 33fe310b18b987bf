"""Gradients as backward left them: complete, before anybody clips, whatever the loop around it looks like."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.autograd import Variable
from torch.nn.parameter import UninitializedParameter

from barograph.guard import guarded
from barograph.integrations.torch.parameters import Parameters, local_part
from barograph.integrations.torch.taking import Taken, Taker
from barograph.run import Run

KIND = "gradients"
_FRAMES = 12  # between a GradScaler and our hook there are five; schedulers and the like wrap the step in more


@dataclass
class Claim:
    """What was read of the gradients that one step is taken with. Scales: None for 1."""

    readings: dict[str, Taken]
    scale: torch.Tensor | None  # by which the readings are multiplied
    scale_now: torch.Tensor | None  # by which the gradients are multiplied that the optimiser sees
    gradients: dict[str, torch.Tensor]  # as the optimiser sees them; those of shards left out
    are_changed: bool = False  # since they were read, as by clipping


class Gradients:
    """Reads the gradients of armed parameters at the end of each backward pass; the last one before a step counts.

    The first armed parameter that a pass reaches asks the engine to call back when that pass is over: then gradients
    are accumulated and, under DistributedDataParallel, reduced. Parameters that are not armed carry no hook.
    """

    def __init__(self, parameters: Parameters, taker: Taker, run: Callable[[], Run | None]) -> None:
        self.sampling = 0
        self._parameters, self._taker, self._run = parameters, taker, run
        self._touched: dict[int, list[torch.Tensor]] = {}  # by the number of the pass, as passes can be nested
        self._newest: dict[str, tuple[Taken, tuple[int, int]]] = {}
        self._handles: dict[str, Any] = {}  # Any: torch's handles have no public type

    @property
    def run(self) -> Run | None:
        """The run that is written to."""
        return self._run()

    def arm(self, parameters: Mapping[str, torch.Tensor]) -> None:
        """Read the gradients of these parameters from now on; what was read before does not count."""
        self._touched.clear()
        for name, parameter in parameters.items():
            self._newest.pop(name, None)
            if name in self._handles or isinstance(parameter, UninitializedParameter):
                continue
            carrier = self._parameters.carrier_of(parameter)
            if carrier.requires_grad and carrier.is_leaf:
                hook = self._after_one if carrier is parameter else _After(self, parameter)
                self._handles[name] = carrier.register_post_accumulate_grad_hook(hook)

    def disarm(self, names: Iterable[str]) -> None:
        """Take the hooks away from these parameters."""
        for name in list(names):
            self._newest.pop(name, None)
            if name in self._handles:
                self._handles.pop(name).remove()

    def close(self) -> None:
        """Take all hooks away."""
        self.disarm(list(self._handles))
        self._touched.clear()

    def read(self, parameters: Iterable[torch.Tensor]) -> None:
        """Take the statistics of the gradients as they are now."""
        having = [one for one in parameters if one.grad is not None]
        gradients = [local_part(one.grad) for one in having if one.grad is not None]
        names = [self._parameters.name_of(one) for one in having]
        taken = self._taker.take([(KIND, name) for name in names], gradients, self.sampling)
        for name, gradient in zip(names, gradients, strict=True):
            self._newest[name] = taken, _state(gradient)

    def claim(
        self, optimizer: torch.optim.Optimizer, parameters: Mapping[str, torch.Tensor], are_unscaled: bool
    ) -> Claim:
        """The newest readings of the gradients that an optimiser steps with now.

        Where there is no reading, for no hook was called, it is taken now. are_unscaled: what was read had no loss
        scale on it.
        """
        having = {name: one for name, one in parameters.items() if one.grad is not None}
        unread = [one for name, one in having.items() if name not in self._newest]
        self.read(unread)
        now = getattr(optimizer, "grad_scale", None)  # a fused optimiser is handed the scale and unscales by itself
        claim = Claim({}, now if unread else None if are_unscaled else _scale_before(optimizer), now, {})
        for name, parameter in having.items():
            claim.readings[name], state = self._newest.pop(name)
            if parameter.grad is not None and not self._parameters.is_sharded(parameter):
                claim.gradients[name] = parameter.grad
                claim.are_changed |= state != _state(parameter.grad)
        return claim

    def _after_one(self, parameter: torch.Tensor) -> None:
        number = torch._C._current_graph_task_id()
        touched = self._touched.get(number)
        if touched is None:
            self._begin_pass(number, parameter)
        else:
            touched.append(parameter)

    @guarded
    def _begin_pass(self, number: int, parameter: torch.Tensor) -> None:
        self._touched[number] = [parameter]

        def again() -> None:
            # to the end of the queue: DistributedDataParallel puts its own last act there while the pass goes on
            Variable._execution_engine.queue_callback(partial(self._end_pass, number))

        Variable._execution_engine.queue_callback(again)

    @guarded
    def _end_pass(self, number: int) -> None:
        self.read(self._touched.pop(number, ()))


class _After:
    """Tells of a parameter whose gradient goes to a vector that it shares with others."""

    def __init__(self, gradients: Gradients, parameter: torch.Tensor) -> None:
        self._gradients, self._parameter = gradients, parameter

    def __call__(self, carrier: torch.Tensor) -> None:
        self._gradients._after_one(self._parameter)


def _scale_before(optimizer: torch.optim.Optimizer) -> torch.Tensor | None:
    """By what a GradScaler had multiplied the loss whose gradients this optimiser steps with now.

    The scaler is among the callers of the step. Only frames of its own are looked into: asking another for its
    variables would keep them alive.
    """
    frame = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame.f_globals.get("__name__") == "torch.amp.grad_scaler":
            # get_scale() would wait for the device
            scale: torch.Tensor | None = getattr(frame.f_locals.get("self"), "_scale", None)
            return scale
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def _state(gradient: torch.Tensor) -> tuple[int, int]:
    """What is another after a gradient was replaced or changed in place; unscaling counts as no change."""
    return (gradient.data_ptr() if gradient.layout is torch.strided else 0), gradient._version
