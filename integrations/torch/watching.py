"""watch(): weights, gradients, updates and activations of a model, on the steps worth looking into."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from barograph.guard import guarded
from barograph.integrations.torch.activations import Activations
from barograph.integrations.torch.gradients import KIND as GRADIENTS
from barograph.integrations.torch.gradients import Gradients
from barograph.integrations.torch.look import Look
from barograph.integrations.torch.parameters import Parameters
from barograph.integrations.torch.taking import Taker
from barograph.integrations.torch.updates import SAMPLE, UpdateSample
from barograph.open_runs import current_run
from barograph.run import Run
from barograph.settings import Settings
from barograph.tensors.schedule import Schedule
from barograph.voice import say
from barograph.watchers import register_watcher

_SAMPLING = 8  # every eighth element enters a histogram
_HOOKS = ("look", "_begin_pass", "_end_pass", "_begin_look", "_end_look", "_arm", "_deliver")  # as the guard has them
_MOST_NAMES = 20  # in an event
_UNSEEN = "not called in the first step that was looked into, or left whole as torch.compile or TorchScript made it"


@dataclass
class _Turn:
    """Where one optimiser stands."""

    index: int  # in the order in which they were seen
    is_armed: bool  # its next step is looked into
    is_foreign: bool  # it has none of the parameters
    step: int = 0  # its next one
    look: Look | None = None
    sample: UpdateSample | None = None
    settles_late: bool = False  # its gradients come, or are clipped, within the step
    are_unscaled: bool = False


class Watch:
    """Looks into a model while it trains, until close() or until the model is gone.

    On a step that is logged it writes norm, mean and spread of each weight and gradient, the ratio of update to weight,
    figures of what each leaf module puts out, and histograms. Gradients are complete under accumulation, unscaled, and
    as they were before clipping. The bits of a training do not change, and its thread never waits for a device.
    Cost: a few flag tests on other steps. Memory: samples of at most 128 MiB during a logged step; the model and its
    tensors are not kept alive. While the hooks are there, nn.TransformerEncoderLayer evaluates in single operations and
    not by its fused path, which rounds differently, and torch.jit.script refuses the model: close() first. Steps inside
    a function that torch.compile made are not seen.
    Processes that train the same weights write gradients, weights and updates once; each writes its own activations,
    and of sharded weights its shards.
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
        first_steps: int = 20,
        step: Callable[[], int] | None = None,
        attach: bool = True,
    ) -> None:
        """attach: False for a caller who calls before_step() and after_step() for each step of an optimiser."""
        plain, replicas_on = _unwrapped(model)
        self._given_run, self._own_step, self._attaches = run, step, attach
        self._weights, self._updates = weights, updates
        self._parameters = Parameters(plain)
        self._schedule = Schedule(log_every, histogram_every, first_steps, is_shared=self._parameters.are_sharded)
        self._taker = Taker()
        self._turns: weakref.WeakKeyDictionary[torch.optim.Optimizer, _Turn] = weakref.WeakKeyDictionary()
        self._turn_with: dict[str, _Turn] = {}  # by the name of a parameter
        self._is_disabled = Settings.read().mode == "disabled"
        self._has_told_start = self._has_told_widened = False
        self._gradients = Gradients(self._parameters, self._taker, self._find_run) if gradients else None
        self._activations = Activations(plain, self._taker, self._find_run, replicas_on) if activations else None
        self._handles: list[Any] = []  # Any: torch's handles have no public type
        if attach:
            self._attach(optimizer)
        first = self.run
        if first is not None:
            self._arm(first, None, 0)
        end = weakref.finalize(plain, self.close)  # also keeps this object alive for as long as the model lives
        end.atexit = False

    @property
    def run(self) -> Run | None:
        """The run that is written to: the one given, else the current one; None once it is finished."""
        run = self._given_run if self._given_run is not None else current_run()
        return None if run is None or run.is_finished or self._is_disabled else run

    def close(self) -> None:
        """Take every hook away, let go of the parameters, and write what is still on its way from a device."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._gradients is not None:
            self._gradients.close()
        if self._activations is not None:
            self._activations.close()
        self._deliver(is_last=True)
        self._turns.clear()
        self._parameters.forget()

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

    def before_step(
        self, optimizer: torch.optim.Optimizer, gradients_are_final: bool = False, has_closure: bool = False
    ) -> None:
        """An optimiser is about to step.

        gradients_are_final: they are complete, unscaled and not yet clipped (Lightning). has_closure: the step runs the
        forward and backward pass itself.
        """
        turn = self._turns.get(optimizer) or self._meet(optimizer)
        if turn is not None and turn.is_armed:
            self._begin_look(optimizer, turn, gradients_are_final, has_closure)

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimiser has stepped: write what was found, and decide about its next step."""
        turn = self._turns.get(optimizer)
        if turn is None or turn.is_foreign:
            return
        if turn.look is not None:
            self._end_look(optimizer, turn, turn.look)
            turn.look = turn.sample = None
        if self._taker.pending:
            self._deliver()
        turn.step += 1
        run = self.run
        if run is not None and self._schedule.wants(turn.step, run.overhead_budget, lambda: _cost_s(run)):
            turn.is_armed = True
            self._arm(run, optimizer, turn.step)
        elif turn.is_armed:
            turn.is_armed = False
            self._disarm(optimizer)
        if run is not None and self._schedule.is_widened and not self._has_told_widened:
            self._tell_widened(run)

    @guarded
    def _begin_look(
        self, optimizer: torch.optim.Optimizer, turn: _Turn, gradients_are_final: bool, has_closure: bool
    ) -> None:
        run = self.run
        if run is None:
            return
        mine = self._recorded(self._parameters.of(optimizer), run)
        step = self._own_step() if self._own_step is not None else turn.step
        total = f"{GRADIENTS}/optimizer{turn.index}" if turn.index else GRADIENTS
        turn.look = Look(run, step, total, {name for name, one in mine.items() if self._parameters.is_sharded(one)})
        turn.settles_late, turn.are_unscaled = has_closure or gradients_are_final, gradients_are_final
        if self._gradients is not None:
            if gradients_are_final:
                self._gradients.read(mine.values())
            if not turn.settles_late:
                self._settle(optimizer, mine, turn)
        if self._updates:
            turn.sample = UpdateSample({name: one for name, one in mine.items() if one.requires_grad})

    @guarded
    def _end_look(self, optimizer: torch.optim.Optimizer, turn: _Turn, look: Look) -> None:
        mine = self._recorded(self._parameters.of(optimizer), look.run)
        if turn.settles_late:
            self._settle(optimizer, mine, turn)
        if turn.sample is not None:
            look.add_updates(turn.sample.compare(mine))
        if self._weights:
            if turn.index == 0:
                mine |= self._recorded(self._parameters.frozen_besides(self._turns), look.run)
            look.add_weights({name: one for name, one in mine.items() if name not in self._parameters.aliases})
        if self._activations is not None:
            look.add_activations(*self._activations.collect())
        look.finish(self._taker, self._sampling_at(turn.step))
        if not self._has_told_start:
            self._tell_start(look.run)

    @guarded
    def _deliver(self, is_last: bool = False) -> None:
        """Write what has arrived from devices; at the end wait for it a little."""
        if is_last:
            self._taker.finish()
        else:
            self._taker.poll()

    def _settle(self, optimizer: torch.optim.Optimizer, mine: Mapping[str, torch.Tensor], turn: _Turn) -> None:
        """What was read of the gradients becomes part of the look, and what has become of them since."""
        if self._gradients is None or turn.look is None:
            return
        claim = self._gradients.claim(optimizer, mine, turn.are_unscaled)
        turn.look.add_gradients(claim.readings, claim.scale)
        if claim.are_changed:
            turn.look.add_clipped(self._taker, claim.gradients, claim.scale_now)

    @guarded
    def _arm(self, run: Run, optimizer: torch.optim.Optimizer | None, step: int) -> None:
        """An optimiser's next step, or anyone's, is looked into; what that takes is there before its forward pass."""
        sampling = self._sampling_at(step)
        if self._gradients is not None:
            self._gradients.sampling = sampling
            if self._attaches:
                mine = self._parameters.by_name if optimizer is None else self._parameters.of(optimizer)
                self._gradients.arm(self._recorded(mine, run))
        if self._activations is not None:
            self._activations.arm(sampling)

    @guarded
    def _disarm(self, optimizer: torch.optim.Optimizer) -> None:
        if self._gradients is not None:
            self._gradients.disarm(self._parameters.of(optimizer))
        if self._activations is not None and not any(turn.is_armed for turn in self._turns.values()):
            self._activations.disarm()

    @guarded
    def _meet(self, optimizer: torch.optim.Optimizer) -> _Turn:
        """An optimiser steps for the first time."""
        names = self._parameters.of(optimizer)
        # one that takes over another's parameters goes on with its count
        turn = next((self._turn_with[name] for name in names if name in self._turn_with), None)
        if turn is None:
            turn = _Turn(len({id(one) for one in self._turn_with.values()}), bool(names), not names)
        self._turn_with.update((name, turn) for name in names)
        self._turns[optimizer] = turn
        return turn

    def _sampling_at(self, step: int) -> int:
        return _SAMPLING if self._schedule.wants_histogram(step) else 0

    def _recorded(self, parameters: Mapping[str, torch.Tensor], run: Run) -> dict[str, torch.Tensor]:
        return {name: one for name, one in parameters.items() if self._parameters.is_recorded_here(one, run.rank)}

    def _find_run(self) -> Run | None:
        return self.run

    def _attach(self, optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None) -> None:
        def before(one: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            if not torch.compiler.is_compiling():  # a compiled step is left whole
                self.before_step(one, has_closure=any(map(callable, (*args[1:], *kwargs.values()))))

        def after(one: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            if not torch.compiler.is_compiling():
                self.after_step(one)

        if optimizer is None:
            self._handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
            return
        for one in [optimizer] if isinstance(optimizer, torch.optim.Optimizer) else optimizer:
            self._handles += [one.register_step_pre_hook(before), one.register_step_post_hook(after)]

    # -- telling -----------------------------------------------------------------------------------------------------

    def _tell_start(self, run: Run) -> None:
        self._has_told_start = True
        unseen = sorted(self._activations.unseen) if self._activations is not None else []
        run.event(
            "watch_start",
            parameters=len(self._parameters.by_name),
            log_every=self._schedule.period,
            updates=f"of at most {SAMPLE} elements of a parameter",
            modules_unseen=len(unseen),
            modules_unseen_first=unseen[:_MOST_NAMES],
            modules_unseen_reason=_UNSEEN if unseen else None,
        )

    @guarded
    def _tell_widened(self, run: Run) -> None:
        self._has_told_widened = True
        period, budget = self._schedule.period, f"{run.overhead_budget:.0%}"
        run.event("watch_widened", log_every=period, reason=f"looks cost more than the overhead budget of {budget}")
        say([f"barograph: watch() looks every {period} steps to stay below {budget}; log_every= fixes a period"])


def watch(model: nn.Module, optimizer: Any = None, run: Run | None = None, **options: Any) -> Watch:
    """Look into a model while it trains; see Watch for what is written and what it costs.

    optimizer: one, several, or None for whichever steps the model's parameters. run: default the current one.
    log_every: a fixed period in optimiser steps; default 50, wider where the run's overhead budget asks for it, and
    each of the first 20 steps as far as it allows. histogram_every: default with every look. weights, gradients,
    updates, activations: what to look at. step: what gives the step to write at; default the count of optimiser steps.
    Call it before torch.compile and after the model was sharded or given new parameters.
    """
    return Watch(model, optimizer, run, **options)


def _unwrapped(model: nn.Module) -> tuple[nn.Module, int | None]:
    """The model inside torch.compile and data parallel wrappers, and which device's replica counts."""
    plain = getattr(model, "_orig_mod", model)
    if isinstance(plain, nn.DataParallel):
        return plain.module, plain.device_ids[0] if plain.device_ids else None
    if isinstance(plain, nn.parallel.DistributedDataParallel):
        plain = plain.module
    return getattr(plain, "_orig_mod", plain), None


def _cost_s(run: Run) -> float:
    """What looks into models have cost the run so far."""
    hooks = run.overhead["hooks"]
    return float(sum(hooks.get(hook, 0.0) for hook in _HOOKS))


register_watcher("torch", watch)
