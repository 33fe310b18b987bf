"""Looks into a model while Keras fits it: weights, updates, gradients and activations, on steps worth looking into."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import keras

from barograph import guard
from barograph.guard import guarded
from barograph.integrations.keras.activations import Units, why_unheard
from barograph.integrations.keras.gradients import Heard, Twin
from barograph.integrations.keras.losses import Losses
from barograph.integrations.keras.taking import (
    GRADIENTS,
    SAMPLE,
    WEIGHTS,
    Array,
    Taken,
    on_host,
    ratios,
    samples,
)
from barograph.integrations.keras.variables import Variables
from barograph.run import Run
from barograph.tensors.compute import SAMPLING
from barograph.tensors.points import ACTIVATIONS
from barograph.tensors.schedule import Schedule
from barograph.voice import say

BACKEND = keras.backend.backend()
_UPDATES = "updates"
_TWIN = "twin"  # what the twin takes beyond the plain step, in the account of hooks
_HOOKS = ("_sample", "_look", _TWIN)
_PLAIN = "_barograph_plain"  # where a dispatcher keeps the train_function it stands in for


class Options(TypedDict, total=False):
    """What to look at, and when; see Inside."""

    log_every: int | None
    histogram_every: int | None
    weights: bool
    gradients: bool
    updates: bool
    activations: bool
    first_steps: int


class Inside:
    """Stands in for the train_function of a model during a fit: passes on to it, or on some steps to its twin.

    log_every: a fixed period in calls of train_function (a step each, or steps_per_execution of them); default 50,
    wider where the run's overhead budget asks for it, each of the first 20 as far as it allows, and the step after one
    whose loss is not finite or far above what it was. histogram_every: default with every look.
    Anything of ours that fails ends the looking for good, and the fit goes on with the plain step.
    """

    def __init__(
        self,
        run: Callable[[], Run | None],
        log_every: int | None = None,
        histogram_every: int | None = None,
        weights: bool = True,
        gradients: bool = True,
        updates: bool = True,
        activations: bool = True,
        first_steps: int = 20,
    ) -> None:
        self._find_run = run
        self._wants = {WEIGHTS: weights, GRADIENTS: gradients, _UPDATES: updates, ACTIVATIONS: activations}
        self._schedule = Schedule(log_every, histogram_every, first_steps)
        self._calls = 0
        self._centres: dict[str, float] = {}
        self._has_told_widened = False
        self._fit: _Fitted | None = None

    @property
    def run(self) -> Run | None:
        """The run that is written to; None once it is finished."""
        run = self._find_run()
        return None if run is None or run.is_finished else run

    @guarded
    def begin(self, model: Any, step_of: Callable[[int], int]) -> None:
        """A fit begins, its train_function is made. step_of: index of a batch in its epoch to the step to write at."""
        self.end()
        unwrap(model)
        run, plain = self.run, getattr(model, "train_function", None)
        if run is None or not any(self._wants.values()):
            return
        if plain is None:  # the hooks are called by a loop of the user's own
            return
        reasons = self._why_not(model)
        if "all" in reasons:
            run.event("watch_off", reason=reasons["all"])
            return
        wanted = {kind: wants and kind not in reasons for kind, wants in self._wants.items()}
        fit = self._fit = _Fitted(model, plain, step_of, wanted, reasons)
        if wanted[GRADIENTS] or wanted[ACTIVATIONS]:
            fit.twin = Twin(model, plain, fit.variables, wanted[GRADIENTS], wanted[ACTIVATIONS])
        model.train_function = self._dispatcher(fit)

    def begin_epoch(self) -> None:
        """Batches are counted from here."""
        if self._fit is not None:
            self._fit.in_epoch = 0
            self._fit.units.start_epoch()
            self._fit.losses.start_epoch()

    def end(self) -> None:
        """The fit is over: the plain step is back."""
        fit, self._fit = self._fit, None
        if fit is not None:
            unwrap(fit.model)
            fit.is_off = True

    # -- the step ------------------------------------------------------------------------------------------------------

    def _dispatcher(self, fit: _Fitted) -> Any:
        """A function, as Keras' own is: whoever copies the model copies it as one."""
        plain = fit.plain

        def train_function(*arguments: Any) -> Any:
            fit.in_epoch += fit.batches_per_call
            if fit.is_off:
                return plain(*arguments)
            out = self._step(fit, arguments) if self._is_due(fit) else plain(*arguments)
            fit.losses.note(out, fit.in_epoch)
            return out

        setattr(train_function, _PLAIN, plain)
        return train_function

    @guarded
    def _is_due(self, fit: _Fitted) -> bool:
        number, run = self._calls, self.run
        self._calls += 1
        loss = fit.losses.arrived()
        if loss is not None:
            self._schedule.note_loss(loss)
        is_due = run is not None and self._schedule.wants(number, run.overhead_budget, lambda: _cost_s(run))
        fit.note_call(is_due)
        return is_due

    def _step(self, fit: _Fitted, arguments: tuple[Any, ...]) -> Any:
        """A step that is looked into."""
        _wait_for(arguments[0])  # for the step before, which is no cost of ours
        before = self._sample(fit, arguments[0])
        began_s = time.perf_counter()
        try:
            out, heard = (fit.plain(*arguments), Heard()) if fit.twin is None else fit.twin(arguments)
        except Exception as error:
            instead = None if guard.raise_errors or fit.twin is None else fit.twin.instead(error, arguments)
            if instead is None:
                raise
            failure = error
        else:
            _wait_for(out)
            self._count_twin(fit, time.perf_counter() - began_s)
            if fit.twin is not None and fit.twin.failure is not None:
                self._give_up(fit, fit.twin.failure)
            elif before is None or self._look(fit, out, before, heard) is None:
                fit.is_off = True
            return out
        out = fit.plain(*instead)  # raises what the twin did, if that was the user's
        self._give_up(fit, failure)
        return out

    def _give_up(self, fit: _Fitted, error: Exception) -> None:
        fit.is_off = True
        if guard.raise_errors:
            raise error
        guard.report(self.run, _TWIN, error)

    def _count_twin(self, fit: _Fitted, took_s: float) -> None:
        """Add what a step took beyond a plain one to the run's account: the compiling, the first time."""
        run, twin = self.run, fit.twin
        if run is not None and twin is not None and twin.is_compiled and (fit.usual_s or not fit.has_told):
            run.spent(_TWIN, max(0.0, took_s - fit.usual_s))

    @guarded
    def _sample(self, fit: _Fitted, state: Any) -> dict[str, Array]:
        return samples(fit.variables.trainable(state)) if fit.wanted[_UPDATES] else {}

    @guarded
    def _look(self, fit: _Fitted, out: Any, before: Mapping[str, Array], heard: Heard) -> bool:
        """Write what was found."""
        run, state = self.run, out[1] if BACKEND == "jax" else None
        if run is None:
            return True
        taken = Taken(self._centres, SAMPLING if self._schedule.wants_histogram(self._calls - 1) else 0)
        points: dict[str, float] = {}
        taken.take(GRADIENTS, heard.gradients, 1 / float(heard.scale))
        if fit.wanted[WEIGHTS]:
            taken.take(WEIGHTS, fit.variables.all(state))
        if before:
            moved = ratios(before, samples(fit.variables.trainable(state)))
            if any(moved.values()) or not fit.accumulated:  # between two updates nothing is to be expected
                points |= moved
        taken.add(ACTIVATIONS, heard.outputs)
        for name, outputs in heard.outputs.items():
            dead = fit.units.note(name, [on_host(one) for one in outputs])
            if dead is not None:
                points[f"{ACTIVATIONS}/{name}/dead_units"] = dead
        points |= taken.points()
        step = fit.step_of(fit.in_epoch - 1)
        run.log_scalars(tuple(points), list(points.values()), step)
        if taken.sampling:
            run.log_statistics(taken.statistics(), step)
        self._tell(run, fit, heard)
        return True

    def _tell(self, run: Run, fit: _Fitted, heard: Heard) -> None:
        """Say once a fit what is looked at and what is not, and once that the period was widened."""
        if not fit.has_told:
            fit.has_told = True
            if fit.wanted[GRADIENTS] and not heard.gradients:
                fit.reasons[GRADIENTS] = "the step does not give them to the optimiser of compile()"
            run.event(
                "watch_start",
                variables=len(fit.variables),
                log_every=self._schedule.period,
                updates=f"of at most {SAMPLE} elements of a variable",
                steps_per_execution=fit.batches_per_call,
                gradients_are_of="single batches, which are accumulated" if fit.accumulated else "whole steps",
                without={kind: reason for kind, reason in fit.reasons.items() if self._wants[kind]},
            )
        if self._schedule.is_widened and not self._has_told_widened:
            self._has_told_widened = True
            period, budget = self._schedule.period, f"{run.overhead_budget:.0%}"
            run.event("watch_widened", log_every=period, reason=f"looks cost more than the overhead budget of {budget}")
            say([f"barograph: looks every {period} steps to stay below {budget}; watch= fixes a period"])

    def _why_not(self, model: Any) -> dict[str, str]:
        """What cannot be looked at, by kind, and why; "all" for nothing at all."""
        if _is_distributed(model):
            return {"all": "the model is distributed over several devices"}
        reasons = {}
        if type(model).make_train_function.__module__.partition(".")[0] != "keras":
            reasons[GRADIENTS] = reasons[ACTIVATIONS] = "the model makes its train_function itself"
        if not isinstance(model.optimizer, keras.optimizers.Optimizer):
            reasons[GRADIENTS] = "the optimiser is none of Keras"
        unheard = why_unheard(model)
        if unheard is not None:
            reasons[ACTIVATIONS] = unheard
        if (getattr(model, "steps_per_execution", None) or 1) > 1:
            reasons[_UPDATES] = "with steps_per_execution a look spans several steps"
        return reasons


