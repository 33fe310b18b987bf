"""watch(): weights, gradients, updates and activations of a model, on the steps worth looking into."""

from __future__ import annotations

import math
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from barograph import guard
from barograph.guard import guarded
from barograph.integrations.torch.activations import Activations
from barograph.integrations.torch.gradients import Gradients, local_part
from barograph.integrations.torch.schedule import Schedule
from barograph.integrations.torch.taking import Taker
from barograph.integrations.torch.updates import UpdateSample
from barograph.integrations.torch.values import on_their_way
from barograph.open_runs import current_run
from barograph.run import Run
from barograph.tensors.statistics import Statistics

_FIRST_STEPS = 20


class Watch:
    """Looks into a model while it trains, until close().

    On a step that is logged it writes, for each parameter, the norm, mean and spread of weight and gradient, the ratio
    of update to weight, and histograms; for each leaf module statistics of its output. Gradients are complete under
    accumulation, unscaled, and as they were before clipping. Other steps pay for a few flag tests.
    Memory: samples of at most 64 MiB between the two halves of a logged step; no tensor is kept alive.
    The training thread never waits for a device. Bits of the training do not change.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
        run: Run | None = None,
        log_every: int | None = None,
        histogram_every: int | None = None,
        weights: bool = True,
        gradients: bool = True,
        updates: bool = True,
        activations: bool = True,
        first_steps: int = _FIRST_STEPS,
        step: Callable[[], int] | None = None,
        attach: bool = True,
    ) -> None:
        plain = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
        if isinstance(plain, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            plain = plain.module
        self._run = run
        chosen = self.run
        budget = chosen.overhead_budget if chosen is not None else 0.02
        self._schedule = Schedule(log_every, histogram_every, first_steps, budget)
        self._weights, self._updates, self._own_step = weights, updates, step
        self._step = 0
        self._took_s = 0.0
        self._said_widened = False
        self._parameters = dict(plain.named_parameters())
        self._names = {id(parameter): name for name, parameter in self._parameters.items()}
        self._taker = Taker(self._write)
        self._sample: UpdateSample | None = None
        self._whose: weakref.WeakKeyDictionary[torch.optim.Optimizer, bool] = weakref.WeakKeyDictionary()
        self._steps_of: weakref.WeakKeyDictionary[torch.optim.Optimizer, int] = weakref.WeakKeyDictionary()
        self._gradients = (
            Gradients(self._parameters, self._names, self._taker, self._write, attach) if gradients else None
        )
        self._activations = Activations(plain, self._report) if activations else None
        self._handles: list[Any] = []  # Any: torch's handles have no common type that is public
        if attach:
            self._attach(optimizer)
        self._arm(self._next_step())

    @property
    def run(self) -> Run | None:
        """The run that is written to: the one given, else the current one."""
        return self._run if self._run is not None else current_run()

    def close(self) -> None:
        """Take every hook away; write what is still on its way from a device."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._gradients is not None:
            self._gradients.close()
        if self._activations is not None:
            self._activations.close()
        self._taker.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start_epoch(self) -> None:
        """Count units that never fire from here on."""
        if self._activations is not None:
            self._activations.start_epoch()

    def note_loss(self, loss: float) -> None:
        """Tell a loss; the step after a spike is looked into."""
        self._schedule.note_loss(loss)

    # -- the two halves of a step ------------------------------------------------------------------------------------

    @guarded
    def before_step(self, optimizer: torch.optim.Optimizer, gradients_are_final: bool = False) -> None:
        """An optimiser is about to step. gradients_are_final: unscaled, complete, and not yet clipped (Lightning)."""
        if not self._armed or not self._is_mine(optimizer):
            return
        start = time.perf_counter()
        mine = self._of(optimizer)
        if self._gradients is not None:
            if gradients_are_final:
                self._gradients.read(mine.values())
            scale = 1.0 if gradients_are_final else _scale_of(optimizer)
            self._gradients.settle(mine.values(), scale, self._mark)
        if self._updates:
            trained = {name: one for name, one in mine.items() if one.grad is not None and _is_plain(one)}
            self._sample = UpdateSample(trained)
        self._took_s += time.perf_counter() - start

    @guarded
    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimiser has stepped: write what was found, and decide about its next step."""
        if not self._is_mine(optimizer):
            return
        count = self._steps_of.get(optimizer, 0) + 1
        self._steps_of[optimizer] = count
        self._taker.poll()
        if self._armed:
            start = time.perf_counter()
            self._look_after(optimizer)
            self._took_s += time.perf_counter() - start
            if self._activations is not None:
                self._took_s += self._activations.spent_s
                self._activations.spent_s = 0.0
            self._schedule.spent(self._took_s)
            self._say_if_widened()
        self._step = max(self._step, count)
        self._arm(self._next_step())

    def _look_after(self, optimizer: torch.optim.Optimizer) -> None:
        mine = self._of(optimizer)
        names: list[str] = []
        if self._sample is not None:
            updated, ratios = self._sample.ratios(mine)
            self._sample = None
            names = [f"updates/{name}/ratio" for name in updated]
            self._log_tensor(names, ratios)
        if self._gradients is not None:
            clipped = self._gradients.clipped(mine.values())
            if clipped is not None:
                self._log({"gradients/norm_clipped": clipped[0], "gradients/clip_factor": clipped[1]})
        if self._weights:
            self._taker.take(
                (self._mark, "weights"), list(mine), [local_part(one) for one in mine.values()], self._sampling
            )
        if self._activations is not None:
            records, held, scalars = self._activations.collect()
            if records:
                self._write((self._mark, "activations"), list(records), list(records.values()))
            for name, copies in held.items():
                self._taker.take((self._mark, "activations"), [name] * len(copies), copies, self._sampling)
            self._log({f"activations/{name}": value for name, value in scalars.items()})

    # -- writing -----------------------------------------------------------------------------------------------------

    def _write(self, mark: Any, names: list[str], found: list[Statistics]) -> None:
        """Write statistics that were taken: figures as points, histograms as one record. mark: (step, kind)."""
        run = self.run
        step, kind = mark
        if run is None or not names:
            return
        points: dict[str, float] = {}
        for name, record in zip(names, found, strict=True):
            points |= _figures(f"{kind}/{name}", kind, record)
        if kind != "activations":
            points[f"{kind}/norm"] = math.hypot(*(record.l2 for record in found))
        run.log_scalars(tuple(points), list(points.values()), step)
        if any(len(record.bins) for record in found):
            run.log_statistics({f"{kind}/{name}": one for name, one in zip(names, found, strict=True)}, step)

    def _log(self, points: dict[str, float]) -> None:
        run = self.run
        if run is not None and points:
            run.log_scalars(tuple(points), list(points.values()), self._mark)

    def _log_tensor(self, names: list[str], values: torch.Tensor) -> None:
        run = self.run
        if run is None or not names:
            return
        if values.device.type == "cpu":
            run.log_scalars(tuple(names), values.tolist(), self._mark)
        else:
            run.log_deferred(tuple(names), on_their_way(values), self._mark)

    # -- deciding ----------------------------------------------------------------------------------------------------

    def _next_step(self) -> int:
        return self._own_step() if self._own_step is not None else self._step

    def _arm(self, step: int) -> None:
        self._armed = self.run is not None and self._schedule.wants(step)
        self._mark = step
        self._took_s = 0.0
        self._sampling = 8 if self._schedule.wants_histogram(step) else 0
        if self._gradients is not None:
            self._gradients.forget()
            self._gradients.armed, self._gradients.sampling = self._armed, self._sampling
        if self._activations is not None:
            self._activations.armed, self._activations.sampling = self._armed, self._sampling

    def _say_if_widened(self) -> None:
        run = self.run
        if self._schedule.widened_to is not None and not self._said_widened and run is not None:
            self._said_widened = True
            run.event(
                "watch_widened",
                period=self._schedule.widened_to,
                reason=f"a look would cost more than the budget of {run.overhead_budget:.0%}; log_every= fixes it",
            )

    def _attach(self, optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None) -> None:
        def before(one: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            self.before_step(one)

        def after(one: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            self.after_step(one)

        if optimizer is None:
            self._handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
            return
        for one in [optimizer] if isinstance(optimizer, torch.optim.Optimizer) else optimizer:
            self._handles += [one.register_step_pre_hook(before), one.register_step_post_hook(after)]

    def _is_mine(self, optimizer: torch.optim.Optimizer) -> bool:
        known = self._whose.get(optimizer)
        if known is None:
            known = self._whose[optimizer] = bool(self._of(optimizer))
        return known

    def _of(self, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
        """The watched parameters that an optimiser trains, each once, by name."""
        found: dict[str, torch.Tensor] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                name = self._names.get(id(parameter))
                if name is not None:
                    found[name] = parameter
        return found

    def _report(self, error: Exception) -> None:
        if guard.raise_errors:
            raise error
        guard.report(self.run, "activations", error)


def watch(model: nn.Module, optimizer: Any = None, run: Run | None = None, **options: Any) -> Watch:
    """Look into a model while it trains; see Watch for what is written and what it costs.

    optimizer: one, several, or None for whichever steps the model's parameters. run: default the current one.
    log_every: a fixed period in optimiser steps; default 50, wider where the run's overhead budget asks for it, and
    each of the first 20 steps as far as it allows. histogram_every: default with every look. weights, gradients,
    updates, activations: what to look at. step: what gives the step to write at; default the count of optimiser steps.
    """
    return Watch(model, optimizer, run, **options)


def _figures(key: str, kind: str, record: Statistics) -> dict[str, float]:
    figures = {f"{key}/norm": record.l2, f"{key}/mean": record.mean, f"{key}/std": record.std}
    if kind == "activations":
        del figures[f"{key}/norm"]
        figures[f"{key}/zero_fraction"] = record.zero_share
    if record.nans or record.pos_infs or record.neg_infs:
        figures[f"{key}/not_finite"] = float(record.nans + record.pos_infs + record.neg_infs)
    return figures


def _is_plain(parameter: torch.Tensor) -> bool:
    return parameter.layout is torch.strided and not hasattr(parameter, "to_local")


def _scale_of(optimizer: torch.optim.Optimizer) -> float:
    """By what a GradScaler has multiplied the gradients that backward left.

    A fused optimiser is handed the scale. Else the scaler is among the callers of this step, which costs a walk of a
    few frames on a step that is logged.
    """
    frame = sys._getframe(2)
    for _ in range(12):
        owner = frame.f_locals.get("self")
        if isinstance(owner, torch.amp.GradScaler):
            return float(owner.get_scale())
        if frame.f_back is None:
            break
        frame = frame.f_back
    return 1.0