@dataclass
class _Fitted:
    """One fit, seen from its train_function."""

    model: Any  # as below: Keras has no annotations
    plain: Any
    step_of: Callable[[int], int]
    wanted: dict[str, bool]
    reasons: dict[str, str]
    twin: Twin | None = None
    in_epoch: int = 0  # batches
    is_off: bool = False
    has_told: bool = False
    usual_s: float = 0.0  # from one call to the next, where both are plain; 0.0 before that is known
    _called_s: float = 0.0
    variables: Variables = field(init=False)
    units: Units = field(init=False)
    losses: Losses = field(init=False)

    def __post_init__(self) -> None:
        self.variables, self.units, self.losses = Variables(self.model), Units(self.model), Losses(self.model)
        self.batches_per_call = int(getattr(self.model, "steps_per_execution", None) or 1)
        optimizer = self.model.optimizer
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        self.accumulated = bool(getattr(inner, "gradient_accumulation_steps", None))

    def note_call(self, is_looked_into: bool) -> None:
        """A step begins: the least time that a plain one takes lately."""
        now_s = time.perf_counter()
        if self._called_s:
            took_s = now_s - self._called_s
            self.usual_s = min(took_s, 1.1 * self.usual_s) if self.usual_s else took_s
        self._called_s = 0.0 if is_looked_into else now_s


def unwrap(model: Any) -> None:
    """Put the plain train_function back into a model, also after a fit that died."""
    plain = getattr(getattr(model, "train_function", None), _PLAIN, None)
    if plain is not None:
        model.train_function = plain


def _wait_for(tensors: Any) -> None:
    """Let a step come to its end that jax has only begun."""
    if BACKEND == "jax":
        sys.modules["jax"].block_until_ready(tensors)


def _is_distributed(model: Any) -> bool:
    strategy = getattr(model, "distribute_strategy", None)
    return keras.distribution.distribution() is not None or getattr(strategy, "num_replicas_in_sync", 1) > 1


def _cost_s(run: Run) -> float:
    """What looks have cost the run so far."""
    hooks = run.overhead["hooks"]
    return float(sum(hooks.get(hook, 0.0) for hook in _HOOKS))
